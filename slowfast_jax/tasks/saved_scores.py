"""Averages the scores that several tests saved, matching their examples.

The files are those of --save_scores, or for videos PySlowFast's own (see `pyslowfast_results`).
"""

import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_jax.tasks.pyslowfast_results import is_pickle, read_results_pickle

Paths = Sequence[str | os.PathLike]


def average_of_videos(files: Paths, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean scores (V, K) of the same V videos, and their labels (V,) or (V, K).

    Videos are matched by their paths, of which the folder that all have in common may differ. Their
    order may differ, too. Files of PySlowFast have no paths: their videos are matched by their
    order, which is that of the list.

    Raises:
      FileNotFoundError, ValueError: a file does not exist or is no such file; the files have
        different videos, labels or classes.
    """
    tables = [read_scores(path, ("scores", "labels", "paths")) for path in files]
    names = [_without_common_folder(table["paths"]) for table in tables]
    # That all others are matched with: one that names its videos, if there is any.
    start = next((place for place, own in enumerate(names) if own), 0)
    labels = tables[start]["labels"]
    total = np.zeros((len(labels), num_classes))
    for path, table, own in zip(files, tables, names, strict=True):
        scores = _scores_of(table, path, num_classes)
        if own:
            order = _order(own, names[start], path, files[start])
        elif len(scores) == len(labels):
            order = np.arange(len(labels))
        else:
            raise ValueError(
                f"{path} has {len(scores)} videos and no names of them, and {files[start]} has "
                f"{len(labels)}: expected the same list"
            )
        theirs = table["labels"][order]
        if theirs.shape != labels.shape or (theirs != labels).any():
            raise ValueError(f"{path} and {files[start]} have different labels for the same "
                             "videos; they are from tests with different lists or class names")
        total += scores[order]
    return (total / len(files)).astype(np.float32), labels


def average_of_boxes(
    files: Paths, moments: Sequence[tuple[str, float]], source: str | os.PathLike, num_classes: int
) -> dict[int, np.ndarray]:
    """{keyframe index: mean scores (B, K) of its boxes}; all files must have the same boxes.

    Args:
      moments: (video, time) of each keyframe of the test set.
      source: where the keyframes come from, for messages.

    Raises: as `average_of_videos`.
    """
    same = ("keyframe", "boxes")
    tables = [read_scores(path, ("scores", *same, "video", "time")) for path in files]
    for path, table in zip(files, tables, strict=True):
        own = list(zip(table["video"].tolist(), table["time"].tolist(), strict=True))
        if own != list(moments):
            raise ValueError(f"{path} has {len(own)} keyframes, which are not the {len(moments)} "
                             f"of {source}; test again with this table")
        if any(not np.array_equal(table[name], tables[0][name]) for name in same):
            raise ValueError(f"{path} and {files[0]} have scores of different boxes; a keyframe "
                             "that one of the tests could not read is missing in its file")
    scores = [
        _scores_of(table, path, num_classes) for path, table in zip(files, tables, strict=True)
    ]
    mean = np.mean(scores, axis=0, dtype=np.float64).astype(np.float32)
    used, starts = np.unique(tables[0]["keyframe"], return_index=True)
    return dict(zip(used.tolist(), np.split(mean, starts[1:]), strict=True))


def read_scores(path: str | os.PathLike, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of a file that --save_scores wrote, or PySlowFast (of videos, without "paths").

    Raises:
      FileNotFoundError, ValueError: the file does not exist, or lacks one of the arrays.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist; --mode eval --save_scores "
                                "writes WORKDIR/scores.npz")
    if is_pickle(path):
        if "paths" not in keys:
            raise ValueError(f"{path} is a pickle, as PySlowFast writes of tests of videos; "
                             "expected a file of --save_scores with the scores of boxes")
        return read_results_pickle(path)
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} does not have the scores of a test (it is no NumPy archive); "
                         "expected a file of --save_scores")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in keys if key not in file.files]
            if not missing:
                return {key: file[key] for key in keys}
            what = "they are scores of boxes" if "boxes" in file.files else (
                f"it lacks {', '.join(missing)}"
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        what = str(error)
    raise ValueError(f"{path} does not have the scores of a test of this task ({what}); expected a "
                     "file of --save_scores")


def _scores_of(table: dict[str, Any], path: str | os.PathLike, num_classes: int) -> np.ndarray:
    scores = table["scores"]
    if scores.shape[1] != num_classes:
        raise ValueError(f"{path} has scores for {scores.shape[1]} classes, but the config has "
                         f"{num_classes} (config.model.num_classes)")
    return scores


def _order(
    names: Sequence[str], wanted: Sequence[str], path: str | os.PathLike, first: str | os.PathLike
) -> np.ndarray:
    """Rows of `names` in the order of `wanted`; ValueError if these are different videos."""
    if list(names) == list(wanted):
        return np.arange(len(names))
    missing, more = Counter(wanted) - Counter(names), Counter(names) - Counter(wanted)
    if missing or more:
        example = next(iter(missing or more))
        holder = first if missing else path
        raise ValueError(
            f"{path} and {first} have scores of different videos: {missing.total()} of "
            f"{len(wanted)} are missing and {more.total()} are new, such as {example} of {holder}; "
            "a video that one of the tests could not read is missing in its file"
        )
    return np.array(_stable(names))[np.argsort(_stable(wanted), kind="stable")]


def _stable(names: Sequence[str]) -> list[int]:
    """Rows in the order of their names; equal names keep their order."""
    return sorted(range(len(names)), key=names.__getitem__)


def _without_common_folder(paths: np.ndarray) -> list[str]:
    """The paths below the folder that all of them share."""
    paths = [os.path.normpath(path) for path in paths.tolist()]
    if len(paths) < 2 or len({os.path.isabs(path) for path in paths}) > 1:
        return [os.path.basename(path) for path in paths] if len(paths) == 1 else paths
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, folder) if folder else path for path in paths]
