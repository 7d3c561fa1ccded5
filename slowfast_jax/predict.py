"""Videos in, labels out.

    python -m slowfast_jax.predict a.mp4 b.mp4 --config kinetics/x3d_xs --weights x3d_xs.pyth
    python -m slowfast_jax.predict a.mp4 --weights RUN --boxes people.csv --draw DIR

The second is for networks that tell what persons do: their boxes are in a table, see
data_pipelines/sources/box_tables.py. RUN, the folder of a training, knows its config.
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
    """The best classes of each video by the config's test protocol, or of the persons in it.

    Args:
      config: a recipe or zoo name, as `slowfast_jax.load` takes it; so are weights and labels (its
        class_names). None where `weights` is a folder of ours, which knows. average: "probs" or
        "logits", over the positions of the head.
      boxes: the table of persons, for networks that classify boxes and only for them; draw: a
        folder that gets the videos with boxes and labels drawn into them.

    Returns:
      For each video, in order, {"video": path, "predictions": [{"label", "index", "score"}, ...]}
      with the `top_k` best, or {"video": path, "error": reason}. With `boxes` there are "keyframes"
      in place of predictions: [{"time", "persons": [{"box", "predictions"}, ...]}, ...], or
      {"time", "error"}.

    Raises ValueError where the network takes no boxes and there are some, or the other way round.
    """
    # Here, so that --help and mistakes in the arguments need not wait for jax.
    from slowfast_jax.progress import track
    from slowfast_jax.recognizer import load

    overrides = {"average": average} if average else {}
    files = (config, weights) if config else (weights, None)
    recognizer = load(*files, class_names=labels, **overrides)
    if recognizer.takes_boxes != bool(boxes):
        raise ValueError(
            f"{recognizer.config.model.name} " + (
                "classifies persons: pass --boxes, a table of where they are"
                if recognizer.takes_boxes else "classifies whole videos: it takes no --boxes"
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
    from slowfast_jax.inference.person_actions import detect, read_boxes, write_film
    from slowfast_jax.progress import track

    names, records = recognizer.class_names, []
    for video, keyframes in read_boxes(table, videos, recognizer).items():
        if not keyframes:
            records.append({"video": video, "error": f"{table} has no boxes in it"})
            continue
        results = track(detect(recognizer, keyframes), len(keyframes), "predicting")
        scored = {result.index: result for result in results}
        moments = []
        for index, keyframe in enumerate(keyframes):
            moment: dict[str, Any] = {"time": keyframe.time}
            if scored[index].error:
                moment["error"] = scored[index].error
            else:
                moment["persons"] = [
                    {"box": box.tolist(), "predictions": _best(row, names, top_k)}
                    for box, row in zip(keyframe.boxes, scored[index].scores, strict=True)
                ]
            moments.append(moment)
        records.append({"video": video, "keyframes": moments})
        scores = {index: found.scores for index, found in scored.items() if not found.error}
        if draw and scores:
            write_film(Path(draw, f"{Path(video).stem}.mp4"), keyframes, scores, names)
    return records


def _best(scores: Any, class_names: Sequence[str], top_k: int) -> list[dict[str, Any]]:
    from slowfast_jax.metrics.topk import top_k as best

    return [
        {"label": class_names[i], "index": int(i), "score": float(v)}
        for v, i in zip(*best(scores, top_k), strict=True)
    ]


def show(records: Sequence[dict[str, Any]], console: Console) -> None:
    """A table per video."""
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
    """A row for each person; labels with a score of at least 0.5, or the best one."""
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
    parser = argparse.ArgumentParser(
        prog="python -m slowfast_jax.predict", description="Labels for videos.", allow_abbrev=False
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument(
        "--config",
        help="zoo name (kinetics/x3d_xs) or path/to/file.py:variant; none for weights of a run",
    )
    parser.add_argument("--weights", required=True, help="checkpoint file or folder")
    parser.add_argument("--labels", help="class names: a shipped set or a file, one name a line")
    parser.add_argument(
        "--boxes", metavar="TABLE", help="csv of where persons are, for networks that take boxes"
    )
    parser.add_argument(
        "--draw", metavar="DIR", help="with --boxes: write videos with boxes and labels there"
    )
    parser.add_argument("--json", metavar="FILE", help="write the predictions there")
    parser.add_argument("--top-k", type=_positive, default=5)
    parser.add_argument(
        "--average", choices=("probs", "logits"),
        help="over the head's positions: probs as PySlowFast, logits as PyTorchVideo",
    )
    arguments = parser.parse_args(argv)
    if not arguments.config and not Path(arguments.weights).is_dir():
        parser.error(f"--config is needed: {arguments.weights} is no folder of a run")
    if arguments.draw and not arguments.boxes:
        parser.error("--draw needs --boxes")
    return arguments


def cli(argv: Sequence[str] | None = None) -> int:
    """The command. 0, or 1 where a video or a moment of one failed (the others are predicted) or
    nothing could run."""
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
    """Of the video, or of moments of it."""
    parts = [record, *record.get("keyframes", ())]
    return [part["error"] for part in parts if "error" in part]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}, expected 1 or more")
    return number


if __name__ == "__main__":
    malloc.restart_with_settings()
    sys.exit(cli())
