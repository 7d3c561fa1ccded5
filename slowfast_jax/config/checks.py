"""Checks of a complete config: types and ranges of the schema, and fields that must fit each other.

Functions `..._problems` return a line for each problem; functions `check_...` raise ConfigError
with all of them.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from ml_collections import ConfigDict

from data_pipelines.transforms.rand_augment import parse as parse_policy
from slowfast_jax.config import schema
from slowfast_jax.config.class_weights import fixed_weights
from slowfast_jax.config.classes import label_problems, score_problems
from slowfast_jax.config.completion import PLAIN, fields_of
from slowfast_jax.config.recipe_files import ConfigError, closest
from slowfast_jax.config.schema_model import MODEL
from slowfast_jax.fields import Field, Section, field_problems, shown
from slowfast_jax.models import zoo
from slowfast_jax.models.dtypes import dtype_table
from slowfast_jax.training.multigrid import make_plan
from slowfast_jax.training.plan import Plan, Shape
from slowfast_jax.training.profiling import parse_steps
from slowfast_jax.training.schedules import check_schedule, scaled

TRAINING_SECTIONS = ("train", "optimizer", "schedule", "norm", "augment")
SOFT_TARGETS = ("mixup_alpha", "cutmix_alpha", "label_smoothing")


def value_problems(config: ConfigDict) -> list[str]:
    """What does not allow running the network under its test protocol."""
    return _fields_for_testing(config) or _protocol_problems(config)


def testing_problems(config: ConfigDict) -> list[str]:
    """What does not allow testing on the config's data."""
    return value_problems(config) or _task_problems(config)


def _fields_for_testing(config: ConfigDict) -> list[str]:
    sections = {**schema.TESTING, "protocol": schema.PROTOCOL}
    return [*field_problems(config, sections), *_model_problems(config)]


def _task_problems(config: ConfigDict) -> list[str]:
    """Task, data and network that do not fit each other."""
    if config.task not in schema.FORMATS_OF_TASK:
        return []
    problems = []
    formats, data_format = schema.FORMATS_OF_TASK[config.task], config.data.format
    if data_format not in formats:
        problems.append(
            f"config.data.format is {data_format}, expected {' or '.join(formats)} for task "
            f"{config.task}{closest(data_format, formats)}"
        )
    if bool(config.model.get("detection")) != (config.task == "detection"):
        problems.append(
            f"config.model.detection is {config.model.get('detection')}, which does not fit "
            f"config.task, {config.task}: networks that classify boxes are for task detection"
        )
    return problems + score_problems(config)


def _protocol_problems(config: ConfigDict) -> list[str]:
    problems: list[str] = []
    protocol, alpha = config.protocol, config.model.get("alpha", 1)
    if config.task != "detection" and protocol.sampling_rate < 1:
        problems.append(
            f"config.protocol.sampling_rate is {protocol.sampling_rate}, expected at least 1 (0, "
            "which repeats the keyframe, is for task detection)"
        )
    if protocol.num_frames % alpha:
        problems.append(
            f"config.protocol.num_frames is {protocol.num_frames}, expected a multiple of "
            f"config.model.alpha, {alpha}"
        )
    return problems


def _model_problems(config: ConfigDict) -> list[str]:
    name = config.model.name
    if not isinstance(name, str) or name not in zoo.ZOO:
        near = closest(str(name), zoo.ZOO)
        return [f"config.model.name is {shown(name)}, expected a network of the zoo{near}"]
    make = zoo.ZOO[name]["make"]
    others = {
        key: Field(default, "") for key, default in fields_of(make).items()
        if key not in MODEL and isinstance(default, PLAIN)
    }
    problems = field_problems(config.model, {**others, **MODEL}, "config.model")
    if not problems and config.model.get("dtypes"):
        try:
            dtype_table(config.model.dtypes, make.parts)
        except ValueError as error:
            problems.append(f"config.model.{error}")
    return problems


def check_ranges(config: ConfigDict, section: Section, name: str = "config") -> None:
    """Raises ConfigError with the problems of `field_problems`, if there are any."""
    _raise(field_problems(config, section, name))


def check_values(config: ConfigDict) -> None:
    """Raises ConfigError with all fields with which the network cannot run."""
    _raise(value_problems(config))


def check_test(config: ConfigDict) -> None:
    """Raises ConfigError with all fields that do not allow testing on the config's data."""
    _raise(testing_problems(config))


