"""The command line of `python -m slowfast_jax.main`: its flags, and a config with overrides."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags import config_path

from slowfast_jax import distributed
from slowfast_jax.config import ConfigError, closest, load_config

MODE_NAMES = ("train", "eval", "report", "summary", "bench_data", "compile")
FLAG_NAMES = (
    "workdir", "mode", "weights", "clips", "save_scores", "allow_failed", "clips_per_second",
    "coordinator", "process_id", "num_processes", "meeting_seconds",
)


def define_flags(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines all flags except --config and its fields."""
    flags.DEFINE_string(
        "workdir", None, "Folder for checkpoints and results.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "mode", "train", f"What to do: {', '.join(MODE_NAMES)}.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "weights", None, "eval: checkpoint to test. Default: config.test.checkpoint, else the last "
        "one in --workdir, else config.train.init_from.path. --weights=random tests an untrained "
        "network.", flag_values=flag_values,
    )
    flags.DEFINE_list(
        "clips", None, "eval: test once with each of these numbers of clips per video, "
        "such as 1,3,5,7,10.", flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "save_scores", False, "eval: write all scores to WORKDIR/scores.npz.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "allow_failed", False, "eval: exit with 0 even if videos of the test set cannot be read.",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "clips_per_second", None, "bench_data: speed of the training step that loading must keep "
        "up with.", lower_bound=0.001, flag_values=flag_values,
    )
    flags.DEFINE_string(
        "coordinator", None, "Address (host:port) of process 0, to which the others connect.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "process_id", None, "Rank of this process, counted from 0.", flag_values=flag_values
    )
    flags.DEFINE_integer("num_processes", None, "Number of processes.", flag_values=flag_values)
    flags.DEFINE_float(
        "meeting_seconds", distributed.MEETING_SECONDS,
        "Seconds that the processes wait for each other at the start.", lower_bound=1.0,
        flag_values=flag_values,
    )


def take_flag(name: str, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Removes a flag from the arguments: (values of every --name VALUE or --name=VALUE, the rest).
    """
    rest, values = [], []
    arguments = iter(argv)
    for argument in arguments:
        match = re.fullmatch(rf"--?{name}(?:=(.*))?", argument)
        if match:
            values.append(match[1] if match[1] is not None else next(arguments, ""))
        else:
            rest.append(argument)
    return values, rest


def parse(
    argv: Sequence[str], flag_values: flags.FlagValues = flags.FLAGS
) -> tuple[ConfigDict, list[str]]:
    """Parses the command line.

    Args:
      argv: the program's name and its arguments.
      flag_values: receives the flags other than --config.

    Returns:
      The config with its overrides applied, and the arguments that are not flags.

    Raises:
      ConfigError: an argument is not understood. The message names it and close matches.
    """
    specs, rest = take_flag("config", argv)
    if not any(specs):
        raise ConfigError(
            "--config is missing: name a recipe (configs/kinetics.py:x3d_xs) or a published model "
            "(kinetics/x3d_xs)"
        )
    config = load_config(specs[-1])
    before = config.copy_and_resolve_references()
    for argument in rest:
        _check_field(argument, config)
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=flag_values, sys_argv=rest)
        left = flag_values(rest)
    except (flags.Error, TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None
    if len(left) > 1:
        raise ConfigError(f"{left[1]} is not a flag: flags start with --")
    _check_tuples(flag_values["config"].override_values, before)
    if config.model.name != before.model.name:
        raise ConfigError(
            "--config.model.name cannot be overridden, because config.model would keep the other "
            f"keywords of {before.model.name}: use a recipe for {config.model.name}, or "
            f"--config={config.model.name}"
        )
    mode = flag_values.mode
    if mode not in MODE_NAMES:
        known = ", ".join(MODE_NAMES)
        raise ConfigError(f"--mode={mode} does not exist{closest(mode, MODE_NAMES)} ({known})")
    for clips in flag_values.clips or ():
        if not clips.isdecimal() or int(clips) < 1:
            raise ConfigError(f"--clips has {clips!r}, expected numbers as in --clips=1,3,5,7,10")
    return config, left


def _check_field(argument: str, config: ConfigDict) -> None:
    """Raises ConfigError for a flag like --config.test.batchsize=8 whose field does not exist."""
    match = re.match(r"--?(?:no)?config\.([^=\[]+)", argument)
    section, walked = config, "config"
    for key in match[1].split(".") if match else ():
        if not isinstance(section, ConfigDict):
            raise ConfigError(
                f"--config.{match[1]} does not exist: {walked} is a value, not a section"
            )
        if key not in section:
            raise ConfigError(
                f"--config.{match[1]} does not exist{closest(key, section)} ({walked} has "
                f"{', '.join(sorted(section))})"
            )
        section, walked = section[key], f"{walked}.{key}"


def _check_tuples(overrides: Mapping[str, Any], before: ConfigDict) -> None:
    """Raises ConfigError for a tuple with elements of another type, which absl's flags accept."""
    for field, value in overrides.items():
        if not isinstance(value, tuple):
            continue
        old = config_path.get_value(field, before)
        types = {type(element) for element in old} | ({int} if float in map(type, old) else set())
        if old and not {type(element) for element in value} <= types:
            raise ConfigError(f"--config.{field} is {value!r}, expected something like {old!r}")
