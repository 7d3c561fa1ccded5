"""Takes apart the arguments of the command line before they are parsed."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

PYSLOWFAST_KEY = r"[A-Z_0-9]+(\.\w+)+"


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


def take_overrides(
    argv: Sequence[str], flag_values: flags.FlagValues
) -> tuple[list[str], list[str]]:
    """Removes what follows a YAML file of PySlowFast: (KEY, VALUE, KEY, VALUE ..., the rest).

    Args:
      argv: the program's name and its arguments, without --config.
      flag_values: the flags that are defined.
    """
    overrides, rest, place = [], list(argv[:1]), 1
    while place < len(argv):
        pair, name = list(argv[place:place + 2]), argv[place].lstrip("-")
        taken = overrides
        if argv[place].startswith("-"):
            taken = rest
            takes_value = name in flag_values and not flag_values[name].boolean
            of_config = name.startswith("config.") and not re.fullmatch(PYSLOWFAST_KEY, pair[-1])
            if "=" in name or not (takes_value or of_config):
                pair = pair[:1]
        taken += pair
        place += len(pair)
    return overrides, rest


def set_flags(
    found: Mapping[str, Any], rest: Sequence[str], flag_values: flags.FlagValues
) -> None:
    """Sets flags that the command line does not give."""
    for name, value in found.items():
        if not take_flag(name, rest)[0] and f"--no{name}" not in rest:
            flag_values[name].value = value
