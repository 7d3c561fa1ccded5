"""Multigrid plans against those of the original program, and settings that are refused."""

import importlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.loading.order import Order
from slowfast_jax.config import load_config, training_plan
from slowfast_jax.data.video_lists import GENERATORS
from slowfast_jax.loop.build import network_of, optimizer_of
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.training.multigrid import make_plan
from slowfast_jax.training.plan import Shape
from slowfast_jax.training.schedules import learning_rate
from tests.slowfast_jax.models import cases
from tests.slowfast_jax.training.test_schedules import CONFIG_RATES, CONFIGS, assert_rates
from tests.support.paths import PARITY, ROOT, needs_parity

RECIPES = (
    "Kinetics/SLOWFAST_8x8_R50_stepwise_multigrid", "SSv2/SLOWFAST_16x8_R50_multigrid",
    "Charades/SLOWFAST_16x8_R50_multigrid",
)
RECORDED = cases.manifest("schedules", "multigrid") if PARITY.is_dir() else {}
GPUS = 8
ONE = jnp.ones(1)


def config_of(path, **fields):
    stem, variant = path.lower().split("/")
    config = load_config(f"{ROOT}/configs/{stem}.py:{variant}")
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return config


@needs_parity
@pytest.mark.parametrize("path", RECIPES)
def test_every_epoch_equals_that_of_the_original(path):
    theirs, plan = RECORDED[path], training_plan(config_of(path))
    assert plan.epochs == theirs["max_epoch"] == len(theirs["epochs"])
    assert list(plan.schedule["steps"]) == theirs["solver_steps_after_init"]
    assert list(plan.schedule["relative_lrs"]) == theirs["solver_lrs_after_init"]
    assert [phase.end for phase in plan.phases] == sorted(
        {end for *_, end in theirs["schedule(step_index,[relative_batch,frames,crop],until_epoch)"]}
    )
    assert [phase.begin for phase in plan.phases] == [0, *(p.end for p in plan.phases[:-1])]
    for record in theirs["epochs"]:
        epoch = record["epoch"]
        (phase,) = [p for p in plan.phases if p.begin <= epoch < p.end]
        *_, last = phase.shapes
        assert (last.batch_size, last.num_frames, last.crop) == (
            record["batch"], record["frames"], record["crop"]
        )
        assert {s.num_frames for s in phase.shapes} == {record["frames"]}
        of_gpu = record["short_batch_per_gpu"]
        assert [s.batch_size for s in phase.shapes] == [GPUS * batch for batch in of_gpu]
        assert [s.group_size for s in phase.shapes] == [clips_that_share(record, b) for b in of_gpu]
        assert {s.norm_splits for s in phase.shapes} == {
            record["num_splits"] if record["norm"] == "sub_batchnorm" else None
        }
        assert [s.crop for s in phase.shapes] == record["short_crop"]
        assert [s.jitter for s in phase.shapes] == [
            (low, record["jitter_max_scale"]) for low in record["short_jitter_min_scale"]
        ]
        rates = theirs["defaults"]["SAMPLING_RATE"], record["long_cycle_sampling_rate"]
        assert {s.sampling_rates for s in phase.shapes} == {rates}
        assert [
            learning_rate(plan.schedule, epoch + part, plan.epochs) for part in (0, 0.5, 0.999)
        ] == record["lr"]
        assert (epoch + 1 in plan.evaluations) == record["eval"]
        assert (epoch + 1 in plan.checkpoints) == record["checkpoint"]


def clips_that_share(record, of_gpu):
    """Clips that share batch statistics: part of a GPU's batch, all of it, or of several GPUs."""
    if record["norm"] == "sub_batchnorm":
        return of_gpu // record["num_splits"]
    return of_gpu * (record["num_sync_devices"] if record["norm"] == "sync_batchnorm" else 1)


