"""The commands that need no network: they read what tests and trainings saved."""

import argparse
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.atomic_files import whole
from data_pipelines.text_files import counted
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.stills import look
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.inference.inputs import as_video
from slowfast_jax.metrics.confusion import most_confused
from slowfast_jax.report.charts import Line, line_chart
from slowfast_jax.report.comparison import PER_CLASS, compare, comparison_html
from slowfast_jax.report.html import embedded, page_of, section
from slowfast_jax.report.items import TITLES, read_results, spread
from slowfast_jax.report.plots import NAMED, Bar, Panel, bars_picture, matrix_picture
from slowfast_jax.training.writers import METRICS_FILE, read_metrics
from slowfast_jax.visualize.files import write_picture
from slowfast_jax.visualize.outcomes import (
    Outcomes,
    chosen_classes,
    confusion,
    confusion_of_parents,
    mistakes,
    parent_classes,
    read_outcomes,
)

MOST_PANELS = 40  # classes with histograms where none are chosen: the worst ones
WORST = 50  # classes in a second matrix beside one that is too large for names
MOST_RUNS = 6  # that have colors of their own
FRAMES = 6  # of a wrongly predicted video
NOT_CURVES = {"step", "epoch", "split"}
SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}


def outcomes_of(arguments: argparse.Namespace) -> tuple[Outcomes, list[int]]:
    """The outcomes of the test that the arguments name, and the chosen classes, [] for all."""
    config = load_config(arguments.config) if arguments.config else None
    outcomes = read_outcomes(arguments.test, config, arguments.labels)
    chosen = chosen_classes(arguments.classes, outcomes.names) if arguments.classes else []
    return outcomes, chosen


