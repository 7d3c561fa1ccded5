"""A spec (recipe file and variant, or the name of a published model) to a complete config.

    config = load_config("configs/kinetics.py:x3d_xs")   # in a checkout
    config = load_config("kinetics/x3d_xs")              # anywhere
    model = build_model(config)
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from data_pipelines.examples.eval_views import SAMPLINGS
from data_pipelines.labels import class_names, shipped_sets
from slowfast_jax.config.recipe_files import ConfigError, closest, read_recipe
from slowfast_jax.metrics.ensemble import METHODS
from slowfast_jax.models import zoo
from slowfast_jax.models.dtypes import dtype_table
from slowfast_jax.training.losses import LOSSES
from slowfast_jax.training.multigrid import make_plan
from slowfast_jax.training.plan import Plan, Shape
from slowfast_jax.training.profiling import parse_steps
from slowfast_jax.training.schedules import check_schedule, scaled

# What evaluation and prediction read. Recipes have these keys and more; a model loaded by its zoo
# name, and a recipe that leaves some out, get them from here.
DEFAULTS = {
    "name": "",
    "task": "classification",
    "class_names": "",
    "data": {
        "format": "kinetics",
        "root": "",
        "generate": "",
        "test_list": "test.csv",
        "path_prefix": "",
        "separator": " ",
        "multi_label": False,
        "sampling": "kinetics",
        "frame_template": "img_{:05d}.jpg",
        "class_list": "",
        "val_labels": "",
    },
    "test": {"batch_size": 8, "checkpoint": ""},
}
# How the original tests the data set of a model that is loaded by its zoo name, "ssv2/...".
DATA_OF_ZOO = {
    "ssv2": {"sampling": "ssv2"},
    "charades": {"sampling": "charades"},
    "imagenet": {"jitter": (256, 320)},
}
# Task -> what `augment` may hold in training, and the value of each that changes nothing. The data
# section has the rest: jitter, flip, colours of detection.
AUGMENT = {
    "classification": {
        "rand_augment": "",  # a policy, as rand-m7-n4-mstd0.5-inc1
        "interpolation": "bicubic",  # of its geometric operations, or bilinear, random
        # Colours as in self-supervised training, before that; see transforms/ssl_color.py.
        "color_jitter": (0.0, 0.0, 0.0),  # of brightness, contrast and saturation
        "hue": 0.0,
        "grey_probability": 0.0,
        "moco_v2": False,  # jitter not always, and a blur
        "difference_probability": 0.0,  # of a clip of differences in time
        "motion_shift": False,  # the part of the frame that jitter_scales_relative takes moves
        "num_clips": 1,  # of a video, from anywhere in it; all of them are rows of the batch
        "num_samples": 1,  # times that each clip is augmented (repeated augmentation), likewise
        "jitter_fps": 0.0,  # up to so much is added to protocol.target_fps
        "erasing_probability": 0.0,
        "erasing_mode": "pixel",  # noise; or rand: one colour in each frame, const: the mean
        "erasing_count": 1,  # most rectangles; with n above 1 the first n-th of the frames is kept
        # Clips mixed in pairs by shares of Beta(alpha, alpha); 0: not in this form. The loss is
        # then soft_cross_entropy.
        "mixup_alpha": 0.0,
        "cutmix_alpha": 0.0,
        "mix_prob": 1.0,  # of mixing a batch
        "switch_prob": 0.5,  # of cutmix where both are possible
        "label_smoothing": 0.0,
    },
    "detection": {},
}
# Fields of the networks that no config sets: flax's own, and what folding batch norm sets.
INTERNAL_FIELDS = {"parent", "name", "folded"}
# Keywords that follow from the protocol.
FROM_PROTOCOL = {
    "num_frames": "num_frames", "crop_size": "train_crop", "mean": "mean", "std": "std"
}


def load_config(spec: str) -> ConfigDict:
    """The complete config of `path/to/file.py`, `path/to/file.py:variant` or a zoo name.

    A recipe is executed with its checkout importable (the folder that holds its `configs`), from
    any working directory, and completed from its zoo entry: afterwards `model` has all keywords of
    the network, `protocol` all keys and `augment` of a recipe those of its task. The result is
    locked.

    Raises ConfigError, with close matches, where there is no such file, variant or model, and where
    a recipe sets a keyword or protocol key that does not exist.
    """
    file = re.fullmatch(r"(.*\.py)(?::(.*))?", spec)
    if spec in zoo.ZOO:
        config = ConfigDict({"name": spec, "model": {"name": spec}})
    elif file:
        config = read_recipe(Path(file[1]), file[2] or "")
    else:
        raise ConfigError(
            f"{spec!r} is neither a recipe (path/to/file.py or path/to/file.py:variant) nor a "
            f"published model (slowfast_jax.list_models()){closest(spec, zoo.ZOO)}"
        )
    with config.unlocked():
        _complete(config)
    return config.lock()


def build_model(config: ConfigDict, **overrides: Any) -> nn.Module:
    """The network of a complete config, with keywords overridden.

    Raises ConfigError for a keyword that the network does not have, and for dtypes of parts that it
    does not have.
    """
    keywords = {k: v for k, v in config.model.to_dict().items() if k != "name"}
    keywords |= {k: config.protocol[key] for k, key in FROM_PROTOCOL.items()}
    keywords |= overrides
    make = zoo.find(config.model.name)["make"]
    _check_keys("model", keywords, _fields(make))
    if keywords.get("dtypes"):
        try:
            dtype_table(keywords["dtypes"], make.parts)
        except ValueError as error:
            raise ConfigError(f"config.model.{error}") from error
    if isinstance(keywords.get("dtype"), str):
        keywords["dtype"] = jnp.dtype(keywords["dtype"])
    return zoo.create(config.model.name, **keywords)


def check_values(config: ConfigDict) -> None:
    """ConfigError where a number or name that testing needs makes no sense."""
    protocol, test = config.protocol, config.test
    for name, value, allowed, good in (
        ("protocol.clips", protocol.clips, "at least 1", protocol.clips >= 1),
        ("protocol.crops", protocol.crops, "1, 2 or 3", protocol.crops in (1, 2, 3)),
        ("protocol.ensemble", protocol.ensemble, " or ".join(METHODS),
         protocol.ensemble in METHODS),
        ("protocol.num_frames", protocol.num_frames, "at least 1", protocol.num_frames >= 1),
        ("protocol.sampling_rate", protocol.sampling_rate,
         "at least 1 (0, the keyframe repeated, for task detection)",
         protocol.sampling_rate >= (config.task != "detection")),
        ("protocol.target_fps", protocol.target_fps, "above 0", protocol.target_fps > 0),
        ("data.sampling", config.data.sampling, " or ".join(SAMPLINGS),
         config.data.sampling in SAMPLINGS),
        ("protocol.mean", protocol.mean, "3 numbers", len(protocol.mean) == 3),
        ("protocol.std", protocol.std, "3 numbers", len(protocol.std) == 3),
        ("test.batch_size", test.batch_size, "at least 1", test.batch_size >= 1),
    ):
        if not good:
            raise ConfigError(f"config.{name} is {value}, expected {allowed}")


def check_training(config: ConfigDict) -> None:
    """ConfigError where the config cannot be trained: a field that makes no sense, or is missing.
    """
    for section in ("train", "optimizer", "schedule", "norm", "augment"):
        if section not in config:
            raise ConfigError(
                f"{config.name} has no config.{section}: a published model's name says how it is "
                "tested; to train take a recipe (configs/ava.py:VARIANT)"
            )
    train, norm = config.train, config.norm
    if not train.enable:
        raise ConfigError(
            f"{config.name} describes how released weights are tested (config.train.enable is "
            "False); set --config.train.enable to train it all the same, with the original's "
            "default schedule"
        )
    known = AUGMENT.get(config.task, {})
    unknown = [key for key in config.augment if key not in known]
    if unknown:
        raise ConfigError(
            f"config.augment has {', '.join(unknown)}{closest(unknown[0], known)}: task "
            f"{config.task} applies {', '.join(known) or 'none'}"
        )
    if config.task == "classification":
        _check_mixing(config)
    group, clips = max(norm.group_size, 1), train.batch_size * clips_of_example(config)
    for name, value, allowed, good in (
        ("train.batch_size", train.batch_size, "at least 1", train.batch_size >= 1),
        ("train.epochs", train.epochs, "at least 1", train.epochs >= 1),
        ("train.eval_period", train.eval_period, "0 or more", train.eval_period >= 0),
        ("train.checkpoint_period", train.checkpoint_period, "0 or more",
         train.checkpoint_period >= 0),
        ("train.checkpoint_steps", train.checkpoint_steps, "0 or more",
         train.checkpoint_steps >= 0),
        ("train.keep_last", train.keep_last, "at least 1", train.keep_last >= 1),
        ("train.keep_best", train.keep_best, "0 or more", train.keep_best >= 0),
        ("train.log_period", train.log_period, "at least 1", train.log_period >= 1),
        ("train.summary_period", train.summary_period, "0 or more", train.summary_period >= 0),
        ("train.watchdog_seconds", train.watchdog_seconds, "0 or more",
         train.watchdog_seconds >= 0),
        ("train.max_broken", train.max_broken, "0..1", 0 <= train.max_broken <= 1),
        ("train.max_loss_rise", train.max_loss_rise, "0 or more", train.max_loss_rise >= 0),
        ("train.threads", train.threads, "at least 1", train.threads >= 1),
        ("train.accumulate", train.accumulate, "at least 1", train.accumulate >= 1),
        ("train.average", train.average, "0 (none) or below 1", 0 <= train.average < 1),
        ("train.workers", train.workers, "at least 0", train.workers >= 0),
        ("train.loss", train.loss, " or ".join(LOSSES), train.loss in LOSSES),
        *((f"optimizer.{name}", config.optimizer[name], "0 or more", config.optimizer[name] >= 0)
          for name in ("clip_norm", "clip_value", "weight_decay", "norm_weight_decay")),
        ("norm.group_size", norm.group_size, "at least 1", norm.group_size >= 1),
        ("norm.sync_devices", norm.sync_devices, "at least 1", norm.sync_devices >= 1),
        ("norm.precise_batches", norm.precise_batches, "at least 1", norm.precise_batches >= 1),
        ("train.batch_size", train.batch_size, f"a multiple of config.norm.group_size, "
         f"{norm.group_size}, or less, in clips ({clips})", clips <= group or clips % group == 0),
    ):
        if not good:
            raise ConfigError(f"config.{name} is {value}, expected {allowed}")
    try:
        parse_steps(config.profile_steps)
    except ValueError as error:
        raise ConfigError(f"config.{error}") from error
    check_values(config)
    training_plan(config)


def training_plan(config: ConfigDict) -> Plan:
    """What a run of this config sees in which epoch; ConfigError where it can have no plan."""
    train, protocol = config.train, config.protocol
    shape = Shape(
        train.batch_size, protocol.num_frames, protocol.train_crop, config.norm.group_size,
        tuple(config.data.jitter), (protocol.sampling_rate, protocol.sampling_rate),
    )
    schedule = scaled(config.schedule.to_dict(), train.batch_size)
    try:
        plan = make_plan(
            shape, epochs=train.epochs, schedule=schedule,
            eval_period=train.eval_period, checkpoint_period=train.checkpoint_period,
            multigrid=config.multigrid.to_dict(), sync_devices=config.norm.sync_devices,
        )
        check_schedule(plan.schedule, plan.epochs)
    except ValueError as error:
        raise ConfigError(f"config.{error}") from error
    if plan.shapes != (shape,):
        _check_cycles(config, plan)
    return plan


def _check_cycles(config: ConfigDict, plan: Plan) -> None:
    if config.task != "classification":
        raise ConfigError(f"config.multigrid goes with classification, not with {config.task}")
    if config.model.get("head_pool") != "global":
        raise ConfigError(
            f"config.model.head_pool is {config.model.get('head_pool')}, expected global: with "
            "config.multigrid clips come in several sizes"
        )
    alpha = config.model.get("alpha", 1)
    for shape in plan.shapes:
        clips, group = shape.batch_size * clips_of_example(config), shape.group_size
        if shape.num_frames % alpha:
            raise ConfigError(
                f"config.multigrid.long_cycle_factors makes clips of {shape.num_frames} frames, "
                f"expected multiples of config.model.alpha, {alpha}"
            )
        if clips > group and clips % group:
            raise ConfigError(
                f"config.multigrid makes batches of {clips} clips, which do not split into "
                f"groups of {group} that share batch statistics; choose another "
                "config.multigrid.norm_group_size (config.norm.group_size without the long cycle)"
            )


def clips_of_example(config: ConfigDict) -> int:
    """Rows of a training batch that come from one video."""
    return config.augment.get("num_clips", 1) * config.augment.get("num_samples", 1)


def _check_mixing(config: ConfigDict) -> None:
    augment, loss = config.augment, config.train.loss
    for name, most in (
        ("mixup_alpha", math.inf), ("cutmix_alpha", math.inf), ("mix_prob", 1), ("switch_prob", 1),
        ("label_smoothing", 1),
    ):
        if not 0 <= augment[name] <= most:
            raise ConfigError(
                f"config.augment.{name} is {augment[name]}, expected "
                + ("0 or more" if most == math.inf else f"0..{most}")
            )
    used = [n for n in ("mixup_alpha", "cutmix_alpha", "label_smoothing") if augment[n]]
    if used and loss != "soft_cross_entropy":
        raise ConfigError(
            f"config.augment.{used[0]} makes soft targets: it goes with "
            f"config.train.loss=soft_cross_entropy, not with {loss}"
        )
    if used and config.data.multi_label:
        raise ConfigError(f"config.augment.{used[0]} goes with one class for each clip")


def _complete(config: ConfigDict) -> None:
    """Fills in what the zoo entry knows; the recipe's own values win."""
    own = config.model.to_dict() if "model" in config else {}
    if "name" not in own:
        raise ConfigError("no config.model.name; name a model of slowfast_jax.list_models()")
    try:
        entry = zoo.find(own["name"])
    except ValueError as error:
        raise ConfigError(f"config.model.name: {error}") from None
    fields = _fields(entry["make"])
    _check_keys("model", set(own) - {"name"}, fields)
    protocol = config.get("protocol", {})
    _check_keys("protocol", protocol, entry["protocol"])

    defaults = {k: v for k, v in fields.items() if isinstance(v, (bool, int, float, str, tuple))}
    defaults = {k: v for k, v in defaults.items() if k not in FROM_PROTOCOL}
    if "dtype" in fields:
        defaults["dtype"] = jnp.dtype(fields["dtype"]).name
    model = defaults | entry["model"] | own
    _fill(config, DEFAULTS)
    if "augment" in config:
        _fill(config.augment, AUGMENT.get(config.task, {}))
    if config.class_names not in ("", entry["class_names"]):
        if "num_classes" not in own:
            model["num_classes"] = len(class_names(config.class_names))
    elif model["num_classes"] == entry["model"]["num_classes"]:
        ships = entry["class_names"] in shipped_sets()
        config.class_names = entry["class_names"] if ships else ""
    else:  # the entry's names are of other classes
        config.class_names = ""
    if config.name == own["name"]:  # no recipe has said what the model is for
        config.task = "detection" if model.get("detection") else "classification"
        config.data.multi_label = model["activation"] == "sigmoid"
        config.data.update(DATA_OF_ZOO.get(own["name"].split("/")[0], {}))
    config.model = ConfigDict(model)
    protocol = entry["protocol"] | dict(protocol)
    config.protocol = ConfigDict(protocol | {"target_fps": float(protocol["target_fps"])})


def _fields(make: type[nn.Module]) -> dict[str, Any]:
    """Keywords of a network -> default."""
    return {f.name: f.default for f in dataclasses.fields(make) if f.name not in INTERNAL_FIELDS}


def _check_keys(section: str, keys: Iterable[str], known: Iterable[str]) -> None:
    for key in keys:
        if key not in known:
            raise ConfigError(
                f"config.{section}.{key} does not exist{closest(key, known)} "
                f"(there are {', '.join(sorted(known))})"
            )


def _fill(config: ConfigDict, defaults: Mapping[str, Any]) -> None:
    for key, value in defaults.items():
        if key not in config:
            config[key] = ConfigDict(value) if isinstance(value, dict) else value
        elif isinstance(value, dict):
            _fill(config[key], value)
