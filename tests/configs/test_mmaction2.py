"""MMAction2's recipes: values of its configs, and the protocols of its published checkpoints."""

import math

import pytest

from configs import mmaction2
from slowfast_jax import published
from slowfast_jax.config import (
    build_model,
    check_training,
    load_config,
    load_published,
    training_plan,
)
from slowfast_jax.training.schedules import learning_rate
from tests.support.paths import ROOT

RECIPES = [name for name in mmaction2.VARIANTS if not name.endswith("_finetune")]
ROWS = {
    name: row for name, row in published.rows().items() if row.publisher.title == "MMAction2"
}
CLASSIFIERS = [
    name for name, row in ROWS.items() if "map" not in row.figures and not published.problem(row)
]
RECOGNITION = {
    "data.format": "kinetics", "data.sampling": "mmaction2", "class_names": "kinetics400",
    "data.jitter_scales_relative": (0.08, 1.0), "data.jitter_aspect_relative": (0.75, 4 / 3),
    "data.random_flip": True, "protocol.train_crop": 224, "protocol.test_crop": 256,
    "protocol.clips": 10, "protocol.crops": 3, "protocol.ensemble": "sum",
    "model.activation": "softmax", "model.dropout": 0.5, "train.loss": "cross_entropy",
    "optimizer.name": "sgd", "optimizer.momentum": 0.9, "optimizer.nesterov": False,
    "optimizer.weight_decay": 1e-4, "optimizer.norm_weight_decay": 1e-4,
    "optimizer.clip_norm": 40.0, "train.epochs": 256, "train.eval_period": 5,
    "norm.group_size": 8, "norm.precise": False,
}
BOXES = {
    "task": "detection", "data.format": "ava", "data.sampling": "mmaction2",
    "data.jitter": (256, 320), "data.inverse_uniform_jitter": False, "data.random_flip": True,
    "data.color_augmentation": False, "data.score_threshold": 0.9, "data.multi_label": True,
    "data.test_box_lists": ("ava_dense_proposals_val.FAIR.recall_93.9.pkl",),
    "protocol.train_crop": 256, "protocol.test_crop": 256, "train.loss": "bce_positive_rows",
    "train.init_from.skip": ("head/.*",), "model.dropout": 0.5, "model.activation": "sigmoid",
    "optimizer.nesterov": False, "optimizer.weight_decay": 1e-5,
    "optimizer.norm_weight_decay": 1e-5, "optimizer.clip_norm": 40.0, "norm.precise": False,
}
VALUES = {
    "slowfast_4x16_r50": RECOGNITION | {"train.batch_size": 64, "schedule.name": "cosine"},
    "slowfast_8x8_r50_steplr": RECOGNITION | {
        "model.lateral_norm": True, "schedule.steps": (0, 94, 154, 196),
    },
    "slowfast_4x16_r101": RECOGNITION | {
        "model.name": "kinetics/slowfast_4x16_r101", "train.batch_size": 256,
        "schedule.base_lr": 0.4, "schedule.warmup_start_lr": 0.04,
    },
    "slowonly_8x8_r101": RECOGNITION | {
        "train.batch_size": 128, "norm.group_size": 16, "train.epochs": 196,
        "data.sampling": "mmaction2_v0", "schedule.base_lr": 0.2, "train.init_from.path": "",
        "published.top1": 76.59, "published.top5": 92.80,
    },
    "slowonly_nl_8x8_r50": RECOGNITION | {
        "model.nonlocal_mode": "softmax", "protocol.num_frames": 8, "protocol.sampling_rate": 8,
        "train.batch_size": 128, "norm.group_size": 16, "train.epochs": 150,
        "schedule.base_lr": 0.01, "data.sampling": "mmaction2_v0",
        "train.init_from.path": "resnet50-11ad3fa6.pth",
        "train.init_from.skip": ("head/.*", "res./nonlocal.*"),
    },
    "slowonly_8x8_r50_k710": RECOGNITION | {
        "class_names": "", "model.num_classes": 710, "train.batch_size": 256, "train.epochs": 150,
        "schedule.base_lr": 0.04, "train.init_from.path": "resnet50-11ad3fa6.pth",
    },
    "slowonly_4x16_r50_k700": RECOGNITION | {
        "class_names": "kinetics700", "model.num_classes": 700, "train.batch_size": 256,
        "norm.group_size": 16, "train.epochs": 150, "schedule.base_lr": 0.04,
        "data.sampling": "mmaction2_v0", "train.init_from.skip": ("head/.*",),
    },
    "ava_slowfast_4x16_r50_context": BOXES | {
        "model.roi_context": True, "train.batch_size": 128, "norm.group_size": 16,
        "schedule.base_lr": 0.2, "train.epochs": 20, "data.ground_truth": "ava_val_v2.1.csv",
        "data.train_gt_box_lists": ("ava_train_v2.1.csv",), "train.focal": (),
        "train.init_from.path": "slowfast_r50_4x16x1_256e_kinetics400_rgb_20200704-bcde7ed7.pth",
        "published.mean_ap": 25.34,
    },
    "ava_slowfast_8x8_r50": BOXES | {
        "train.batch_size": 64, "schedule.base_lr": 0.1, "norm.group_size": 8,
        "published.mean_ap": 25.80,
    },
    "ava_slowfast_8x8_r50_v2.2": BOXES | {
        "model.name": "mmaction2/ava_slowfast_8x8_r50", "data.ground_truth": "ava_val_v2.2.csv",
        "model.roi_time_pool": "mean", "train.batch_size": 48, "norm.group_size": 6,
    },
    "ava_slowfast_8x8_r50_temporal_max_focal": BOXES | {
        "model.roi_time_pool": "max", "train.focal": (3.0, 1.0), "train.batch_size": 48,
        "schedule.base_lr": 0.075, "schedule.warmup_start_lr": 0.0075, "train.epochs": 10,
        "published.mean_ap": 26.65,
    },
    "ava_slowonly_nl_8x8_r50": BOXES | {
        "model.nonlocal_mode": "softmax", "protocol.num_frames": 8, "train.batch_size": 128,
        "train.init_from.path":
            "slowonly_nl_embedded_gaussian_r50_8x8x1_150e_kinetics400_rgb_20210308-e8dd9e82.pth",
    },
    "ava_slowonly_16x4_r50_tricks": BOXES | {
        "model.roi_hidden": True, "model.roi_context": True, "model.roi_time_pool": "max",
        "train.focal": (1.0, 1.0), "protocol.num_frames": 16, "protocol.sampling_rate": 4,
        "train.batch_size": 64, "schedule.base_lr": 0.1, "published.mean_ap": 31.29,
    },
}