def write_confusion(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes confusion.png; with parents, parents.png and one for the classes of each."""
    outcomes, chosen = outcomes_of(arguments)
    for name, matrix, names, title in confusion_matrices(
        outcomes, chosen, arguments.top_k, arguments.parents
    ):
        picture = matrix_picture(matrix, names, title=title)
        yield write_picture(Path(arguments.out, f"{name}.png"), picture)


def confusion_matrices(
    outcomes: Outcomes, chosen: Sequence[int], count: int, parents: str | None
) -> Iterator[tuple[str, np.ndarray, list[str], str]]:
    """(name of the file, matrix, class names, title) of each confusion matrix.

    Beside a matrix that is too large for names, there is one of the classes that are confused most.
    """
    whole = confusion(outcomes, count)
    among = f"among the {count} best" if count > 1 else "predicted"
    shown = list(chosen) or list(range(len(outcomes.names)))
    title = f"{counted(len(outcomes.labels), 'example')}; rows: true, columns: {among}; in percent"

    def part(classes: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        return whole[np.ix_(classes, classes)], [outcomes.names[k] for k in classes]

    yield "confusion", *part(shown), title
    if len(shown) > NAMED:
        worst = [shown[k] for k in most_confused(part(shown)[0], WORST)]
        which = f"The {len(worst)} most confused classes: "
        if worst:
            yield "confusion_worst", *part(worst), which + title
    if not parents:
        return
    groups = parent_classes(parents, outcomes.names)
    matrix = confusion_of_parents(outcomes, groups, count)
    yield "confusion_parents", matrix, list(groups), title
    for parent, classes in groups.items():
        name = "".join(letter if letter.isalnum() else "_" for letter in parent)
        yield f"confusion_{name}", *part(classes), f"{parent}: {title}"


def write_histograms(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes histograms.png: for each class, the shares of what its examples are predicted to be.
    """
    outcomes, chosen = outcomes_of(arguments)
    picture = histograms(outcomes, chosen, arguments.top_k)
    yield write_picture(Path(arguments.out, "histograms.png"), picture)


def histograms(outcomes: Outcomes, chosen: Sequence[int], bars: int) -> np.ndarray:
    """The picture of the `bars` most frequent predictions of each chosen class."""
    matrix = confusion(outcomes)
    counts = outcomes.labels.sum(0)
    tested = np.flatnonzero(counts)
    worst = tested[np.argsort(matrix[tested, tested], kind="stable")][:MOST_PANELS]
    classes = [k for k in chosen or sorted(worst.tolist()) if counts[k]]
    if not classes:
        raise ConfigError("the test has no examples of these classes")
    panels = []
    for k in classes:
        best = np.argsort(-matrix[k], kind="stable")[:bars]
        panels.append(Panel(
            f"{outcomes.names[k]} ({counts[k]})",
            [Bar(outcomes.names[j], matrix[k, j], j == k) for j in best if matrix[k, j] > 0],
        ))
    which = "each class" if chosen or len(tested) <= MOST_PANELS else "the worst classes"
    return bars_picture(panels, title=f"Predictions of the examples of {which}, in percent")


def write_mistakes(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes mistakes.html: frames of the wrongly predicted videos, with their classes."""
    outcomes, chosen = outcomes_of(arguments)
    if not outcomes.paths:
        where = "--mode report shows the wrong predictions of tests of boxes"
        if Path(arguments.test).is_file():
            where = "--save_scores writes their paths, which PySlowFast does not"
        raise ConfigError(f"{arguments.test} does not name videos; {where}")
    wrong = mistakes(outcomes, chosen)
    figures = [
        _figure(mistake, arguments.prefix)
        for mistake in (_described(outcomes, n) for n in wrong[: arguments.most])
    ]
    shown = f"; {len(figures):,} of them are shown" if len(figures) < len(wrong) else ""
    every = counted(len(outcomes.labels), "example")
    total = f"<p>{len(wrong):,} of {every} were predicted wrongly{shown}.</p>"
    body = section("The most confident first", total + "".join(figures))
    yield _write_page(
        arguments, "mistakes.html", f"Wrong predictions of {arguments.test}", [body]
    )


def _described(outcomes: Outcomes, number: int) -> tuple[str, list[str], list[tuple[str, float]]]:
    """Path, true classes and best classes with scores of an example."""
    scores = outcomes.scores[number]
    best = np.argsort(-scores, kind="stable")[:3]
    true = [outcomes.names[k] for k in np.flatnonzero(outcomes.labels[number])]
    return (
        outcomes.paths[number], true,
        [(outcomes.names[k], float(scores[k])) for k in best if scores[k] > 0],
    )


def frames_of(path: str, prefix: str = "") -> list[np.ndarray]:
    """Evenly spaced frames of a video. Raises VideoError if it cannot be decoded."""
    place = os.path.join(prefix, path)
    if not os.path.exists(place):
        raise VideoError(place, "does not exist; name the folder of its path with --prefix")
    _, frames = look(as_video(place), lambda info: spread(info.frames, FRAMES))
    return list(frames)


def _figure(mistake: tuple[str, list[str], list[tuple[str, float]]], prefix: str) -> str:
    path, true, best = mistake
    try:
        strip = strip_of(frames_of(path, prefix))
        picture = f'<img class="strip" alt="frames of {escape(path)}" src="{embedded(strip)}">'
    except VideoError as error:
        picture = f"<p>{escape(str(error))}</p>"
    chips = "".join(
        f'<span class="chip {"right" if name in true else "wrong"}">{escape(name)} {score:.2f}'
        "</span> " for name, score in best
    )
    missed = "".join(f'<span class="chip missed">true: {escape(name)}</span> ' for name in true)
    return f"<p>{escape(path)}<br>{missed}{chips}</p>{picture}"


def strip_of(frames: Sequence[np.ndarray], height: int = 120) -> np.ndarray:
    """Frames side by side: uint8 (height, W, 3)."""
    width = round(frames[0].shape[1] * height / frames[0].shape[0])
    scaled = [np.asarray(Image.fromarray(frame).resize((width, height))) for frame in frames]
    return np.concatenate(scaled, 1)


def write_bars(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes classes.png: average precision, or accuracy, of each class of each test.

    The classes are in the order of the first test, those with the highest value first, so that the
    bars of a class stand side by side.
    """
    kinds, tests = set(), []
    for run in arguments.runs:
        metrics = read_results(run)["metrics"]
        kind = next((key for key in PER_CLASS if metrics.get(key)), None)
        if kind is None:
            raise ConfigError(f"{run}: results.json has no metrics of single classes")
        kinds.add(kind)
        tests.append({name: value / 100 for name, value in metrics[kind].items()})
    if len(kinds) > 1:
        raise ConfigError(
            "one test has accuracies and another one average precisions: pass tests of the same "
            "kind"
        )
    order = dict.fromkeys(
        name for values in tests for name in sorted(values, key=lambda name: -values[name])
    )
    panels = [
        Panel(name, [Bar(label, values.get(label, math.nan)) for label in order])
        for name, values in zip(short_names(arguments.runs), tests, strict=True)
    ]
    what = {"per_class_ap": "Average precision", "per_class_acc": "Accuracy"}[kinds.pop()]
    picture = bars_picture(panels, title=f"{what} of each class, in percent")
    yield write_picture(Path(arguments.out, "classes.png"), picture)


def short_names(runs: Sequence[str]) -> list[str]:
    """The paths of runs below the folder that all of them share."""
    paths = [os.path.abspath(run) for run in runs]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, shared) for path in paths]


