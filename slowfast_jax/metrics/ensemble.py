"""Combines the scores of a video's views (clips and crops) into the scores of the video."""

import numpy as np

METHODS = ("sum", "max")


def ensemble(view_scores: np.ndarray, method: str = "sum") -> np.ndarray:
    """Combines the scores of one video's views.

    "sum" is the sum divided by the number of views, so that probabilities remain probabilities. The
    original program does not divide, which gives the same ranking. Its multi-label sum starts at
    -1e10 in float32 and thereby loses all scores; ours does not. "max" is the maximum over the
    views. The original's single-label maximum starts at 0, which differs for negative scores only.

    Args:
      view_scores: (V, K), the scores of V >= 1 views.
      method: "sum" or "max".

    Returns:
      (K,) float32.

    Raises:
      ValueError: another shape or method.
    """
    view_scores = np.asarray(view_scores)
    if view_scores.ndim != 2 or len(view_scores) == 0:
        raise ValueError(f"view_scores must be (V, K) with V >= 1, not {view_scores.shape}")
    if method == "sum":
        return view_scores.mean(axis=0, dtype=np.float64).astype(np.float32)
    if method == "max":
        return view_scores.max(axis=0).astype(np.float32)
    raise ValueError(f'protocol.ensemble is "{method}", expected one of {", ".join(METHODS)}')
