"""report.html of a finished run: its metrics, curves and pictures in one file without scripts.

    write_report(workdir, **make_task(config).report(workdir))

If the task provides a video, it is written to annotated.mp4 in the same folder.
"""

import base64
import io
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.text_files import counted
from slowfast_jax.metrics.confusion import most_confused
from slowfast_jax.report.charts import Line, line_chart, matrix_chart
from slowfast_jax.report.drawing import (
    GRAY,
    GREEN,
    RED,
    Annotated,
    Color,
    draw_boxes,
    write_annotated_video,
)
from slowfast_jax.report.items import TITLES, Picture, Video, read_results
from slowfast_jax.report.page import PAGE, STYLE
from slowfast_jax.training.writers import METRICS_FILE, read_metrics

LONG_SIDE = 480  # small pictures are enlarged by a whole factor to about this many pixels
VIDEO_FILE = "annotated.mp4"
MOST_CLASSES = 80  # in the confusion matrix
MOST_FAILURES = 20  # listed
TOP = 5  # the classes that top-5 accuracy allows: with no more, it is always 100%
CLIPS = "{num_frames} frames, every {sampling_rate} at {target_fps:g} fps"
PER_CLASS = {"per_class_ap": "AP, %", "per_class_acc": "accuracy, %"}


def write_report(
    workdir: str | os.PathLike,
    *,
    headline: str = "",
    frames: Sequence[Picture] = (),
    mistakes: Sequence[Picture] = (),
    comparison: str = "",
    confusion: np.ndarray | None = None,
    class_names: Sequence[str] = (),
    explanation: str = "",
    video: Video | None = None,
    parameters: int = 0,
) -> Path:
    """Writes `workdir`/report.html from its results.json and, if it exists, metrics.jsonl.

    Args:
      headline: name of the main metric, which is shown first. Default: "map" or "top1_acc",
        whichever the results have.
      frames: pictures to show.
      mistakes: pictures of wrong predictions.
      comparison: the body of a section on another test, see `comparison.comparison_html`.
      confusion: (K, K), a confusion matrix (see metrics.confusion); needs `class_names`.
      class_names: K names.
      explanation: sentence that explains the cells of `confusion`.
      video: written to `workdir`/annotated.mp4, which the page shows.
      parameters: number of parameters of the network; 0 leaves it out.

    Returns:
      The path of the report.

    Raises:
      FileNotFoundError: results.json is missing.
      ValueError: a file cannot be parsed, or `confusion` and `class_names` differ in size.
    """
    workdir = Path(workdir)
    if confusion is not None and np.shape(confusion) != (len(class_names),) * 2:
        raise ValueError(
            f"confusion has shape {np.shape(confusion)} and class_names has length "
            f"{len(class_names)}; expected (K, K) and K"
        )
    results = read_results(workdir)
    metrics, fingerprint, failed = (results[k] for k in ("metrics", "fingerprint", "failed"))
    records = read_metrics(workdir) if (workdir / METRICS_FILE).exists() else []
    headline = headline or next((name for name in ("map", "top1_acc") if name in metrics), "")
    if fingerprint.get("model", {}).get("num_classes", math.inf) <= TOP:
        metrics = {key: v for key, v in metrics.items() if not key.startswith("top5")}
    name = fingerprint.get("config", workdir.name)
    written = (workdir / "results.json").stat().st_mtime
    tested = datetime.fromtimestamp(written).isoformat(" ", "minutes")
    sections = [
        _headline(metrics, records, headline, len(failed)),
        section("Training curves", _curves(records, headline)),
        section(
            "Results per class", _class_table(metrics, _videos_of(results, class_names))
        ),
        section("Comparison", comparison),
        section("Confusion matrix", _confusion(confusion, class_names, explanation)),
        section("Annotated video", _video(workdir, video) if video else ""),
        section("Wrong predictions", _figures(mistakes)),
        section("Example frames", _figures(frames)),
        section("Failed", _failures(failed)),
        section("Run details", _facts(fingerprint, parameters, tested)),
    ]
    report = workdir / "report.html"
    report.write_text(page_of(name, sections), encoding="utf-8")
    return report


def page_of(name: str, sections: Sequence[str]) -> str:
    """A page with a title and sections; those that are empty are left out."""
    return PAGE.format(name=escape(name), style=STYLE, body="\n".join(filter(None, sections)))


