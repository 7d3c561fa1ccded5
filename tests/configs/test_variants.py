"""Every published recipe of a supervised network is a variant that loads and can be built."""

import importlib

import pytest

from configs import common
from slowfast_jax.config import (
    ConfigError,
    build_model,
    check_training,
    check_values,
    follow,
    load_config,
    training_plan,
)
from slowfast_jax.models import zoo
from slowfast_jax.training.schedules import learning_rate
from tests.support.paths import ROOT

# The stems of PySlowFast's YAML files (c2/ ones under "c2"), without the self-supervised ones.
STEMS = {
    "kinetics": (
        "C2D_8x8_R50 C2D_8x8_R50_IN1K C2D_NLN_8x8_R50 C2D_NLN_8x8_R50_IN1K I3D_8x8_R101 I3D_8x8_R50"
        " I3D_8x8_R50_IN1K I3D_NLN_8x8_R101 I3D_NLN_8x8_R50 I3D_NLN_8x8_R50_IN1K SLOWFAST_4x16_R50"
        " SLOWFAST_8x8_R50 SLOWFAST_8x8_R50_stepwise SLOWFAST_8x8_R50_stepwise_multigrid"
        " SLOWFAST_NLN_4x16_R50 SLOWFAST_NLN_8x8_R50 SLOW_4x16_R50 SLOW_8x8_R50 SLOW_NLN_4x16_R50"
        " SLOW_NLN_8x8_R50 X3D_L X3D_M X3D_S X3D_XS MVIT_B_16x4_CONV MVIT_B_32x3_CONV"
        " MVITv2_S_16x4 MVITv2_B_32x3 MVITv2_L_40x3_test REV_MVIT_B_16x4_CONV"
    ),
    "ava": "SLOWFAST_32x2_R50_SHORT SLOW_8x8_R50_SHORT",
    "ssv2": (
        "SLOWFAST_16x8_R50 SLOWFAST_16x8_R50_multigrid MVITv2_S_16x4 MVITv2_B_32x3 MVITv2_L_40x3"
        " SLOW_8x8_R50 SLOWFAST_8x8_R50"
    ),
    "charades": "SLOWFAST_16x8_R50 SLOWFAST_16x8_R50_multigrid SLOW_8x8_R50 SLOWFAST_8x8_R50",
    "imagenet": (
        "RES_R50 MVIT_B_16_CONV MVITv2_T MVITv2_S MVITv2_B REV_VIT_S REV_VIT_B REV_MVIT_B_16_CONV"
    ),
    "own": "",
    "mmaction2": "",
    "pytorchvideo": (
        "C2D_8x8_R50 I3D_8x8_R50 SLOW_4x16_R50 SLOW_8x8_R50 SLOWFAST_4x16_R50 SLOWFAST_8x8_R50"
        " SLOWFAST_8x8_R101 SLOWFAST_16x8_R101_50_50 X3D_XS X3D_S X3D_M X3D_L MVIT_B_16x4"
        " CSN_32x2_R101 R2PLUS1D_16x4_R50"
    ),
}
C2_STEMS = {
    "kinetics": (
        "C2D_NOPOOL_8x8_R50 I3D_8x8_R50 I3D_NLN_8x8_R50 SLOWFAST_16x8_R101_50_50 SLOWFAST_4x16_R50"
        " SLOWFAST_8x8_R101_101_101 SLOWFAST_8x8_R101_50_101 SLOWFAST_8x8_R101_50_50"
        " SLOWFAST_8x8_R50 SLOWFAST_NLN_16x8_R101_50_50 SLOW_4x16_R50 SLOW_8x8_R50"
    ),
    "ava": (
        "SLOWFAST_32x2_R101_50_50 SLOWFAST_32x2_R101_50_50_v2.1 SLOWFAST_32x2_R50"
        " SLOWFAST_64x2_R101_50_50 SLOW_8x8_R50"
    ),
}
OTHERS = {
    # recipes of MMAction2, PyTorchVideo and this project
    "kinetics": (
        "slowfast_4x16_r101 slowfast_8x8_r101 slowfast_4x16_r152 slowfast_8x8_r152 mini_multigrid"
        " csn_32x2_r101 r2plus1d_16x4_r50 mini_mvit mini_rev_mvit"
    ),
    "mmaction2": (
        "slowfast_4x16_r50 slowfast_8x8_r50 slowfast_8x8_r50_steplr slowfast_4x16_r101"
        " slowfast_8x8_r101 slowonly_4x16_r50 slowonly_8x8_r50 slowonly_8x8_r101"
        " slowonly_4x16_r50_in1k slowonly_8x8_r50_in1k slowonly_nl_4x16_r50 slowonly_nl_8x8_r50"
        " slowonly_4x16_r50_k700 slowonly_8x8_r50_k700 slowonly_8x8_r50_k710"
        " ava_slowfast_4x16_r50 ava_slowfast_4x16_r50_context"
        " ava_slowfast_8x8_r50 ava_slowfast_8x8_r50_v2.2 ava_slowfast_8x8_r50_temporal_max"
        " ava_slowfast_8x8_r50_temporal_max_focal ava_slowonly_4x16_r50 ava_slowonly_4x16_r50_k700"
        " ava_slowonly_nl_4x16_r50 ava_slowonly_nl_8x8_r50 ava_slowonly_8x8_r101"
        " ava_kinetics_slowonly_4x16_r50 ava_kinetics_slowonly_4x16_r50_k700 ava_slowonly_8x8_r50"
        " ava_slowonly_8x8_r50_k700 ava_slowonly_8x8_r50_context"
        " ava_slowonly_8x8_r50_context_temporal_max ava_slowonly_8x8_r50_nl_head"
        " ava_slowonly_8x8_r50_nl_head_focal ava_slowonly_16x4_r50_tricks"
    ),
    "imagenet": "mini_mvit mini_rev_vit",
    "ssv2": "mini_mvit",
    "ava": "mini_still",
    "own": "slowfast_8x8_r50 slowfast_32x2_r101_50_50 x3d_xs x3d_m",
}
DEFAULTS = {
    "kinetics": "slowfast_8x8_r50",
    "ava": "slowfast_32x2_r50_short",
    "ssv2": "slowfast_16x8_r50",
    "charades": "slowfast_16x8_r50",
    "imagenet": "res_r50",
    "own": "slowfast_8x8_r50",
    "mmaction2": "slowonly_4x16_r50_finetune",
    "pytorchvideo": "slowfast_8x8_r50",
}
# Published networks that classify whole videos: each has a recipe NAME_finetune.
CLASSIFIERS = {
    name for name, entry in zoo.ZOO.items()
    if not entry["model"].get("detection") and name != "kinetics/mini"
    and not name.startswith("imagenet/")
}


