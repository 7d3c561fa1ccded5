"""The visualize command, with a tiny network and the files of tests."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from data_pipelines.mini import datasets
from data_pipelines.video.decoding import probe
from data_pipelines.video.encoding import write_video
from slowfast_jax.config import build_model, load_config
from slowfast_jax.models import zoo
from slowfast_jax.models.mvit import MViT
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.visualize.__main__ import cli
from slowfast_jax.visualize.arrays import weight_sheet
from slowfast_jax.weights import describe
from tests.slowfast_jax.report.test_html import Page
from tests.slowfast_jax.visualize.test_gradcam import MVIT, variables_of
from tests.slowfast_jax.visualize.test_outcomes import VIDEOS, write_run
from tests.support.tiny_models import norm_entry

pytestmark = pytest.mark.usefixtures("tiny_norm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_norm):
    """A video of 20 frames and a checkpoint of test/tiny_norm."""
    folder = tmp_path_factory.mktemp("visualize")
    pictures = datasets.moving_shape(0, np.random.default_rng(0), frames=20, height=40, width=48)
    write_video(folder / "a.mp4", pictures)
    config = load_config("test/tiny_norm")
    variables = variables_of(build_model(config))
    variables["batch_stats"] = {
        name: {"mean": part["mean"], "var": np.abs(part["var"])}
        for name, part in variables["batch_stats"].items()
    }
    save_checkpoint(folder / "weights", variables, describe(config, ["w", "x", "y", "z"]))
    return folder


@pytest.fixture
def run(folder, tmp_path, capsys):
    """Runs a command on the video, and returns the names of the files it wrote and its errors."""

    def run(*arguments, status=0, video=True):
        command, *rest = arguments
        videos = [str(folder / "a.mp4")] if video else []
        weights = ["--weights", str(folder / "weights")]
        assert cli([command, *videos, *weights, "--out", str(tmp_path / "out"), *rest]) == status
        captured = capsys.readouterr()
        return [line.split("out/")[1] for line in captured.out.splitlines()], captured.err

    return run


def picture(tmp_path, name):
    return np.asarray(Image.open(tmp_path / "out" / name))


def test_grad_cam_of_a_video(run, tmp_path):
    files, _ = run("gradcam", "--layer", "b", "--label", "X")
    assert files == ["a_gradcam.mp4", "a_gradcam.jpg"]
    film = probe(tmp_path / "out/a_gradcam.mp4")
    assert film.frames == 20 and film.fps == 30  # as the video, which ends within the third clip
    assert film.width == 2 * 320 and film.height > 320  # the frames, and the map over them
    sheet = picture(tmp_path, "a_gradcam.jpg")
    assert sheet.shape[0] > 6 * 160  # rows of three clips and their maps


@pytest.mark.slow
def test_attention_of_a_video(run, folder, tmp_path, monkeypatch):
    protocol = dict(
        num_frames=4, sampling_rate=2, train_crop=32, test_crop=32, clips=2, crops=1
    )
    monkeypatch.setitem(zoo.ZOO, "test/tiny_mvit", zoo.entry(MViT, MVIT, "", **protocol))
    config = load_config("test/tiny_mvit")
    variables = variables_of(build_model(config))
    save_checkpoint(tmp_path / "mvit", variables, describe(config, ["x", "y", "z"]))
    weights = ["--weights", str(tmp_path / "mvit"), "--at", "0.1"]
    arguments = [*weights, "--head", "0", "--query", "0.2,0.8", "--layer", "block1/attn"]
    files, _ = run("attention", *arguments)
    assert files == ["a_attention.mp4", "a_attention.jpg"]
    assert probe(tmp_path / "out/a_attention.mp4").frames == 8  # of the clip at second 0.1
    _, error = run("attention", *weights, "--head", "3", status=2)
    assert "--head is 3, and the layer has the heads 0 to 0" in error


def test_feature_maps(run, tmp_path):
    files, _ = run("features", "--layer", "a", "--layer", "b[0, :, :, 2:4]", "--at", "0.5")
    assert files == ["a_features.png"] and picture(tmp_path, files[0]).shape[0] > 10 * 112
    _, error = run("features", "--layer", "a", "--at", "99", status=1)
    assert "a.mp4: ends before second 99" in error
    _, error = run("features", "--layer", "a[9]", status=2)
    assert "error: a is 4 x 8 x 8 x 8 (time, height, width, channel): index 9 is" in error
    _, error = run("features", "--layer", "res7", status=2)
    assert "the network has no layer res7 with a map" in error


def test_inputs(run, tmp_path):
    files, _ = run("inputs", "--clips", "3")
    assert files == ["a_inputs.jpg"] and picture(tmp_path, files[0]).shape[0] > 3 * 112


def test_weights(run, tmp_path):
    files, _ = run("weights", "--layer", "a", "--layer", "b/kernel[:, 0, 0]", video=False)
    assert files == ["weights.png"]
    _, error = run("weights", "--layer", "c", video=False, status=2)
    assert "the network has no weights c" in error and "a/kernel" in error


def test_weights_that_are_shown_by_default_have_a_height_and_width():
    kernels = {"conv": np.ones((5, 1, 1, 1, 4)), "conv_xy": np.eye(3)[None, :, :, None, None]}
    stem = {name: {"kernel": kernel} for name, kernel in kernels.items()}
    for names, shown in ((("conv", "conv_xy"), "conv_xy"), (("conv",), "conv")):
        variables = {"params": {"stem": {name: stem[name] for name in names}}}
        sheet = weight_sheet(None, variables, [])
        expected = weight_sheet(None, variables, [f"stem/{shown}/kernel"])
        np.testing.assert_array_equal(sheet, expected)
        assert sheet.std() > 0


@pytest.mark.parametrize(("arguments", "message"), [
    (["gradcam", "--label", "v"], "--label v: there is no such class"),
    (["gradcam"], "the network has no layer res5"),
    (["attention"], "TinyNorm has no attention"),
])
def test_wrong_arguments(run, arguments, message):
    _, error = run(*arguments, status=2)
    assert error.splitlines()[-1].startswith(f"error: {message}")


def test_files_that_do_not_exist(folder, tmp_path, capsys):
    arguments = ["--config", "test/tiny_norm", "--weights", str(folder / "weights")]
    assert cli(["gradcam", "gone.mp4", *arguments, "--out", str(tmp_path)]) == 2
    assert "gone.mp4: no such file or folder" in capsys.readouterr().err
    videos = [str(folder / "a.mp4"), "gone.mp4"]
    assert cli(["inputs", *videos, *arguments, "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "a_inputs.jpg" in captured.out and "gone.mp4: no such file" in captured.err
    (tmp_path / "broken.mp4").write_text("no video")
    broken = [str(tmp_path / "broken.mp4")]
    assert cli(["features", *broken, *arguments, "--layer", "a", "--out", str(tmp_path)]) == 1
    assert "broken.mp4" in capsys.readouterr().err
    assert cli(["gradcam", *videos, "--weights", "none", "--out", str(tmp_path)]) == 2
    assert "--weights none: no such file or folder" in capsys.readouterr().err


def saved(tmp_path, capsys, *arguments):
    assert cli([*arguments, "--out", str(tmp_path / "out")]) == 0
    return [line.split("out/")[1] for line in capsys.readouterr().out.splitlines()]


def test_confusion_and_histograms(tmp_path, capsys):
    test = write_run(tmp_path / "run")
    names = ["--labels", str(test / "names.txt")]
    assert saved(tmp_path, capsys, "confusion", str(test), *names) == ["confusion.png"]
    whole = picture(tmp_path, "confusion.png")
    parents = tmp_path / "parents.json"
    parents.write_text(json.dumps({"move": ["walk", "run"], "at rest": ["sit", "lie"]}))
    files = saved(
        tmp_path, capsys, "confusion", str(test), *names, "--classes", "walk,run", "--top-k", "2",
        "--parents", str(parents),
    )
    assert files == ["confusion.png", "confusion_parents.png", "confusion_move.png",
                     "confusion_at_rest.png"]
    assert picture(tmp_path, "confusion.png").shape[0] < whole.shape[0]
    assert saved(tmp_path, capsys, "histograms", str(test), *names) == ["histograms.png"]


def test_many_classes(tmp_path, capsys):
    test = write_run(tmp_path / "run", classes=120)
    files = saved(tmp_path, capsys, "confusion", str(test))
    assert files == ["confusion.png", "confusion_worst.png"]
    assert 5 * 16 < picture(tmp_path, "confusion_worst.png").shape[0] < 20 * 16  # no others
    right = write_run(tmp_path / "right", [(0, {0: 0.8})], classes=120)
    assert saved(tmp_path, capsys, "confusion", str(right)) == ["confusion.png"]


def test_boxes(run, tmp_path, monkeypatch, folder):
    monkeypatch.setitem(
        zoo.ZOO, "test/norm_boxes", norm_entry(detection=True, activation="sigmoid")
    )
    config = load_config("test/norm_boxes")
    variables = variables_of(build_model(config))
    variables["batch_stats"] = jax.tree.map(np.abs, variables["batch_stats"])
    save_checkpoint(tmp_path / "weights", variables, describe(config, ["w", "x", "y", "z"]))
    table = tmp_path / "people.csv"
    table.write_text(
        "video,time,x1,y1,x2,y2,action\na,0.2,0,0,0.5,1,\na,0.2,0.5,0,1,1,\na,0.5,0,0,1,1,\n"
    )
    weights = ["--weights", str(tmp_path / "weights"), "--boxes", str(table)]
    files, _ = run("gradcam", *weights, "--layer", "b", "--at", "0.1")
    assert files == ["a_gradcam.mp4", "a_gradcam.jpg"]
    assert probe(tmp_path / "out/a_gradcam.mp4").frames == 2 * 8  # both boxes of a keyframe
    sheet = picture(tmp_path, "a_gradcam.jpg")
    run("gradcam", *weights, "--layer", "b", "--box", "2", "--stills")
    assert picture(tmp_path, "a_gradcam.jpg").shape[0] < sheet.shape[0]
    assert run("inputs", *weights)[0] == ["a_inputs.jpg"]
    assert run("features", *weights, "--layer", "a")[0] == ["a_features.png"]
    for arguments, message in (
        (["--box", "3"], "has no box 3 (boxes of a keyframe: 2 at most)"),
        (["--layer", "c"], "the network has no layer c"),
    ):
        status = 1 if "--box" in arguments else 2
        _, error = run("gradcam", "--layer", "b", *weights, *arguments, status=status)
        assert message in error
    _, error = run("gradcam", "--weights", str(tmp_path / "weights"), status=2)
    assert "classifies people: pass --boxes" in error
    _, error = run("gradcam", "--boxes", str(table), "--box", "2", status=2)
    assert "classifies whole videos and takes no --boxes" in error
    _, error = run("inputs", "--boxes", str(tmp_path / "gone.csv"), "--clips", "2", status=2)
    assert "2 problems" in error and "gone.csv: no such table" in error


def test_mistakes(tmp_path, capsys):
    test = write_run(tmp_path / "run")
    pictures = datasets.moving_shape(0, np.random.default_rng(0), frames=9, height=40, width=48)
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos/5.mp4", pictures)
    arguments = ["--labels", str(test / "names.txt"), "--prefix", str(tmp_path)]
    assert saved(tmp_path, capsys, "mistakes", str(test), *arguments) == ["mistakes.html"]
    page = Page((tmp_path / "out/mistakes.html").read_text())
    content = " ".join(page.texts)
    assert "3 of 6 examples were predicted wrongly." in content
    assert content.count("does not exist") == 2
    assert len(page.all("img", "strip")) == 1
    assert content.index("true: wave") < content.index("true: sit") < content.index("walk 0.30")
    saved(tmp_path, capsys, "mistakes", str(test), *arguments, "--classes", "sit")
    content = " ".join(Page((tmp_path / "out/mistakes.html").read_text()).texts)
    assert "1 of 6 examples were" in content and "true: wave" not in content


def test_bars_curves_and_comparison(tmp_path, capsys):
    better = [*VIDEOS[:5], (4, {4: 0.9})]
    worse = [(0, {3: 0.8}), *VIDEOS[1:]]
    runs = [
        write_run(tmp_path / "one", worse, per_class_acc={"walk": 50.0, "sit": 0.0}),
        write_run(tmp_path / "two", better, per_class_acc={"walk": 75.0, "sit": 0.0}),
    ]
    for number, run in enumerate(runs):
        rows = [{"step": 10 * n, "split": "train", "epoch": n, "loss": 1 / (n + number)}
                for n in (1, 2)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = [str(run) for run in runs]
    assert saved(tmp_path, capsys, "bars", *names) == ["classes.png"]
    assert saved(tmp_path, capsys, "curves", *names) == ["curves.html"]
    page = Page((tmp_path / "out/curves.html").read_text())
    assert [a["class"] for a in page.all("polyline")] == ["line0", "line1"]
    assert {"one", "two", "Training", "loss"} <= {*page.texts}
    assert saved(tmp_path, capsys, "compare", *names) == ["comparison.html"]
    content = " ".join(Page((tmp_path / "out/comparison.html").read_text()).texts)
    for expected in ("+25.0", "1 of 2 did not change", "2 videos gained", "videos/0.mp4",
                     "class 3 0.80", "class 0 0.80", "class 4 0.90"):
        assert expected in content, expected
    assert "lost" not in content
    saved(tmp_path, capsys, "compare", *names[::-1])
    assert "2 videos lost" in (tmp_path / "out/comparison.html").read_text()
