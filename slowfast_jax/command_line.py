"""The command line of `python -m slowfast_jax.main`: its flags, and a config with overrides."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags import config_path

from slowfast_jax import distributed
from slowfast_jax.config import (
    ConfigError,
    check_ranges,
    check_test,
    closest,
    describe,
    follow,
    full_schema,
    load_config,
    recipe_files,
    restore_config,
    schema,
    split_name,
    variants_of,
)
from slowfast_jax.config.field import Field, expected_words
from slowfast_jax.config.stored import CONFIG_FILE, read_config
from slowfast_jax.training.checkpoint_folders import latest_checkpoint
from slowfast_jax.weights import stored_config

MODE_NAMES = ("train", "eval", "extract", "report", "config", "summary", "bench_data", "compile")
FLAGS_OF_EXTRACT = ("endpoint", "whole", "window", "stride", "shard")
TRAINING_MODES = ("train", "config", "bench_data", "compile")  # a zoo name is the recipe
FLAG_NAMES = (
    "workdir", "mode", "weights", "clips", "save_scores", "scores", "allow_failed", "endpoint",
    "whole", "window", "stride", "shard", "clips_per_second",
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
        "weights", None, "eval, extract: checkpoint to use. Default: config.test.checkpoint, "
        "else the last one in --workdir, else config.train.init_from.path. --weights=random takes "
        "an untrained network.", flag_values=flag_values,
    )
    flags.DEFINE_list(
        "clips", None, "eval: test once with each of these numbers of clips per video, "
        "such as 1,3,5,7,10.", flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "save_scores", False, "eval: write all scores to WORKDIR/scores.npz.",
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "scores", None, "eval: instead of testing a network, average the scores that several tests "
        "saved, as in a/scores.npz,b/scores.npz, and print the metrics of the averages.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "allow_failed", False, "eval, extract: exit with 0 even if videos cannot be read.",
        flag_values=flag_values,
    )
    flags.DEFINE_string(
        "endpoint", "features", "extract: name of the network's array to extract; a wrong name "
        "lists all. features is the input of the classifier.", flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "whole", False, "extract: keep the endpoint's positions in time and space instead of "
        "averaging over them.", flag_values=flag_values,
    )
    flags.DEFINE_float(
        "window", None, "extract: seconds of video that each row describes; at least, and by "
        "default, those of a clip.", lower_bound=0.001, flag_values=flag_values,
    )
    flags.DEFINE_float(
        "stride", None, "extract: seconds from one window to the next. Default: the window's.",
        lower_bound=0.001, flag_values=flag_values,
    )
    flags.DEFINE_string(
        "shard", "0/1", "extract: the part of the list to process, such as 0/8 to 7/8 in eight "
        "jobs.", flag_values=flag_values,
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
      The config with its overrides applied, and with the fields that follow from them (see
      `slowfast_jax.config.follow`); and the arguments that are not flags. Without --config, the
      config is that of the run in --workdir.

    Raises:
      ConfigError: an argument is not understood, or a field has a value of the wrong type or out
        of its range. The message names it and close matches.
    """
    specs, rest = take_flag("config", argv)
    config = _config_of(specs, rest)
    before = config.copy_and_resolve_references()
    for argument in rest:
        _check_field(argument, config)
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=flag_values, sys_argv=rest)
        left = flag_values(rest)
    except (
        flags.Error, AttributeError, LookupError, SyntaxError, TypeError, ValueError
    ) as error:
        raise ConfigError(_explain(error, before, rest)) from None
    if len(left) > 1:
        raise ConfigError(f"{left[1]} is not a flag: flags start with --")
    given = flag_values["config"].override_values
    _check_tuples(given, before)
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
    for name in FLAGS_OF_EXTRACT if mode != "extract" else ():
        if flag_values[name].present:
            raise ConfigError(f"--{name} is for --mode=extract, and the mode is {mode}")
    _check_shard(flag_values.shard)
    if flag_values.scores and (mode != "eval" or flag_values.weights or flag_values.clips):
        raise ConfigError("--scores is for --mode=eval, without --weights and --clips")
    for clips in flag_values.clips or ():
        if not clips.isdecimal() or int(clips) < 1:
            raise ConfigError(f"--clips has {clips!r}, expected numbers as in --clips=1,3,5,7,10")
    check_ranges(config, full_schema(config))
    follow(config, given)
    if mode in ("eval", "extract"):
        check_test(config)
    return config, left


def _check_shard(text: str) -> None:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        count = max(int(match[2]), 1) if match else 8
        raise ConfigError(
            f"--shard is {text}, expected a part and the number of parts, counted from 0: "
            f"0/{count} to {count - 1}/{count}"
        )


