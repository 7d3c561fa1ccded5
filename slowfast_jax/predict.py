"""The command that predicts labels for videos.

    python -m slowfast_jax.predict a.mp4 b.mp4 --config kinetics/x3d_xs --weights x3d_xs.pyth
    python -m slowfast_jax.predict a.mp4 --weights RUN --boxes people.csv --draw DIR

The second form is for networks that recognize the actions of people. The table people.csv has their
boxes (format: data_pipelines/sources/box_tables.py). RUN is the folder of a training run, which
stores its config.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slowfast_jax import malloc


def predict(
    config: str | None,
    videos: Sequence[str],
    *,
    weights: str,
    labels: str | None = None,
    top_k: int = 5,
    average: str | None = None,
    boxes: str | None = None,
    draw: str | None = None,
) -> list[dict[str, Any]]:
    """Predicts the top classes of each video, or of each person in it, by the test protocol.

    Args:
      config: a recipe or zoo name, see `slowfast_jax.load`. None if `weights` is a run folder or
        checkpoint folder of this project, which stores its config.
      videos: video files.
      weights: a checkpoint file or folder, see `slowfast_jax.load`.
      labels: class names, see `class_names` of `slowfast_jax.load`. None for the stored ones.
      top_k: the number of classes to return for each video or person.
      average: what to average over the positions of the head, "probs" or "logits". None for the
        config's choice.
      boxes: a table of the boxes of persons, required by networks that classify boxes.
      draw: with `boxes`, a folder to write videos to in which boxes and labels are drawn.

    Returns:
      A record for each video, in order:

      - {"video": path, "predictions": [{"label", "index", "score"}, ...]}, highest score first
      - with `boxes`: {"video": path, "keyframes": [...]}, where a keyframe is
        {"time", "persons": [{"box", "predictions"}, ...]}, or {"time", "error"} if it failed
      - {"video": path, "error": reason} if the video failed

    Raises:
      ValueError: the network needs boxes and got none, or takes no boxes and got some.
    """
    # Imported here so that --help and errors in the arguments do not wait for JAX.
    from slowfast_jax.progress import track
    from slowfast_jax.recognizer import load

    overrides = {"average": average} if average else {}
    files = (config, weights) if config else (weights, None)
    recognizer = load(*files, class_names=labels, **overrides)
    if recognizer.takes_boxes != bool(boxes):
        raise ValueError(
            f"{recognizer.config.model.name} " + (
                "classifies persons: pass --boxes with a table of their boxes"
                if recognizer.takes_boxes else "classifies whole videos and takes no --boxes"
            )
        )
    if boxes:
        return _predict_persons(recognizer, videos, boxes, draw, top_k)
    records: list[dict[str, Any]] = [{"video": video} for video in videos]
    results = recognizer.score_videos(videos)
    if len(videos) > 1:
        results = track(results, len(videos), "predicting")
    for result in results:
        record = records[result.index]
        if result.error:
            record["error"] = result.error
            continue
        record["predictions"] = _best(result.scores, recognizer.class_names, top_k)
    return records


def _predict_persons(
    recognizer: Any, videos: Sequence[str], table: str, draw: str | None, top_k: int
) -> list[dict[str, Any]]:
    from slowfast_jax.inference.person_actions import (
        read_boxes,
        score_keyframes,
        write_labeled_video,
    )
    from slowfast_jax.progress import track

    names, records = recognizer.class_names, []
    for video, keyframes in read_boxes(table, videos, recognizer).items():
        if not keyframes:
            records.append({"video": video, "error": f"{table} has no boxes for this video"})
            continue
        results = track(score_keyframes(recognizer, keyframes), len(keyframes), "predicting")
        scored = {result.index: result for result in results}
        described = []
        for index, keyframe in enumerate(keyframes):
            entry: dict[str, Any] = {"time": keyframe.time}
            if scored[index].error:
                entry["error"] = scored[index].error
            else:
                entry["persons"] = [
                    {"box": box.tolist(), "predictions": _best(row, names, top_k)}
                    for box, row in zip(keyframe.boxes, scored[index].scores, strict=True)
                ]
            described.append(entry)
        records.append({"video": video, "keyframes": described})
        scores = {index: result.scores for index, result in scored.items() if not result.error}
        if draw and scores:
            write_labeled_video(Path(draw, f"{Path(video).stem}.mp4"), keyframes, scores, names)
    return records


def _best(scores: Any, class_names: Sequence[str], top_k: int) -> list[dict[str, Any]]:
    from slowfast_jax.metrics.topk import top_k as best

    return [
        {"label": class_names[i], "index": int(i), "score": float(v)}
        for v, i in zip(*best(scores, top_k), strict=True)
    ]


def show(records: Sequence[dict[str, Any]], console: Console) -> None:
    """Prints a table for each video."""
    for record in records:
        if "error" in record:
            console.print(f"[red]{escape(record['video'])}: {escape(record['error'])}[/red]")
            continue
        console.print(f"[bold]{escape(record['video'])}[/bold]", soft_wrap=True)
        if "keyframes" in record:
            console.print(_table_of_persons(record["keyframes"]))
            continue
        table = Table("score", "label", box=SIMPLE, show_edge=False)
        for prediction in record["predictions"]:
            table.add_row(f"{prediction['score']:.4f}", escape(prediction["label"]))
        console.print(table)


def _table_of_persons(keyframes: Sequence[dict[str, Any]]) -> Table:
    """A row for each person, with the labels whose score is at least 0.5, or else the best one."""
    table = Table("seconds", "box", "labels", box=SIMPLE, show_edge=False)
    for keyframe in keyframes:
        time = f"{keyframe['time']:g}"
        if "error" in keyframe:
            table.add_row(time, "", f"[red]{escape(keyframe['error'])}[/red]")
        for person in keyframe.get("persons", ()):
            first, *others = person["predictions"]
            shown = [first, *(other for other in others if other["score"] >= 0.5)]
            labels = ", ".join(f"{escape(p['label'])} {p['score']:.2f}" for p in shown)
            table.add_row(time, " ".join(f"{edge:.2f}" for edge in person["box"]), labels)
    return table


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with status 2 if it is invalid."""
    parser = argparse.ArgumentParser(
        prog="python -m slowfast_jax.predict", allow_abbrev=False,
        description="Predicts labels for videos, or for the people in them.",
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video file")
    parser.add_argument(
        "--config",
        help="zoo name (kinetics/x3d_xs) or recipe (FILE/VARIANT of configs/FILE.py in the current "
        "folder or installed with the program, or path/to/file.py:VARIANT); not needed if "
        "--weights is a folder, which stores its config",
    )
    parser.add_argument(
        "--weights", required=True, help="checkpoint file, checkpoint folder or run folder"
    )
    parser.add_argument(
        "--labels", help="class names: a set such as kinetics400, or a file with one name per line"
    )
    parser.add_argument(
        "--boxes", metavar="TABLE",
        help="CSV file with the boxes of people, for networks that classify boxes",
    )
    parser.add_argument(
        "--draw", metavar="DIR",
        help="with --boxes: draw boxes and labels into the videos, and write them to this folder",
    )
    parser.add_argument("--json", metavar="FILE", help="write the predictions to this file")
    parser.add_argument(
        "--top-k", type=_positive, default=5, metavar="K",
        help="number of labels for each video or person (default: 5)",
    )
    parser.add_argument(
        "--average", choices=("probs", "logits"),
        help="what to average over the head's positions: probs, as PySlowFast does, or logits, as "
        "PyTorchVideo does (default: the config's choice)",
    )
    arguments = parser.parse_args(argv)
    if not arguments.config and not Path(arguments.weights).is_dir():
        parser.error(
            f"--config is required: {arguments.weights} is not a folder that stores its config"
        )
    if arguments.draw and not arguments.boxes:
        parser.error("--draw requires --boxes")
    return arguments


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    The status is 0, or 1 if nothing could run or if any video or keyframe failed; the others are
    still predicted.
    """
    arguments = parse(argv)
    logging.use_absl_handler()
    logging.set_verbosity(logging.WARNING)
    try:
        records = predict(
            arguments.config, arguments.videos, weights=arguments.weights, labels=arguments.labels,
            top_k=arguments.top_k, average=arguments.average, boxes=arguments.boxes,
            draw=arguments.draw,
        )
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show(records, Console())
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    failed = {record["video"]: errors for record in records if (errors := _errors(record))}
    if failed:
        print(f"{len(failed)} of {len(records)} videos failed:", file=sys.stderr)
        for video, errors in failed.items():
            print("\n".join(f"  {video}: {error}" for error in errors), file=sys.stderr)
    return 1 if failed else 0


def _errors(record: dict[str, Any]) -> list[str]:
    """The errors of a video and of its keyframes."""
    parts = [record, *record.get("keyframes", ())]
    return [part["error"] for part in parts if "error" in part]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small, expected 1 or more")
    return number


if __name__ == "__main__":
    malloc.restart_with_settings()
    sys.exit(cli())
