"""report.html of a finished run: one file with its metrics, curves and pictures, and no scripts.

    write_report(workdir, frames=pictures, confusion=mean_scores(labels, scores), class_names=names)
"""

import base64
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from slowfast_jax.annotate import GREEN, GREY, RED, draw_boxes
from slowfast_jax.charts import Line, line_chart, matrix_chart
from slowfast_jax.report_page import PAGE, STYLE
from slowfast_jax.training.writers import METRICS_FILE, read_metrics

PICTURE_WIDTH = 480  # pixels that a picture has at least, by a whole factor, and about at most
TITLES = {
    "map": "mAP, %", "top1_acc": "top-1 accuracy, %", "top5_acc": "top-5 accuracy, %",
    "mean_class_acc": "mean class accuracy, %", "num_keyframes": "keyframes",
    "num_videos": "videos",
}
PER_CLASS = {"per_class_ap": "AP, %", "per_class_acc": "accuracy, %"}


class Picture(NamedTuple):
    """A frame to show, with B boxes; labels are names of classes."""

    image: np.ndarray  # uint8 (H, W, 3) RGB
    boxes: np.ndarray  # (B, 4) x1, y1, x2, y2 in pixels
    truths: Sequence[Sequence[str]]  # B; none for a box that is on nobody
    predictions: Sequence[Sequence[tuple[str, float]]]  # B; the labels that count, with scores
    title: str


