"""Videos in, labels out.

    python -m slowfast_jax.predict a.mp4 b.mp4 --config kinetics/x3d_xs --weights x3d_xs.pyth
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
    config: str,
    videos: Sequence[str],
    *,
    weights: str,
    labels: str | None = None,
    top_k: int = 5,
    average: str | None = None,
) -> list[dict[str, Any]]:
    """The best classes of each video by the config's test protocol.

    Args:
      config: a recipe or zoo name, as `slowfast_jax.load` takes it; so are weights and labels (its
        class_names). average: "probs" or "logits", over the positions of the head.

    Returns:
      For each video, in order, {"video": path, "predictions": [{"label", "index", "score"}, ...]}
      with the `top_k` best, or {"video": path, "error": reason}.
    """
    # Here, so that --help and mistakes in the arguments need not wait for jax.
    from slowfast_jax.metrics.topk import top_k as best
    from slowfast_jax.progress import track
    from slowfast_jax.recognizer import load

    overrides = {"average": average} if average else {}
    recognizer = load(config, weights, class_names=labels, **overrides)
    records: list[dict[str, Any]] = [{"video": video} for video in videos]
    results = recognizer.score_videos(videos)
    if len(videos) > 1:
        results = track(results, len(videos), "predicting")
    for result in results:
        record = records[result.index]
        if result.error:
            record["error"] = result.error
            continue
        values, indices = best(result.scores, top_k)
        record["predictions"] = [
            {"label": recognizer.class_names[i], "index": int(i), "score": float(v)}
            for v, i in zip(values, indices, strict=True)
        ]
    return records


def show(records: Sequence[dict[str, Any]], console: Console) -> None:
    """A table per video."""
    for record in records:
        if "error" in record:
            console.print(f"[red]{escape(record['video'])}: {escape(record['error'])}[/red]")
            continue
        console.print(f"[bold]{escape(record['video'])}[/bold]", soft_wrap=True)
        table = Table("score", "label", box=SIMPLE, show_edge=False)
        for prediction in record["predictions"]:
            table.add_row(f"{prediction['score']:.4f}", escape(prediction["label"]))
        console.print(table)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m slowfast_jax.predict", description="Labels for videos.", allow_abbrev=False
    )
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument(
        "--config", required=True, help="zoo name (kinetics/x3d_xs) or path/to/file.py:variant"
    )
    parser.add_argument("--weights", required=True, help="checkpoint file or folder")
    parser.add_argument("--labels", help="class names: a shipped set or a file, one name a line")
    parser.add_argument("--json", metavar="FILE", help="write the predictions there")
    parser.add_argument("--top-k", type=_positive, default=5)
    parser.add_argument(
        "--average", choices=("probs", "logits"),
        help="over the head's positions: probs as PySlowFast, logits as PyTorchVideo",
    )
    return parser.parse_args(argv)


def cli(argv: Sequence[str] | None = None) -> int:
    """The command. 0, or 1 where a video failed (the others are predicted) or nothing could run."""
    arguments = parse(argv)
    logging.use_absl_handler()
    logging.set_verbosity(logging.WARNING)
    try:
        records = predict(
            arguments.config, arguments.videos, weights=arguments.weights, labels=arguments.labels,
            top_k=arguments.top_k, average=arguments.average,
        )
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show(records, Console())
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    failed = [record for record in records if "error" in record]
    if failed:
        print(f"{len(failed)} of {len(records)} videos failed:", file=sys.stderr)
        for record in failed:
            print(f"  {record['video']}: {record['error']}", file=sys.stderr)
    return 1 if failed else 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}, expected 1 or more")
    return number


if __name__ == "__main__":
    malloc.restart_with_settings()
    sys.exit(cli())
