"""Every loadable checkpoint goes through the mode reproduce, on generated data.

Its network gets weights that a rule generates, in a file with the names of its program, where the
reference data has such a network, and otherwise numbers in a file with PySlowFast's names. The
forward pass is left out: it is compared with the original programs elsewhere, and takes most of the
time.
"""

import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from convert.exports import export_pyth, export_torchvision
from convert.torch_file import write_pyth, write_state_dict
from data_pipelines.mini import datasets
from data_pipelines.sources import box_pickles
from slowfast_jax import evaluate, published
from slowfast_jax.config import build_model, load_published
from slowfast_jax.inference.predict_step import Predictor
from slowfast_jax.jobs.reproduce import reproduce
from slowfast_jax.published import TEST_SETS, Row
from slowfast_jax.weights import variable_shapes
from tests.convert.test_torchvision import resnet_tensors
from tests.slowfast_jax.models import cases
from tests.slowfast_jax.models.recorded_cases import FACTORIZED, HUB, MMACTION2, PADDLE
from tests.support.paths import needs_parity

ROWS = published.rows()
SMALL = dict(seed=0, height=24, width=32)
PROGRAMS = {
    "PySlowFast": "models", "PyTorchVideo": "pytorchvideo", "MMAction2": "mmaction2",
    "PaddleVideo": "paddlevideo",
}
HEADS = (
    "cls_head.fc_cls.weight", "cls_head.fc_cls.bias",
    *(f"blocks.{n}.proj.{kind}" for n in (5, 6) for kind in ("weight", "bias")),
)


def case_of(row: Row) -> tuple[str, str] | None:
    """(folder, name) of the reference case with the row's network; None if no case has it."""
    title = row.publisher.title
    if title == "PaddleVideo":
        found = [name for name, network in PADDLE.items() if network == (row.model, {})]
    elif title == "MMAction2" and "model.nonlocal_blocks" not in row.settings:
        found = [name for name, model in MMACTION2.items() if model == row.model]
    elif title == "PyTorchVideo":
        found = [
            name for name in (*HUB, *FACTORIZED)
            if row.file == Path(cases.manifest("pytorchvideo", name)["checkpoint"]).name
        ]
    elif title == "torchvision":
        found = []
    else:
        found = [
            name for name in cases.convolutional()
            if not name.startswith("TINY") and row.model in _networks("models", name)
        ]
    return (PROGRAMS[title], found[0]) if found else None


def _networks(folder: str, name: str) -> set[str]:
    """The zoo names of the networks of a case: configs/Kinetics/c2/A.yaml is kinetics/a."""
    case = cases.manifest(folder, name)
    same = [alias["config"] for alias in case.get("aliases", ()) if not alias["overrides"]]
    files = [Path(file) for file in (case.get("config", ""), *same)]
    return {f"{file.parts[1].lower()}/{file.stem.lower()}" for file in files if file.parts}


def weights_of(row: Row, folder: Path) -> Path | str:
    """A file of weights for the row's network; "random" where PySlowFast has no such network."""
    found = case_of(row)
    if not found and row.publisher.title == "MMAction2":
        return "random"
    if row.name.startswith("torchvision/resnet"):
        tensors = resnet_tensors((3, 4, 6, 3), width=64, classes=1000)
        write_state_dict(folder / "weights.pyth", tensors)
        return folder / "weights.pyth"
    if not found:
        shapes = variable_shapes(build_model(load_published(row)))
        ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
        export = export_torchvision if row.publisher.title == "torchvision" else export_pyth
        export(folder / "weights.pyth", ones)
        return folder / "weights.pyth"
    tensors = cases.load_rule().make_weights(cases.manifest(*found))
    classes = load_published(row).model.num_classes
    for name in HEADS:
        if name in tensors and "ava" not in row.data:
            tensors[name] = np.resize(tensors[name], (classes, *tensors[name].shape[1:]))
    write_pyth(folder / "weights.pyth", tensors)
    return folder / "weights.pyth"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Format -> fields of the config for a small data set of that format."""
    folders = {name: tmp_path_factory.mktemp(name) for name in (
        "kinetics", "ssv2", "charades", "imagenet", "ava"
    )}
    datasets.write_videos(folders["kinetics"], count=2, frames=12, **SMALL)
    (folders["kinetics"] / "classes.txt").unlink()
    datasets.write_ssv2(folders["ssv2"], count=2, frames=4, **SMALL)
    classes = folders["ssv2"] / "something-something-v2-labels.json"
    known = json.loads(classes.read_text())
    known |= {f"class {n}": str(n) for n in range(len(known), 174)}
    classes.write_text(json.dumps(known))
    datasets.write_charades(folders["charades"], count=2, frames=4, **SMALL)
    datasets.write_imagenet(folders["imagenet"], count=2, **SMALL)
    picture = next((folders["imagenet"] / "val").glob("*/*"))
    for n in range(1000 - len(list((folders["imagenet"] / "val").iterdir()))):
        other = folders["imagenet"] / f"val/n1{n:07d}" / picture.name
        other.parent.mkdir()
        os.link(picture, other)
    datasets.write_ava(folders["ava"], train_videos=1, val_videos=1, seconds=5, fps=5, **SMALL)
    tables = folders["ava"] / "annotations"
    for new, old in {
        "ava_val_v2.1.csv": "ava_val_v2.2.csv",
        "ava_val_excluded_timestamps_v2.1.csv": "ava_val_excluded_timestamps_v2.2.csv",
        "ava_action_list_v2.1_for_activitynet_2018.pbtxt":
            "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    }.items():
        shutil.copy(tables / old, tables / new)
    boxes = "person_box_67091280_iou{}/ava_detection_val_boxes_and_labels.csv"
    (tables / boxes.format(75)).parent.mkdir()
    shutil.copy(tables / boxes.format(90), tables / boxes.format(75))
    (fair,) = TEST_SETS["mmaction2_ava_2.2"][1]["data.test_box_lists"]
    box_pickles.convert(tables / boxes.format(90), tables / fair)
    found = {
        name: {"data.root": str(folder), "data.path_prefix": str(folder), "test.batch_size": 30}
        for name, folder in folders.items()
    }
    found["ava"] |= {"data.video_dir": "videos", "data.score_threshold": 0.0}
    return found


def uniform(self, variables, clips, boxes=None):
    """Probabilities without a forward pass."""
    shape = clips.shape[:1] if boxes is None else boxes.shape[:2]
    return np.full((*shape, self.model.num_classes), 1 / self.model.num_classes, np.float32)


@needs_parity
@pytest.mark.slow
@pytest.mark.parametrize("name", published.loadable())
def test_dry_run(name, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Predictor, "__call__", uniform)
    monkeypatch.setattr(evaluate, "_log_cost", lambda config: None)
    row = ROWS[name]
    fields = data[load_published(row).data.format]
    (outcome,) = reproduce([name], fields, tmp_path, weights_of(row, tmp_path))
    fingerprint = outcome.results["fingerprint"]
    assert fingerprint["config"] == name and not outcome.results["failed"]
    if "views" in fingerprint:
        assert fingerprint["views"] == row.clips * row.crops
    assert [figure.metric for figure in outcome.figures] == list(row.figures)
    assert all(0 <= figure.measured <= 100 for figure in outcome.figures)
    assert name in capsys.readouterr().out


@needs_parity
def test_rows_of_every_program_have_rule_made_weights():
    found = [case for name in published.loadable() if (case := case_of(ROWS[name]))]
    assert {folder for folder, _ in found} == set(PROGRAMS.values()) and len(found) > 80