def mean_scores(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """What a network says where it should say something else: the matrix `confusion`.

    Args:
      labels: (N, K), nonzero where box n has action k.
      scores: (N, K) in 0..1.

    Returns:
      (K, K): row i holds the mean scores of the boxes that have action i, nan where none has.
    """
    labels = (np.asarray(labels) != 0).astype(np.float64)
    counts = labels.sum(axis=0)[:, None]
    sums = labels.T @ np.asarray(scores, np.float64)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def write_report(
    workdir: str | os.PathLike,
    *,
    frames: Sequence[Picture] = (),
    confusion: np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> Path:
    """Writes `workdir`/report.html from its metrics.jsonl and results.json.

    Args:
      frames: pictures to show.
      confusion: (K, K), see `mean_scores`; with `class_names`, K of them.

    Returns:
      The path of the report.

    Raises:
      FileNotFoundError: a file of the run is missing.
      ValueError: a file that cannot be read, or arguments that do not fit each other.
    """
    workdir = Path(workdir)
    if confusion is not None and np.shape(confusion) != (len(class_names),) * 2:
        raise ValueError(
            f"confusion is {np.shape(confusion)} and there are {len(class_names)} class_names; "
            "expected (K, K) and K"
        )
    _existing(workdir / METRICS_FILE, "train")
    records = read_metrics(workdir)
    path = _existing(workdir / "results.json", "eval")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        metrics, fingerprint = results["metrics"], results["fingerprint"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is no record of an evaluation ({error!r})") from error
    name = fingerprint.get("config", workdir.name)
    sections = [
        _headline(metrics, records),
        _section("Training", _curves(records)),
        _section("Actions", _class_table(metrics)),
        _section("What is taken for what", _confusion(confusion, class_names)),
        _section("Frames", _legend() + "".join(map(_figure, frames)) if frames else ""),
        _section("This run", _facts(fingerprint)),
    ]
    page = PAGE.format(name=escape(name), style=STYLE, body="\n".join(filter(None, sections)))
    report = workdir / "report.html"
    report.write_text(page, encoding="utf-8")
    return report


def _existing(path: Path, mode: str) -> Path:
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: there is no such file; a run with --mode {mode} --workdir {path.parent} "
            "writes it"
        )
    return path


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>" if body else ""


def _headline(metrics: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    numbers = {k: v for k, v in metrics.items() if isinstance(v, (int, float))}
    if records:
        numbers |= {"steps": records[-1]["step"], "epochs": records[-1].get("epoch", math.nan)}
    tiles = [
        f"<div><strong>{_number(value)}</strong><span>{escape(TITLES.get(name, name))}</span></div>"
        for name, value in numbers.items() if math.isfinite(value)
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _curves(records: Sequence[Mapping[str, Any]]) -> str:
    def line(split: str, value: str) -> Line:
        points = [
            (row["step"], row[value]) for row in records
            if row["split"] == split and isinstance(row.get(value), (int, float))
        ]
        return Line(split, [p[0] for p in points], [p[1] for p in points])

    charts = [
        line_chart("loss", [line("train", "loss"), line("val", "loss")]),
        line_chart("learning rate", [line("train", "lr")]),
        *(line_chart(f"validation: {TITLES[name]}", [line("val", name)])
          for name in ("map", "top1_acc")),
    ]
    return f'<div class="charts">{"".join(charts)}</div>' if any(charts) else ""


def _class_table(metrics: Mapping[str, Any]) -> str:
    """Classes from the best to the worst."""
    key = next((key for key in PER_CLASS if metrics.get(key)), None)
    if key is None:
        return ""
    values, boxes = metrics[key], metrics.get("per_class_boxes", {})
    rows = [
        f'<tr><th scope="row">{escape(name)}</th>'
        f'<td class="bar"><div style="width:{value:.1f}%"></div></td>'
        f"<td>{value:.1f}</td><td>{boxes.get(name, '')}</td></tr>"
        for name, value in sorted(values.items(), key=lambda item: -item[1])
    ]
    absent = [name for name in boxes if name not in values]
    note = f"<p>Never in the ground truth: {escape(', '.join(absent))}.</p>" if absent else ""
    heads = "".join(f"<th>{head}</th>" for head in (
        "action", "", PER_CLASS[key], "boxes" if boxes else ""))
    return (
        f'<table class="classes"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>{note}"
    )


def _confusion(matrix: np.ndarray | None, names: Sequence[str]) -> str:
    if matrix is None:
        return ""
    return (
        "<p>Of the boxes that have the action of the row, the mean score of the action of the "
        "column, in percent. A box can have several actions.</p>"
        f'<div class="wide">{matrix_chart(np.asarray(matrix, float), names)}</div>'
    )


def _legend() -> str:
    return (
        '<p><span class="chip right">✓ predicted, true</span> '
        '<span class="chip wrong">✗ predicted, false</span> '
        '<span class="chip missed">○ true, not predicted</span></p>'
    )


def _figure(picture: Picture) -> str:
    colours, rows = [], []
    for truths, predictions in zip(picture.truths, picture.predictions, strict=True):
        chips = list(_chips(truths, predictions))
        kinds = {kind for kind, _ in chips}
        colours.append(RED if "wrong" in kinds else GREEN if "right" in kinds else GREY)
        spans = " ".join(f'<span class="chip {kind}">{text}</span>' for kind, text in chips)
        rows.append(f"<li>{spans or 'nothing'}</li>")
    tags = [str(number) for number in range(1, len(colours) + 1)]
    scale = max(1, round(PICTURE_WIDTH / picture.image.shape[1]))
    drawn = draw_boxes(picture.image, picture.boxes, tags, colours, scale=scale)
    return (
        f'<figure><img src="{_jpeg(drawn)}" width="{drawn.shape[1]}" height="{drawn.shape[0]}" '
        f'alt="{escape(picture.title)}"><figcaption>{escape(picture.title)}'
        f"<ol>{''.join(rows)}</ol></figcaption></figure>"
    )


def _chips(
    truths: Sequence[str], predictions: Sequence[tuple[str, float]]
) -> Iterator[tuple[str, str]]:
    """Kind and text of each label of a box, predictions by falling score."""
    for name, score in sorted(predictions, key=lambda prediction: -prediction[1]):
        kind, sign = ("right", "✓") if name in truths else ("wrong", "✗")
        yield kind, f"{sign} {escape(name)} {score:.2f}"
    said = {name for name, _ in predictions}
    for name in truths:
        if name not in said:
            yield "missed", f"○ {escape(name)}"


def _jpeg(image: np.ndarray) -> str:
    picture = Image.fromarray(image)
    picture.thumbnail((2 * PICTURE_WIDTH, 2 * PICTURE_WIDTH))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _facts(fingerprint: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th><td>{escape(_text(value))}</td></tr>'
        for key, value in fingerprint.items()
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>' if rows else ""


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.1f}"
