"""SVG charts for an HTML page, whose style sheet sets the colors of their CSS classes."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 360, 220  # of a line chart, in SVG units
LEFT, RIGHT, TOP, BOTTOM = 46, 20, 30, 30  # margins around its plot area
POINTS = 200  # per line at most; longer lines are averaged
MARKED = 40  # lines with at most this many points get a marker at each
LONGEST = 34  # characters of a class name beside a matrix; longer names are cut


class Line(NamedTuple):
    """A curve: N values over N training steps."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]


def line_chart(
    title: str, lines: Sequence[Line], *, over: str = "steps", highest: float = 0.0
) -> str:
    """Draws lines over training steps; "" if they have no points. "" for a name shows none.

    Both axes start at 0, or the vertical one at the least value if that is negative. The CSS
    classes of the elements are title, grid and tick, and line0, line1, ... and text0, text1, ...
    for the lines and their names.

    Args:
      over: what the horizontal axis counts, if not steps.
      highest: value that the vertical axis reaches at least.
    """
    drawn = {n: _thinned(line) for n, line in enumerate(lines) if len(line.steps)}
    if not drawn:
        return ""
    x_ticks = ticks(0, max(max(line.steps) for line in drawn.values()))
    values = [value for line in drawn.values() for value in line.values]
    y_ticks = ticks(min(0, *values), max(highest, *values))

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (step - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - y_ticks[0]) / (
            y_ticks[-1] - y_ticks[0]
        )

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)} over {over}">',
        f'<text class="title" x="{LEFT}" y="16">{escape(title)}</text>',
    ]
    for value in y_ticks:
        at = f"{y(value):.1f}"
        parts.append(f'<path class="grid" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(value) + 3.5:.1f}" '
                     f'text-anchor="end">{_short(value)}</text>')
    for step in x_ticks:
        parts.append(f'<text class="tick" x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 16}" '
                     f'text-anchor="middle">{_short(step)}</text>')
    for number, line in drawn.items():
        points = [(x(s), y(v)) for s, v in zip(line.steps, line.values, strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline class="line{number}" points="{path}"/>')
        if len(points) <= MARKED:
            for (a, b), step, value in zip(points, line.steps, line.values, strict=True):
                parts.append(f'<circle class="line{number}" cx="{a:.1f}" cy="{b:.1f}" r="2.5">'
                             f"<title>{over[:-1]} {step:g}: {value:.4g}</title></circle>")
        if len(drawn) > 1 and line.name:
            right = WIDTH - RIGHT - 60 * (len(lines) - 1 - number)
            parts.append(f'<text class="text{number}" x="{right}" y="16" text-anchor="end">'
                         f"{escape(line.name)}</text>")
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers at equal distances that enclose `low` and `high`."""
    if not high > low:
        high = low + 1
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * f for f in (1, 2, 2.5, 5, 10) if unit * f >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def matrix_chart(matrix: np.ndarray, names: Sequence[str]) -> str:
    """Draws a confusion matrix; the opacity of a cell is its value.

    Args:
      matrix: (K, K), values 0 to 1; rows of nan are left empty.
      names: K names, for rows and columns.
    """
    size = 24 if len(names) <= 20 else 15 if len(names) <= 45 else 11
    labels = [n if len(n) <= LONGEST else n[: LONGEST - 1] + "…" for n in names]
    room = round(6.2 * max(map(len, labels))) + 12
    turn = 45 if size == 24 else 90  # rotation of column names, in degrees
    slope = 0.72 * room if turn == 45 else room
    side = len(names) * size
    parts = [
        f'<svg class="matrix" viewBox="0 0 {room + side + slope:.0f} {slope + side + 8:.0f}" '
        f'width="{room + side + slope:.0f}" role="img" aria-label="confusion matrix">'
    ]
    for number, (name, label) in enumerate(zip(names, labels, strict=True)):
        x, y = room + (number + 0.5) * size, slope + (number + 0.5) * size
        title = f"<title>{escape(name)}</title>"
        parts.append(f'<text x="{room - 6}" y="{y + 4:.1f}" text-anchor="end">{title}'
                     f"{escape(label)}</text>")
        parts.append(f'<text transform="translate({x + 4:.1f} {slope - 6:.1f}) rotate(-{turn})">'
                     f"{title}{escape(label)}</text>")
    for (row, column), share in np.ndenumerate(matrix):
        if math.isnan(share):
            continue
        kind = "cell own" if row == column else "cell"
        x, y = room + column * size, slope + row * size
        if share >= 0.005 or row == column:
            parts.append(
                f'<rect class="{kind}" x="{x}" y="{y:.0f}" width="{size - 1}" height="{size - 1}" '
                f'fill-opacity="{share:.2f}"><title>{escape(names[row])} → '
                f"{escape(names[column])}: {share:.2f}</title></rect>"
            )
        if size == 24 and share >= 0.095:
            kind = "strong" if share >= 0.55 else "weak"
            parts.append(f'<text class="{kind}" x="{x + 11.5}" y="{y + 15:.0f}" '
                         f'text-anchor="middle">{100 * share:.0f}</text>')
    return "".join([*parts, "</svg>"])


def _thinned(line: Line) -> Line:
    """The line reduced to at most POINTS points by averaging neighbors."""
    parts = min(POINTS, len(line.steps))
    means = [
        [float(part.mean()) for part in np.array_split(np.asarray(column, float), parts)]
        for column in (line.steps, line.values)
    ]
    return Line(line.name, *means)


def _short(value: float) -> str:
    """A tick label of a few letters; 25000 is 25k, and 0.00075 is 7.5e-4."""
    if abs(value) >= 10000:
        return f"{value / 1000:.4g}k"
    if 0 < abs(value) < 0.01:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.4g}"
