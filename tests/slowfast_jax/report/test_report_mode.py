"""--mode report on the files of a run of a tiny network."""

import base64
import io
import json
import re
from contextlib import closing

import numpy as np
import pytest
from absl import flags
from PIL import Image

from data_pipelines.mini import datasets
from data_pipelines.mini.ava_scenes import ACTION_IDS
from data_pipelines.video.decoding import probe, read_frames
from slowfast_jax import main
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.jobs import modes
from slowfast_jax.metrics.ava_files import read_detections, write_detections
from slowfast_jax.report.detection import report as detection_report
from slowfast_jax.report.drawing import GRAY, GREEN, RED
from slowfast_jax.report.html import annotated
from slowfast_jax.training.writers import Writers
from tests.slowfast_jax.report.test_html import Page
from tests.support.paths import ROOT

SECONDS, FPS, HEIGHT, WIDTH = 5, 10, 60, 90
STAND = ACTION_IDS["stand"]


def options(workdir, **values):
    known = flags.FlagValues()
    main.define_flags(known)
    known(["main", f"--workdir={workdir}", *(f"--{k}={v}" for k, v in values.items())])
    return known


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A mini AVA data set with three test videos."""
    folder = tmp_path_factory.mktemp("ava")
    datasets.write_ava(
        folder, seed=0, train_videos=1, val_videos=3, seconds=SECONDS, fps=FPS, height=HEIGHT,
        width=WIDTH,
    )
    return folder


@pytest.fixture
def config(tiny, folder):
    config = load_config(f"{ROOT}/configs/ava.py:mini")
    with config.unlocked():
        config.model = load_config("test/tiny_boxes").model
        config.model.num_classes = 17
        config.data.generate = ""
        config.data.root = str(folder)
        config.protocol.update({"train_crop": 32, "test_crop": 32, "num_frames": 4})
    return config


def all_stand(workdir):
    """Rewrites the detections as those of a network that predicts only "stand", for all people."""
    path = workdir / "detections.csv"
    table = read_detections(path)
    scores = np.where(table.actions == STAND, 0.9, 0.1)
    write_detections(path, table._replace(scores=scores))


def test_a_run_is_reported(config, tmp_path, capsys):
    with closing(Writers(tmp_path)) as writers:
        for step in (10, 20):
            writers.write(step, "train", {"epoch": step / 20, "loss": 5 / step, "lr": 0.1})
    modes.evaluate(config, options(tmp_path, weights="random"))
    assert list((tmp_path / "tensorboard").glob("*.figures"))  # of boxes, too
    all_stand(tmp_path)
    capsys.readouterr()
    modes.report(config, options(tmp_path))
    printed = json.loads(capsys.readouterr().out)
    results = json.loads((tmp_path / "results.json").read_text())
    assert printed == {
        "report": str(tmp_path / "report.html"), "map": round(results["metrics"]["map"], 2)
    }

    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    content = " ".join(page.texts)
    for expected in ("mAP, %", "loss", "learning rate", "A box can have several actions.",
                     "fall down", "val_000 at 902 s", "✓ stand 0.90", "✗ stand 0.90"):
        assert expected in content, expected
    (video,) = page.all("video")
    assert video["src"] == "annotated.mp4" and (tmp_path / video["src"]).is_file()
    images = [
        Image.open(io.BytesIO(base64.b64decode(found)))
        for found in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    ]
    assert 1 < len(images) <= 9 and {image.size for image in images} == {(450, 300)}
    assert len(page.all("rect", "cell")) > 0

    info = probe(tmp_path / "annotated.mp4")
    assert (info.frames, info.width, info.height) == (2 * SECONDS * FPS, 5 * WIDTH, 5 * HEIGHT)
    assert info.fps == FPS


def test_video_frames_have_the_boxes_of_the_nearest_keyframe(config, tmp_path):
    modes.evaluate(config, options(tmp_path, weights="random"))
    all_stand(tmp_path)
    shown = detection_report(config, tmp_path)
    video = list(shown["video"].pictures)
    assert len(video) == 2 * SECONDS * FPS and shown["video"].fps == FPS
    assert not len(video[0].boxes) and not len(video[14].boxes)  # the first keyframe is at second 2
    titles = {picture.title: picture for picture in shown["frames"]}
    still = titles["val_000 at 902 s"]
    for number in (16, 20, 24):
        np.testing.assert_array_equal(video[number].boxes, still.boxes)
        assert video[number].truths == still.truths
    source = read_frames(f"{config.data.root}/videos/val_000.mp4", [20])[0]
    np.testing.assert_array_equal(video[20].image, source)
    np.testing.assert_array_equal(still.image, source)
    predicted = {
        label for picture in shown["frames"] for box in picture.predictions for label in box
    }
    assert predicted == {("stand", 0.9)}
    # "stand" is predicted for everybody, with the same score.
    matrix = shown["confusion"]
    there = ~np.isnan(matrix[:, 0])
    assert there.any() and matrix.shape == (17, 17)
    np.testing.assert_allclose(matrix[there, STAND - 1], 0.9)
    np.testing.assert_allclose(matrix[there, 0], 0.1)


def test_colors_of_the_video(config, tmp_path):
    modes.evaluate(config, options(tmp_path, weights="random"))
    all_stand(tmp_path)
    seen = set()
    for picture in detection_report(config, tmp_path)["video"].pictures:
        frame = annotated(picture)
        for color, caption, truths in zip(
            frame.colors, frame.captions, picture.truths, strict=True
        ):
            correct = "stand" in truths
            assert color == (GRAY if not caption else GREEN if correct else RED)
            seen.add(color)
    assert {GREEN, RED} <= seen


def test_detections_of_another_run_are_rejected(config, tmp_path):
    with pytest.raises(FileNotFoundError, match="detections.csv: no such file; run --mode eval"):
        modes.report(config, options(tmp_path))
    (tmp_path / "detections.csv").write_text("val_000,0902,0.1,0.1,0.5,0.5,3,0.5\n")
    message = "detections.csv: expected a row for each of 17 classes .*run --mode eval again"
    with pytest.raises(ValueError, match=message):
        modes.report(config, options(tmp_path))
    rows = "".join(f"film,0902,0.1,0.1,0.5,0.5,{k},0.5\n" for k in range(1, 18))
    (tmp_path / "detections.csv").write_text(rows)
    with pytest.raises(ValueError, match="detections.csv: has none of the keyframes of .*val"):
        modes.report(config, options(tmp_path))
    with pytest.raises(ConfigError, match="--weights is for --mode=eval"):
        modes.report(config, options(tmp_path, weights="w"))


def test_videos_with_one_class(tiny, tmp_path, capsys):
    datasets.write_videos(tmp_path, count=5, seed=0, frames=12, height=40, width=48)
    config = load_config("test/tiny")
    config.data.root = config.data.path_prefix = str(tmp_path)
    (tmp_path / "test.csv").write_text((tmp_path / "test.csv").read_text() + "gone.mp4 1\n")
    modes.evaluate(config, options(tmp_path, weights="random"))
    capsys.readouterr()
    modes.report(config, options(tmp_path))
    printed = json.loads(capsys.readouterr().out)
    results = json.loads((tmp_path / "results.json").read_text())
    assert printed["top1_acc"] == results["metrics"]["top1_acc"]
    page = Page((tmp_path / "report.html").read_text())
    content = " ".join(page.texts)
    fourth = datasets.CLASS_NAMES[3]
    for expected in ("top-1 accuracy, %", fourth, "000.mp4", "are predicted to be of the class"):
        assert expected in content
    wrong = [
        f"{row['video_id']:03}.mp4"
        for row in sorted(results["videos"], key=lambda row: -row["top1_values"][0])
        if row["top1_indices"][0] != row["label"]
    ]
    assert wrong and "Wrong predictions" in page.texts
    assert len(page.all("rect", "own")) == 4  # all classes have a row
    titles = [a.get("alt") for a in page.all("img")]
    assert titles == [*wrong, *(f"00{n}.mp4" for n in range(5))]
    (video,) = page.all("video")
    film = probe(tmp_path / video["src"])  # the videos one after the other
    assert film.frames == 5 * 12 and (film.height, film.width) == (400, 480)
    modes.report(config, options(tmp_path, compare=str(tmp_path)))
    texts = " ".join(Page((tmp_path / "report.html").read_text()).texts)
    assert "Both tested 5 videos." in texts and "gained" not in texts
    (tmp_path / "test.csv").write_text("videos/001.mp4 0\n")
    with pytest.raises(ValueError, match="video 0 is .*000.mp4, but .*run --mode eval again"):
        modes.report(config, options(tmp_path))
