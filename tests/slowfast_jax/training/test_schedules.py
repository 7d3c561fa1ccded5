"""Learning rates equal the original program's, for its recipes and for made-up settings."""

import importlib
import math

import pytest

from slowfast_jax.config import load_config, training_plan
from slowfast_jax.training.schedules import learning_rate, scaled
from tests.slowfast_jax.models import cases
from tests.support.paths import PARITY, ROOT, needs_parity

STEMS = {
    "Kinetics": "kinetics", "AVA": "ava", "SSv2": "ssv2", "Charades": "charades",
    "ImageNet": "imagenet",
}
POLICIES = {"cosine": "cosine", "steps_with_relative_lrs": "steps"}
PLAIN = {
    "name": "cosine", "style": "pyslowfast", "base_lr": 0.1, "end_lr": 0.0,
    "warmup_epochs": 0.0, "warmup_start_lr": 0.01,
    "steps": (), "relative_lrs": (), "cosine_after_warmup": False,
    "reference_batch": 0,
}


def recorded(name):
    """{case: settings given to the original}, and the recorded arrays if present."""
    if not PARITY.is_dir():
        return {}, {}
    return cases.manifest("schedules", name), cases.outputs("schedules", name)


SYNTHETIC, SYNTHETIC_RATES = recorded("lr_synthetic")
CONFIGS, CONFIG_RATES = recorded("lr_all_configs")
CONFIGS = CONFIGS.get("configs", {})


def our_recipe(path):
    """Our recipe of one of the original's files, such as "Kinetics/c2/SLOW_8x8_R50", or None."""
    folder, *below, stem = path.split("/")
    if folder not in STEMS or below not in ([], ["c2"]):
        return None
    module = importlib.import_module(f"configs.{STEMS[folder]}")
    variant = "_".join([*below, stem]).lower()
    spec = f"{ROOT}/configs/{STEMS[folder]}.py:{variant}"
    return load_config(spec) if variant in module.VARIANTS else None


def assert_rates(schedule, epochs, arrays, key):
    ours = [learning_rate(schedule, e, epochs) for e in arrays[f"{key}__epoch"].tolist()]
    # Near the end of a cosine, 1 + cos(x) cancels: the error is a unit in the last place of 1.
    close = pytest.approx(arrays[f"{key}__lr"], rel=1e-14, abs=1e-16 * schedule["base_lr"])
    assert ours == close


def test_rates_in_proportion_to_the_batch():
    schedule = PLAIN | {"end_lr": 0.001, "warmup_epochs": 2.0, "reference_batch": 64}
    larger = scaled(schedule, 512)
    for epoch in (0, 1, 2, 50, 99):
        rates = [learning_rate(s, epoch, 100) for s in (larger, schedule)]
        assert rates[0] == pytest.approx(8 * rates[1], rel=1e-12)
    assert scaled(schedule, 64) == schedule and scaled(PLAIN, 512) == PLAIN


