"""Top-k accuracy, over all examples and per class."""

from collections.abc import Sequence

import numpy as np


def label_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rank of the true class of each example among its scores; 0 is the best.

    Among classes with equal scores, the one with the lower index ranks first. (`torch.topk`, which
    the original program uses, leaves the order of ties undefined.) A row that contains nan is never
    correct: its rank is K.

    Args:
      scores: (N, K), larger is better.
      labels: (N,) class indices, 0 to K - 1.

    Returns:
      (N,) integers, 0 to K.

    Raises:
      ValueError: shapes that do not match, or a label out of range.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"scores must be (N, K) and labels (N,), not {scores.shape} and {labels.shape}"
        )
    classes = scores.shape[1]
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"labels must be in 0..{classes - 1} for a model with {classes} classes; "
            f"found {labels.min()}..{labels.max()}"
        )
    own = np.take_along_axis(scores, labels[:, None].astype(np.int64), axis=1)  # (N, 1)
    lower_index = np.arange(classes)[None] < labels[:, None]
    ranks = (scores > own).sum(axis=1) + ((scores == own) & lower_index).sum(axis=1)
    return np.where(np.isnan(scores).any(axis=1), classes, ranks)


def check_count(top_k: int) -> None:
    """ValueError unless it is a whole number from 1 on."""
    if isinstance(top_k, bool) or not isinstance(top_k, (int, np.integer)) or top_k < 1:
        raise ValueError(f"top_k is {top_k!r}, expected a whole number, at least 1")


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k highest scores of each row and their class indices, best first.

    Args:
      scores: (..., K). Ties are resolved as in `label_ranks`.
      k: number of classes; at most K are returned.

    Returns:
      Scores and indices, both (..., min(k, K)).

    Raises:
      ValueError: k is not a whole number from 1 on.
    """
    check_count(k)
    indices = np.argsort(-np.asarray(scores), axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(np.asarray(scores), indices, axis=-1), indices


def labeled(
    scores: np.ndarray, class_names: Sequence[str], k: int
) -> list[dict[str, str | int | float]]:
    """The k best classes of scores (K,), best first: [{"label", "index", "score"}, ...]."""
    return [
        {"label": class_names[i], "index": int(i), "score": float(v)}
        for v, i in zip(*top_k(scores, k), strict=True)
    ]


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Fraction of examples whose class is among the k best; ties as in `label_ranks`."""
    if len(labels) == 0:
        raise ValueError("top-k accuracy over 0 examples is undefined")
    return float((label_ranks(scores, labels) < k).mean())


def per_class_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Top-k accuracy of each class (K,), as fractions; nan for classes without examples."""
    correct = label_ranks(scores, labels) < k
    classes = np.asarray(scores).shape[1]
    labels = np.asarray(labels).astype(np.int64)
    total = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels, weights=correct, minlength=classes)
    return np.where(total > 0, hits / np.maximum(total, 1), np.nan)


def mean_class_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Mean of the per-class accuracies over the classes that have examples.

    MMAction2's metric of this name also includes, with accuracy 0, classes that are predicted but
    have no examples.
    """
    if len(labels) == 0:
        raise ValueError("mean-class accuracy over 0 examples is undefined")
    return float(np.nanmean(per_class_accuracy(scores, labels, k)))
