"""A timeline: a row for each action or person, which opens to show its scores over time.

It needs no script: a row is a <details> element, which the keyboard opens as well.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from slowfast_jax.display.style import BLUE
from slowfast_jax.report.charts import Line, line_chart, ticks

MOST_PARTS = 240  # of a row; those of more windows are the means of neighbors


class Scores(NamedTuple):
    """Scores of an action over time.

    Attributes:
      name: of the action.
      start, end: (W,), the seconds that each window spans.
      values: (W,), 0 to 1.
    """

    name: str
    start: np.ndarray
    end: np.ndarray
    values: np.ndarray


class Row(NamedTuple):
    """A row of a timeline.

    Attributes:
      name: what it is about.
      scores: what the row shows, as opacity.
      charts: what is shown when the row is open.
      color: of the row, as in CSS.
    """

    name: str
    scores: Scores
    charts: Sequence[Scores]
    color: str = BLUE


def timeline(rows: Sequence[Row], seconds: float) -> str:
    """The HTML of a timeline, without its style sheet (see style.block).

    Args:
      rows: from top to bottom.
      seconds: duration of the video.

    Elements with the attribute data-seconds are where that second of the video is.
    """
    seconds = max(seconds, 1e-3)
    return "".join([_axis(seconds), *(_row(row, seconds) for row in rows)])


def _axis(seconds: float) -> str:
    marks = [mark for mark in ticks(0, seconds) if mark <= seconds]
    labels = "".join(
        f'<span style="left:{100 * mark / seconds:.2f}%">{mark:g}{" s" if not mark else ""}</span>'
        for mark in marks
    )
    return (
        '<div class="row axis" aria-hidden="true"><span class="name"></span>'
        f'<span class="track">{labels}</span><span class="score">best</span></div>'
    )


def _row(row: Row, seconds: float) -> str:
    start, end, values = _thinned(row.scores)
    parts = "".join(
        f'<i data-seconds="{a:.2f}" title="{a:.1f} to {b:.1f} s: {value:.2f}" style="left:'
        f"{100 * a / seconds:.2f}%;width:{100 * max(b - a, 0) / seconds:.2f}%;"
        f'background:{row.color};opacity:{value:.2f}"></i>'
        for a, b, value in zip(start, end, values, strict=True) if value >= 0.005
    )
    charts = "".join(
        line_chart(
            scores.name, [Line("score", (scores.start + scores.end) / 2, scores.values)],
            over="seconds", highest=1.0,
        )
        for scores in row.charts
    )
    best = max(row.scores.values, default=0.0)
    return (
        f'<details><summary class="row"><span class="name" title="{escape(row.name)}">'
        f'{escape(row.name)}</span><span class="track">{parts}</span>'
        f'<span class="score">{best:.2f}</span></summary><div class="charts">{charts}</div>'
        "</details>"
    )


def _thinned(scores: Scores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """start, end and values, of at most MOST_PARTS parts.

    Overlapping windows are drawn up to the start of the next one, so that none hides another.
    """
    start, end, values = (np.array(column, float) for column in scores[1:])
    end[:-1] = np.minimum(end[:-1], np.maximum(start[1:], start[:-1]))
    if len(values) <= MOST_PARTS:
        return start, end, values
    parts = np.array_split(np.arange(len(values)), MOST_PARTS)
    return (
        np.array([start[part[0]] for part in parts]),
        np.array([end[part[-1]] for part in parts]),
        np.array([values[part].mean() for part in parts]),
    )
