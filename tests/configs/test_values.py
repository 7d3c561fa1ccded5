"""Spot checks of each family against the original's YAML files merged over its defaults."""

import json

import pytest

from configs import ava, charades, imagenet, kinetics, ssv2
from slowfast_jax.config import load_config
from tests.support.paths import PARITY, ROOT, needs_parity

SIX_RATES = (1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001)
FOUR_RATES = SIX_RATES[:4]

VALUES = [
    (kinetics, "slowfast_8x8_r50", {
        "task": "classification", "class_names": "kinetics400", "data.format": "kinetics",
        "data.jitter": (256, 320), "data.test_list": "test.csv", "data.random_flip": True,
        "train.batch_size": 64, "train.epochs": 196, "train.loss": "cross_entropy",
        "train.enable": True, "train.init_from.path": "", "schedule.name": "cosine",
        "schedule.base_lr": 0.1, "schedule.warmup_epochs": 34.0, "schedule.warmup_start_lr": 0.01,
        "optimizer.momentum": 0.9, "optimizer.nesterov": True, "optimizer.weight_decay": 1e-4,
        "optimizer.norm_weight_decay": 0.0, "norm.group_size": 8, "norm.precise": True,
        "norm.precise_batches": 200, "multigrid.long_cycle": False,
    }),
    (kinetics, "c2d_8x8_r50_in1k", {
        "schedule.steps": (0, 44, 88, 118), "schedule.relative_lrs": FOUR_RATES,
        "schedule.base_lr": 0.01, "train.epochs": 118,
        "train.init_from.path": "R50_IN1K.pyth", "train.init_from.skip": ("head/.*",),
    }),
    (kinetics, "i3d_nln_8x8_r50_in1k", {
        "model.name": "kinetics/i3d_nln_8x8_r50",
        "train.init_from.skip": ("head/.*", "res./nonlocal.*"),
    }),
    (kinetics, "slowfast_8x8_r50_stepwise_multigrid", {
        "model.name": "kinetics/slowfast_8x8_r50", "model.head_pool": "global",
        "protocol.test_crop": 224, "multigrid.long_cycle": True, "multigrid.short_cycle": True,
        "multigrid.split_norm_decay": True,
        "schedule.steps": (0, 94, 154, 196), "schedule.relative_lrs": SIX_RATES,
        "train.epochs": 239, "published.top1": 76.6, "published.top5": 92.7,
    }),
    (kinetics, "c2_c2d_nopool_8x8_r50", {
        "model.name": "kinetics/c2d_nopool_8x8_r50", "train.enable": False, "published.top1": 67.2,
    }),
    (kinetics, "x3d_xs", {
        "data.jitter": (182, 228), "train.batch_size": 128, "test.batch_size": 64,
        "train.epochs": 300, "schedule.warmup_epochs": 35.0, "schedule.reference_batch": 128,
        "optimizer.weight_decay": 5e-5, "norm.group_size": 16, "train.checkpoint_period": 10,
        "published.top1": 69.5,
    }),
    (kinetics, "x3d_l", {
        "data.jitter": (356, 446), "train.batch_size": 64, "test.batch_size": 32,
        "train.epochs": 256, "schedule.base_lr": 0.05, "norm.group_size": 8,
    }),
    (kinetics, "slowfast_8x8_r101", {
        "train.epochs": 256, "optimizer.clip_norm": 40.0, "optimizer.nesterov": False,
        "optimizer.norm_weight_decay": 1e-4, "data.jitter_scales_relative": (0.08, 1.0),
        "published.top1": 77.90, "data.sampling": "mmaction2_v0",
    }),
    (kinetics, "slowfast_4x16_r152", {
        "model.name": "kinetics/slowfast_4x16_r152", "train.batch_size": 64, "train.epochs": 256,
        "schedule.style": "mmaction2", "schedule.base_lr": 0.1, "schedule.warmup_epochs": 34.0,
        "optimizer.clip_norm": 40.0, "published.top1": 77.13, "published.top5": 93.20,
    }),
    (ava, "slowfast_32x2_r50_short", {
        "task": "detection", "class_names": "ava", "data.format": "ava",
        "data.score_threshold": 0.8, "data.train_gt_box_lists": ("ava_train_v2.2.csv",),
        "data.train_box_lists": (
            "ava_train_v2.2.csv",
            "person_box_67091280_iou90/"
            "ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
        ),
        "data.label_map": "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
        "data.inverse_uniform_jitter": True, "train.loss": "bce", "train.epochs": 20,
        "train.eval_period": 5, "test.batch_size": 8, "optimizer.weight_decay": 1e-7,
        "schedule.steps": (0, 10, 15, 20), "schedule.warmup_epochs": 5.0,
        "schedule.warmup_start_lr": 0.000125, "norm.precise": False, "norm.group_size": 8,
    }),
    (ava, "slow_8x8_r50_short", {"data.score_threshold": 0.9}),
    (ava, "c2_slow_8x8_r50", {
        "data.test_box_lists": (
            "person_box_67091280_iou75/ava_detection_val_boxes_and_labels.csv",
        ),
        "train.batch_size": 64, "train.enable": False, "published.mean_ap": 19.5,
    }),
    (ava, "c2_slowfast_32x2_r101_50_50_v2.1", {
        "model.name": "ava/slowfast_32x2_r101_50_50", "data.ground_truth": "ava_val_v2.1.csv",
        "data.exclusions": "ava_val_excluded_timestamps_v2.1.csv",
        "data.label_map": "ava_action_list_v2.1_for_activitynet_2018.pbtxt",
        "data.train_gt_box_lists": ("ava_train_v2.1.csv",), "published.mean_ap": 28.2,
    }),
    (ssv2, "slowfast_16x8_r50", {
        "data.random_flip": False, "data.inverse_uniform_jitter": True,
        "data.test_list": "val.csv", "train.batch_size": 16, "train.epochs": 22,
        "schedule.base_lr": 0.03, "schedule.steps": (0, 14, 18), "schedule.warmup_epochs": 0.19,
        "schedule.relative_lrs": SIX_RATES, "optimizer.weight_decay": 1e-6,
        "norm.sync_devices": 4, "norm.group_size": 8,
        "train.init_from.path": "SLOWFAST_8x8_R50.pkl", "published.top1": 63.0,
    }),
    (charades, "slowfast_16x8_r50_multigrid", {
        "data.multi_label": True, "data.jitter": (256, 340), "train.loss": "bce_logits",
        "train.epochs": 57, "schedule.base_lr": 0.0375, "schedule.steps": (0, 41, 49),
        "schedule.warmup_epochs": 4.0, "schedule.warmup_start_lr": 0.0001,
        "model.head_pool": "global", "norm.sync_devices": 4, "published.mean_ap": 38.6,
    }),
    (imagenet, "res_r50", {
        "class_names": "", "data.jitter_scales_relative": (0.08, 1.0),
        "train.batch_size": 256, "norm.group_size": 32, "train.epochs": 100,
        "schedule.steps": (0, 30, 60, 90), "schedule.relative_lrs": FOUR_RATES,
        "protocol.test_crop": 224, "protocol.clips": 1, "protocol.crops": 1,
    }),
    (kinetics, "mvitv2_s_16x4", {
        "train.batch_size": 16, "train.epochs": 200, "train.loss": "soft_cross_entropy",
        "optimizer.name": "adamw", "optimizer.weight_decay": 0.05, "optimizer.clip_norm": 1.0,
        "optimizer.zero_wd_1d": True, "schedule.base_lr": 0.0001, "schedule.end_lr": 1e-6,
        "schedule.warmup_epochs": 30.0, "schedule.cosine_after_warmup": True,
        "schedule.reference_batch": 16, "augment.rand_augment": "rand-m7-n4-mstd0.5-inc1",
        "augment.num_samples": 2, "augment.mixup_alpha": 0.8, "augment.cutmix_alpha": 1.0,
        "augment.erasing_probability": 0.25, "augment.label_smoothing": 0.1,
        "model.drop_path": 0.2, "model.dropout": 0.5, "protocol.clips": 5, "protocol.crops": 1,
        "protocol.offset_sampling": True, "published.top1": 81.0, "published.views": "5x1",
    }),
    (kinetics, "rev_mvit_b_16x4_conv", {
        "optimizer.weight_decay": 0.07, "optimizer.clip_norm": 0.0, "schedule.warmup_epochs": 50.0,
        "model.drop_path": 0.05, "published.top5": 93.4,
    }),
    (kinetics, "mvitv2_l_40x3_test", {
        "model.name": "kinetics/mvitv2_l_40x3", "train.enable": False, "protocol.test_crop": 312,
        "protocol.clips": 5, "protocol.crops": 3, "published.top1": 86.1,
    }),
    (ssv2, "mvitv2_l_40x3", {
        "optimizer.name": "sgd", "optimizer.clip_norm": 2.0, "train.batch_size": 8,
        "train.epochs": 40, "schedule.base_lr": 0.00125, "augment.mix_prob": 0.0,
        "augment.num_samples": 1, "data.random_flip": False, "protocol.crops": 3,
        "train.init_from.path": "MViTv2_L_40x3_k400_f306903192.pyth", "published.top1": 73.3,
    }),
    (imagenet, "rev_vit_b", {
        "train.batch_size": 512, "train.epochs": 300, "optimizer.weight_decay": 0.1,
        "optimizer.clip_norm": 2.0, "schedule.base_lr": 0.0005, "schedule.warmup_epochs": 70.0,
        "augment.rand_augment": "rand-m6-n5-mstd0.5-inc1", "model.drop_path": 0.2,
        "data.jitter": (256, 256), "data.pca_jitter": 0.0, "protocol.test_crop": 224,
    }),
    (imagenet, "mini_mvit", {"data.generate": "imagenet_mini", "optimizer.name": "adamw"}),
    (kinetics, "mini", {"model.name": "kinetics/mini", "data.generate": "kinetics_mini"}),
    (ava, "mini", {"model.detection": True, "train.init_from.path": ""}),
]


