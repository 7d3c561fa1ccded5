"""Values that hardly any field of a JSON file may have, and files in which one field has one."""

import copy
from collections.abc import Iterator
from typing import Any

MISSING = object()
WRONG = (
    MISSING, None, True, -1, 0, 2.5, 10**30, float("nan"), float("inf"), "", "two\nlines", [],
    [None], ["a", 3], {}, {"a": {"b": []}},
)


def changed(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(field, content with another value there), for each field at any depth and value of WRONG.

    Args:
      content: what JSON holds.
      path: name of `content` in the names of fields, such as "sampling.clips".
    """
    for key in content if isinstance(content, dict) else range(len(content)):
        field = f"{path}.{key}".removeprefix(".")
        for value in WRONG:
            other = copy.copy(content)
            if value is not MISSING:
                other[key] = value
            elif isinstance(content, dict):
                del other[key]
            yield field, other
        if isinstance(content[key], dict | list):
            for inner, value in changed(content[key], field):
                yield inner, {**content, key: value} if isinstance(content, dict) else [
                    *content[:key], value, *content[key + 1:]
                ]
