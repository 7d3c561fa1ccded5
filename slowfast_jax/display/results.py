"""Results of a recognizer that render themselves in Jupyter; elsewhere they are plain lists."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from slowfast_jax.display.style import block, note
from slowfast_jax.display.timeline import Row, Scores, timeline

MOST_ROWS = 10  # actions of a timeline
FIRST_ROWS, LEAST = 3, 0.02  # further ones than the first must reach this score
SHOWN = 0.005  # minimum score that is not written as 0.00


class Predictions(list[tuple[str, float]]):
    """[(class name, score)], best first."""

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td class="bar"><i style="width:'
            f'{100 * min(max(score, 0), 1):.1f}%"></i></td><td>{score:.4f}</td></tr>'
            for name, score in self
        )
        return block(f"<table><tbody>{rows}</tbody></table>")


class Timeline(list):
    """The windows of a video in order of time, each with start, end and scores (K,).

    Attributes:
      class_names: names of the K classes.
    """

    def __init__(self, windows: Iterable, class_names: Sequence[str]):
        super().__init__(windows)
        self.class_names = list(class_names)

    def best(self, top_k: int = MOST_ROWS) -> list[int]:
        """The `top_k` classes with the highest score in any window, best first."""
        if not self:
            return []
        highest = np.stack([window.scores for window in self]).max(0)
        return np.argsort(-highest, kind="stable")[:top_k].tolist()

    def scores_of(self, index: int) -> Scores:
        """The scores of a class over time."""
        return Scores(
            self.class_names[index], *(np.array([window[i] for window in self]) for i in (0, 1)),
            np.array([window.scores[index] for window in self]),
        )

    def _repr_html_(self) -> str:
        if not self:
            return block(note("no windows"))
        curves = [self.scores_of(index) for index in self.best()]
        rows = [
            Row(scores.name, scores, [scores]) for number, scores in enumerate(curves)
            if not number or scores.values.max() >= (SHOWN if number < FIRST_ROWS else LEAST)
        ]
        return block(timeline(rows, self[-1].end))


def features_html(
    features: np.ndarray, start: np.ndarray, end: np.ndarray, fps: float, endpoint: str
) -> str:
    """Facts of a video's features (W, ...), and how similar each window is to the one before."""
    size = " x ".join(map(str, features.shape[1:]))
    windows = "1 window" if len(features) == 1 else f"{len(features)} windows"
    facts = note(
        f"{endpoint}: {windows} of {end[0] - start[0]:.3g} s, each {size} values; the video has "
        f"{fps:.4g} frames per second"
    )
    if len(features) < 2:
        return block(facts)
    rows = features.reshape(len(features), -1).astype(np.float64)
    lengths = np.maximum(np.linalg.norm(rows, axis=1), 1e-12)
    similar = (rows[1:] * rows[:-1]).sum(1) / (lengths[1:] * lengths[:-1])
    similar = np.clip(similar, 0, 1)
    name = "similarity to the window before"
    scores = Scores(name, start[1:], end[1:], similar)
    return block(facts + timeline([Row(name, scores, [scores])], float(end[-1])))
