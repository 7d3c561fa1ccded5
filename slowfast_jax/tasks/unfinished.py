"""Keeps the scores of a test as they come, so that a test that was interrupted resumes.

    with Unfinished(workdir, key) as test:
        for index in range(len(videos)):
            if index not in test.known: test.add(index, score(videos[index]))
    ...                                       # write the results
    clear(workdir)

Each process writes files of its own, at most one per second and after an hour one per minute. All
processes of the next attempt, which may be more or fewer, read the files of all.
"""

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from data_pipelines.atomic_files import whole
from data_pipelines.text_files import counted
from slowfast_jax import distributed
from slowfast_jax.inference.digests import digest, digest_of

FOLDER = "unfinished_test"  # in the working directory
SHORTEST, LONGEST = 1.0, 60.0  # seconds from one file to the next
PART = 1 / 60  # of the time of the test: seconds between files, within these bounds


class Unfinished:
    """The scores of a test, kept in files until the test is complete.

    Args:
      workdir: where the files are; None: nothing is kept.
      key: names what the scores depend on; files of tests with another key are ignored.

    Attributes:
      known: the scores that earlier attempts kept, by index of the example: (K,), or (B, K) of
        boxes. The same in all processes.
    """

    def __init__(self, workdir: str | os.PathLike | None, key: str):
        self._folder = None if workdir is None else Path(workdir) / FOLDER / key
        self._new: dict[int, np.ndarray] = {}
        self._start = self._last = time.monotonic()
        # No process writes before the first one has read.
        self.known = distributed.gather(self._read() if distributed.first() else {})[0]
        if self.known:
            logging.info("scored before the test was interrupted: %s",
                         counted(len(self.known), "example"))

    def __enter__(self) -> "Unfinished":
        return self

    def __exit__(self, error: type[BaseException] | None, *details: Any) -> None:
        self._write()
        if error is None:  # before one process removes the files, all have written theirs
            distributed.barrier("the scores of all processes")

    def add(self, index: int, scores: np.ndarray) -> None:
        """Keeps the scores of an example."""
        if self._folder is None:
            return
        self._new[index] = scores
        now = time.monotonic()
        if now - self._last > min(LONGEST, max(SHORTEST, PART * (now - self._start))):
            self._write()
            self._last = time.monotonic()

    def _write(self) -> None:
        if not self._new or self._folder is None:
            return
        # A vector counts as -1 rows.
        counts = [len(rows) if rows.ndim > 1 else -1 for rows in self._new.values()]
        rows = np.concatenate([np.atleast_2d(rows) for rows in self._new.values()])
        path = self._folder / f"{distributed.index()}_{time.time_ns()}.npz"
        with whole(path) as part, part.open("wb") as file:
            np.savez(file, index=list(self._new), count=counts, rows=rows)
        self._new = {}

    def _read(self) -> dict[int, np.ndarray]:
        known: dict[int, np.ndarray] = {}
        for path in sorted(self._folder.glob("*.npz")) if self._folder else ():
            with np.load(path) as file:
                index, count, rows = file["index"], file["count"], file["rows"]
            parts = np.split(rows, np.cumsum(np.abs(count))[:-1])
            for number, size, part in zip(index.tolist(), count, parts, strict=True):
                known[number] = part[0] if size < 0 else part
        return known


def key_of(recognizer: Any, ids: Sequence[str]) -> str:
    """What the scores of a test depend on: the network, its weights, the data, the protocol."""
    config = recognizer.config
    weights = config.test.checkpoint
    parts = [json.loads(config[name].to_json()) for name in ("model", "protocol", "data")]
    parts += [recognizer.runtime] if recognizer.runtime else []
    return digest(json.dumps([*parts, digest_of(Path(weights)) if weights else "", list(ids)]))


def clear(workdir: str | os.PathLike) -> None:
    """Removes the files of a test that is complete."""
    shutil.rmtree(Path(workdir) / FOLDER, ignore_errors=True)