def write_curves(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes curves.html: each metric over the steps of all runs."""
    if len(arguments.runs) > MOST_RUNS:
        raise ConfigError(f"{len(arguments.runs)} runs; expected at most {MOST_RUNS}")
    records = []
    for run in arguments.runs:
        if not Path(run, METRICS_FILE).is_file():
            raise FileNotFoundError(f"{run}: has no {METRICS_FILE}; --mode train writes it")
        records.append(read_metrics(run))
    names = short_names(arguments.runs)
    legend = "".join(
        f'<span class="chip color{number}">{escape(name)}</span> '
        for number, name in enumerate(names)
    )
    sections = [f'<p class="legend">{legend}</p>']
    for split in dict.fromkeys(row["split"] for rows in records for row in rows):
        of_split = [[row for row in rows if row["split"] == split] for rows in records]
        sections.append(section(SPLITS.get(split, split), _charts(of_split)))
    yield _write_page(arguments, "curves.html", f"Curves of {counted(len(names), 'run')}", sections)


def _charts(records: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """A chart for each metric in the records of some runs, with a line for each run."""
    metrics = dict.fromkeys(
        name for rows in records for row in rows for name, value in row.items()
        if name not in NOT_CURVES and not name.startswith("num_") and _is_number(value)
    )
    charts = []
    for name in metrics:
        lines = []
        for rows in records:
            points = [(row["step"], row[name]) for row in rows if _is_number(row.get(name))]
            lines.append(Line("", [p[0] for p in points], [p[1] for p in points]))
        charts.append(line_chart(TITLES.get(name, name.replace("_", " ")), lines))
    return f'<div class="charts">{"".join(charts)}</div>' if charts else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def write_comparison(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes comparison.html: what changed from the first test to the second."""
    earlier, later = arguments.runs
    found = compare(read_results(earlier), read_results(later))
    if not (found.metrics or found.classes or found.same):
        raise ConfigError(f"{earlier} and {later} have no metrics, classes or videos in common")
    class_names: list[str] = []
    if found.gained or found.lost:
        class_names = read_outcomes(later).names
    names = short_names(arguments.runs)
    body = section("What changed", comparison_html(found, tuple(names), class_names))
    yield _write_page(arguments, "comparison.html", f"{names[0]} and {names[1]}", [body])


def _write_page(
    arguments: argparse.Namespace, name: str, title: str, sections: Sequence[str]
) -> Path:
    """Writes a page into the folder of --out; returns its path."""
    path = Path(arguments.out, name)
    with whole(path) as part:
        part.write_text(page_of(title, sections), encoding="utf-8")
    return path


COMMANDS: Mapping[str, Callable[[argparse.Namespace], Iterator[Path]]] = {
    "confusion": write_confusion, "histograms": write_histograms, "mistakes": write_mistakes,
    "bars": write_bars, "curves": write_curves, "compare": write_comparison,
}
