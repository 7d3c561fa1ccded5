"""Confusion matrices, also for examples with several classes."""

from collections.abc import Sequence

import numpy as np


def confusion_matrix(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Mean scores of all classes over the examples of each class.

    With one-hot labels and predictions it is the usual confusion matrix, normalized by row.

    Args:
      labels: (N, K), nonzero where example n has class k; an example can have several or none.
      scores: (N, K), 0 to 1.

    Returns:
      (K, K): row i is the mean of the scores of the examples that have class i; nan if none has.
    """
    labels = (np.asarray(labels) != 0).astype(np.float64)
    counts = labels.sum(axis=0)[:, None]
    sums = labels.T @ np.asarray(scores, np.float64)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def most_confused(matrix: np.ndarray, most: int) -> Sequence[int]:
    """The classes that are confused most with other classes, in either direction.

    If there are more than `most` classes, those that are not confused at all are left out.

    Args:
      matrix: (K, K), of `confusion_matrix`.
      most: maximum number of classes.

    Returns:
      Their indices in ascending order.
    """
    if len(matrix) <= most:
        return list(range(len(matrix)))
    others = np.nan_to_num(matrix, copy=True)
    np.fill_diagonal(others, 0)
    mistakes = others.sum(axis=0) + others.sum(axis=1)
    order = np.argsort(-mistakes, kind="stable")[:most]
    return np.sort(order[mistakes[order] > 0]).tolist()