def load(recipes, variant):
    stem = recipes.__name__.rpartition(".")[2]
    return load_config(f"{ROOT}/configs/{stem}.py:{variant}")


@pytest.mark.parametrize(
    "recipes, variant, values", VALUES, ids=[f"{m.__name__}:{v}" for m, v, _ in VALUES]
)
def test_values(recipes, variant, values):
    config = load(recipes, variant)
    found = {}
    for path in values:
        found[path] = config
        for key in path.split("."):
            found[path] = found[path][key]
    assert found == values


@needs_parity
def test_schedules_are_those_the_original_ran():
    """Recorded from the original's config loader, which rewrites steps and rates for multigrid."""
    recorded = json.loads((PARITY / "schedules/lr_all_configs.json").read_text())["configs"]
    modules = {"AVA": ava, "Charades": charades, "ImageNet": imagenet, "Kinetics": kinetics,
               "SSv2": ssv2}
    compared = 0
    for path, theirs in recorded.items():
        folder, *sub, stem = path.split("/")
        variant = "".join(f"{part}_" for part in sub) + stem.lower()
        if folder not in modules or variant not in modules[folder].VARIANTS:
            continue
        config = load(modules[folder], variant)
        ours = config.schedule
        assert theirs["policy"] == {"steps": "steps_with_relative_lrs"}.get(ours.name, ours.name)
        assert theirs["optimizer"] == config.optimizer.name and not theirs["lars"]
        assert theirs["multigrid"] == config.multigrid.long_cycle
        # Recorded for the number of machines that the file names, 16 for one of them.
        machines = theirs["num_shards"] if theirs["base_lr_scale_num_shards"] else 1
        rates = [ours.base_lr, ours.end_lr, ours.warmup_start_lr]
        expected = [theirs[key] for key in ("base_lr", "cosine_end_lr", "warmup_start_lr")]
        assert [rate * machines for rate in rates] == expected, path
        assert ours.warmup_epochs == theirs["warmup_epochs"], path
        assert ours.cosine_after_warmup == theirs["cosine_after_warmup"], path
        reference = config.train.batch_size if theirs["base_lr_scale_num_shards"] else 0
        assert ours.reference_batch == reference, path
        if not theirs["multigrid"]:
            assert list(ours.steps) == theirs["steps"], path
            assert list(ours.relative_lrs) == theirs["lrs"], path
            assert config.train.epochs == theirs["max_epoch"], path
        compared += 1
    assert compared == 63


def test_dotted_overrides_of_a_flag(monkeypatch):
    """absl's config flags set any field of a recipe and keep its type."""
    from absl import flags
    from ml_collections import config_flags

    command = [
        "program", "--config.train.batch_size=32", "--config.schedule.base_lr=1",
        "--config.schedule.steps=(0,5)", "--config.data.root=lists",
        "--config.train.init_from.skip=('head/.*',)",
    ]
    monkeypatch.setattr("sys.argv", command)  # where ml_collections looks for overrides
    values = flags.FlagValues()
    config_flags.DEFINE_config_dict("config", load(kinetics, "x3d_xs"), flag_values=values)
    values(command)
    config = values.config
    assert (config.train.batch_size, config.schedule.base_lr) == (32, 1.0)
    assert config.schedule.steps == (0, 5) and config.data.root == "lists"
    assert config.train.init_from.skip == ("head/.*",)