def load(name):
    return load_config(f"{ROOT}/configs/mmaction2.py:{name}")


@pytest.mark.parametrize("name", VALUES)
def test_values(name):
    config = load(name)
    for key, value in VALUES[name].items():
        found = config
        for part in key.split("."):
            found = found[part]
        assert found == (pytest.approx(value) if isinstance(value, float) else value), key


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_belongs_to_its_published_checkpoint(name):
    recipe, row = load(name), ROWS[f"mmaction2/{name}"]
    check_training(recipe)
    tested = load_published(row)
    assert tested.model == recipe.model and build_model(tested)
    assert recipe.published.weights == row.address and recipe.published.source == row.source
    figures = {recipe.published.top1, recipe.published.top5, recipe.published.mean_ap} - {None}
    assert figures == {float(figure) for figure in row.figures.values()}
    fields = ["num_frames", "sampling_rate", "test_crop", "mean", "std", "ensemble"]
    if recipe.task == "classification":
        fields += ["clips", "crops"]
    assert all(tested.protocol[field] == recipe.protocol[field] for field in fields)
    fields = ["format", "sampling"] if recipe.task == "classification" else [
        "test_box_lists", "score_threshold", "label_map", "exclusions", "ground_truth",
        "kinetics_dir", "max_boxes", "evaluator",
    ]
    for field in fields:
        assert tested.data[field] == recipe.data[field], field


def test_every_published_checkpoint_with_a_network_on_ava_has_a_recipe():
    tested = {
        name.removeprefix("mmaction2/") for name, row in ROWS.items()
        if "mmaction2_ava" in row.data and "v0.12" not in name and not published.problem(row)
    }
    assert tested == {name for name in RECIPES if name.startswith("ava_")} and len(tested) == 20


def test_every_published_checkpoint_of_slowonly_on_kinetics_has_a_recipe():
    tested = {
        name.removeprefix("mmaction2/") for name, row in ROWS.items()
        if row.data.startswith("kinetics") and "slowonly" in name and "v0.12" not in name
    }
    assert tested == {name for name in RECIPES if name.startswith("slowonly")} and len(tested) == 10