def module(stem):
    return importlib.import_module(f"configs.{stem}")


ALL = [(stem, variant) for stem in STEMS for variant in module(stem).VARIANTS]


@pytest.mark.parametrize("stem", STEMS)
def test_names(stem):
    expected = {name.lower() for name in STEMS[stem].split()}
    expected |= {f"c2_{name.lower()}" for name in C2_STEMS.get(stem, "").split()}
    expected |= set(OTHERS.get(stem, "").split())
    expected |= {"mini"} if stem not in ("mmaction2", "pytorchvideo") else set()
    of_stem = {name for name in CLASSIFIERS if name.split("/")[0] == stem}
    expected |= {f"{name.split('/')[1]}_finetune" for name in of_stem}
    assert set(module(stem).VARIANTS) == expected


@pytest.mark.parametrize("stem", STEMS)
def test_default(stem):
    assert module(stem).get_config().name == f"{stem}/{DEFAULTS[stem]}"


def load(stem, variant=""):
    return load_config(f"{ROOT}/configs/{stem}.py" + (f":{variant}" if variant else ""))


@pytest.mark.parametrize("stem, variant", ALL)
def test_loads(stem, variant):
    config = load(stem, variant)
    assert config.name == f"{stem}/{variant}"
    assert config.is_locked
    assert config.to_dict() == load(stem, variant).to_dict()
    check_values(config)
    steps, rates = config.schedule.steps, config.schedule.relative_lrs
    assert config.schedule.name in ("cosine", "steps")
    assert bool(steps) == (config.schedule.name == "steps")
    assert len(rates) >= len(steps) and list(steps) == sorted(steps)
    assert config.train.batch_size % (config.norm.group_size // config.norm.sync_devices) == 0


@pytest.mark.parametrize("stem, variant", ALL)
def test_recipes_share_no_state(stem, variant):
    config = module(stem).get_config(variant)
    assert config.is_locked and config.train.epochs > 1
    config.train.epochs = 1
    config.model.name = "other"
    assert module(stem).get_config(variant).train.epochs > 1
    assert load(stem, variant).model.name != "other"


@pytest.mark.parametrize("stem, variant", ALL)
def test_network_exists(stem, variant):
    config = load(stem, variant)
    assert config.model.name in zoo.ZOO
    assert build_model(config).num_classes == config.model.num_classes
    assert set(config.protocol) == set(zoo.PROTOCOL)


@pytest.mark.parametrize("stem, variant", ALL)
def test_published_results_name_their_weights(stem, variant):
    result = load(stem, variant).published
    has_number = result.top1 is not None or result.mean_ap is not None
    assert has_number == bool(result.source) == bool(result.weights) == bool(result.views)


@pytest.mark.parametrize("stem", STEMS)
def test_unknown_variant(stem):
    wrong = DEFAULTS[stem] + "1"
    with pytest.raises(ValueError) as error:
        module(stem).get_config(wrong)
    for part in (f"configs/{stem}.py", repr(wrong), DEFAULTS[stem], f"--config={stem} lists"):
        assert part in str(error.value)


def test_unknown_variant_in_capitals():
    with pytest.raises(ValueError, match=r"Did you mean slowfast_8x8_r50,"):
        module("kinetics").get_config("SLOWFAST_8x8_R50")


def test_later_parts_win():
    first, second = {"train": {"epochs": 1, "seed": 2}}, {"train": {"epochs": 3.5}}
    recipe = common.recipe("x", common.base(data={"format": "kinetics"}), first, second)
    assert recipe.to_dict() == {
        "name": "x", "data": {"format": "kinetics"}, "train": {"epochs": 3.5, "seed": 2}
    }
    assert first == {"train": {"epochs": 1, "seed": 2}}


def test_lists_variants(capsys):
    common.print_variants(module("ssv2").VARIANTS)
    assert capsys.readouterr().out.split() == list(module("ssv2").VARIANTS)


def test_overrides():
    """Every field of the schema can be set, even if the recipe leaves it out."""
    config = load("ava")
    config.update_from_flattened_dict({
        "schedule.steps": (0, 5), "schedule.base_lr": 1, "data.jitter_scales_relative": (0.5, 1.0),
        "train.init_from.skip": ("head/.*",), "published.top1": 50.0, "optimizer.clip_norm": 40.0,
    })
    assert config.schedule.base_lr == 1.0 and config.schedule.steps == (0, 5)
    with pytest.raises(AttributeError, match='Did you mean "batch_size"'):
        config.train.batchsize = 3


@pytest.mark.parametrize("name", sorted(CLASSIFIERS))
def test_every_published_classifier_can_be_fine_tuned(tmp_path, name):
    config = load_config(f"{name}_finetune")
    assert config.model.name == name and config.name == f"{name}_finetune"
    assert config.data.format == config.data.sampling == "kinetics" and not config.class_names
    with pytest.raises(ConfigError, match=r"num_classes is 0: write the names of the classes"):
        check_training(config)
    (tmp_path / "classes.txt").write_text("sit\nstand\nwave\n")
    config.data.root = str(tmp_path)
    follow(config)
    assert config.model.num_classes == 3 and config.class_names == str(tmp_path / "classes.txt")
    rates = {}
    for batch in (1, 3, 8, 16, 64):
        config.train.batch_size = batch
        check_training(config)
        plan = training_plan(config)
        rates[batch] = max(learning_rate(plan.schedule, epoch, plan.epochs) for epoch in range(20))
    assert rates[64] == pytest.approx(8 * rates[8]) and rates[1] == pytest.approx(rates[8] / 8)
    model = build_model(config)
    assert model.num_classes == 3 and model.activation == "softmax"


def test_fine_tuning_starts_from_the_published_file():
    start = load_config("kinetics/x3d_xs_finetune").train.init_from
    assert start.path == "x3d_xs.pyth" and start.url.endswith("/x3d_models/x3d_xs.pyth")
    start = load_config("kinetics/slowfast_8x8_r50_finetune").train.init_from
    assert start.path == "SLOWFAST_8x8_R50.pkl"
    start = load_config("kinetics/mvitv2_l_40x3_finetune").train.init_from
    assert start.path == "MViTv2_L_40x3_k400_f306903192.pyth" and start.url.endswith(start.path)
    start = load_config("kinetics/mvit_b_16x4_conv_finetune").train.init_from
    assert start.path == "mvit_b_16x4_conv.pyth" and "drive.google.com" in start.url


@pytest.mark.parametrize("name, optimizer, layer_decay", [
    ("kinetics/slow_8x8_r50", "sgd", 1.0), ("kinetics/mvitv2_s_16x4", "adamw", 0.75),
    ("kinetics/rev_mvit_b_16x4_conv", "adamw", 0.75), ("ssv2/mvitv2_b_32x3", "adamw", 0.75),
])
def test_transformers_are_fine_tuned_with_smaller_rates(name, optimizer, layer_decay):
    config = load_config(f"{name}_finetune")
    assert (config.optimizer.name, config.optimizer.layer_decay) == (optimizer, layer_decay)
    assert config.schedule.base_lr == (0.02 if optimizer == "sgd" else 0.0001)
    assert config.norm.precise == (optimizer == "sgd")
