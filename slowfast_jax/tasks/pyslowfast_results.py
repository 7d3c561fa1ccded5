"""Reads the scores of a test by PySlowFast, which TEST.SAVE_RESULTS_PATH names.

The file is a pickle of [predictions (V, K), labels (V,) or (V, K)], of the V videos of the list in
its order. It may come from strangers: no code in it is run.
"""

import os

import numpy as np

from convert import CheckpointError
from convert.formats.pickled_tensors import read_pickled

EXPECTED = (
    "[predictions (V, K), labels (V,) or (V, K)], as TEST.SAVE_RESULTS_PATH of PySlowFast writes"
)


def is_pickle(path: str | os.PathLike) -> bool:
    """Whether a file begins as pickles of protocol 2 and later do."""
    with open(path, "rb") as file:
        return file.read(1) == b"\x80"


def read_results_pickle(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays "scores", float32 (V, K), "labels", (V,) or (V, K), and "paths", which is empty.

    Scores that are sums over the views of a video become their means.

    Raises ValueError if the file is no such pickle.
    """
    try:
        with open(path, "rb") as file:
            content = read_pickled(file)
    except CheckpointError as error:
        raise ValueError(f"{path}: {error}; expected a pickle of {EXPECTED}") from error
    if not isinstance(content, list) or len(content) != 2:
        what = f"{len(content)} parts" if isinstance(content, list) else type(content).__name__
        raise ValueError(f"{path}: has {what}; expected a pickle of {EXPECTED}")
    scores, labels = (_numbers(path, part) for part in content)
    if scores.ndim != 2 or labels.shape not in (scores.shape[:1], scores.shape):
        raise ValueError(
            f"{path}: predictions {scores.shape} and labels {labels.shape}; expected {EXPECTED}"
        )
    classes = scores.shape[1]
    if labels.ndim == 1:
        wrong = labels[(labels != labels.astype(np.int64)) | (labels < 0) | (labels >= classes)]
        if len(wrong):
            raise ValueError(f"{path}: label {wrong[0]}; expected a class from 0 to {classes - 1}")
        labels = labels.astype(np.int64)
    return {
        "scores": _of_one_view(scores).astype(np.float32), "labels": labels,
        "paths": np.zeros(0, str),
    }


def _numbers(path: str | os.PathLike, part: object) -> np.ndarray:
    try:
        array = np.asarray(part)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{path}: {error}; expected a pickle of {EXPECTED}") from error
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise ValueError(f"{path}: has something else than numbers; expected {EXPECTED}")
    return array


def _of_one_view(scores: np.ndarray) -> np.ndarray:
    """Mean scores over the views, where the file has their sums (DATA.ENSEMBLE_METHOD sum).

    Probabilities of one class per video then add up to the number of views in each row. Scores of
    several classes per video have no such sum, and are returned as they are.
    """
    # The median, as a video that could not be read has zeros or too few views.
    sums = scores.sum(1, dtype=np.float64)
    views = np.round(np.median(sums)) if len(sums) else 0
    whole = views > 1 and np.isclose(sums, views, rtol=1e-3).mean() > 0.5
    return scores / views if whole else scores
