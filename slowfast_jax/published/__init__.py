"""The published checkpoints: what each file is, where it is, and what its publisher measured.

The files in rows/ are the data, one checkpoint per line and one file per publisher:

  name        what --zoo and `slowfast_jax.load` take; a network's main checkpoint has the name of
              the network
  model       the network, an entry of `models.zoo.ZOO`; the row works as soon as the entry exists
  settings    fields of the config that differ from that entry: "model.average=logits ..."
  data        the test set, see TEST_SETS, or "pretraining" for weights that others are trained from
  views, crop clips x crops per video, and height and width of a crop in pixels
  top1, top5, map
              the published figures in percent, with the published number of digits
  params, gmacs
              millions of parameters, and 1e9 multiply-adds of a view; empty where the publisher
              gives none, or (then the note says so) gives that of another network or count
  file        address of the file, relative to the publisher's
  size, sha256
              bytes, and the SHA-256 or its first digits; empty if the publisher does not give them
  source      page with the figures, within the publisher's repository
  note        what else there is to know
"""

import ast
import csv
import difflib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).with_name("rows")
PUBLISHED = "published"  # in place of a checkpoint: the published one
PRETRAINING = "pretraining"  # in place of a test set


class Publisher(NamedTuple):
    """A program whose checkpoints are published.

    files: what the addresses of files are relative to. repository, revision: of the pages with the
    figures. license: of the repository, which covers the checkpoints.
    """

    title: str
    files: str
    repository: str
    revision: str
    license: str = "Apache-2.0"


PUBLISHERS = {
    "pyslowfast": Publisher(
        "PySlowFast", "https://dl.fbaipublicfiles.com/pyslowfast/",
        "https://github.com/facebookresearch/SlowFast", "287ec0076846560f44a9327e931a5a2360240533",
    ),
    "pytorchvideo": Publisher(
        "PyTorchVideo", "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/",
        "https://github.com/facebookresearch/pytorchvideo",
        "f3142bb05cdb56af0704ab6f0adfb0c7bbafe4a0",
    ),
    "mmaction2": Publisher(
        "MMAction2", "https://download.openmmlab.com/mmaction/",
        "https://github.com/open-mmlab/mmaction2", "4d6c93474730cad2f25e51109adcf96824efc7a3",
    ),
    "torchvision": Publisher(
        "torchvision", "https://download.pytorch.org/models/",
        "https://github.com/pytorch/vision", "8fb87713a24951e639c494b0f2a8a81b5f8e33a6",
        license="BSD-3-Clause",
    ),
    "paddlevideo": Publisher(
        "PaddleVideo", "https://videotag.bj.bcebos.com/",
        "https://github.com/PaddlePaddle/PaddleVideo", "ed245e9ce5eb32d27db8d8d2fef921e4f43e30e5",
    ),
}
AVA_2_1 = {
    "data.label_map": "ava_action_list_v2.1_for_activitynet_2018.pbtxt",
    "data.exclusions": "ava_val_excluded_timestamps_v2.1.csv",
    "data.ground_truth": "ava_val_v2.1.csv",
}
AVA_2_2 = {key: value.replace("v2.1", "v2.2") for key, value in AVA_2_1.items()} | {
    "data.label_map": "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
}
# Boxes of a person detector that MMAction2 and PaddleVideo test.
FAIR_BOXES = {
    "data.test_box_lists": ("ava_dense_proposals_val.FAIR.recall_93.9.pkl",),
    "data.score_threshold": 0.9,
}
# Test set -> (its title, fields of the config that it sets).
TEST_SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "kinetics400": ("Kinetics-400", {}),
    "kinetics600": ("Kinetics-600", {"class_names": "kinetics600", "model.num_classes": 600}),
    "kinetics700": ("Kinetics-700", {"class_names": "kinetics700", "model.num_classes": 700}),
    "kinetics710": ("Kinetics-710", {"class_names": "", "model.num_classes": 710}),
    "gym99": ("FineGym, 99 classes", {"class_names": "", "model.num_classes": 99}),
    "ava_2.1": ("AVA 2.1", AVA_2_1),
    "ava_2.2": ("AVA 2.2", AVA_2_2),
    "mmaction2_ava_2.1": ("AVA 2.1, other boxes", AVA_2_1 | FAIR_BOXES),
    "mmaction2_ava_2.2": ("AVA 2.2, other boxes", AVA_2_2 | FAIR_BOXES),
    "multisports": ("MultiSports", {}),
    "ssv2": ("Something-Something v2", {}),
    "charades": ("Charades", {}),
    "imagenet": ("ImageNet", {}),
    PRETRAINING: ("none: weights to train from", {}),
}
FIGURES = {"top1": "top1_acc", "top5": "top5_acc", "map": "map"}  # column -> metric of a test