@needs_parity
@pytest.mark.parametrize("path", RECIPES)
def test_split_norms_decay_like_other_parameters(path):
    """PySlowFast's optimizer treats scale and bias of split norms like any other parameter."""
    groups = cases.manifest("schedules", "param_groups")[
        "sub_batchnorm slow R18, BN.WEIGHT_DECAY .123"
    ]
    decay_of = {name: group["weight_decay"] for group in groups for name in group["params"]}
    assert decay_of["s1.pathway0_stem.bn.weight"] == decay_of["s1.pathway0_stem.conv.weight"] > 0

    config, model = config_of(path), ResNet3D(4)
    params = {"a": {"kernel": ONE}, "a_bn": {"scale": ONE}}
    for shape in training_plan(config).shapes:
        optimizer = optimizer_of(config, model, shape)
        zeros = jax.tree.map(jnp.zeros_like, params)
        updates, _ = optimizer.update(zeros, optimizer.init(params), params)
        kernel, scale = updates["a"]["kernel"][0], updates["a_bn"]["scale"][0]
        assert kernel > 0 and scale == (kernel if shape.norm_splits else 0)


@pytest.mark.parametrize("path", RECIPES)
def test_split_norms_start_with_scale_one(path):
    config = config_of(path)
    first, *_, last = training_plan(config).shapes
    assert first.norm_splits > 1 and not network_of(config, first).zeroes_final_norms
    assert last.norm_splits is None and network_of(config, last).zeroes_final_norms


@needs_parity
def test_batches_of_an_epoch_with_the_short_cycle():
    """Of 700 examples; like the original, training drops an incomplete last batch."""
    plan, sizes = training_plan(config_of("SSv2/SLOWFAST_16x8_R50_multigrid")), (128, 64, 64)
    (shapes,) = {p.shapes for p in plan.phases if tuple(s.batch_size for s in p.shapes) == sizes}
    order = Order(700, batch_size=[s.batch_size for s in shapes], seed=0)
    places, batches = iter(map(order.__getitem__, itertools.count())), []
    for step in range(order.steps_per_epoch):
        rows = [next(places) for _ in range(order.rows(step))]
        index = [row.seed[-1] for row in rows]  # positions in the permutation of the epoch
        assert index == list(range(index[0], index[-1] + 1))
        assert {row.turn for row in rows} == {order.turn(step)}
        batches.append([index[0], index[-1], order.turn(step), len(rows)])
    whole, rest = (
        RECORDED[f"short_cycle_iteration_700_items_drop_last={drop}"]["batches"]
        for drop in (True, False)
    )
    assert batches == whole == rest[:-1] and rest[-1][3] < sizes[rest[-1][2]]


@needs_parity
@pytest.mark.parametrize("path", RECIPES)
def test_rates(path):
    plan = training_plan(config_of(path))
    assert CONFIGS[path]["multigrid"] and CONFIGS[path]["max_epoch"] == plan.epochs
    assert_rates(plan.schedule, plan.epochs, CONFIG_RATES, path.replace("/", "__"))


@needs_parity
@pytest.mark.parametrize("path", RECIPES)
def test_the_short_cycle_alone(path):
    theirs = RECORDED[f"{path}|short_only"]
    config = config_of(path, multigrid__long_cycle=False)
    plan = training_plan(config)
    assert (list(plan.schedule["steps"]), list(plan.schedule["relative_lrs"]), plan.epochs) == (
        theirs["steps"], theirs["lrs"], theirs["max_epoch"]
    )
    (phase,) = plan.phases
    group, batch = config.norm.group_size, config.train.batch_size
    assert [(s.batch_size, s.crop, s.group_size) for s in phase.shapes] == [
        (4 * batch, 112, 4 * group), (2 * batch, 158, 2 * group), (batch, 224, group)
    ]
    period = config.train.eval_period
    assert plan.evaluations == {*range(period, plan.epochs, period), plan.epochs}


@needs_parity
def test_the_long_cycle_alone():
    """Here the original stops with an IndexError."""
    path = "SSv2/SLOWFAST_16x8_R50_multigrid"
    assert "IndexError" in RECORDED[f"{path}|long_only"]["exception"]
    plan = training_plan(config_of(path, multigrid__short_cycle=False))
    assert plan.epochs == 33 and all(len(phase.shapes) == 1 for phase in plan.phases)
    assert [s[:4] for s in plan.shapes] == [
        (128, 16, 158, 8), (64, 32, 158, 8), (32, 32, 224, 8), (16, 64, 224, 8)
    ]