def _config_of(specs: Sequence[str], rest: Sequence[str]) -> ConfigDict:
    """The config of the last --config, else of the run in --workdir."""
    mode = next(reversed(take_flag("mode", rest)[0]), "train")
    workdir = next(reversed(take_flag("workdir", rest)[0]), "")
    if any(specs):
        return load_config(specs[-1], train=mode in TRAINING_MODES)
    if specs or not workdir:
        raise ConfigError(
            "--config is missing: name a recipe (kinetics/x3d_xs_finetune), a published model "
            "(kinetics/x3d_xs), or the --workdir of an earlier run"
        )
    return run_config(workdir)


def run_config(workdir: str) -> ConfigDict:
    """The config of an earlier run, from its config.json or else from its last checkpoint.

    Raises ConfigError if the folder has neither.
    """
    stored = read_config(workdir)
    if stored is None and latest_checkpoint(workdir):
        stored = stored_config(workdir)[0]
    if stored is None:
        raise ConfigError(
            f"--config is missing, and {workdir} is not the folder of an earlier run (it has "
            f"neither {CONFIG_FILE} nor checkpoints): name a recipe (kinetics/x3d_xs_finetune) or "
            "a published model (kinetics/x3d_xs)"
        )
    config = restore_config(stored)
    config.test.checkpoint = ""  # test the last checkpoint of the run
    return config


def answer(argv: Sequence[str], usage: str) -> str | None:
    """What to print for --help, and for --mode=config with a recipe that has several variants.

    Args:
      argv: the program's name and its arguments.
      usage: the general help text.

    Returns:
      With --help, the usage, or the fields of --config if it is given. None for other arguments.
    """
    specs, rest = take_flag("config", argv)
    found = split_name(specs[-1]) if specs else None
    asks = not {"--help", "-h", "-help"}.isdisjoint(rest)
    if found and not found[1] and (asks or "config" in take_flag("mode", rest)[0]):
        return "\n".join(f"{found[0].stem}/{variant}" for variant in variants_of(found[0]))
    if not asks:
        return None
    if any(specs):
        return describe(_config_of(specs, rest))
    return f"{usage}\nRecipes: {', '.join(recipe_files())}."


def as_flags(message: str) -> str:
    """A message with fields of the config written as flags: --config.train.epochs."""
    sections = "|".join({*schema.training_sections("*"), "model", "protocol", "augment"})
    return re.sub(rf"(?<![\w./-])config\.(?=(?:{sections})\b)", "--config.", message)


def _check_field(argument: str, config: ConfigDict) -> None:
    """Raises ConfigError for a flag like --config.test.batchsize=8 whose field does not exist."""
    match = re.match(r"--?(?:no)?config\.([^=\[]+)", argument)
    section, walked = config, "config"
    for key in match[1].split(".") if match else ():
        if not isinstance(section, ConfigDict):
            raise ConfigError(
                f"--config.{match[1]} does not exist: {walked} is a value, not a section"
            )
        if f"{walked}.{key}" in schema.REMOVED:
            raise ConfigError(
                f"--{walked}.{key} no longer exists: {schema.REMOVED[f'{walked}.{key}']}"
            )
        if key not in section:
            raise ConfigError(
                f"--config.{match[1]} does not exist{closest(key, section)} ({walked} has "
                f"{', '.join(sorted(section))})"
            )
        section, walked = section[key], f"{walked}.{key}"
    if match and isinstance(section, ConfigDict):
        raise ConfigError(
            f"--config.{match[1]} is a section: set one of its fields "
            f"({', '.join(sorted(section))})"
        )


def _explain(error: Exception, config: ConfigDict, arguments: Sequence[str]) -> str:
    """One line on flags that could not be parsed."""
    text = " ".join(str(error).split())
    if isinstance(error, IndexError):  # of --config.data.jitter[7]=64
        return f"{' '.join(argument for argument in arguments if '[' in argument)}: {text}"
    match = re.match(r"flag --config\.([^=\s]+)=(.*?): ", text)
    try:
        field = _schema_of(match[1], config)
    except (KeyError, TypeError):
        return text
    return f"--config.{match[1]} is {match[2] or repr('')}, expected {expected_words(field)}"


def _schema_of(path: str, config: ConfigDict) -> Field:
    field = full_schema(config)
    for key in path.split("."):
        field = field[key]
    return field


def _check_tuples(overrides: Mapping[str, Any], before: ConfigDict) -> None:
    """Raises ConfigError for a tuple with elements of another type, which absl's flags accept."""
    for field, value in overrides.items():
        if not isinstance(value, tuple):
            continue
        old = config_path.get_value(field, before)
        types = {type(element) for element in old} | ({int} if float in map(type, old) else set())
        if old and not {type(element) for element in value} <= types:
            raise ConfigError(f"--config.{field} is {value!r}, expected something like {old!r}")
