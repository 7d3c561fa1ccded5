"""A tiny data set in each format that a config can name, with the config that trains on it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from ml_collections import ConfigDict

from data_pipelines.mini import datasets, own_boxes
from data_pipelines.tfds_builders.__main__ import cli
from slowfast_jax.config import load_config
from tests.support.paths import ROOT
from tests.support.tiny_models import training_config, write_colors

SMALL = dict(seed=0, height=24, width=32)
SSV2 = "something-something-v2"
RECORDS = "encoded_videos/colors"


def kinetics(folder: Path) -> ConfigDict:
    write_colors(folder, train=4, val=4)
    return training_config(folder)


def rawframes(folder: Path) -> ConfigDict:
    datasets.write_ssv2(folder, count=4, train_count=4, frames=4, **SMALL)
    for name, numbers in (("val", range(1, 5)), ("train", range(5, 9))):
        rows = [f"frames/{n} 4 {(n - 1) % 4}\n" for n in numbers]
        (folder / f"{name}.csv").write_text("".join(rows))
    for path in list(folder.glob("frames/*/*.jpg")):
        path.rename(path.with_name(f"img_{path.stem[-5:]}.jpg"))
    shutil.copy(folder / "val.csv", folder / "test.csv")
    return training_config(folder, data__format="rawframes")


def ssv2(folder: Path) -> ConfigDict:
    datasets.write_ssv2(folder, count=4, train_count=4, frames=4, **SMALL)
    shutil.copy(folder / "val.csv", folder / "test.csv")
    config = training_config(folder, data__format="ssv2", data__class_list=f"{SSV2}-labels.json",
                             data__val_labels=f"{SSV2}-validation.json")
    with config.unlocked():
        config.data.train_labels = f"{SSV2}-train.json"
    return config


def charades(folder: Path) -> ConfigDict:
    datasets.write_charades(folder, count=4, train_count=4, frames=4, **SMALL)
    shutil.copy(folder / "val.csv", folder / "test.csv")
    return training_config(folder, data__format="charades", data__multi_label=True,
                           train__loss="bce_logits", model__activation="sigmoid")


def imagenet(folder: Path) -> ConfigDict:
    datasets.write_imagenet(folder, count=4, train_count=4, **SMALL)
    shutil.copytree(folder / "val", folder / "test")
    return training_config(folder, data__format="imagenet", data__train_list="train",
                           data__val_list="val", data__test_list="test")


def records(folder: Path) -> ConfigDict:
    _encode(folder)
    return training_config(folder / "tfds" / RECORDS / "1.0.0", data__format="records")


def tfds(folder: Path) -> ConfigDict:
    _encode(folder)
    return training_config(
        folder / "tfds", data__format="tfds", data__train_list=f"{RECORDS}:train",
        data__val_list=f"{RECORDS}:val", data__test_list=f"{RECORDS}:test",
    )


def _encode(folder: Path) -> None:
    write_colors(folder / "videos", train=4, val=4)
    lists = [str(folder / f"videos/{name}.csv") for name in ("train", "val", "test")]
    assert cli(["kinetics", *lists, "--root", str(folder / "videos"), "--out",
                str(folder / "tfds"), "--name=colors", "--shards=1"]) == 0


def ava(folder: Path) -> ConfigDict:
    datasets.write_ava(folder, train_videos=1, val_videos=1, seconds=5, fps=5, **SMALL)
    config = load_config(f"{ROOT}/tests/recipes/boxes.py")
    config.data.root, config.data.generate = str(folder), ""
    config.train.batch_size = 2
    return config


def boxes(folder: Path) -> ConfigDict:
    own_boxes.write_own(folder, train_videos=1, test_videos=1, seconds=5, fps=5, **SMALL)
    names = sorted({line.split(",")[6] for line in (folder / "train.csv").open()} - {"action", ""})
    config = load_config(f"{ROOT}/tests/recipes/own.py")
    with config.unlocked():
        config.model.num_classes = len(names)
    config.data.root = str(folder)
    config.data.test_boxes = ("train.csv",)  # so few people do not show all actions
    return config


FORMATS: dict[str, Callable[[Path], ConfigDict]] = {
    function.__name__: function
    for function in (kinetics, rawframes, ssv2, charades, imagenet, records, tfds, ava, boxes)
}
