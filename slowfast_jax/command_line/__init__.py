"""The command line of `python -m slowfast_jax.main`: its flags, and a config with overrides."""

import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags import config_path

from slowfast_jax.command_line.arguments import (
    PYSLOWFAST_KEY,
    set_flags,
    take_flag,
    take_overrides,
)
from slowfast_jax.command_line.flag_names import (
    BACKEND_MODES,
    FLAG_NAMES,
    FLAGS_OF_EXTRACT,
    MODE_NAMES,
    define_flags,
)
from slowfast_jax.config import (
    ConfigError,
    check_ranges,
    check_test,
    closest,
    describe,
    follow,
    full_schema,
    is_pyslowfast,
    load_config,
    load_published,
    read_pyslowfast,
    recipe_files,
    restore_config,
    schema,
    split_name,
    variants_of,
)
from slowfast_jax.config.completion import check_keys
from slowfast_jax.config.problems import Problems
from slowfast_jax.config.stored import CONFIG_FILE, read_config
from slowfast_jax.fields import Field, expected_words
from slowfast_jax.published import find
from slowfast_jax.training.checkpoint import latest_checkpoint
from slowfast_jax.weights import stored_config

__all__ = [
    "FLAG_NAMES", "WrongArguments", "answer", "as_flags", "define_flags", "parse", "run_config",
    "take_flag",
]
SETS_FIELD = r"--?(?:no)?config\.([^=\[]+)"  # an argument that sets a field of the config
IS_COMPLETE = r"--?config\..*="  # the value is not in the next argument
# Flag of PySlowFast -> what to write instead.
FLAGS_OF_PYSLOWFAST = {
    "cfg": "--config FILE.yaml",
    "opts": "the pairs KEY VALUE alone, after --config FILE.yaml",
    "num_shards": "NUM_SHARDS N, after --config FILE.yaml",
    "shard_id": "--process_id",
    "init_method": "--coordinator",
}
TRAINING_MODES = ("train", "config", "bench_data", "compile")  # a zoo name is the recipe


