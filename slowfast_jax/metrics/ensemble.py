"""From the scores of a video's views to the scores of the video; numpy only."""

import numpy as np

METHODS = ("sum", "max")


def ensemble(view_scores: np.ndarray, method: str = "sum") -> np.ndarray:
    """Combines the scores of one video's views.

    "sum" returns the sum divided by the number of views, so that probabilities stay
    probabilities; the original leaves the sum undivided, which ranks the same. Its multi-label sum
    starts from -1e10 in float32, which swallows every score; ours does not. "max" is the largest
    over the views; the original's single-label maximum starts from 0, which differs only for
    negative scores.

    Args:
      view_scores: (V, K), the scores of V >= 1 views.
      method: "sum" or "max".

    Returns:
      (K,) float32.
    """
    view_scores = np.asarray(view_scores)
    if view_scores.ndim != 2 or len(view_scores) == 0:
        raise ValueError(f"view_scores must be (V, K) with V >= 1; found {view_scores.shape}")
    if method == "sum":
        return view_scores.mean(axis=0, dtype=np.float64).astype(np.float32)
    if method == "max":
        return view_scores.max(axis=0).astype(np.float32)
    raise ValueError(f'protocol.ensemble is "{method}", expected one of {", ".join(METHODS)}')