def check_training(config: ConfigDict, wrong: Iterable[str] = ()) -> None:
    """Raises ConfigError with all missing or invalid fields of a training config. Checks that
    depend on one of the fields `wrong`, such as "train.epochs", are left out."""
    example = config.name if config.name in zoo.classifiers() else "kinetics/x3d_xs"
    for section in TRAINING_SECTIONS:
        if section not in config:
            raise ConfigError(
                f"{config.name} has no config.{section}: it only describes how a model is tested. "
                f"To train a published model, name a recipe ({example}_finetune)"
            )
    if not config.train.enable:
        raise ConfigError(
            f"{config.name} only describes how released weights are tested "
            "(config.train.enable is False). To train it with the original's default schedule, "
            "add --config.train.enable"
        )
    _raise(training_problems(config, wrong))


def training_problems(config: ConfigDict, wrong: Iterable[str] = ()) -> list[str]:
    """What does not allow training with a config that has all sections. wrong: see
    `check_training`."""
    problems = unusable_values(config)
    known = isinstance(config.task, str) and config.task in schema.AUGMENT
    wrong = {field.partition(".")[0] for field in wrong}
    wrong |= {re.match(r"config\.(\w+)", problem)[1] for problem in problems}
    for check, sections, needs_schema in (
        (_task_problems, "task data model", True),
        (_protocol_problems, "task protocol model", False),
        (lambda config: _caught(lambda: check_augmentation(config)), "augment data train", True),
        (_batch_problems, "train norm augment model", False),
        (_schedule_problems, "train schedule multigrid protocol norm data model augment task",
         False),
        (_other_problems, "profile_steps optimizer", False),
        (_crop_problems, "data protocol", True),
        (_dtype_problems, "model", False),
        (label_problems, "train data model class_names", True),
        (_weight_problems, "train data model", True),
    ):
        # A check that computes with a wrong value would fail.
        if wrong.isdisjoint(sections.split()) and (known or not needs_schema):
            problems += check(config)
    return list(dict.fromkeys(problems))


def unusable_values(config: ConfigDict) -> list[str]:
    """The problems of a training config that are those of a single field: its type or range."""
    data_format = config.data.get("format", "")
    sections = schema.training_sections(data_format if isinstance(data_format, str) else "")
    problems = field_problems(config, {k: v for k, v in sections.items() if k in schema.TRAINING})
    problems += field_problems(config.data, sections["data"], "config.data")
    problems += _fields_for_testing(config)
    if isinstance(config.task, str) and config.task in schema.AUGMENT:
        problems += field_problems(config.augment, schema.AUGMENT[config.task], "config.augment")
    return problems


def _batch_problems(config: ConfigDict) -> list[str]:
    size, group = config.train.batch_size, config.norm.group_size
    rows = clips_of_example(config)
    clips = size * rows
    if clips <= group or clips % group == 0 or config.model.get("frozen_norm"):
        return []
    fits = next((n for n in range(size, 0, -1) if n * rows % group == 0), None)
    divisor = next(n for n in range(min(group, clips), 0, -1) if clips % n == 0)
    return [
        f"config.train.batch_size is {size}, which makes {clips} clips; expected a multiple of "
        f"config.norm.group_size, {group}, or at most {group}: set "
        + (f"config.train.batch_size={fits} or " if fits else "")
        + f"config.norm.group_size={divisor}"
    ]


def _schedule_problems(config: ConfigDict) -> list[str]:
    schedule, epochs = config.schedule, config.train.epochs
    problems = _caught(lambda: training_plan(config))
    if schedule.warmup_epochs >= epochs and not problems:
        shorter = epochs // 10 if schedule.style == "mmengine" else epochs / 10
        problems.append(
            f"config.schedule.warmup_epochs is {schedule.warmup_epochs:g}, expected less than "
            f"config.train.epochs, {epochs}: set a shorter warm-up, such as "
            f"config.schedule.warmup_epochs={shorter:g}"
        )
    if schedule.warmup_epochs > 0 and schedule.warmup_start_lr > schedule.base_lr:
        problems.append(
            f"config.schedule.warmup_start_lr is {schedule.warmup_start_lr:g}, expected at most "
            f"config.schedule.base_lr, {schedule.base_lr:g}: a warm-up starts with a lower rate"
        )
    return problems


def _other_problems(config: ConfigDict) -> list[str]:
    problems, optimizer = _caught(lambda: parse_steps(config.profile_steps)), config.optimizer
    if optimizer.name == "sgd" and optimizer.nesterov and (
        optimizer.momentum == 0 or optimizer.dampening
    ):
        problems.append(
            "config.optimizer.nesterov needs momentum above 0 and no dampening; momentum is "
            f"{optimizer.momentum} and dampening {optimizer.dampening}"
        )
    if optimizer.name == "adamw" and optimizer.lars:
        problems.append(
            "config.optimizer.lars cannot be combined with adamw, which decays weights after "
            "scaling: set config.optimizer.name to sgd or adam"
        )
    return problems


