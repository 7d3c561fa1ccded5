"""The commands that need no network: they read what tests and trainings saved."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.text_files import counted
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.stills import look
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.inference.inputs import as_video
from slowfast_jax.report.charts import Line, line_chart
from slowfast_jax.report.comparison import PER_CLASS, compare, comparison_html
from slowfast_jax.report.html import embedded, page_of, section
from slowfast_jax.report.items import TITLES, read_results, spread
from slowfast_jax.report.plots import Bar, Panel, bars_picture, matrix_picture
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
MOST_RUNS = 6  # that have colors of their own
FRAMES = 6  # of a wrongly predicted video
NOT_CURVES = {"step", "epoch", "split"}


def outcomes_of(arguments: argparse.Namespace) -> tuple[Outcomes, list[int]]:
    """The outcomes of the test that the arguments name, and the chosen classes, [] for all."""
    config = load_config(arguments.config) if arguments.config else None
    outcomes = read_outcomes(arguments.test, config, arguments.labels)
    chosen = chosen_classes(arguments.classes, outcomes.names) if arguments.classes else []
    return outcomes, chosen


def show_confusion(arguments: argparse.Namespace) -> Iterator[Path]:
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
    """(name of the file, matrix, class names, title) of each confusion matrix."""
    whole = confusion(outcomes, count)
    among = f"among the {count} best" if count > 1 else "predicted"
    shown = list(chosen) or list(range(len(outcomes.names)))
    title = f"{counted(len(outcomes.labels), 'example')}: rows true, columns {among}, in percent"
    yield "confusion", whole[np.ix_(shown, shown)], [outcomes.names[k] for k in shown], title
    if not parents:
        return
    groups = parent_classes(parents, outcomes.names)
    matrix = confusion_of_parents(outcomes, groups, count)
    yield "confusion_parents", matrix, list(groups), title
    for parent, classes in groups.items():
        name = "".join(letter if letter.isalnum() else "_" for letter in parent)
        names = [outcomes.names[k] for k in classes]
        yield f"confusion_{name}", whole[np.ix_(classes, classes)], names, f"{parent}: {title}"


def show_histograms(arguments: argparse.Namespace) -> Iterator[Path]:
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


def show_mistakes(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes mistakes.html: frames of the wrongly predicted videos, with their classes."""
    outcomes, chosen = outcomes_of(arguments)
    if not outcomes.paths:
        raise ConfigError(f"{arguments.test} has no videos; --mode report shows persons' actions")
    wrong = [
        n for n in mistakes(outcomes) if not chosen or outcomes.labels[n, list(chosen)].any()
    ]
    figures = [
        _figure(mistake, arguments.prefix)
        for mistake in (_described(outcomes, n) for n in wrong[: arguments.most])
    ]
    shown = f", of which {len(figures)} are shown" if len(figures) < len(wrong) else ""
    total = f"<p>{counted(len(wrong), 'example')} of {len(outcomes.labels):,} wrong{shown}.</p>"
    body = section("The most confident first", total + "".join(figures))
    path = Path(arguments.out, "mistakes.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page_of(f"Wrong predictions of {arguments.test}", [body]), encoding="utf-8")
    yield path


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
        picture = f'<img class="strip" alt="" src="{embedded(strip)}">'
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


def show_bars(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes classes.png: average precision, or accuracy, of each class of each test."""
    panels = []
    for run in arguments.runs:
        metrics = read_results(run)["metrics"]
        values = next((metrics[key] for key in PER_CLASS if metrics.get(key)), None)
        if values is None:
            raise ConfigError(f"{run}: results.json has no metrics of single classes")
        order = sorted(values, key=lambda name: -values[name])
        panels.append(Panel(run, [Bar(name, values[name] / 100) for name in order]))
    kind = "AP" if "per_class_ap" in metrics else "Accuracy"
    picture = bars_picture(panels, title=f"{kind} of each class, in percent")
    yield write_picture(Path(arguments.out, "classes.png"), picture)


def show_curves(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes curves.html: each metric over the steps of all runs."""
    if len(arguments.runs) > MOST_RUNS:
        raise ConfigError(f"{len(arguments.runs)} runs; expected at most {MOST_RUNS}")
    records = {}
    for run in arguments.runs:
        if not Path(run, METRICS_FILE).is_file():
            raise FileNotFoundError(f"{run}: has no {METRICS_FILE}; --mode train writes it")
        records[run] = read_metrics(run)
    curves = dict.fromkeys(
        (row["split"], name) for rows in records.values() for row in rows
        for name, value in row.items()
        if name not in NOT_CURVES and isinstance(value, (int, float))
    )
    charts = []
    for split, name in curves:
        points = [
            [(row["step"], row[name]) for row in rows
             if row["split"] == split and isinstance(row.get(name), (int, float))]
            for rows in records.values()
        ]
        lines = [Line("", [p[0] for p in part], [p[1] for p in part]) for part in points]
        charts.append(line_chart(f"{split}: {TITLES.get(name, name)}", lines))
    legend = "".join(
        f'<span class="chip color{number}">{escape(run)}</span> '
        for number, run in enumerate(records)
    )
    body = section("Curves", f"<p>{legend}</p>" f'<div class="charts">{"".join(charts)}</div>')
    path = Path(arguments.out, "curves.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page_of(" and ".join(records), [body]), encoding="utf-8")
    yield path


def show_comparison(arguments: argparse.Namespace) -> Iterator[Path]:
    """Writes comparison.html: what changed from the first test to the second."""
    earlier, later = arguments.runs
    found = compare(read_results(earlier), read_results(later))
    names: list[str] = []
    if found.gained or found.lost:
        names = read_outcomes(later).names
    body = section("Comparison", comparison_html(found, (earlier, later), names))
    path = Path(arguments.out, "comparison.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page_of(f"{earlier} and {later}", [body]), encoding="utf-8")
    yield path


COMMANDS: Mapping[str, Callable[[argparse.Namespace], Iterator[Path]]] = {
    "confusion": show_confusion, "histograms": show_histograms, "mistakes": show_mistakes,
    "bars": show_bars, "curves": show_curves, "compare": show_comparison,
}
