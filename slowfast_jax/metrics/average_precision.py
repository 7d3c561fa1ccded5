"""Average precision: of multi-label scores, and of ranked detections."""

import numpy as np


def average_precision(scores: np.ndarray, positives: np.ndarray) -> float:
    """Area under the precision-recall curve of one class, without interpolation.

    Examples with equal scores share one threshold, so their order does not matter. Equal to
    scikit-learn's `average_precision_score`, which the original program calls.

    Args:
      scores: (N,), finite.
      positives: (N,), nonzero where the example has the class.

    Returns:
      A number from 0 to 1, or nan if no example is positive.

    Raises:
      ValueError: different shapes, or scores that are not finite.
    """
    scores, positives = np.asarray(scores), np.asarray(positives) != 0
    if scores.shape != positives.shape or scores.ndim != 1:
        raise ValueError(
            f"scores and positives must both be (N,), not {scores.shape} and {positives.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("average precision needs finite scores; found nan or inf")
    if not positives.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positives[order])
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)
    hits = hits[last_of_tie]
    precision = hits / (last_of_tie + 1)
    recall_step = np.diff(hits, prepend=0) / hits[-1]
    return float((precision * recall_step).sum())


def interpolated(hits: np.ndarray, positives: int) -> float:
    """Area under the interpolated precision-recall curve of one class.

    The precision at a recall is the highest at that recall or a higher one, as in Pascal VOC.

    Args:
      hits: (N,) bool, which detections are true positives, best score first.
      positives: how many there are in the ground truth, 1 or more.
    """
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    highest_after = np.maximum.accumulate(precision[::-1])[::-1]
    return float(highest_after[hits].sum() / positives)


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean average precision over the classes that have a positive example.

    Args:
      scores: (N, K).
      labels: (N, K), nonzero where the example has the class.

    Returns:
      The mean, which is 0.0 if no class has a positive example (as in the original program), and
      the average precision of each class (K,), nan for classes without positive examples.

    Raises:
      ValueError: different shapes, or scores that are not finite.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.shape != labels.shape or scores.ndim != 2:
        raise ValueError(
            f"scores and labels must both be (N, K), not {scores.shape} and {labels.shape}"
        )
    per_class = np.array(
        [average_precision(scores[:, k], labels[:, k]) for k in range(scores.shape[1])]
    )
    known = per_class[~np.isnan(per_class)]
    return (float(known.mean()) if known.size else 0.0), per_class
