"""Class names, from sets that ship with the package or from files, and label vectors."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.text_files import parse_json, read_text, shown

_FOLDER = Path(__file__).with_name("labels")
MOST_CLASSES = 100_000  # larger numbers are taken for mistakes
NUMBER = re.compile(r'["\']?([+-]?\d+(?:\.0*)?)["\']?')


def shipped_sets() -> list[str]:
    """Names of the sets that ship with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def unnamed(count: int) -> list[str]:
    """Placeholder names of `count` classes."""
    return [f"class {i}" for i in range(count)]


def multi_hot(labels: Sequence[Sequence[int]], num_classes: int) -> np.ndarray:
    """int64 (len(labels), num_classes): each row has 1 at the classes of its label, 0 elsewhere."""
    hot = np.zeros((len(labels), num_classes), np.int64)
    for row, classes in zip(hot, labels, strict=True):
        row[list(classes)] = 1
    return hot


def number_in(word: str) -> str | None:
    """The digits of an integer such as 3, +3, "3" or 3.0; None if it is something else."""
    if word.isdecimal():
        return word
    found = NUMBER.fullmatch(word)
    return found[1].partition(".")[0] if found else None


def ambiguous_names(names: Mapping[str, int]) -> list[str]:
    """Class names that are also the number of another class, such as "1" for class 0.

    If all names are numbers, none is ambiguous: labels are then numbers of classes, never names.

    Args:
        names: numbers of the classes by name.
    """
    numbers = {name: number for name in names if (number := number_in(name)) is not None}
    if len(numbers) == len(names):
        return []
    return [
        name for name, number in numbers.items()
        if len(number) < 10 and names[name] != int(number) and 0 <= int(number) < len(names)
    ]


def class_names(name_or_path: str | os.PathLike, *, count: int | None = None) -> list[str]:
    """Reads class names: item k is the name of class k.

    Args:
        name_or_path: a shipped set ("kinetics400"), or a file: `.txt` with one name per line,
            `id: name` on each line, or `c000 name` as in Charades_v1_classes.txt; `.json`
            {name: id} (names may be quoted once more, as in PySlowFast's kinetics_classnames.json,
            and ids too, as in something-something-v2-labels.json) or [name, ...]; `.pbtxt` of items
            with name and id. Ids of `.json` and `c000` start at 0. Those of `.pbtxt` and
            `id: name` start at 1, as in AVA: class k has the id k + 1, and an id that the file
            skips gets the name "action <id>".
        count: the expected number of names.

    Raises:
        ValueError: the set or file does not exist, a name or id occurs twice, an id is missing, or
            the number of names is not `count`.
    """
    shipped = _FOLDER / f"{name_or_path}.txt"
    path = shipped if str(name_or_path) in shipped_sets() else Path(name_or_path)
    if not path.is_file():
        raise ValueError(
            f"class names {str(name_or_path)!r}: neither a file nor a set that ships with the "
            f"package ({', '.join(shipped_sets())})"
        )
    text = read_text(path, "names of classes")
    if path.suffix == ".json":
        names = _from_json(path, text)
    elif path.suffix == ".pbtxt":
        names = _from_ids(path, pbtxt_items(path, text), first=1, fill=True)
    else:
        names = _from_text(path, text)
    if count is not None and len(names) != count:
        raise ValueError(f"{path}: {len(names)} class names; the model has {count} classes")
    return names


def _from_text(path: Path, text: str) -> list[str]:
    names = [line.strip() for line in text.strip().splitlines()]
    if not names:
        raise ValueError(f"{path}: no class names; expected one per line")
    if "" in names:
        raise ValueError(
            f"{path}:{names.index('') + 1}: blank line among the class names; remove it"
        )
    numbered = [re.fullmatch(r"(\d+): *(.+)", name) for name in names]
    if all(numbered):
        return _from_ids(path, [(_id(path, m[1]), m[2]) for m in numbered], first=1, fill=True)
    charades = [re.fullmatch(r"c(\d{3}) +(.+)", name) for name in names]
    if all(charades):
        return _from_ids(path, [(int(m[1]), m[2]) for m in charades], first=0, fill=False)
    _refuse_repeated(path, names, "name")
    return names


def _from_json(path: Path, text: str) -> list[str]:
    content = parse_json(path, text)
    if isinstance(content, list) and all(isinstance(name, str) for name in content):
        _refuse_repeated(path, content, "name")
        return content
    if not isinstance(content, dict) or not all(
        type(i) is int or isinstance(i, str) and i.isdecimal() for i in content.values()
    ):
        raise ValueError(f"{path}: expected {{name: id, ...}} or [name, ...]")
    items = [(_id(path, number), name.strip('"')) for name, number in content.items()]
    return _from_ids(path, items, first=0, fill=False)


def pbtxt_items(path: Path, text: str) -> list[tuple[int, str]]:
    """(id, name) of each `item { name: "..." id: ... }` (also `label { ... label_id: ... }`)."""
    items = []
    for part in text.split("}")[:-1]:
        _, brace, block = part.partition("{")
        if not brace:
            continue
        name = re.search(r'\bname:\s*"([^"\\]*(?:\\.[^"\\]*)*)"', block)
        number = re.search(r"\b(?:label_)?id:\s*(\d+)", block)
        if not name or not number:
            raise ValueError(
                f"{path}: found {shown(' '.join(block.split()))}; expected a name and an id"
            )
        items.append((_id(path, number[1]), re.sub(r"\\(.)", r"\1", name[1])))
    return items


def _id(path: Path, number: int | str) -> int:
    """The id as an integer; ValueError if it is too large."""
    if len(str(number)) <= 9 and int(number) < MOST_CLASSES:
        return int(number)
    raise ValueError(f"{path}: id {shown(number)}; expected a number below {MOST_CLASSES}")


def _from_ids(path: Path, items: list[tuple[int, str]], *, first: int, fill: bool) -> list[str]:
    """Names in the order of their ids, which start at `first`; `fill` names missing ids."""
    if not items:
        raise ValueError(f"{path}: no class names in it")
    _refuse_repeated(path, [number for number, _ in items], "id")
    _refuse_repeated(path, [name for _, name in items], "name")
    names = dict(items)
    if min(names) < first:
        raise ValueError(f"{path}: id {min(names)}; ids count from {first} here")
    missing = sorted(set(range(first, max(names))) - set(names))
    if missing and not fill:
        raise ValueError(
            f"{path}: no name for id {', '.join(map(str, missing[:5]))}"
            f"{' and others' if len(missing) > 5 else ''}; expected all of 0..{max(names)}"
        )
    return [names.get(number, f"action {number}") for number in range(first, max(names) + 1)]


def _refuse_repeated(path: Path, values: list, what: str) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(
                f"{path}: the {what} {shown(value)} occurs twice; it must be unique"
            )
        seen.add(value)
