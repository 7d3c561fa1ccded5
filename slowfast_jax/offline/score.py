"""Metrics of scores that another program has computed for a folder of inputs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_jax.evaluate import counts, printed
from slowfast_jax.offline.index import FORMS, read_index

SUFFIXES = (".npy", ".bin")


def score(folder: str | os.PathLike, scores: str | os.PathLike) -> dict[str, Any]:
    """What `--mode eval` prints of a test that gives these scores.

    Args:
      folder: what `prepare` wrote; videos and lists are not needed.
      scores: a folder with one file per input, of the same name: .npy, or .bin with float32
        numbers. It holds K scores, or with boxes those of each box, padding included.

    Raises:
      ConfigError: `folder` is not complete.
      FileNotFoundError, ValueError: scores are missing, or have another size.
    """
    folder, scores = Path(folder), Path(scores)
    config, index = read_index(folder)
    form, classes = FORMS[config.task], len(index["classes"])
    if not scores.is_dir():
        raise FileNotFoundError(f"{scores} does not exist; expected a folder with the scores")
    names = [name for entry in index["examples"] for name in entry["files"]]
    paths = _find(scores, names)
    found = [
        [_read(paths[name], form.rows_of(entry), classes) for name in entry["files"]]
        for entry in index["examples"]
    ]
    views, failed = form.views_per_example(config), len(index["failed"])
    return printed({
        "fingerprint": {
            "protocol": config.protocol, "model": config.model,
            **({"views": views} if views else {}),
            **counts(form.UNIT, len(found) + failed, failed),
        },
        "metrics": form.metrics(config, folder, index, found),
    })


def _find(folder: Path, names: list[str]) -> Mapping[str, Path]:
    """The file of each input; FileNotFoundError if some are missing."""
    there = set(os.listdir(folder))
    paths = {
        name: folder / (name + suffix)
        for name in names for suffix in SUFFIXES if name + suffix in there
    }
    missing = [name for name in names if name not in paths]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no scores for {len(missing)} of {len(names)} inputs, for example "
            f"{missing[0]}.npy or {missing[0]}.bin: run the network on them"
        )
    return paths


def _read(path: Path, rows: int, classes: int) -> np.ndarray:
    """The scores in a file: float32 (rows, classes)."""
    try:
        if path.suffix == ".bin":
            array = np.frombuffer(path.read_bytes(), np.float32)
        else:
            array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} does not hold scores ({error})") from error
    if array.size != rows * classes or array.dtype.kind != "f":
        raise ValueError(
            f"{path} has {array.size} numbers of {array.dtype}; expected {rows} x {classes} "
            "floats, a row for each view or box with the score of each class"
        )
    return array.reshape(rows, classes).astype(np.float32)
