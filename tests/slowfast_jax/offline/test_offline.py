"""Scores computed elsewhere, for inputs in files, have the metrics that --mode eval prints."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.mini import datasets
from slowfast_jax import export_command
from slowfast_jax.evaluate import evaluate, printed
from slowfast_jax.offline import prepare as preparing
from slowfast_jax.offline.__main__ import cli
from slowfast_jax.run_exported import load_exported
from tests.slowfast_jax.export.runtimes import run_example
from tests.slowfast_jax.test_main import parse
from tests.support.paths import ROOT

BOXES = f"{ROOT}/tests/recipes/boxes.py"


def answer(capsys, *arguments) -> dict:
    capsys.readouterr()
    assert cli([str(argument) for argument in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def arguments_of(colors) -> list[str]:
    return [
        "--config=test/tiny", f"--config.data.root={colors}", f"--config.data.path_prefix={colors}",
        "--config.protocol.crops=1", "--config.protocol.clips=2",
    ]


def run_network(folder, scores, exported, *, raw=False) -> None:
    """Runs an exported network on the inputs, as any other program would."""
    run, about = load_exported(exported)
    scores.mkdir()
    shape = (1, about.frames, about.height, about.width, 3)
    for path in sorted((folder / "clip").iterdir()):
        inputs = [np.fromfile(path, np.uint8).reshape(shape) if raw else np.load(path)]
        if about.boxes:
            inputs.append(np.load(folder / "boxes" / path.name))
        result = np.asarray(run(*inputs))
        if raw:
            result.tofile(scores / path.name)
        else:
            np.save(scores / path.name, result)


@pytest.mark.parametrize("raw", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_videos(tiny, colors, tmp_path, capsys, raw):
    (tmp_path / "bad.mp4").write_text("no video")
    rows = (colors / "test.csv").read_text() + f"{tmp_path}/bad.mp4 1\n"
    (tmp_path / "test.csv").write_text(rows)
    arguments = [*arguments_of(colors), f"--config.data.test_list={tmp_path}/test.csv"]
    folder, network = tmp_path / "inputs", tmp_path / "net"
    done = answer(
        capsys, "prepare", *arguments, "--workdir", folder, "--allow_failed", *["--raw"] * raw
    )
    assert done == {"videos_listed": 9, "videos_used": 8, "videos_failed": 1, "files": 16}
    index = json.loads((folder / "index.json").read_text())
    suffix = ".bin" if raw else ".npy"
    assert index["settings"]["dtypes"] == {"clip": "uint8"}
    assert index["settings"]["suffix"] == suffix
    assert index["examples"][3] == {
        "index": 3, "video": f"{colors}/videos/val_03.mp4", "files": ["3_0", "3_1"],
        "shapes": {"clip": [1, 4, 32, 32, 3]}, "label": 3,
    }
    assert index["failed"][0]["path"] == f"{tmp_path}/bad.mp4" and not list(folder.glob("clip/8*"))
    assert export_command.cli(["test/tiny", str(network), "--weights", "random"]) == 0
    run_network(folder, tmp_path / "scores", network, raw=raw)
    found = answer(capsys, "score", folder, tmp_path / "scores")
    expected = evaluate(parse(*arguments, "--mode=eval")[0], None, "random")
    assert found == json.loads(json.dumps(printed(expected)))
    assert found["views"] == "2x1" and found["videos_failed"] == 1 and "top1_acc_of_all" in found


def test_boxes(tmp_path, capsys):
    datasets.write_ava(
        tmp_path / "data", seed=0, train_videos=1, val_videos=2, seconds=5, height=48, width=64
    )
    folder, network = tmp_path / "inputs", tmp_path / "net"
    arguments = [
        f"--config={BOXES}", f"--config.data.root={tmp_path}/data", "--config.data.generate=",
    ]
    assert cli(["prepare", *arguments, f"--workdir={folder}", "--boxes=1"]) == 2
    assert "--boxes is 1, but a keyframe of" in capsys.readouterr().err
    done = answer(capsys, "prepare", *arguments, "--workdir", folder, "--boxes=6")
    index = json.loads((folder / "index.json").read_text())
    first = index["examples"][0]
    assert done["keyframes_failed"] == 0 and done["files"] == done["keyframes_used"] > 2
    assert first["shapes"] == {"clip": [1, 4, 16, 21, 3], "boxes": [1, 6, 4]}
    assert first["video"] == "val_000" and first["time"] == 902
    pixels = np.load(folder / "boxes" / f"{first['files'][0]}.npy")[0]
    boxes = np.array(first["boxes"])
    np.testing.assert_allclose(pixels[: len(boxes)], boxes * [21.33, 16, 21.33, 16], atol=0.5)
    assert (pixels[len(boxes):] == [0, 0, 21, 16]).all()
    assert export_command.cli([
        BOXES, str(network), "--weights", "random", "--size", "16x21", "--boxes", "6",
    ]) == 0
    run_network(folder, tmp_path / "scores", network)
    found = answer(capsys, "score", folder, tmp_path / "scores")
    expected = evaluate(parse(*arguments, "--mode=eval")[0], None, "random")
    assert found == json.loads(json.dumps(printed(expected)))
    assert found["map"] > 0


def test_an_interrupted_command_continues(tiny, colors, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "inputs"
    arguments = ["prepare", *arguments_of(colors), f"--workdir={folder}"]
    save, saved = preparing._save, []

    def save_some(path, array):
        if len(saved) == 9:
            raise OSError("no space left on device")
        saved.append(path.name)
        save(path, array)

    monkeypatch.setattr(preparing, "_save", save_some)
    monkeypatch.setattr("data_pipelines.progress.available_cores", lambda: 1)
    assert cli(arguments) == 2
    assert "error: no space left on device" in capsys.readouterr().err
    (tmp_path / "scores").mkdir()
    assert cli(["score", str(folder), str(tmp_path / "scores")]) == 2
    assert "repeat the command that prepares them" in capsys.readouterr().err
    with (folder / "unfinished.jsonl").open("a") as journal:
        journal.write('{"index": 5, "vid')  # cut off
    saved.clear()
    monkeypatch.setattr(preparing, "_save", lambda *a: (saved.append(a[0].name), save(*a)))
    assert answer(capsys, *arguments)["files"] == 16
    assert saved == [f"{video}_{view}.npy" for video in range(4, 8) for view in range(2)]
    saved.clear()
    (folder / "clip/6_1.npy").unlink()
    assert answer(capsys, *arguments)["files"] == 16
    assert saved == ["6_0.npy", "6_1.npy"] and not (folder / "unfinished.jsonl").exists()
    assert len(json.loads((folder / "index.json").read_text())["examples"]) == 8
    assert cli([*arguments, "--config.protocol.sampling_rate=2"]) == 2
    assert "another sampling_rate (sampling_rate is 4 there and 2 now)" in capsys.readouterr().err


def test_scores_that_do_not_fit(tiny, colors, tmp_path, capsys):
    folder, scores = tmp_path / "inputs", tmp_path / "scores"
    assert cli(["score", str(tmp_path), str(scores)]) == 2
    assert "offline prepare writes it" in capsys.readouterr().err
    answer(capsys, "prepare", *arguments_of(colors), f"--workdir={folder}")

    def error() -> str:
        assert cli(["score", str(folder), str(scores)]) == 2
        text = capsys.readouterr().err
        assert text.startswith("error: ") and text.count("\n") == 1
        return text

    assert "scores does not exist" in error()
    scores.mkdir()
    for number in range(8):
        for view in range(2):
            np.save(scores / f"{number}_{view}.npy", np.zeros(4, np.float32))
    assert cli(["score", str(folder), str(scores)]) == 0
    np.save(scores / "3_1.npy", np.zeros(5, np.float32))
    assert "3_1.npy has 5 numbers of float32; expected 1 x 4 floats" in error()
    np.save(scores / "3_1.npy", np.zeros(4, int))
    assert "4 numbers of int64" in error()
    (scores / "3_1.npy").write_text("x")
    assert "3_1.npy does not hold scores" in error()
    (scores / "3_1.npy").unlink()
    assert "has no scores for 1 of 16 inputs, for example 3_1.npy or 3_1.bin" in error()


@pytest.mark.parametrize("arguments, message", [
    (["--workdir=w"], "--config is missing"),
    (["--config=test/tiny"], "--workdir is missing"),
    (["--config=test/tiny", "--workdir=w", "--weights=random"], "--weights is not a flag of"),
    (["--config=test/tiny", "--workdir=w", "--boxes=3"], "test/tiny does not"),
    (["--config=test/tiny", "--workdir=w", "--mode=train"], "--mode is not a flag of prepare"),
    (["--config=test/tiny", "--workdir=w", "--config.data.rot=x"], "did you mean root"),
    (["--config=test/tiny", "--workdir=w", "--config.data.root=gone"], "there is no such folder"),
])
def test_wrong_arguments_of_prepare(tiny, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert cli(["prepare", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert not list(tmp_path.glob("w/*"))


def test_a_disk_without_room_is_noticed_before(tiny, colors, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(preparing.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 9}))
    assert cli(["prepare", *arguments_of(colors), f"--workdir={tmp_path}/w"]) == 2
    assert "write fewer views with --config.protocol.clips" in capsys.readouterr().err
    assert not list(tmp_path.glob("w/*"))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[], ["--batch=1", "--boxes=6", "--size=16x21"]])
def test_the_example_of_the_documentation(tiny, colors, tmp_path, capsys, sizes):
    network, arguments = "test/tiny", arguments_of(colors)
    if sizes:
        datasets.write_ava(
            tmp_path / "data", seed=0, train_videos=1, val_videos=2, seconds=5, height=48, width=64
        )
        network, arguments = BOXES, [
            f"--config={BOXES}", f"--config.data.root={tmp_path}/data", "--config.data.generate=",
        ]
    answer(capsys, "prepare", *arguments, f"--workdir={tmp_path}/inputs", *sizes[1:2])
    paths = [str(tmp_path / name) for name in ("net.onnx", "inputs", "scores")]
    assert export_command.cli([network, paths[0], "--weights", "random", *sizes]) == 0
    run_example("sys.argv[3]", *paths)
    expected = evaluate(parse(*arguments, "--mode=eval")[0], None, "random")
    assert answer(capsys, "score", *paths[1:]) == json.loads(json.dumps(printed(expected)))


@pytest.mark.slow
def test_ctrl_c_leaves_complete_files(colors, tmp_path):
    rows = [line for _ in range(400) for line in (colors / "test.csv").read_text().splitlines()]
    (tmp_path / "test.csv").write_text("\n".join(rows))
    folder = tmp_path / "w"
    process = subprocess.Popen(
        [sys.executable, "-m", "slowfast_jax.offline", "prepare", f"--workdir={folder}",
         "--config=kinetics/x3d_xs", f"--config.data.root={tmp_path}",
         f"--config.data.path_prefix={colors}",
         "--config.protocol.clips=1", "--config.protocol.crops=1"],  # 38 GB need not be free
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )
    while not (folder / "unfinished.jsonl").exists() and process.poll() is None:
        pass
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.count("interrupted; the inputs that are") == 1
    assert "Traceback" not in error and not (folder / "index.json").exists()
    for path in folder.glob("clip/*.npy"):
        assert np.load(path).shape == (1, 4, 182, 182, 3)
