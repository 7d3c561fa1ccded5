"""The tables of docs/from_pyslowfast.md, made from those of the keys and networks.

    python -m slowfast_jax.config.pyslowfast.document docs/from_pyslowfast.md

rewrites the file from the heading "Networks" on; what is before it is written by hand.
"""

import sys
from itertools import groupby
from pathlib import Path

from slowfast_jax.config.pyslowfast.keys import Key, Keys
from slowfast_jax.config.pyslowfast.networks import NETWORKS
from slowfast_jax.config.pyslowfast.tables import GROUPS

HEADING = "## Networks\n"
NETWORK_NOTE = """\
`MODEL.MODEL_NAME`, and the class that it is here. Keywords of a network are fields of
`config.model`.
"""
KEYS_NOTE = """\
## Keys

All keys of PySlowFast. "only" marks keys of which other values are refused.
"""
WILDCARD = 5  # a section of at least this many keys that share one row is written SECTION.*


def text(before: str) -> str:
    """The document: what is written by hand in `before`, and the tables as they are now."""
    parts = [before.partition(HEADING)[0] + HEADING, NETWORK_NOTE, _table(_network_rows())]
    parts.append(KEYS_NOTE)
    for title, keys in GROUPS.items():
        parts += [f"### {title}\n", _table(_key_rows(keys))]
    return "\n".join(parts)


def _table(rows: list[tuple[str, str]]) -> str:
    lines = ["| PySlowFast | here |", "|---|---|"]
    return "\n".join([*lines, *(f"| {left} | {right} |" for left, right in rows)]) + "\n"


def _network_rows() -> list[tuple[str, str]]:
    return [
        (f"`{name}`", f"`{row.make.__name__}`" if row.make else f"missing: {row.missing}")
        for name, row in NETWORKS.items()
    ]


def _key_rows(keys: Keys) -> list[tuple[str, str]]:
    """A row for each run of keys of a section with the same words."""
    rows = []
    for (section, words), run in groupby(keys.items(), _place_and_words):
        names = [key for key, _ in run]
        whole = sum(_section(key) == section for key in keys) == len(names) >= WILDCARD
        left = f"`{section}.*`" if whole else ", ".join(f"`{name}`" for name in names)
        rows.append((left, words))
    return rows


def _place_and_words(item: tuple[str, Key]) -> tuple[str, str]:
    return _section(item[0]), _words(item[1])


def _section(key: str) -> str:
    return key.split(".")[0] if "." in key else ""


def _words(entry: Key) -> str:
    if entry.kind != "fixed":
        return entry.here
    return f"only {' or '.join(map(_value, entry.accepted))}: {entry.here}"


def _value(value: object) -> str:
    return f"`{list(value)}`" if isinstance(value, tuple) else f"`{value!r}`"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(text(path.read_text(encoding="utf-8")), encoding="utf-8")