class WrongArguments(ConfigError):
    """Arguments of the command that are wrong.

    Attributes:
      found: the problems.
      config: the config with the arguments that are right.
      unset: the fields, such as "train.epochs", or sections that other arguments meant to set.
      flags: the values of --mode, --workdir and --weights.
    """

    def __init__(
        self, found: Problems, config: ConfigDict, unset: frozenset[str],
        flags: Mapping[str, str | None],
    ):
        super().__init__(str(found.error()))
        self.found, self.config, self.unset, self.flags = found, config, unset, flags


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
      config is that of the run in --workdir. A YAML file of PySlowFast may be followed by pairs
      KEY VALUE; it also sets flags that are not given.

    Raises:
      WrongArguments: arguments are not understood, fields have a value of the wrong type or out of
        its range, or do not fit each other. The message names them and close matches.
      ConfigError: there is no such config.
    """
    for name, ours in FLAGS_OF_PYSLOWFAST.items():
        if take_flag(name, argv)[0]:
            raise ConfigError(
                f"--{name} is a flag of PySlowFast; here it is {ours} (docs/from_pyslowfast.md)"
            )
    specs, rest = take_flag("config", argv)
    overrides: list[str] = []
    if specs and is_pyslowfast(specs[-1]):
        overrides, rest = take_overrides(rest, flag_values)
        set_flags(read_pyslowfast(Path(specs[-1]), overrides).flags, rest, flag_values)
    config = _config_of(specs, rest, overrides)
    before = config.copy_and_resolve_references()
    problems = Problems()
    understood = applied = _understood(rest, before, problems)
    left = None
    with problems.noted():
        left = _apply(config, before, understood, flag_values)
    if left is None:
        applied = [argument for argument in understood if re.match(IS_COMPLETE, argument)]
        with suppress(ConfigError):
            _apply(config, before, ["", *applied], flags.FlagValues())
    else:
        with problems.noted():
            _check_flags(flag_values)
    given = {field for argument in applied for field in _fields_of(argument, before)}
    if left is not None:
        given = flag_values["config"].override_values
    with problems.noted():
        follow(config, given)
    given_flags = {
        name: next(reversed(take_flag(name, rest)[0]), flag_values[name].value)
        for name in ("mode", "workdir", "weights")
    }
    if not problems and given_flags["mode"] in ("eval", "extract"):
        with problems.noted():
            check_test(config)
    if problems:
        unset = {field for argument in rest for field in _fields_of(argument, before)}
        raise WrongArguments(problems, config, frozenset(unset - set(given)), given_flags)
    return config, left


def _check_flags(flag_values: flags.FlagValues) -> None:
    """Raises ConfigError with all flags that do not exist, or not for the mode, or not together."""
    problems, mode = [], flag_values.mode
    if mode not in MODE_NAMES:
        known = ", ".join(MODE_NAMES)
        problems.append(f"--mode={mode} does not exist{closest(mode, MODE_NAMES)} ({known})")
    problems += [
        f"--{name} is for --mode=extract, and the mode is {mode}"
        for name in FLAGS_OF_EXTRACT if mode != "extract" and flag_values[name].present
    ]
    match = re.fullmatch(r"(\d+)/(\d+)", flag_values.shard)
    if not match or int(match[1]) >= int(match[2]):
        count = max(int(match[2]), 1) if match else 8
        problems.append(
            f"--shard is {flag_values.shard}, expected a part and the number of parts, counted "
            f"from 0: 0/{count} to {count - 1}/{count}"
        )
    if flag_values.scores and (mode != "eval" or flag_values.weights or flag_values.clips):
        problems.append("--scores is for --mode=eval, without --weights and --clips")
    for clips in flag_values.clips or ():
        if not clips.isdecimal() or int(clips) < 1:
            problems.append(f"--clips has {clips!r}, expected numbers as in --clips=1,3,5,7,10")
    if flag_values.compare and mode != "report":
        problems.append(f"--compare is for --mode=report, not for --mode={mode}")
    if flag_values.zoo and mode != "reproduce":
        problems.append(f"--zoo is for --mode=reproduce, not for --mode={mode}")
    if flag_values.backend != "jax" and mode not in BACKEND_MODES:
        problems.append(
            f"--backend is for the modes {', '.join(BACKEND_MODES)}, not for --mode={mode}"
        )
    if problems:
        raise ConfigError(*problems)


# What absl and ml_collections raise about a flag.
FLAG_ERRORS = (flags.Error, AttributeError, LookupError, SyntaxError, TypeError, ValueError)


def _understood(arguments: Sequence[str], config: ConfigDict, problems: Problems) -> list[str]:
    """The arguments without those that set no field of the config, which are noted as problems."""
    understood = []
    for argument in arguments:
        with problems.noted():
            _check_field(argument, config)
            if re.match(IS_COMPLETE, argument):
                _apply(
                    config.copy_and_resolve_references(), config, ["", argument],
                    flags.FlagValues(),
                )
            understood.append(argument)
    return understood


def _fields_of(argument: str, config: ConfigDict) -> list[str]:
    """The field that an argument sets. If there is no such field, the ones of similar names, or
    else the section."""
    match = re.match(SETS_FIELD, argument)
    section, walked = config, []
    for key in match[1].split(".") if match else ():
        if not isinstance(section, ConfigDict):
            break
        if key not in section:
            near = difflib.get_close_matches(key, list(section), n=3, cutoff=0.5)
            names = near or ([] if walked else list(section))
            return [".".join([*walked, name]) for name in names] or [".".join(walked)]
        walked.append(key)
        section = section[key]
    return [".".join(walked)] if match else []


def _set_fields(
    config: ConfigDict, arguments: Sequence[str], flag_values: flags.FlagValues
) -> list[str]:
    """Sets the fields of the config that the arguments name; returns those that are no flags."""
    config_flags.DEFINE_config_dict(
        "config", config, flag_values=flag_values, sys_argv=list(arguments)
    )
    return flag_values(arguments)


def _apply(
    config: ConfigDict, before: ConfigDict, arguments: Sequence[str], flag_values: flags.FlagValues
) -> list[str]:
    """As `_set_fields`, with checks of the values. before: the config without the arguments."""
    try:
        left = _set_fields(config, arguments, flag_values)
    except FLAG_ERRORS as error:
        raise ConfigError(_explain(error, before, arguments)) from None
    if len(left) > 1:
        pairs = "; pairs KEY VALUE follow a YAML file of PySlowFast, not a recipe"
        hint = pairs if re.fullmatch(PYSLOWFAST_KEY, left[1]) else ""
        raise ConfigError(f"{left[1]} is not a flag: flags start with --{hint}")
    _check_tuples(flag_values["config"].override_values, before)
    if config.model.name != before.model.name:
        raise ConfigError(
            "--config.model.name cannot be overridden, because config.model would keep the other "
            f"keywords of {before.model.name}: use a recipe for {config.model.name}, or "
            f"--config={config.model.name}"
        )
    check_ranges(config, full_schema(config))
    return left


def _config_of(
    specs: Sequence[str], rest: Sequence[str], overrides: Sequence[str] = ()
) -> ConfigDict:
    """The config of the last --config, else of the run in --workdir; for the mode reproduce, that
    of the first checkpoint of --zoo that can be tested."""
    mode = next(reversed(take_flag("mode", rest)[0]), "train")
    if mode == "reproduce":
        return _config_of_rows(specs, take_flag("zoo", rest)[0])
    workdir = next(reversed(take_flag("workdir", rest)[0]), "")
    if any(specs):
        return load_config(specs[-1], train=mode in TRAINING_MODES, overrides=overrides)
    if specs or not workdir:
        raise ConfigError(
            "--config is missing: name a recipe (kinetics/x3d_xs_finetune), a published model "
            "(kinetics/x3d_xs), or the --workdir of an earlier run"
        )
    return run_config(workdir)


def _config_of_rows(specs: Sequence[str], names: Sequence[str]) -> ConfigDict:
    if specs:
        raise ConfigError(
            "--config does not go with --mode=reproduce, in which a published checkpoint decides "
            "the config: name it with --zoo"
        )
    if not names:
        raise ConfigError(
            "--zoo is missing: name a published checkpoint, such as --zoo kinetics/x3d_m "
            "(docs/model_zoo.md lists all; --zoo can be repeated)"
        )
    problems = []
    for name in names:
        try:
            return load_published(find(name))
        except ValueError as error:
            problems.append(str(error))
    raise ConfigError(*problems)


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
    match = re.match(SETS_FIELD, argument)
    section, walked = config, "config"
    for key in match[1].split(".") if match else ():
        if not isinstance(section, ConfigDict):
            raise ConfigError(
                f"--config.{match[1]} does not exist: {walked} is a value, not a section"
            )
        check_keys(walked, [key], section, "--")
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
