"""The recipes can read what `prepare` writes; one of the data sets is evaluated."""

import importlib
import json

import pytest

from data_pipelines.prepare import __main__ as prepare
from data_pipelines.prepare import downloads
from slowfast_jax.config import load_config
from slowfast_jax.data.keyframe_lists import find_keyframes
from slowfast_jax.data.video_lists import find_samples
from slowfast_jax.evaluate import evaluate
from tests.data_pipelines.prepare.test_prepare import CHARADES
from tests.data_pipelines.video.test_extracting import write
from tests.support.paths import ROOT


def run(*arguments):
    return prepare.cli([str(argument) for argument in arguments])


def config_of(name, root, **fields):
    config = load_config(name)
    config.data.root = config.data.path_prefix = str(root)
    config.update_from_flattened_dict(fields)
    return config


def test_prepared_kinetics_can_be_evaluated(tiny, tmp_path):
    for label in ("jump", "run", "sit", "wave"):
        (tmp_path / "down" / label).mkdir(parents=True)
        write(tmp_path / "down" / label / f"{label}.mp4", 20)
    assert run("kinetics", tmp_path / "out", "--test", tmp_path / "down") == 0
    config = config_of("test/tiny", tmp_path / "out", class_names=str(tmp_path / "out/classes.txt"))
    assert len(find_samples(config).samples) == 4
    results = evaluate(config, tmp_path / "run", "random")
    assert results["fingerprint"]["videos_used"] == 4


def test_prepared_frame_lists_can_be_read(tmp_path):
    for name in ("AAAAA", "BBBBB"):
        (tmp_path / "down").mkdir(exist_ok=True)
        write(tmp_path / "down" / f"{name}.mp4", 24)
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "Charades_v1_train.csv").write_text(CHARADES)
    (labels / "Charades_v1_test.csv").write_text(CHARADES)
    names = {f"Thing {number}": str(number) for number in range(174)}
    (labels / "labels.json").write_text(json.dumps(names))
    for name in ("train", "validation"):
        (labels / f"{name}.json").write_text(json.dumps(
            [{"id": "AAAAA", "template": "Thing 5"}, {"id": "BBBBB", "template": "[Thing] 6"}]
        ))
    for kind, expected in (("ssv2", [5, 6]), ("charades", [(92, 147), ()])):
        out = tmp_path / kind
        assert run(kind, out, "--videos", tmp_path / "down", "--annotations", labels) == 0
        config = config_of(f"configs/{kind}.py:slowfast_16x8_r50", out)
        config.data.path_prefix = str(out / "frames")
        for subset in ("train", "val", "test"):
            listing = find_samples(config, subset=subset)
            assert [sample.label for sample in listing.samples] == expected


@pytest.fixture
def films(tmp_path):
    (tmp_path / "AVA/videos").mkdir(parents=True)
    (tmp_path / "AVA/annotations").mkdir()
    write(tmp_path / "AVA/videos/a.mp4", 150)
    row = "a,0902,0.1,0.2,0.5,0.9,{},{}\n"
    for name, last in (("train", "1"), ("val", "1"), ("boxes", "0.95")):
        path = tmp_path / f"AVA/annotations/ava_{name}_v2.2.csv"
        path.write_text(row.format("12", last))
    (tmp_path / "AVA/annotations/map.pbtxt").write_text('item {\n  name: "stand"\n  id: 12\n}\n')
    (tmp_path / "AVA/annotations/excluded.csv").write_text("a,0904\n")
    return tmp_path / "AVA"


def test_prepared_ava_can_be_read(films):
    assert run("ava", films, "--begin", 1, "--seconds", 3) == 0
    fields = {
        "data.test_box_lists": ("ava_boxes_v2.2.csv",), "data.train_box_lists": (),
        "data.label_map": "map.pbtxt", "data.exclusions": "excluded.csv",
    }
    for more in ({}, {"data.frame_list_dir": ""}, {"data.video_dir": "videos_15min"}):
        config = config_of("configs/ava.py:slowfast_32x2_r50_short", films, **fields | more)
        for subset in ("train", "test"):
            (keyframe,) = find_keyframes(config, None, subset).keyframes
            assert (keyframe.time, keyframe.boxes.shape) == (902, (1, 4))


@pytest.mark.parametrize("kind", ["ava", "kinetics", "ssv2", "charades", "imagenet"])
def test_download_commands_include_all_recipe_weights(kind):
    recipes = importlib.import_module(f"configs.{kind}")
    printed = downloads.commands("kinetics" if kind == "imagenet" else kind)
    for variant in recipes.VARIANTS:
        address = load_config(f"{ROOT}/configs/{kind}.py:{variant}").published.weights
        if "fbaipublicfiles" in address:
            assert f" {address}\n" in printed + "\n"
