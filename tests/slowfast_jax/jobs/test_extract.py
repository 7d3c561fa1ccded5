"""--mode extract: files, shards, what is skipped, and what fails before work begins."""

import csv
import json

import numpy as np
import pytest
from absl import flags

from data_pipelines.video.encoding import write_video
from slowfast_jax import main
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.evaluate import evaluate
from slowfast_jax.inference.features import Options
from slowfast_jax.jobs import modes
from slowfast_jax.jobs.extract import Shard, extract, file_name
from tests.support.paths import ROOT
from tests.support.tiny_models import training_config

COLOR = Options("color")


@pytest.fixture
def config(tiny, colors):
    config = load_config("test/tiny")
    config.data.root = config.data.path_prefix = str(colors)
    return config


def files_of(workdir):
    folder = workdir / "features"
    return {str(path.relative_to(folder)): path for path in folder.rglob("*.npz")}


def test_one_file_a_video(config, tmp_path):
    done = extract(config, tmp_path, "random", COLOR)
    assert done == {"videos_listed": 8, "videos": 8, "videos_extracted": 8, "videos_skipped": 0,
                    "videos_failed": 0}
    files = files_of(tmp_path)
    assert sorted(files) == [f"videos/val_{number:02d}.mp4.npz" for number in range(8)]
    with np.load(files["videos/val_03.mp4.npz"]) as file:
        assert file["features"].shape == (1, 3) and str(file["endpoint"]) == "color"
        assert file["start"].tolist() == [0] and file["end"] == pytest.approx([10 / 30])
        assert file["fps"] == 30
    settings = json.loads((tmp_path / "features.json").read_text())
    assert settings["endpoint"] == "color" and settings["model"]["num_classes"] == 4


def test_what_exists_is_skipped(config, tmp_path):
    extract(config, tmp_path, "random", COLOR)
    files = files_of(tmp_path)
    files["videos/val_05.mp4.npz"].unlink()
    before = {name: path.stat().st_mtime_ns for name, path in files.items() if path.exists()}
    done = extract(config, tmp_path, "random", COLOR)
    assert (done["videos_extracted"], done["videos_skipped"]) == (1, 7)
    after = {name: path.stat().st_mtime_ns for name, path in files_of(tmp_path).items()}
    assert len(after) == 8 and {name: after[name] for name in before} == before


def test_shards_divide_the_list(config, tmp_path):
    total = {}
    for index in range(3):
        workdir = tmp_path / str(index)
        done = extract(config, workdir, "random", COLOR, Shard(index, 3))
        assert done["videos_listed"] == 8 and done["videos"] == len(files_of(workdir))
        total |= dict.fromkeys(files_of(workdir), index) | total
    assert len(total) == 8 and len(set(total.values())) > 1
    counts = [sum(Shard(i, 8).has(f"v/{n}.mp4.npz") for n in range(4000)) for i in range(8)]
    assert sum(counts) == 4000 and min(counts) > 430