class Row(NamedTuple):
    """A published checkpoint; the module says what the fields of the files mean.

    Attributes:
      settings: field of the config -> value, those of the test set included.
      clips, crops, crop: 0 for weights to train from.
      figures: metric -> published figure in percent, as written by the publisher.
      address, source: complete.
      size: bytes; None if unknown.
    """

    name: str
    publisher: Publisher
    model: str
    settings: dict[str, Any]
    data: str
    clips: int
    crops: int
    crop: int
    figures: dict[str, str]
    params: str
    gmacs: str
    address: str
    size: int | None
    sha256: str
    source: str
    note: str

    @property
    def file(self) -> str:
        """Name of the file in the cache folder."""
        name = self.address.rpartition("/")[2]
        return f"{self.name.rpartition('/')[2]}.pyth" if "?" in name else name


@cache
def rows() -> dict[str, Row]:
    """All published checkpoints, by name."""
    found: dict[str, Row] = {}
    for key, publisher in PUBLISHERS.items():
        with (FOLDER / f"{key}.csv").open(encoding="utf-8", newline="") as file:
            for cells in csv.DictReader(file):
                found[cells["name"]] = _row(publisher, cells)
    return found


def _row(publisher: Publisher, cells: dict[str, str]) -> Row:
    clips, _, crops = (cells["views"] or "0x0").partition("x")
    file, source = cells["file"], cells["source"]
    revision, _, page = source.rpartition(":")
    return Row(
        name=cells["name"],
        publisher=publisher,
        model=cells["model"],
        settings=TEST_SETS[cells["data"]][1] | dict(_settings(cells["settings"])),
        data=cells["data"],
        clips=int(clips),
        crops=int(crops),
        crop=int(cells["crop"] or 0),
        figures={metric: cells[key] for key, metric in FIGURES.items() if cells[key]},
        params=cells["params"],
        gmacs=cells["gmacs"],
        address=file if file.startswith("https://") else publisher.files + file,
        size=int(cells["size"]) if cells["size"] else None,
        sha256=cells["sha256"],
        source=f"{publisher.repository}/blob/{revision or publisher.revision}/{page}",
        note=cells["note"],
    )


def _settings(text: str) -> Iterator[tuple[str, Any]]:
    """(field, value) of each FIELD=VALUE; a value that is no Python literal is a string."""
    for part in text.split():
        field, _, value = part.partition("=")
        try:
            yield field, ast.literal_eval(value)
        except (SyntaxError, ValueError):
            yield field, value


def find(name: str) -> Row:
    """The published checkpoint of that name. Raises ValueError, with similar names, if there is
    none."""
    if name not in rows():
        close = difflib.get_close_matches(name, rows(), n=5, cutoff=0.5)
        hint = f"; close: {', '.join(close)}" if close else ""
        raise ValueError(
            f"no published checkpoint {name!r}{hint} (docs/model_zoo.md lists all)"
        )
    return rows()[name]


def problem(row: Row) -> str:
    """Why the row's figures cannot be measured here, in one sentence; "" if they can."""
    from slowfast_jax.models import zoo  # not above: commands print their help without JAX

    if row.data == PRETRAINING:
        return (
            f"{row.name} holds weights to train from, so there is nothing to test before training"
        )
    if row.model not in zoo.ZOO:
        return (
            f"{row.name} cannot be loaded yet, because this project does not have its network "
            f"{row.model}"
        )
    return ""


def loadable() -> list[str]:
    """Names of the published checkpoints that this project can load and test."""
    return [name for name, row in rows().items() if not problem(row)]


def row_of(config_name: str, model: str) -> Row:
    """The published checkpoint for a config.

    Args:
      config_name: name of the recipe, or of a row, or of a network.
      model: the network's name.

    Raises:
      ValueError: no weights are published under these names; the message has the checkpoints of
        the same network.
    """
    for name in (config_name, config_name.replace("/c2_", "/"), model):
        if name in rows():
            return rows()[name]
    others = [name for name, row in rows().items() if row.model == model]
    hint = f"; others published for this network: {', '.join(others)}" if others else ""
    raise ValueError(f"no weights are published for {model}{hint}")
