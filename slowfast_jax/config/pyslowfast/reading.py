"""Reads a YAML file of PySlowFast with its overrides: the value of every key of the original.

As in the original (fvcore and yacs), texts that are Python literals are evaluated ("1e-4" is a
number to it, but a text to YAML), and `_BASE_` names the file that a file builds on.
"""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from slowfast_jax.config.pyslowfast.tables import KEYS, SECTIONS
from slowfast_jax.config.recipe_files import ConfigError, closest
from slowfast_jax.fields import shown

BASE = "_BASE_"
EXPECTED = {
    bool: "True or False", int: "a whole number", float: "a number", str: "a text",
    tuple: "a list",
}


class Setting(NamedTuple):
    """What a file and its overrides set.

    Attributes:
      values: value of every key of the original, with its defaults; lists are tuples.
      given: the keys that the file or an override sets, in their order.
      overridden: those of `given` that an override sets.
      unknown: keys of the file that the original lacks -> value.
      remarks: what is odd about the file, a line each.
    """

    values: dict[str, Any]
    given: tuple[str, ...]
    overridden: tuple[str, ...]
    unknown: dict[str, Any]
    remarks: tuple[str, ...]


def read(path: Path, overrides: Sequence[str] = ()) -> Setting:
    """Reads a file and its overrides.

    Args:
      path: a YAML file of PySlowFast or of a fork.
      overrides: KEY, VALUE, KEY, VALUE ..., as after the original's `--opts`.

    Raises:
      ConfigError: the file cannot be read, a value has another type than in the original, or a key
        of an override does not exist.
    """
    remarks: list[str] = []
    flat = _flat(_load(path, remarks, ()), path)
    unknown = {key: value for key, value in flat.items() if key not in KEYS}
    given = {key: value for key, value in flat.items() if key in KEYS}
    overridden = _pairs(overrides)
    for key, text in overridden.items():
        if key in unknown:
            unknown[key] = text
        elif key in KEYS:
            given[key] = text
        else:
            raise ConfigError(
                f"{key} is neither a key of PySlowFast nor of {path}{closest(key, KEYS)}"
            )
    values = {key: entry.default for key, entry in KEYS.items()}
    for key, value in given.items():
        values[key] = _typed(key, value)
    return Setting(
        values, tuple(given), tuple(k for k in overridden if k in KEYS), unknown, tuple(remarks)
    )


def _pairs(overrides: Sequence[str]) -> dict[str, str]:
    if len(overrides) % 2:
        raise ConfigError(f"{overrides[-1]} has no value: overrides are pairs KEY VALUE")
    return dict(zip(overrides[::2], overrides[1::2], strict=True))


class _Loader(yaml.SafeLoader):
    """Notes keys that a mapping has twice, of which YAML keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for name in dict.fromkeys(name for name in names if names.count(name) > 1):
            self.remarks.append(
                f"{name} is given {names.count(name)} times in one section; the last one counts, "
                "as in the original"
            )
        return super().construct_mapping(node, deep)


def _load(path: Path, remarks: list[str], seen: tuple[Path, ...]) -> dict[str, Any]:
    """The content of a file, merged over that of the file that its `_BASE_` names."""
    if path.resolve() in seen:
        raise ConfigError(f"{path}: its {BASE} leads back to itself")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    content = _parse(text, path, remarks)
    base = content.pop(BASE, None)
    if base is None:
        return content
    file = path.parent / Path(base).expanduser()
    return _merge(_load(file, remarks, (*seen, path.resolve())), content)


def _parse(text: str, path: Path, remarks: list[str]) -> dict[str, Any]:
    """The mapping in a file. A line whose indentation fits nothing gets that of the line before,
    which the original's ImageNet/MVITv2_B.yaml needs."""
    repaired: set[int] = set()
    while True:
        loader = _Loader(text)
        loader.remarks = remarks
        try:
            content = loader.get_single_data()
            break
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            lines = text.split("\n")
            if mark is None or not 0 < mark.line < len(lines) or mark.line in repaired:
                raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
            repaired.add(mark.line)
            before = lines[mark.line - 1]
            indentation = before[:len(before) - len(before.lstrip())]
            lines[mark.line] = indentation + lines[mark.line].lstrip()
            text = "\n".join(lines)
            remarks.append(
                f"line {mark.line + 1} is indented in a way that the original cannot read; it is "
                f"read as part of the section before it: {lines[mark.line].strip()}"
            )
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a config of PySlowFast: expected sections such as TRAIN")
    return content


def _merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for key, value in second.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _flat(content: Mapping[str, Any], path: Path, prefix: str = "") -> dict[str, Any]:
    """{"TRAIN": {"ENABLE": True}} -> {"TRAIN.ENABLE": True}"""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            if name in KEYS:
                raise ConfigError(f"{path}: {name} is a section, expected {_words(name)}")
            flat |= _flat(value, path, f"{name}.")
        elif name in SECTIONS and value is not None:
            raise ConfigError(f"{path}: {name} is {shown(value)}, expected a section")
        elif name not in SECTIONS:
            flat[name] = value
    return flat


def _words(key: str) -> str:
    return EXPECTED.get(type(KEYS[key].default), "a value")


def _typed(key: str, value: Any) -> Any:
    """A value with the type of the original's default; None and unneeded keys take any."""
    value, default = _tuples(_literal(value)), KEYS[key].default
    if value is None or default is None or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    raise ConfigError(f"{key} is {shown(value)}, expected {_words(key)}, as in PySlowFast")


def _literal(value: Any) -> Any:
    """A text as the Python literal that it is, if it is one."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
