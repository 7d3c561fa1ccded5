"""Runs the commands of docs/own_actions.md with a tiny network and generated videos."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest
from absl import flags

from data_pipelines.doctor import __main__ as doctor
from data_pipelines.mini.own_boxes import write_own
from data_pipelines.prepare import cvat, via
from data_pipelines.prepare.cvat import EDGES
from data_pipelines.sources.box_tables import find_actions, read_tables
from data_pipelines.video.decoding import probe
from slowfast_jax import main, predict
from slowfast_jax.annotate import __main__ as annotate
from slowfast_jax.config import build_model, load_config
from slowfast_jax.demo import __main__ as demo
from slowfast_jax.detectors import load
from slowfast_jax.models import zoo
from slowfast_jax.published.download import sha256_of
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.recipes.tiny import NAME
from tests.support.detector_files import write_yolox
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
    """What a reader starts with: videos, weights, and boxes of a detector for the test videos."""
    folder = tmp_path_factory.mktemp("own")
    data = folder / "DATA"
    write_own(data, seed=0, train_videos=3, test_videos=2, seconds=4, fps=10, height=48, width=64)
    known = set(find_actions([data / "train.csv"]))
    header, *rows = read(data / "test.csv")
    write(data / "test.csv", [header, *(row for row in rows if row[6] in known)])
    (data / "train.csv").rename(folder / "expected.csv")
    shutil.copy(data / "videos/val_000.mp4", folder / "new.mp4")
    zoo.ZOO[NAME] = norm_entry()
    config = load_config(NAME)
    save_checkpoint(
        folder / "x3d_m.pyth", initial_variables(build_model(config), 0), describe(config, [])
    )
    yield folder
    del zoo.ZOO[NAME]


@pytest.fixture
def published(monkeypatch, tmp_path):
    """A detector that finds one person in every picture, in place of the published one."""
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", str(tmp_path))
    path = tmp_path / "detectors/yolox_nano.onnx"
    path.parent.mkdir()
    write_yolox(path, [((30.0, 40.0, 24.0, 40.0), 0.9)])
    row = "http://127.0.0.1:9/yolox_nano.onnx", None, sha256_of(path)
    monkeypatch.setitem(load.PUBLISHED, "yolox_nano", row)


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def write(path, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(rows)


def label_in_via(path, rows):
    """What a user does in VIA: corrects the boxes of a project, and ticks the actions."""
    project = json.loads(path.read_text())
    actions = sorted({row[6] for row in rows})
    project["attribute"]["2"]["options"] = dict(enumerate(actions))
    views = {each["fname"]: view for view, each in project["file"].items()}
    project["metadata"] = {
        f"1_{number:08d}": {
            "vid": views[f"{video}.mp4"], "flg": 0, "z": [float(time)],
            "xy": [2, x1 * 64, y1 * 48, (x2 - x1) * 64, (y2 - y1) * 48],
            "av": {"2": ",".join(str(actions.index(action)) for action in chosen), "3": person},
        } for number, ((video, time, x1, y1, x2, y2, person), chosen) in
        enumerate(boxes_of(rows).items())
    }
    path.write_text(json.dumps(project))


def label_in_cvat(folder, exports, rows):
    """What a user does in CVAT, with one box per track; exports each task as CVAT does."""
    exports.mkdir()
    for path in sorted(folder.glob("*.xml")):
        root = ElementTree.parse(path).getroot()
        for track in root.findall("track"):
            root.remove(track)
        for (video, time, *corners, person), chosen in boxes_of(rows).items():
            if f"{video}.mp4" != root.findtext("meta/task/source"):
                continue
            track = ElementTree.SubElement(root, "track", {"label": "person"})
            frame = round(float(time) * 10)
            edges = dict(zip(EDGES, np.multiply(corners, (64, 48) * 2), strict=True))
            for number, outside in ((frame, "0"), (frame + 1, "1")):
                box = ElementTree.SubElement(track, "box", {
                    "frame": str(number), "outside": outside,
                    **{name: f"{edge:.2f}" for name, edge in edges.items()},
                })
                values = {action: "true" for action in chosen} | {"person": person}
                for name, value in values.items():
                    ElementTree.SubElement(box, "attribute", {"name": name}).text = value
        with zipfile.ZipFile(exports / f"{path.stem}.zip", "w") as archive:
            archive.writestr("annotations.xml", ElementTree.tostring(root))


def boxes_of(rows):
    """(video, time, x1, y1, x2, y2, person) -> its actions."""
    actions = {}
    for video, time, *corners, action, person in rows:
        actions.setdefault((video, time, *map(float, corners), person), []).append(action)
    return actions


def same(table, other, videos, tolerance):
    """Compares two tables of the same boxes; returns how many keyframes they have."""
    ours, expected = (
        sorted(read_tables([each], folder=videos)[0], key=lambda k: (k.video, k.time))
        for each in (table, other)
    )
    assert len(ours) == len(expected)
    for one, another in zip(ours, expected, strict=True):
        assert (one.video, one.time) == (another.video, another.time)
        np.testing.assert_allclose(one.boxes, another.boxes, atol=tolerance)
        assert [set(labels) for labels in one.labels] == [set(each) for each in another.labels]
    return len(ours)


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
def test_the_document(folder, published, monkeypatch, capsys):
    """One test for all commands, because each needs the results of the one before."""
    (python,) = SCRIPTS
    (
        annotating, converting, from_cvat, checking, training, testing, reporting, finding,
        predicting, filming,
    ) = COMMANDS
    monkeypatch.chdir(folder)
    videos = folder / "DATA/videos"

    module, place, *options = annotating[2:]
    assert module == "slowfast_jax.annotate" and place == "DATA/videos/train*"
    paths = sorted(str(path) for path in folder.glob(place))
    assert len(paths) == 3 and annotate.cli([*paths, *options]) == 0
    assert {row[5] for row in read(folder / "LABELS/train/people.csv")[1:]} == {"0.937500"}

    _, *rows = read(folder / "expected.csv")
    label_in_via(folder / "LABELS/train/via.json", rows)
    assert converting[2] == "data_pipelines.prepare.via" and via.cli(converting[3:]) == 0
    assert same("DATA/train.csv", "expected.csv", videos, 1e-6) == 6
    label_in_cvat(folder / "LABELS/train/cvat", folder / "exports", rows)
    module, place, *options = from_cvat[2:]
    assert module == "data_pipelines.prepare.cvat" and place == "exports/*.zip"
    paths = sorted(str(path) for path in folder.glob(place))
    options[-1] = "cvat.csv"  # the name in the document has VIA's table already
    assert len(paths) == 3 and cvat.cli([*paths, *options]) == 0
    assert same("cvat.csv", "expected.csv", videos, 2e-4) == 6

    assert checking[2] == "data_pipelines.doctor"
    assert doctor.cli(checking[3:]) in (0, 1)  # some actions are not in both tables
    table = capsys.readouterr().out
    assert "train.csv: boxes without action" in table and "in two lists" not in table

    trained = run(folder, training)
    assert (folder / "RUN/checkpoints/3").is_dir() and trained["num_keyframes"] == 4
    tested = run(folder, testing)
    assert 0 <= tested["map"] <= 100
    results = json.loads((folder / "RUN/results.json").read_text())
    assert results["fingerprint"]["list"] == "DATA/people.csv"
    assert (folder / "RUN/detections.csv").is_file()
    run(folder, reporting)
    assert "<img" in (folder / "RUN/report.html").read_text()

    assert finding[2] == "slowfast_jax.annotate" and annotate.cli(finding[3:]) == 0
    assert predicting[:3] == ["python", "-m", "slowfast_jax.predict"]
    assert predict.cli(predicting[3:]) == 0
    (record,) = json.loads((folder / "new.json").read_text())
    assert [moment["time"] for moment in record["keyframes"]] == [
        0.5 * count for count in range(1, 8)
    ]
    assert probe(str(folder / "DRAWN/new.mp4")).frames == 40
    assert filming[2] == "slowfast_jax.demo" and demo.cli(filming[3:]) == 0
    assert probe(str(folder / "film.mp4")).frames == 40

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
    for recipe in re.findall(r"`(x3d_\w+|slowfast_\w+_r(?:50|101_50_50))`", TEXT):
        load_config(f"{ROOT}/configs/own.py:{recipe}")
