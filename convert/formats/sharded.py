"""Weights in several files, with an index that says which tensor is in which file.

The index is NAME.index.json beside the files: {"weight_map": {name of a tensor: name of its file}}.
"""

import json
from pathlib import Path
from typing import Any

from convert.unpickle import CheckpointError

SUFFIX = ".index.json"
LARGEST_INDEX = 16 << 20  # bytes


def is_index(path: Path) -> bool:
    """Whether a file is an index, by its name."""
    return path.name.endswith(SUFFIX)


def index_in(folder: Path) -> Path | None:
    """The index in a folder, preferably that of safetensors files; None if it has no index."""
    found = sorted(folder.glob(f"*{SUFFIX}"), key=lambda p: ("safetensors" not in p.name, p.name))
    return found[0] if found else None


def read_index(path: Path) -> dict[str, set[str]]:
    """{name of a file beside the index: names of the tensors in it}.

    Raises:
      CheckpointError: the index is damaged, or names a file in another folder.
    """
    if path.stat().st_size > LARGEST_INDEX:
        raise CheckpointError(f"the index has more than {LARGEST_INDEX:,} bytes")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"the index is not JSON ({str(error)[:100]}). Get it again"
        ) from error
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not named:
        raise CheckpointError('the index has no table "weight_map" of tensors and their files')
    files: dict[str, set[str]] = {}
    for tensor, file in named.items():
        files.setdefault(_plain_name(file), set()).add(tensor)
    return files


def _plain_name(file: Any) -> str:
    """Refuses everything but the name of a file beside the index."""
    if (
        not isinstance(file, str) or not file or file.startswith(".") or file.endswith(SUFFIX)
        or not file.isprintable() or any(character in file for character in "/\\:")
    ):
        raise CheckpointError(
            f"the index names the file {str(file)[:100]!r}, expected one in the same folder, such "
            "as model-00001-of-00002.safetensors"
        )
    return file