def rate(name, epoch):
    plan = training_plan(load(name))
    return learning_rate(plan.schedule, epoch, plan.epochs)


def test_learning_rates_on_ava():
    """MMEngine's LinearLR by epochs reaches the whole rate in the last epoch of the warm-up."""
    name = "ava_slowfast_4x16_r50"
    expected = [0.1, 0.325, 0.55, 0.775, *[1.0] * 6, *[0.1] * 5, *[0.01] * 5]
    for epoch, factor in enumerate(expected):
        for part in (0, 0.5, 0.999):
            assert rate(name, epoch + part) == pytest.approx(0.2 * factor)
    for name, base in (("ava_slowfast_8x8_r50_v2.2", 0.075), ("ava_slowonly_8x8_r50", 0.1)):
        for epoch in (0, 0.5, 1, 1.999):
            assert rate(name, epoch) == pytest.approx(base * (0.1 + 0.9 * epoch / 2))
        for epoch in (2, 2.25, 6, 9.5):
            cosine = (1 + math.cos(math.pi * (epoch - 2) / 8)) / 2
            assert rate(name, epoch) == pytest.approx(base * cosine)


def test_learning_rates_on_kinetics():
    for name, epoch, expected in (
        ("slowfast_4x16_r50", 0, 0.01), ("slowfast_8x8_r50", 34, 0.05 * (1 + math.cos(
            math.pi * 34 / 256))),
        ("slowfast_4x16_r101", 0, 0.04), ("slowfast_8x8_r50_steplr", 17, 0.055),
        ("slowfast_8x8_r50_steplr", 93.9, 0.1), ("slowfast_8x8_r50_steplr", 196, 0.0001),
    ):
        assert rate(name, epoch) == pytest.approx(expected), (name, epoch)


@pytest.mark.parametrize("name, base, epochs, factors", [
    ("slowonly_8x8_r50", 0.2, 34, {
        16: 0.1 + 0.9 * 16 / 33, 34: 1, 145: 0.5, 255: (1 + math.cos(math.pi * 221 / 222)) / 2,
    }),
    ("slowonly_8x8_r101", 0.2, 34, {115: 0.5, 195: (1 + math.cos(math.pi * 161 / 162)) / 2}),
    ("slowonly_4x16_r50_in1k", 0.02, 10, {99: 1, 100: 0.1, 139: 0.1, 140: 0.01, 149: 0.01}),
    ("slowonly_nl_4x16_r50", 0.01, 10, {4: 0.5, 99: 1, 100: 0.1, 149: 0.01}),
    ("slowonly_8x8_r50_k710", 0.04, 10, {1: 0.2, 149: 0.01}),
])
def test_learning_rates_of_slowonly_change_once_per_epoch(name, base, epochs, factors):
    """Milestones of MMEngine's MultiStepLR count from its begin, the end of the warm-up."""
    for epoch, factor in ({0: 0.1, epochs - 1: 1} | factors).items():
        for part in (0, 0.5, 0.999):
            assert rate(name, epoch + part) == pytest.approx(base * factor), epoch


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_checkpoints_are_tested_with_the_frames_and_probabilities_of_mmaction2(name):
    """Figures up to version 1.0.0rc1, which are all of SlowOnly's but the latest, are older than
    the present rule of sampling."""
    config, row = load_published(ROWS[name]), ROWS[name]
    old = "/v0.12.0/" in row.source or "slowonly" in row.source and row.data != "kinetics710"
    assert config.data.sampling == ("mmaction2_v0" if old else "mmaction2")
    assert config.model.activation == "softmax" and config.protocol.ensemble == "sum"
    assert (config.protocol.clips, config.protocol.crops, config.protocol.test_crop) == (10, 3, 256)


def test_networks_that_are_named_without_a_checkpoint_sample_in_the_same_way():
    assert load_config("mmaction2/slowfast_8x8_r50").data.sampling == "mmaction2"
    assert load_config("mmaction2/slowonly_8x8_r50").data.sampling == "mmaction2_v0"
    assert load_config("kinetics/slowfast_4x16_r152").data.sampling == "mmaction2_v0"
    assert load_config("kinetics/slowfast_4x16_r50").data.sampling == "kinetics"
    assert load_config("mmaction2/slowonly_8x8_r50_finetune").data.sampling == "kinetics"
    tables = load_config("mmaction2/ava_slowfast_8x8_r50").data.test_box_lists
    assert tables == ("ava_dense_proposals_val.FAIR.recall_93.9.pkl",)
