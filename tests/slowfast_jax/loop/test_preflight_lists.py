"""Problems of the data are found beside those of the config; all files of AVA are checked."""

import shutil
from pathlib import Path

import pytest

from data_pipelines.sources.frame_lists import HEADER
from slowfast_jax.loop.preflight import prepare_training
from tests.support.preflight import LISTS, misspell, problems_of

pytestmark = pytest.mark.usefixtures("tiny_norm")


@pytest.fixture
def ava_frames(made, tmp_path):
    """A config of AVA whose videos are frames in a list."""
    config = made("ava")
    folder = shutil.copytree(config.data.root, tmp_path / "data")
    (folder / "frame_lists").mkdir()
    for name in ("train", "val"):
        paths = [f"{name}_000/{name}_000_{number:06d}.jpg" for number in range(1, 26)]
        (folder / f"frames/{name}_000").mkdir(parents=True)
        for path in paths:
            (folder / "frames" / path).touch()
        rows = [f'{name}_000 0 {number} {path} ""\n' for number, path in enumerate(paths)]
        (folder / f"frame_lists/{name}.csv").write_text(f"{HEADER}\n{''.join(rows)}")
    config.data.update(
        root=str(folder), video_dir="", frame_dir="frames", frame_list_dir="frame_lists",
        train_list="train.csv", test_list="val.csv", fps=5.0,
    )
    return config


def test_all_missing_files_of_ava_are_in_one_list(ava_frames, quiet, tmp_path):
    config = ava_frames
    prepare_training(config, tmp_path / "run", then_test=True)
    for field in ("label_map", "ground_truth", "train_list", "test_list", "exclusions"):
        config.data[field] = f"no_{field}"
    for field in ("train_gt_box_lists", "train_box_lists", "test_box_lists"):
        config.data[field] = (f"no_{field}",)
    found = problems_of(prepare_training, config, tmp_path, then_test=True)
    for field in (
        "label_map", "ground_truth", "train_list", "test_list", "exclusions", "train_gt_box_lists",
        "test_box_lists",
    ):
        assert sum(f"/no_{field}" in line for line in found) == 1, (field, found)
    assert len(found) == 7
    for field, other in (("train_list", "test_list"), ("test_list", "train_list")):
        (line,) = [line for line in found if f"/no_{field}: no such list of frames; " in line]
        assert line.endswith(f" and config.data.{field}") and other not in line
        assert "set --config.data.video_dir to" in line and "--config.data.frame_list_dir=;" in line


@pytest.mark.parametrize(("change", "text"), [
    (lambda rows: [], "the list is empty"),
    (lambda rows: rows[:1], "the list is empty"),
    (lambda rows: rows[1:], "expected the header"),
    (lambda rows: [*rows[:2], "train_000 0 1 x.jpg\n", *rows[2:]], ":3: 4 columns in"),
    (lambda rows: [row.replace("train_000 ", "other ") for row in rows],
     "video 'train_000' not found (found 1, such as 'other')"),
    (lambda rows: [row.replace(".jpg", ".png") for row in rows],
     "the list must have the names of the files"),
    (lambda rows: [row.replace(" train_000/", " elsewhere/") for row in rows],
     "videos exists (the first: "),
    (lambda rows: rows[:2], "lies outside its 1 frames"),
], ids=range(8))
def test_frame_lists_of_ava_are_checked(ava_frames, quiet, tmp_path, change, text):
    config = ava_frames
    config.data.label_map = "nothing.pbtxt"
    path = Path(config.data.root, "frame_lists/train.csv")
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(rows)))
    found = problems_of(prepare_training, config, tmp_path / "run")
    assert sum(text in line for line in found) == 1, found
    assert sum("nothing.pbtxt" in line for line in found) == 1, found
    assert len(found) == 2


def test_a_few_missing_frames_are_a_warning(ava_frames, quiet, tmp_path, caplog):
    folder = Path(ava_frames.data.root, "frames/train_000")
    (folder / "train_000_000025.jpg").unlink()
    prepare_training(ava_frames, tmp_path / "run")
    assert "1 of the 2 files of " in caplog.text and "train_000_000025.jpg" in caplog.text


def test_all_bad_rows_of_a_table_of_boxes_are_problems(made, quiet, tmp_path):
    config = made("boxes")
    folder = shutil.copytree(config.data.root, tmp_path / "data")
    header, row, *rows = (folder / "train.csv").read_text().splitlines()
    video, time, *corners, action, person = row.split(",")
    bad = [
        f"{video},{time},0.1",
        *(",".join([video, "soon", *corners, action, person]) for _ in range(5)),
        ",".join(["nobody", time, *corners, "wvae", person]),
    ]
    (folder / "bad.csv").write_text("\n".join([header, *bad, row, *rows]))
    config.data.root, config.data.train_boxes = str(folder), ("bad.csv",)
    found = problems_of(prepare_training, config, tmp_path)
    assert [line.removeprefix(f"{folder / 'bad.csv'}").split("; ")[0][:24] for line in found] == [
        " has 9 actions (carry/ho", ":2: 3 columns in 'train_", ":3: time is 'soon'",
        ":4: time is 'soon'", ":5: time is 'soon'", ":6: time is 'soon'",
        "and 1 more invalid row", ":8: video 'nobody' not f",
    ]


# Field -> a wrong value.
WRONG = {
    "schedule.warmup_epochs": -1.5, "schedule.warmup_start_lr": "low", "train.epochs": 0,
    "train.batch_size": None, "train.accumulate": (1, 2), "train.checkpoint_period": "often",
    "train.eval_period": float("nan"), "mesh.data": "all", "norm.group_size": -1,
    "protocol.num_frames": "four", "model.num_classes": "many", "data.jitter": ("a", "b"),
    "data.format": "nonsense", "task": ["classification"], "train.loss": "mean",
    "optimizer.name": "sdg", "model.dtype": "float17", "data.random_flip": 3,
}


@pytest.mark.parametrize("path", WRONG)
@pytest.mark.parametrize("name", ["kinetics", "ava"])
def test_a_wrong_field_is_one_problem_and_hides_none_of_the_data(made, quiet, tmp_path, name, path):
    """Checks that would need the field are left out."""
    config = made(name)
    section, _, key = path.rpartition(".")
    with config.unlocked(), config.ignore_type():
        parent = config[section] if section else config
        del parent[key]
        parent[key] = WRONG[path]
    (own,) = problems_of(prepare_training, config, tmp_path, then_test=True)
    assert f"config.{path} is " in own
    lists = {misspell(config, field): field for field in LISTS[name]}
    found = problems_of(prepare_training, config, tmp_path, then_test=True)
    assert found[0] == own
    read = path not in ("task", "data.format", "model.num_classes")
    for text in lists:
        assert sum(f"/{text}: no such" in line for line in found) == read, (text, found)
    assert len(found) == 1 + read * len(lists)