def section(title: str, body: str) -> str:
    """A section of a page; "" if its body is empty."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>" if body else ""


def _headline(
    metrics: Mapping[str, Any], records: Sequence[Mapping[str, Any]], headline: str, failed: int
) -> str:
    """One tile for each number, that of the main metric first."""
    numbers = {headline: metrics[headline]} if headline in metrics else {}
    numbers |= {k: v for k, v in metrics.items() if isinstance(v, (int, float))}
    tiles = [
        _tile(_number(name, value), TITLES.get(name, name), _share(name, metrics))
        for name, value in numbers.items() if math.isfinite(value)
    ]
    if failed:
        tiles.append(_tile(f"{failed:,}", "failed"))
    if records:
        tiles.append(_tile(f"{records[-1]['step']:,}", "steps"))
        tiles.append(_tile(f"{records[-1].get('epoch', math.nan):.3g}", "epochs"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(value: str, title: str, note: str = "") -> str:
    note = f"<span>{escape(note)}</span>" if note else ""
    return f"<div><strong>{value}</strong><span>{escape(title)}</span>{note}</div>"


def _share(name: str, metrics: Mapping[str, Any]) -> str:
    """The number of videos that a top-1 accuracy stands for; "" for other metrics."""
    videos = metrics.get("num_videos")
    if name != "top1_acc" or not videos:
        return ""
    return f"{round(metrics[name] / 100 * videos):,} of {videos:,} videos"


def _curves(records: Sequence[Mapping[str, Any]], headline: str) -> str:
    def line(split: str, value: str) -> Line:
        points = [
            (row["step"], row[value]) for row in records
            if row["split"] == split and isinstance(row.get(value), (int, float))
        ]
        return Line(split, [p[0] for p in points], [p[1] for p in points])

    charts = [
        line_chart("loss", [line("train", "loss"), line("val", "loss")]),
        line_chart("learning rate", [line("train", "lr")]),
        line_chart(f"validation: {TITLES.get(headline, headline)}", [line("val", headline)]),
    ]
    return f'<div class="charts">{"".join(charts)}</div>' if any(charts) else ""


def _videos_of(results: Mapping[str, Any], names: Sequence[str]) -> dict[str, int]:
    """The number of tested videos by name of class; {} if the results do not list videos."""
    labels = [row["label"] for row in results.get("videos", []) if "label" in row]
    return Counter(names[k] for label in labels for k in np.atleast_1d(label)) if names else {}


def _class_table(metrics: Mapping[str, Any], videos: Mapping[str, int]) -> str:
    """A table of the classes, from the best to the worst. videos: number of videos by class."""
    key = next((key for key in PER_CLASS if metrics.get(key)), None)
    if key is None:
        return ""
    values, boxes = metrics[key], metrics.get("per_class_boxes", {})
    counts, counted = (boxes, "ground-truth boxes") if boxes else (videos, "videos")
    rows = [
        f'<tr><th scope="row">{escape(name)}</th>'
        f'<td class="bar"><div style="width:{value:.1f}%"></div></td>'
        f"<td>{value:.1f}</td><td>{counts.get(name, '')}</td></tr>"
        for name, value in sorted(values.items(), key=lambda item: -item[1])
    ]
    absent = [name for name in boxes if name not in values]
    note = f"<p>Not in the ground truth: {escape(', '.join(absent))}.</p>" if absent else ""
    heads = "".join(
        f"<th>{head}</th>" for head in ("class", "", PER_CLASS[key], counted if counts else "")
    )
    return (
        f'<div class="tall"><table class="classes"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{note}"
    )


def _confusion(matrix: np.ndarray | None, names: Sequence[str], explanation: str) -> str:
    if matrix is None:
        return ""
    shown = most_confused(matrix, MOST_CLASSES)
    if not shown:
        return f"<p>None of the {len(names)} classes is confused with another one.</p>"
    if len(shown) < len(names):
        explanation += f" Only the {len(shown)} most confused of {len(names)} classes are shown."
    chart = matrix_chart(np.asarray(matrix, float)[np.ix_(shown, shown)], [names[k] for k in shown])
    return f'<p>{escape(explanation)}</p><div class="wide">{chart}</div>'


def _video(workdir: Path, video: Video) -> str:
    """Writes the video, and returns the HTML that shows it."""
    pictures = iter(video.pictures)
    first = next(pictures, None)
    if first is None:
        return ""
    scale, width = _scale(first), first.image.shape[1]
    drawn = map(annotated, itertools.chain([first], pictures))
    write_annotated_video(workdir / VIDEO_FILE, drawn, fps=video.fps, scale=scale)
    return (
        f"<p>{escape(video.explanation)} Green: all predictions are correct. Red: at least one is "
        "wrong. Gray: nothing is predicted.</p>"
        f'<video controls muted loop playsinline width="{width * scale}" '
        f'src="{VIDEO_FILE}"></video>'
    )


def annotated(picture: Picture) -> Annotated:
    """A frame with the predicted classes as captions, colored by whether they are correct."""
    captions, colors = [], []
    for truths, predictions in zip(picture.truths, picture.predictions, strict=True):
        best_first = sorted(predictions, key=lambda prediction: -prediction[1])
        captions.append("\n".join(f"{name} {score:.2f}" for name, score in best_first))
        colors.append(_color(truths, predictions))
    return Annotated(picture.image, picture.boxes, captions, colors)


def _color(truths: Sequence[str], predictions: Sequence[tuple[str, float]]) -> Color:
    if not predictions:
        return GRAY
    return GREEN if all(name in truths for name, _ in predictions) else RED


def _scale(picture: Picture) -> int:
    return max(1, round(LONG_SIDE / max(picture.image.shape[:2])))


def _figures(pictures: Sequence[Picture]) -> str:
    legend = (
        '<p><span class="chip right">✓ predicted, correct</span> '
        '<span class="chip wrong">✗ predicted, wrong</span> '
        '<span class="chip missed">○ missed</span></p>'
    )
    return legend + "".join(map(_figure, pictures)) if pictures else ""


def _figure(picture: Picture) -> str:
    colors, rows = [], []
    for truths, predictions in zip(picture.truths, picture.predictions, strict=True):
        spans = " ".join(
            f'<span class="chip {kind}">{text}</span>' for kind, text in _chips(truths, predictions)
        )
        colors.append(_color(truths, predictions))
        rows.append(f"<li>{spans or 'no class'}</li>")
    several = len(rows) > 1
    tags = [str(number) if several else "" for number in range(1, len(rows) + 1)]
    kind = "ol" if several else "ul"
    drawn = draw_boxes(picture.image, picture.boxes, tags, colors, scale=_scale(picture))
    return (
        f'<figure><img src="{embedded(drawn)}" width="{drawn.shape[1]}" height="{drawn.shape[0]}" '
        f'alt="{escape(picture.title)}"><figcaption>{escape(picture.title)}'
        f"<{kind}>{''.join(rows)}</{kind}></figcaption></figure>"
    )


def _chips(
    truths: Sequence[str], predictions: Sequence[tuple[str, float]]
) -> Iterator[tuple[str, str]]:
    """CSS class and text for each class of a box: predictions by descending score, then misses."""
    for name, score in sorted(predictions, key=lambda prediction: -prediction[1]):
        kind, sign = ("right", "✓") if name in truths else ("wrong", "✗")
        yield kind, f"{sign} {escape(name)} {score:.2f}"
    predicted = {name for name, _ in predictions}
    for name in truths:
        if name not in predicted:
            yield "missed", f"○ {escape(name)}"


def embedded(image: np.ndarray) -> str:
    """The address of an <img> that contains the picture, as JPEG, reduced if it is large."""
    picture = Image.fromarray(image)
    picture.thumbnail((2 * LONG_SIDE, 2 * LONG_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _failures(failed: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(row["path"])}</th><td>{escape(row["reason"])}</td></tr>'
        for row in failed[:MOST_FAILURES]
    )
    more = len(failed) - MOST_FAILURES
    note = f"<p>{more:,} more are listed in results.json.</p>" if more > 0 else ""
    return f'<table class="facts"><tbody>{rows}</tbody></table>{note}' if rows else ""


def _facts(fingerprint: Mapping[str, Any], parameters: int, tested: str) -> str:
    """A table of what was tested, and how; results.json has all settings."""
    if not fingerprint:
        return ""
    model, protocol = fingerprint.get("model", {}), fingerprint.get("protocol", {})
    recipe = fingerprint.get("config")
    facts = {
        "recipe": recipe if recipe != model.get("name") else None,
        "network": model.get("name"),
        "parameters": f"{parameters / 1e6:.2f} million" if parameters else None,
        "classes": model.get("num_classes"),
        "weights": fingerprint.get("weights"),
        "clips": _form(CLIPS, protocol),
        "crop": _form("{test_crop} pixels", protocol),
        "views": _views(protocol),
        "data": fingerprint.get("list"),
        "device": fingerprint.get("device"),
        "tested": tested,
    }
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(str(value))}</td></tr>'
        for key, value in facts.items() if value is not None
    )
    return (
        f'<table class="facts"><tbody>{rows}</tbody></table>'
        "<p>All settings are listed in results.json.</p>"
    )


def _views(protocol: Mapping[str, Any]) -> str | None:
    if not {"clips", "crops"} <= protocol.keys():
        return None
    return f"{counted(protocol['clips'], 'clip')} x {counted(protocol['crops'], 'crop')}"


def _form(text: str, values: Mapping[str, Any]) -> str | None:
    """The text with its values filled in; None if one of them is missing."""
    try:
        return text.format(**values)
    except KeyError:
        return None


def _number(name: str, value: float) -> str:
    if "%" in TITLES.get(name, ""):
        return f"{value:.1f}"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.4g}"
