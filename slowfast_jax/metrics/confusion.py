"""What a network says where it should say something else."""

from collections.abc import Sequence

import numpy as np


def mean_scores(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The matrix of confusion, also where an example has several actions or none.

    Args:
      labels: (N, K), nonzero where example n has action k.
      scores: (N, K) in 0..1.

    Returns:
      (K, K): row i holds the mean scores of the examples that have action i, nan where none has.
    """
    labels = (np.asarray(labels) != 0).astype(np.float64)
    counts = labels.sum(axis=0)[:, None]
    sums = labels.T @ np.asarray(scores, np.float64)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def most_mistaken(matrix: np.ndarray, most: int) -> Sequence[int]:
    """Of the (K, K) matrix up to `most` classes that are taken for others or others for them.

    In rising order.
    """
    others = np.nan_to_num(matrix, copy=True)
    np.fill_diagonal(others, 0)
    mistakes = others.sum(axis=0) + others.sum(axis=1)
    return np.sort(np.argsort(-mistakes, kind="stable")[:most]).tolist()
