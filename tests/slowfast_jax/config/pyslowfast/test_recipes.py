"""A YAML file of PySlowFast becomes the recipe that this project has for it."""

from typing import Any

import pytest

from slowfast_jax.config import build_model, load_config, training_problems
from tests.slowfast_jax.config.pyslowfast.published import PYTORCHVIDEO, files, write
from tests.support.paths import ROOT

FILES = dict(files())
NO_WEIGHTS = {
    "train.init_from.path": "the file leaves it to the user",
    "train.init_from.skip": "without weights, nothing is skipped",
}
BOXES_ANYWAY = {"data.multi_label": "not read by task detection"}
FEWER_CLIPS = {"protocol.clips": "10 in the file; the published result is of 5"}
SAME_STRIDES = dict.fromkeys(
    ("model.kv_strides", "model.adaptive_kv_stride"), "the file lists the adaptive strides"
)
NOT_TRAINED = dict.fromkeys(
    (
        "augment.rand_augment", "augment.erasing_probability", "augment.mixup_alpha",
        "augment.cutmix_alpha", "augment.mix_prob", "augment.label_smoothing",
        "data.jitter_scales_relative", "data.jitter_aspect_relative", "norm.precise", "train.loss",
        "train.checkpoint_period",
    ),
    "only read in training, which the file turns off",
)
VIDEO_WEIGHTS = {"train.init_from.images": "no effect, the weights are of the same network"}
LESS_MEMORY = {"model.remat": "the file's MODEL.ACT_CHECKPOINT, which changes no result"}
# Recipe -> the fields in which it differs from the file, and why.
EXPLAINED = {
    "kinetics/c2d_8x8_r50_in1k": NO_WEIGHTS,
    "kinetics/c2d_nln_8x8_r50_in1k": NO_WEIGHTS,
    "kinetics/i3d_8x8_r50_in1k": NO_WEIGHTS,
    "kinetics/i3d_nln_8x8_r50_in1k": NO_WEIGHTS,
    "ava/slowfast_32x2_r50_short": NO_WEIGHTS | BOXES_ANYWAY,
    "ava/slow_8x8_r50_short": NO_WEIGHTS | BOXES_ANYWAY,
    "kinetics/mvit_b_16x4_conv": FEWER_CLIPS,
    "kinetics/mvit_b_32x3_conv": FEWER_CLIPS,
    "kinetics/mvitv2_l_40x3_test": NOT_TRAINED,
    "ssv2/mvitv2_s_16x4": NO_WEIGHTS,
    "ssv2/mvitv2_b_32x3": NO_WEIGHTS,
    "ssv2/mvitv2_l_40x3": NO_WEIGHTS | VIDEO_WEIGHTS | LESS_MEMORY,
    "imagenet/mvitv2_t": SAME_STRIDES,
    "imagenet/mvitv2_s": SAME_STRIDES,
}
LOGITS = {"model.average": "as in PyTorchVideo's hub models; PySlowFast averages probabilities"}
HUB_START = LOGITS | NO_WEIGHTS | {"train.init_from.url": "where these weights are"}
EXPLAINED |= {
    name: HUB_START if name.startswith(("ssv2/", "charades/")) else LOGITS
    for name in PYTORCHVIDEO
} | {"pytorchvideo/mvit_b_16x4": FEWER_CLIPS, "pytorchvideo/r2plus1d_16x4_r50": {}}
OURS_ONLY = ("name", "published.")  # which no file has


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in section.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        fields |= inner
    return fields


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_the_recipe(name, tmp_path):
    folder, variant = name.split("/")
    config = load_config(str(write(tmp_path / "FILE.yaml", FILES[name])))
    recipe = load_config(f"{ROOT}/configs/{folder}.py:{variant}")
    assert not training_problems(config)
    ours, theirs = flat(recipe.to_dict()), flat(config.to_dict())
    different = {
        key for key in {*ours, *theirs}
        if ours.get(key) != theirs.get(key) and not key.startswith(OURS_ONLY)
    }
    assert different == set(EXPLAINED.get(name, ()))
    if EXPLAINED.get(name) is SAME_STRIDES:
        assert build_model(config).poolings() == build_model(recipe).poolings()
    assert config.name == "FILE"


def test_what_a_file_leaves_out_is_the_default_of_the_original(tmp_path):
    """Its defaults differ from those here: 300 epochs, seed 1, no precise BN."""
    config = load_config(str(write(tmp_path / "a.yaml", {"NUM_GPUS": 8})))
    assert (config.train.epochs, config.train.seed, config.norm.precise) == (300, 1, False)
    assert (config.train.checkpoint_period, config.norm.group_size) == (10, 8)
    assert config.model.alpha == 8 and config.model.fusion_kernel == 5
    assert config.protocol.num_frames == 8 and not config.model.zero_init_final_bn
