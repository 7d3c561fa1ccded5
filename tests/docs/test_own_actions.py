"""Runs the commands of docs/own_actions.md with a tiny network and generated videos."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

from data_pipelines.mini.own_boxes import write_own
from data_pipelines.prepare import via
from data_pipelines.sources.box_tables import find_actions, read_tables
from data_pipelines.video.decoding import probe
from slowfast_jax import main, predict
from slowfast_jax.config import build_model, load_config
from slowfast_jax.models import zoo
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.recipes.tiny import NAME
from tests.support.paths import ROOT
from tests.support.tiny_models import norm_entry

TEXT = (ROOT / "docs/own_actions.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [
    shlex.split(command.replace("\\\n", " "))
    for command in re.findall(r"^    (python (?:.*\\\n)*.*)$", TEXT, re.MULTILINE)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a reader starts with: a VIA project, videos, weights, and boxes of a detector."""
    folder = tmp_path_factory.mktemp("own")
    data = folder / "DATA"
    write_own(data, seed=0, train_videos=3, test_videos=2, seconds=4, fps=10, height=48, width=64)
    known = set(find_actions([data / "train.csv"]))
    header, *rows = read(data / "test.csv")
    write(data / "test.csv", [header, *(row for row in rows if row[6] in known)])
    write_via(folder / "via.json", read(data / "train.csv")[1:])
    (data / "train.csv").rename(folder / "expected.csv")
    shutil.copy(data / "videos/val_000.mp4", folder / "new.mp4")
    header, *rows = read(data / "people.csv")
    write(folder / "people.csv", [
        header, *(["new", *row[1:]] for row in rows if row[0] == "val_000")
    ])
    zoo.ZOO[NAME] = norm_entry()
    config = load_config(NAME)
    save_checkpoint(
        folder / "x3d_m.pyth", initial_variables(build_model(config), 0), describe(config, [])
    )
    yield folder
    del zoo.ZOO[NAME]


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_via(path, rows):
    """Writes a VIA 3 project: rectangles in pixels, with actions chosen among options."""
    videos = sorted({row[0] for row in rows})
    actions = sorted({row[6] for row in rows})
    actions_of = {}
    for video, time, x1, y1, x2, y2, action, _ in rows:
        actions_of.setdefault((video, time, x1, y1, x2, y2), []).append(action)
    metadata = {}
    for number, ((video, time, *box), chosen) in enumerate(actions_of.items()):
        x1, y1, x2, y2 = (float(edge) for edge in box)
        metadata[f"1_{number:08d}"] = {
            "vid": str(videos.index(video)), "flg": 0, "z": [float(time)],
            "xy": [2, x1 * 64, y1 * 48, (x2 - x1) * 64, (y2 - y1) * 48],
            "av": {"1": ",".join(str(actions.index(action)) for action in chosen)},
        }
    path.write_text(json.dumps({
        "file": {str(i): {"fid": i, "fname": f"{video}.mp4"} for i, video in enumerate(videos)},
        "view": {str(i): {"fid_list": [i]} for i in range(len(videos))},
        "attribute": {"1": {"aname": "action", "type": 2, "options": dict(enumerate(actions))}},
        "metadata": metadata,
    }))


def run(folder, command):
    """Runs a command with the tiny network and the table's number of classes; returns its JSON."""
    classes = len(find_actions([folder / "DATA/train.csv"]))
    recipe = str(ROOT / "tests/recipes/own.py")
    arguments = [
        re.sub(r"num_classes=\d+", f"num_classes={classes}", word)
        .replace("configs/own.py:x3d_m", recipe)
        for word in command[1:]
    ]
    result = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_document(folder, monkeypatch):
    """One test for all commands, because each needs the results of the one before."""
    (python,) = SCRIPTS
    converting, training, testing, reporting, predicting = COMMANDS
    monkeypatch.chdir(folder)

    assert converting[:3] == ["python", "-m", "data_pipelines.prepare.via"]
    assert via.cli(converting[3:]) == 0
    videos = folder / "DATA/videos"
    ours, expected = (
        read_tables([folder / table], folder=videos)[0]
        for table in ("DATA/train.csv", "expected.csv")
    )
    assert len(ours) == len(expected) == 6
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-6)
        assert (one.video, one.time, one.labels) == (other.video, other.time, other.labels)

    trained = run(folder, training)
    assert (folder / "RUN/checkpoints/3").is_dir() and trained["num_keyframes"] == 4
    tested = run(folder, testing)
    assert 0 <= tested["map"] <= 100
    results = json.loads((folder / "RUN/results.json").read_text())
    assert results["fingerprint"]["list"] == "DATA/people.csv"
    assert (folder / "RUN/detections.csv").is_file()
    run(folder, reporting)
    assert "<img" in (folder / "RUN/report.html").read_text()

    assert predicting[:3] == ["python", "-m", "slowfast_jax.predict"]
    assert predict.cli(predicting[3:]) == 0
    (record,) = json.loads((folder / "new.json").read_text())
    assert [moment["time"] for moment in record["keyframes"]] == [2.0, 3.0]
    assert probe(str(folder / "DRAWN/new.mp4")).frames == 40

    names = {
        "clips": np.zeros((1, 4, 16, 16, 3), np.uint8), "boxes": np.full((1, 2, 4), [1, 2, 9, 12]),
    }
    exec(python, names)
    assert names["scores"].shape == (1, 2, len(find_actions([folder / "DATA/train.csv"])))


def test_mentioned_flags_and_recipes_exist():
    mentioned = re.findall(r"`(--config\..*?)`", TEXT)
    assert len(mentioned) == 3
    for flag in mentioned:
        values = flags.FlagValues()
        main.define_flags(values)
        main.parse(["main", f"--config={ROOT}/configs/own.py:x3d_m", *shlex.split(flag)], values)
    for recipe in re.findall(r"`(x3d_\w+|slowfast_\w+_r50)`", TEXT):
        load_config(f"{ROOT}/configs/own.py:{recipe}")