def _crop_problems(config: ConfigDict) -> list[str]:
    problems, jitter, crop = [], config.data.jitter, config.protocol.train_crop
    if jitter[0] < crop and not config.data.jitter_scales_relative:
        problems.append(
            f"config.data.jitter is {tuple(jitter)}, expected numbers from "
            f"config.protocol.train_crop on, {crop}, because crops are cut from the resized frames"
        )
    if bool(config.data.jitter_scales_relative) != bool(config.data.jitter_aspect_relative):
        problems.append(
            "config.data.jitter_scales_relative and jitter_aspect_relative describe the same crop: "
            "set both or neither"
        )
    return problems


def _dtype_problems(config: ConfigDict) -> list[str]:
    model = config.model
    dtypes = [model.get("dtype", ""), *(d.partition(":")[2] for d in model.get("dtypes", ()))]
    if "float16" not in dtypes:
        return []
    return [
        "config.model.dtype or dtypes has float16, expected bfloat16 or float32: gradients in "
        "float16 vanish without loss scaling, which this program does not have"
    ]


def _weight_problems(config: ConfigDict) -> list[str]:
    setting = config.train.class_weights
    problems = []
    try:
        fixed_weights(setting, config.model.num_classes)
    except ValueError as error:
        problems.append(str(error))
    if setting and config.train.accumulate > 1 and not config.data.multi_label:
        problems.append(
            f"config.train.accumulate is {config.train.accumulate}, expected 1 with "
            "config.train.class_weights, because the loss divides by the weights of the whole batch"
        )
    if config.train.focal and config.train.loss != "bce_positive_rows":
        problems.append(
            f"config.train.focal needs config.train.loss=bce_positive_rows, not {config.train.loss}"
        )
    return problems


def check_augmentation(config: ConfigDict) -> None:
    """Raises ConfigError where config.augment has a field that the task ignores, a value out of
    range, or a combination that does not work. Tasks that the schema does not know are accepted.
    """
    augment = config.augment
    known = schema.AUGMENT.get(config.task) if isinstance(config.task, str) else None
    if known is None:
        return
    unknown = [key for key in augment if key not in known]
    if unknown:
        raise ConfigError(
            f"config.augment has {', '.join(unknown)}{closest(unknown[0], known)} (task "
            f"{config.task} applies {', '.join(known) or 'none'})"
        )
    check_ranges(augment, known, "config.augment")
    if config.task != "classification":
        return
    problems = []
    if augment.rand_augment:
        try:
            parse_policy(augment.rand_augment, augment.interpolation)
        except ValueError as error:
            problems.append(f"config.augment.rand_augment: {error}")
    if augment.motion_shift and not config.data.jitter_scales_relative:
        problems.append(
            "config.augment.motion_shift is True, expected False unless "
            "config.data.jitter_scales_relative is set"
        )
    soft = [key for key in SOFT_TARGETS if augment[key]]
    if soft and config.train.loss != "soft_cross_entropy":
        problems.append(
            f"config.augment.{soft[0]} makes soft targets, which need "
            f"config.train.loss=soft_cross_entropy; it is {config.train.loss}"
        )
    if soft and config.data.multi_label:
        problems.append(
            f"config.augment.{soft[0]} needs a single class per clip: config.data.multi_label is "
            "True, expected False"
        )
    _raise(problems)


def training_plan(config: ConfigDict) -> Plan:
    """The clip shapes, epochs, validations and checkpoints of a training run with this config.

    Raises ConfigError for an invalid schedule or invalid multigrid cycles.
    """
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
    """Raises ConfigError where task, network or batches do not fit the shapes of multigrid."""
    if config.task != "classification":
        raise ConfigError(f"config.multigrid is for task classification, not for {config.task}")
    if config.model.get("head_pool") != "global":
        raise ConfigError(
            f"config.model.head_pool is {config.model.get('head_pool')}, expected global, because "
            "config.multigrid trains on clips of several sizes"
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


def _caught(check: Callable[[], Any]) -> list[str]:
    """The problems that a check raises."""
    try:
        check()
    except ConfigError as error:
        return list(error.problems)
    except ValueError as error:
        return [f"config.{error}"]
    return []


def _raise(problems: Iterable[str]) -> None:
    problems = list(problems)
    if problems:
        raise ConfigError(*problems)