def test_the_warm_up_of_mmaction2():
    """Of its slowfast_r50_4x16x1_256e: 34 epochs from a tenth; the cosine changes per epoch."""
    schedule = PLAIN | {"style": "mmaction2", "warmup_epochs": 34.0, "warmup_start_lr": 0.01}
    steps = 100  # an epoch
    for step, factor in ((0, 0.1), (50, 0.1 + 0.9 * 50 / 3400), (1750, 0.1 + 0.9 * 1750 / 3400),
                         (3399, 0.1 + 0.9 * 3399 / 3400), (3400, 1.0), (12850, 1.0)):
        regular = 0.05 * (1 + math.cos(math.pi * (step // steps) / 256))
        assert learning_rate(schedule, step / steps, 256) == pytest.approx(regular * factor)
    rates = {learning_rate(schedule, epoch, 256) for epoch in (200.0, 200.3, 200.99)}
    assert len(rates) == 1
    with pytest.raises(ValueError, match="schedule.style is 'caffe2', expected pyslowfast or mmac"):
        learning_rate(schedule | {"style": "caffe2"}, 0.0, 256)


@pytest.mark.parametrize("policy, after", [
    # after the warm-up: half a cosine, or steps, whose epochs count from the beginning
    ({"cosine_after_warmup": True}, [0.2, 0.1 + 0.05 * 2**0.5, 0.1, 0.1 - 0.05 * 2**0.5]),
    ({"name": "steps", "steps": (0, 6), "relative_lrs": (1.0, 0.1)}, [0.2, 0.2, 0.02, 0.02]),
])
def test_the_warm_up_of_mmengine_changes_with_every_epoch(policy, after):
    schedule = PLAIN | policy | {
        "style": "mmengine", "base_lr": 0.2, "warmup_epochs": 4.0, "warmup_start_lr": 0.02,
    }
    expected = [0.02, 0.08, 0.14, 0.2, *after]
    for part in (0, 0.5, 0.999):
        rates = [learning_rate(schedule, epoch + part, 8) for epoch in range(8)]
        assert rates == pytest.approx(expected)
    one = schedule | {"warmup_epochs": 1.0, "cosine_after_warmup": False}
    assert learning_rate(one, 0.9, 8) == pytest.approx(0.02)  # as LinearLR with one epoch


@needs_parity
@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic(name):
    theirs = SYNTHETIC[name]
    schedule = PLAIN | {
        "name": POLICIES[theirs["LR_POLICY"]],
        "base_lr": theirs["BASE_LR"],
        "end_lr": theirs.get("COSINE_END_LR", 0.0),
        "warmup_epochs": theirs.get("WARMUP_EPOCHS", 0.0),
        "warmup_start_lr": theirs.get("WARMUP_START_LR", 0.01),
        "steps": theirs.get("STEPS", ()),
        "relative_lrs": theirs.get("LRS", ()),
        "cosine_after_warmup": theirs.get("COSINE_AFTER_WARMUP", False),
    }
    assert_rates(schedule, theirs["MAX_EPOCH"], SYNTHETIC_RATES, name)


@needs_parity
@pytest.mark.parametrize("path", CONFIGS)
def test_every_schedule_of_the_original(path):
    theirs = CONFIGS[path]
    schedule = PLAIN | {
        "name": POLICIES[theirs["policy"]],
        "base_lr": theirs["base_lr"],
        "end_lr": theirs["cosine_end_lr"],
        "warmup_epochs": theirs["warmup_epochs"],
        "warmup_start_lr": theirs["warmup_start_lr"],
        "steps": theirs["steps"],
        "relative_lrs": theirs["lrs"],
        "cosine_after_warmup": theirs["cosine_after_warmup"],
    }
    key = path.replace("/", "__")
    assert_rates(schedule, theirs["max_epoch"], CONFIG_RATES, key)


@needs_parity
@pytest.mark.parametrize("path", [path for path in CONFIGS if our_recipe(path)])
def test_our_recipes(path):
    config, theirs = our_recipe(path), CONFIGS[path]
    if theirs["multigrid"]:  # the long cycle rewrites the steps that the recipe states
        assert config.multigrid.long_cycle
        return
    key = path.replace("/", "__")
    if theirs["num_shards"] > 1:  # recorded for several machines, whose batches add up
        assert theirs["base_lr_scale_num_shards"] and config.schedule.reference_batch
        config.train.batch_size *= theirs["num_shards"]
    plan = training_plan(config)
    assert_rates(plan.schedule, plan.epochs, CONFIG_RATES, key)


@needs_parity
def test_the_recipes_are_found():
    found = {config.name for config in map(our_recipe, CONFIGS) if config}
    assert {"kinetics/x3d_l", "ava/c2_slow_8x8_r50", "imagenet/res_r50"} <= found
    assert len(found) >= 45


# The recipes of the original with SOLVER.BASE_LR_SCALE_NUM_SHARDS, which multiplies rates and the
# batch by the number of machines.
X3D = {"x3d_xs": (0.1, 128), "x3d_s": (0.1, 128), "x3d_m": (0.1, 128), "x3d_l": (0.05, 64)}


def rates_of(config):
    plan = training_plan(config)
    epochs = [share * plan.epochs for share in (0, 0.05, 0.1, 0.5, 0.9, 1)]
    return [learning_rate(plan.schedule, epoch, plan.epochs) for epoch in epochs]


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("variant", X3D)
def test_rates_follow_the_batch_and_not_the_number_of_processes(monkeypatch, variant, processes):
    config = load_config(f"{ROOT}/configs/kinetics.py:{variant}")
    base, batch = X3D[variant]
    assert (config.schedule.base_lr, config.train.batch_size) == (base, batch)
    one = rates_of(config)
    assert one[-2] < one[2] < base and one[0] == 0.01 and len(set(one)) == len(one)
    monkeypatch.setattr("jax.process_count", lambda: processes)
    assert rates_of(config) == one
    config.train.batch_size = processes * batch  # as the original on that many machines
    assert rates_of(config) == pytest.approx([processes * rate for rate in one], rel=1e-14)


STEPS = {"name": "steps", "steps": (0, 4), "relative_lrs": (1.0, 0.1)}


@pytest.mark.parametrize("keys, epochs, message", [
    ({"name": "linear"}, 10, r"schedule.name is 'linear', expected cosine or steps"),
    ({"end_lr": 0.1}, 10, r"schedule.end_lr is 0.1, expected less than schedule.base_lr, 0.1"),
    ({"warmup_epochs": -1.0}, 10, r"schedule.warmup_epochs is -1.0, expected 0 or more"),
    ({"warmup_epochs": 10.0, "cosine_after_warmup": True}, 10, r"expected less than train.epochs"),
    ({"warmup_epochs": 1.5, "style": "mmengine"}, 10, r"warmup_epochs is 1.5, expected a whole"),
    ({}, 0, r"train.epochs is 0, expected more than 0"),
    ({"name": "steps"}, 10, r"schedule.steps is \(\), expected epochs that start at 0"),
    (STEPS | {"steps": (1, 4)}, 10, r"schedule.steps is \(1, 4\), expected .* start at 0"),
    (STEPS | {"steps": (0, 9, 4)}, 10, r"steps is \(0, 9, 4\), expected increasing epochs"),
    (STEPS | {"steps": (0, 4, 9)}, 10, r"relative_lrs has 2 rates, expected one for each of the 3"),
])
def test_invalid_schedules(keys, epochs, message):
    with pytest.raises(ValueError, match=message):
        learning_rate(PLAIN | keys, 0.0, epochs)