SHAPE = Shape(8, 8, 64, 8, (64, 80), (4, 4))
STEPS = {"name": "steps", "steps": (0, 8), "relative_lrs": (1.0, 0.1)}
CYCLES = {
    "long_cycle": True, "short_cycle": True, "epoch_factor": 1.5,
    "short_cycle_factors": (0.5, 0.5**0.5), "long_cycle_factors": ((0.5, 0.5**0.5), (1.0, 1.0)),
    "norm_group_size": 8, "evaluations_per_phase": 3, "lr_decay": 0.1,
}


def plan_of(schedule=STEPS, epochs=12, **multigrid):
    return make_plan(
        SHAPE, epochs=epochs, schedule=schedule, eval_period=5, checkpoint_period=0,
        multigrid=CYCLES | multigrid,
    )


def test_without_cycles_the_plan_follows_the_recipe():
    plan = plan_of(long_cycle=False, short_cycle=False)
    assert plan.phases == ((0, 12, (SHAPE,)),) and plan.shapes == (SHAPE,)
    assert plan.schedule == STEPS and plan.epochs == 12
    assert plan.evaluations == {5, 10, 12} and plan.checkpoints == {12}


def test_cycles_save_work():
    """A step costs about the same in every shape, and there are far fewer steps."""
    plan = plan_of()
    volumes = [s.batch_size * s.num_frames * s.crop**2 for s in plan.shapes]
    whole = 8 * 8 * 64**2
    assert max(abs(volume / whole - 1) for volume in volumes) < 0.2
    assert len(plan.shapes) == 5  # of 2 x 3, two are equal
    steps = sum(
        (p.end - p.begin) / np.mean([s.batch_size for s in p.shapes]) for p in plan.phases
    )
    assert steps < 12 / 8 / 2


@pytest.mark.parametrize(("schedule", "fields", "message"), [
    ({"name": "cosine", "steps": ()}, {}, r"needs schedule.name=steps.*name is cosine"),
    ({"steps": (0,)}, {}, r"two or more schedule.steps, none beyond .* \(12\); .* \(0,\)"),
    ({"steps": (0, 13)}, {}, r"none beyond train.epochs \(12\);.*\(0, 13\)"),
    ({}, {"epoch_factor": 0.05}, r"epoch_factor is 0.05, expected enough for one epoch"),
    ({}, {"short_cycle_factors": (0.5, -1.0)}, "short_cycle_factors is .* numbers above 0"),
    ({}, {"short_cycle_factors": (2.0,)}, r"has 2.0, which makes crops of 128 .* 0 times"),
    ({}, {"long_cycle_factors": ()}, "long_cycle_factors is .* pairs of numbers above 0"),
    ({}, {"long_cycle_factors": ((0.5, 2.0),)}, "up to 1"),
    ({}, {"long_cycle_factors": ((0.01, 1.0),)}, r"\(0.01, 1.0\), which leaves 0 of 8 frames"),
    ({}, {"norm_group_size": 0}, "norm_group_size is 0, expected at least 1"),
    ({}, {"evaluations_per_phase": 0}, "evaluations_per_phase is 0, expected at least 1"),
    ({}, {"lr_decay": 0.0}, "lr_decay is 0.0, expected above 0"),
])
def test_invalid_settings_are_refused(schedule, fields, message):
    with pytest.raises(ValueError, match=message):
        plan_of(STEPS | schedule, **fields)


@pytest.mark.parametrize("stem", ["kinetics", "ssv2", "charades"])
def test_mini_recipes_have_plans(stem):
    module = importlib.import_module(f"configs.{stem}")
    for variant in module.VARIANTS:
        if variant.startswith("mini"):
            config = load_config(f"{ROOT}/configs/{stem}.py:{variant}")
            plan, (_, made) = training_plan(config), GENERATORS[config.data.generate]
            examples = made.get("train_count", 8)  # the smallest data set has 8
            assert max(shape.batch_size for shape in plan.shapes) <= examples
