"""Top-k accuracy, per class and over all examples; numpy only."""

import numpy as np


def label_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Places of the true classes in the sorted scores, 0 being the best.

    Ties: of classes with equal scores the one with the lower index comes first, on every machine
    (`torch.topk`, which the original uses, leaves the order of ties open). A row holding a value
    that is not a number is never correct: its rank is K.

    Args:
      scores: (N, K), larger is better.
      labels: (N,) class indices in [0, K).

    Returns:
      (N,) integers in [0, K].
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"scores must be (N, K) and labels (N,); found {scores.shape} and {labels.shape}"
        )
    classes = scores.shape[1]
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"labels must lie in 0..{classes - 1}, the model's classes; "
            f"found {labels.min()}..{labels.max()}"
        )
    own = np.take_along_axis(scores, labels[:, None].astype(np.int64), axis=1)  # (N, 1)
    lower_index = np.arange(classes)[None] < labels[:, None]
    ranks = (scores > own).sum(axis=1) + ((scores == own) & lower_index).sum(axis=1)
    return np.where(np.isnan(scores).any(axis=1), classes, ranks)


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best scores of each row and their class indices, best first, ties by lower index.

    Args:
      scores: (..., K).
      k: how many; more than K gives K.

    Returns:
      values and indices, both (..., min(k, K)).
    """
    indices = np.argsort(-np.asarray(scores), axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(np.asarray(scores), indices, axis=-1), indices


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Share (0..1) of examples whose class is among the k best; ties as in `label_ranks`."""
    if len(labels) == 0:
        raise ValueError("top-k accuracy over 0 examples is undefined")
    return float((label_ranks(scores, labels) < k).mean())


def per_class_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Share (0..1) of each class's examples that are correct; (K,), nan where a class has none."""
    correct = label_ranks(scores, labels) < k
    classes = np.asarray(scores).shape[1]
    labels = np.asarray(labels).astype(np.int64)
    total = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels, weights=correct, minlength=classes)
    return np.where(total > 0, hits / np.maximum(total, 1), np.nan)


def mean_class_accuracy(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Mean of the per-class accuracies over the classes that have an example.

    MMAction2's figure of this name also counts, as 0, classes that were predicted but never occur.
    """
    if len(labels) == 0:
        raise ValueError("mean-class accuracy over 0 examples is undefined")
    return float(np.nanmean(per_class_accuracy(scores, labels, k)))
