"""Checks of a complete config: the ranges of the schema, and fields that must fit each other."""

from ml_collections import ConfigDict

from slowfast_jax.config import schema
from slowfast_jax.config.field import Field, Section
from slowfast_jax.config.recipe_files import ConfigError, closest
from slowfast_jax.training.multigrid import make_plan
from slowfast_jax.training.plan import Plan, Shape
from slowfast_jax.training.profiling import parse_steps
from slowfast_jax.training.schedules import check_schedule, scaled

TRAINING_SECTIONS = ("train", "optimizer", "schedule", "norm", "augment")
SOFT_TARGETS = ("mixup_alpha", "cutmix_alpha", "label_smoothing")


def check_ranges(config: ConfigDict, section: Section, name: str = "config") -> None:
    """Raises ConfigError for the first field that is outside of its range in the schema.

    Args:
      config: a config, or one of its sections.
      section: the schema of `config`. Fields that `config` lacks are not checked.
      name: name of `config` in the error message.
    """
    for key, field in section.items():
        if key not in config:
            continue
        if not isinstance(field, Field):
            check_ranges(config[key], field, f"{name}.{key}")
        elif field.range and not field.range.holds(config[key]):
            raise ConfigError(f"{name}.{key} is {config[key]}, expected {field.range.words}")


def check_values(config: ConfigDict) -> None:
    """Raises ConfigError for the first field whose value does not allow testing."""
    check_ranges(config, {**schema.TESTING, "protocol": schema.PROTOCOL})
    if config.task != "detection" and config.protocol.sampling_rate < 1:
        raise ConfigError(
            f"config.protocol.sampling_rate is {config.protocol.sampling_rate}, expected at least "
            "1 (0, which repeats the keyframe, is for task detection)"
        )


def check_training(config: ConfigDict) -> None:
    """Raises ConfigError for the first missing or invalid field of a training config."""
    for section in TRAINING_SECTIONS:
        if section not in config:
            raise ConfigError(
                f"{config.name} has no config.{section}: it only describes how a model is tested. "
                "To train a published model, name a recipe (configs/ava.py:VARIANT)"
            )
    if not config.train.enable:
        raise ConfigError(
            f"{config.name} only describes how released weights are tested "
            "(config.train.enable is False). To train it with the original's default schedule, "
            "add --config.train.enable"
        )
    check_augmentation(config)
    check_ranges(config, {key: schema.TRAINING[key] for key in ("train", "optimizer", "norm")})
    train, group = config.train, config.norm.group_size
    clips = train.batch_size * clips_of_example(config)
    if clips > group and clips % group:
        raise ConfigError(
            f"config.train.batch_size is {train.batch_size}, which makes {clips} clips; expected a "
            f"multiple of config.norm.group_size, {group}, or at most {group}"
        )
    try:
        parse_steps(config.profile_steps)
    except ValueError as error:
        raise ConfigError(f"config.{error}") from error
    check_values(config)
    training_plan(config)


def check_augmentation(config: ConfigDict) -> None:
    """Raises ConfigError where config.augment has a field that the task ignores, a value out of
    range, or a combination that does not work. Tasks that the schema does not know are accepted.
    """
    augment = config.augment
    known = schema.AUGMENT.get(config.task)
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
    if augment.motion_shift and not config.data.jitter_scales_relative:
        raise ConfigError(
            "config.augment.motion_shift is True, expected False unless "
            "config.data.jitter_scales_relative is set"
        )
    soft = [key for key in SOFT_TARGETS if augment[key]]
    if soft and config.train.loss != "soft_cross_entropy":
        raise ConfigError(
            f"config.augment.{soft[0]} makes soft targets, which need "
            f"config.train.loss=soft_cross_entropy; it is {config.train.loss}"
        )
    if soft and config.data.multi_label:
        raise ConfigError(
            f"config.augment.{soft[0]} needs a single class per clip: config.data.multi_label is "
            "True, expected False"
        )


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