def test_failures_are_listed(config, colors, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    list_file = tmp_path / "list.csv"
    list_file.write_text(f"videos/val_00.mp4 0\n{tmp_path}/bad.mp4 1\nvideos/val_00.mp4 0\n")
    config.data.test_list = str(list_file)
    workdir = tmp_path / "run"
    done = extract(config, workdir, "random", COLOR)
    assert done["videos_listed"] == 2 and done["videos_failed"] == done["videos_extracted"] == 1
    with (workdir / "failed.csv").open() as file:
        header, row = csv.reader(file)
    assert header == ["path", "error"] and row[0] == f"{tmp_path}/bad.mp4" and row[1]
    assert not list(workdir.rglob("*.part"))
    list_file.write_text("videos/val_00.mp4 0\n")
    assert extract(config, workdir, "random", COLOR)["videos_skipped"] == 1
    assert not (workdir / "failed.csv").exists()


def test_errors_before_work_begins(config, tmp_path):
    with pytest.raises(ConfigError, match=r"no endpoint res9 \(endpoints: color, pixels, probs\)"):
        extract(config, tmp_path / "a", "random", Options("res9"))
    assert not (tmp_path / "a").exists()
    extract(config, tmp_path / "b", "random", COLOR)
    with pytest.raises(ConfigError, match="features with another endpoint and stride .endpoint is "
                       "'color' there and 'pixels' now.: choose another --workdir"):
        extract(config, tmp_path / "b", "random", Options("pixels", stride=0.2))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file.* cannot be written to"):
        extract(config, tmp_path / "file", "random", COLOR)


def test_boxes_have_features_at_their_keyframes(tmp_path):
    (tmp_path / "videos").mkdir()
    for name in "ab":
        frames = [np.full((36, 48, 3), frame, np.uint8) for frame in range(30)]
        write_video(tmp_path / f"videos/{name}.mp4", frames, fps=10)
    left, right = "0.1,0.2,0.4,0.9", "0.5,0.2,0.9,0.9"
    rows = [f"a,1,{left},wave", f"a,1,{right},sit", f"b,1,{left},sit", f"b,2,{left},wave",
            f"b,9,{left},wave", f"a,2,{right},wave"]
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("video,time,x1,y1,x2,y2,action\n" + "\n".join(rows))
    config = load_config(f"{ROOT}/tests/recipes/own.py")
    with config.unlocked():
        config.model.num_classes, config.data.root = 2, str(tmp_path)
    done = extract(config, tmp_path / "run", "random")
    assert (done["videos"], done["videos_extracted"], done["videos_failed"]) == (2, 1, 1)
    ((name, path),) = files_of(tmp_path / "run").items()
    assert name == "a.npz"
    with np.load(path) as file:
        assert file["features"].shape == (3, 12) and file["fps"] == 10
        assert file["time"].tolist() == [1, 1, 2]
        assert file["boxes"] == pytest.approx(
            np.array([[0.1, 0.2, 0.4, 0.9], [0.5, 0.2, 0.9, 0.9], [0.5, 0.2, 0.9, 0.9]]), abs=1e-6
        )
        assert (file["start"] < file["time"]).all() and (file["end"] > file["time"]).all()
    with (tmp_path / "run/failed.csv").open() as file:
        assert "lies outside" in file.read()
    with pytest.raises(ConfigError, match="endpoint a describes clips, not boxes"):
        extract(config, tmp_path / "run", "random", Options("a"))


@pytest.mark.parametrize(("video", "expected"), [
    ("/data/videos/a/b.mp4", "a/b.mp4.npz"), ("/lists/x.mp4", "x.mp4.npz"),
    ("/other/c.mp4", "other/c.mp4.npz"), ("1234", "1234.npz"), ("e/../f.mp4", None),
])
def test_names_of_files(video, expected, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    name = file_name(video, ("/data/videos", "/lists"))
    assert name == (expected or f"{str(tmp_path)[1:]}/f.mp4.npz")


def parse(*arguments):
    values = flags.FlagValues()
    main.define_flags(values)
    return main.parse(["main", "--config=test/tiny", *map(str, arguments)], values)[0], values


@pytest.mark.parametrize(("arguments", "message"), [
    (["--mode=extract", "--shard=8/8"], "--shard is 8/8, expected a part .*: 0/8 to 7/8"),
    (["--mode=extract", "--shard=2"], "--shard is 2, expected .*: 0/8 to 7/8"),
    (["--mode=eval", "--endpoint=res5"], "--endpoint is for --mode=extract"),
    (["--mode=extract", "--scores=a.npz"], "--scores is for --mode=eval"),
])
def test_wrong_flags(tiny, arguments, message):
    with pytest.raises(ConfigError, match=message):
        parse(*arguments)


def test_the_command_prints_counts_and_its_status_tells_of_failures(config, tmp_path, capsys):
    root = config.data.root
    (tmp_path / "bad.mp4").write_text("no video")
    (tmp_path / "list.csv").write_text(f"videos/val_00.mp4 0\n{tmp_path}/bad.mp4 1\n")
    arguments = [
        "--mode=extract", "--weights=random", f"--workdir={tmp_path / 'run'}", "--endpoint=color",
        f"--config.data.root={root}", f"--config.data.path_prefix={root}",
        f"--config.data.test_list={tmp_path / 'list.csv'}", "--stride=0.5",
    ]
    assert modes.extract(*parse(*arguments)) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["videos_failed"] == 1
    assert err.splitlines()[-1].startswith("error: 1 video could not be read")
    assert modes.extract(*parse(*arguments, "--allow_failed")) == 0
    assert json.loads(capsys.readouterr().out)["videos_skipped"] == 1
    with pytest.raises(ConfigError, match="needs --workdir"):
        modes.extract(*parse("--mode=extract"))


def test_a_trained_recipe_extracts_its_features(tiny_norm, colors, tmp_path):
    config = training_config(colors)
    evaluate(config, tmp_path, "random")  # another mode in the same folder
    done = extract(config, tmp_path, "random")
    assert done["videos_extracted"] == 8 and "videos/val_00.mp4.npz" in files_of(tmp_path)
