"""The index of a folder of inputs: what each file is, and what its scores are compared with.

    FOLDER/index.json       settings, class names, a record per example, and what failed
    FOLDER/config.json      the config
    FOLDER/unfinished.jsonl the records of an attempt that was interrupted
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from data_pipelines.atomic_files import whole
from slowfast_jax.config import ConfigError
from slowfast_jax.config.stored import read_config
from slowfast_jax.evaluate import to_lines
from slowfast_jax.offline import keyframes, videos

INDEX, UNFINISHED = "index.json", "unfinished.jsonl"
FORMAT = "slowfast_jax inputs 1"
FORMS = {"classification": videos, "detection": keyframes}  # by config.task


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Writes the index, with one line per example, and removes the unfinished one."""
    with whole(folder / INDEX) as part:
        part.write_text(to_lines(dict(index)) + "\n", encoding="utf-8")
    (folder / UNFINISHED).unlink(missing_ok=True)


def read_index(folder: Path) -> tuple[ConfigDict, dict[str, Any]]:
    """The config and the index.

    Raises:
      ConfigError: the folder has none, or that of another version.
    """
    path = folder / INDEX
    config = read_config(folder)
    if config is None or not path.is_file():
        begun = (folder / UNFINISHED).exists()
        raise ConfigError(
            f"{folder} is not a folder of inputs: "
            + ("they are not complete; repeat the command that prepares them, which continues"
               if begun else f"it has no {INDEX}; python -m slowfast_jax.offline prepare writes it")
        )
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        version = index["settings"]["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not an index of inputs ({error})") from error
    if version != FORMAT:
        raise ConfigError(f"{path}: format {version!r}, expected {FORMAT!r}")
    return config, index


def read_unfinished(folder: Path) -> dict[int, dict[str, Any]]:
    """Records of examples that an earlier attempt has written, by their position in the list."""
    path, known = folder / UNFINISHED, {}
    if (folder / INDEX).is_file():
        records = json.loads((folder / INDEX).read_text(encoding="utf-8"))["examples"]
        known = {record["index"]: record for record in records}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
            known[record["index"]] = record
        except ValueError:  # the last line was cut off
            continue
    return known
