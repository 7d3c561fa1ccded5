"""What changed from one test to another: metrics, classes, and videos gained and lost."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.text_files import counted
from slowfast_jax.report.items import TITLES

PER_CLASS = ("per_class_ap", "per_class_acc")
MOST_VIDEOS = 50  # listed as gained or lost
LEAST_CHANGE = 0.05  # percentage points; classes that change by less are only counted


class Change(NamedTuple):
    """A number of a test, in percent, before and after."""

    name: str
    before: float
    after: float

    @property
    def difference(self) -> float:
        return self.after - self.before


class Moved(NamedTuple):
    """A video whose best class is right in one of two tests only.

    Attributes:
      path: of the video.
      true: its classes.
      before, after: the best class of each test, with its score.
    """

    path: str
    true: list[int]
    before: tuple[int, float]
    after: tuple[int, float]


class Comparison(NamedTuple):
    """A test, compared with an earlier one.

    Attributes:
      metrics: the metrics that both have.
      classes: accuracy or average precision of the classes that both have, the largest change
        first.
      gained, lost: videos that only the later test predicts right, or only the earlier.
      same: number of videos that both tested.
      only: number of videos that only the earlier tested, and only the later.
    """

    metrics: list[Change]
    classes: list[Change]
    gained: list[Moved]
    lost: list[Moved]
    same: int
    only: tuple[int, int]


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    """Compares the contents of two results.json; videos are matched by their paths.

    Raises ValueError if a video has other classes in one than in the other.
    """
    metrics = [
        Change(name, value, after["metrics"][name])
        for name, value in before["metrics"].items()
        if isinstance(value, float) and isinstance(after["metrics"].get(name), float)
    ]
    key = next((key for key in PER_CLASS if before["metrics"].get(key)), "")
    earlier, later = (results["metrics"].get(key, {}) for results in (before, after))
    classes = [Change(name, earlier[name], later[name]) for name in earlier if name in later]
    first, second = ({row["path"]: row for row in results["videos"]} for results in (before, after))
    shared = [path for path in first if path in second]
    gained, lost = [], []
    for path in shared:
        rows = first[path], second[path]
        true, others = (np.atleast_1d(row["label"]).tolist() for row in rows)
        if true != others:
            raise ValueError(
                f"{path} has the label {rows[0]['label']} in one test and {rows[1]['label']} in "
                "the other; compare tests with the same list and class names"
            )
        best = [(row["top1_indices"][0], row["top1_values"][0]) for row in rows]
        was, is_now = (index in true for index, _ in best)
        if was != is_now:
            (gained if is_now else lost).append(Moved(path, true, *best))
    return Comparison(
        metrics, sorted(classes, key=lambda change: -abs(change.difference)), gained, lost,
        len(shared), (len(first) - len(shared), len(second) - len(shared)),
    )


def comparison_html(
    found: Comparison, names: tuple[str, str], class_names: Sequence[str] = ()
) -> str:
    """The body of a section on a comparison.

    Args:
      found: the comparison.
      names: of the earlier and the later test.
      class_names: K names; without them, classes are numbers.
    """
    heads = "".join(f"<th>{escape(head)}</th>" for head in ("", *names, "change"))
    titled = [c._replace(name=TITLES.get(c.name, c.name)) for c in found.metrics]
    parts = [_table(heads, titled)]
    changed = [c for c in found.classes if abs(c.difference) >= LEAST_CHANGE]
    if found.classes:
        rest = len(found.classes) - len(changed)
        note = f" {rest:,} of {len(found.classes):,} did not change."
        parts.append(f"<h3>Classes</h3><p>The largest change first.{note if rest else ''}</p>")
        parts.append(f'<div class="tall">{_table(heads, changed)}</div>' if changed else "")
    if found.same:
        parts.append(
            f"<p>Both tested {counted(found.same, 'video')}. Only in {escape(names[0])}: "
            f"{found.only[0]:,}; only in {escape(names[1])}: {found.only[1]:,}.</p>"
        )
    for title, moved in (("gained", found.gained), ("lost", found.lost)):
        if moved:
            parts.append(
                f"<h3>{counted(len(moved), 'video').capitalize()} {title}</h3>"
                + _videos(moved, names, class_names)
            )
    return "".join(parts)


def _table(heads: str, changes: Sequence[Change]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(change.name)}</th><td>{change.before:.1f}</td>'
        f"<td>{change.after:.1f}</td>"
        f'<td class="{_kind(change.difference)}">{change.difference:+.1f}</td></tr>'
        for change in changes
    )
    return f'<table class="compared"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _kind(difference: float) -> str:
    """The CSS class of a change."""
    if abs(difference) < LEAST_CHANGE:
        return ""
    return "right" if difference > 0 else "wrong"


def _videos(moved: Sequence[Moved], names: tuple[str, str], class_names: Sequence[str]) -> str:
    def name(index: int) -> str:
        return escape(class_names[index] if index < len(class_names) else f"class {index}")

    heads = "".join(f"<th>{escape(head)}</th>" for head in ("video", "true", *names))
    rows = "".join(
        f'<tr><th scope="row">{escape(row.path)}</th>'
        f"<td>{', '.join(map(name, row.true))}</td>"
        + "".join(f"<td>{name(k)} {score:.2f}</td>" for k, score in (row.before, row.after))
        + "</tr>"
        for row in moved[:MOST_VIDEOS]
    )
    more = len(moved) - MOST_VIDEOS
    note = f"<p>And {more:,} more.</p>" if more > 0 else ""
    return (
        f'<table class="moved"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{note}'
    )
