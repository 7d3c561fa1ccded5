"""Predicts labels for videos by a file of `python -m slowfast_jax.export`.

    python -m slowfast_jax.run_exported x3d_xs.exported a.mp4 b.mp4

It imports JAX, NumPy and the video decoder, but no network: the program is in the file.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from data_pipelines.command import Parser, explain
from data_pipelines.video.decoding import VideoError
from slowfast_jax.export.exported_file import METADATA, ExportedFileError, read
from slowfast_jax.export.metadata import Metadata
from slowfast_jax.inference.inputs import FRAME_RATE, find_inputs
from slowfast_jax.inference.multiview import score_videos
from slowfast_jax.metrics.topk import labeled
from slowfast_jax.option_names import whole_number

MOST_VIEWS = 10  # views per call of a program that takes any number of them


def load_exported(path: str | os.PathLike) -> tuple[Callable[..., jax.Array], Metadata]:
    """The program of a file and what it is.

    Returns:
      `run(clips)`, or `run(clips, boxes)` for a network that classifies boxes, and its metadata,
      which say what it takes and returns. It is compiled once for each shape.

    Raises:
      ExportedFileError: the file is damaged or another one, or its program does not take and return
        what its metadata say.
      ValueError: the program is not for this machine.
    """
    program, metadata = read(path)
    here = _platform()
    if here not in metadata.platforms:
        raise ValueError(
            f"{path} runs on {', '.join(metadata.platforms)}, not on {here}, the platform of this "
            f"machine; export it with --platforms {here}, or set JAX_PLATFORMS"
        )
    exported = jax.export.deserialize(bytearray(program))
    _check_shapes(exported, metadata, path)
    return jax.jit(exported.call), metadata


def _check_shapes(
    exported: jax.export.Exported, metadata: Metadata, path: str | os.PathLike
) -> None:
    """ExportedFileError if the metadata describe another program."""
    clip = (metadata.batch, metadata.frames, metadata.height, metadata.width, 3)
    boxes = (metadata.batch, metadata.box_count, 4)
    scores = (metadata.batch, *boxes[1:2] * metadata.boxes, len(metadata.classes))
    for name, arrays, described in (
        ("takes", exported.in_avals, [clip, boxes] if metadata.boxes else [clip]),
        ("returns", exported.out_avals, [scores]),
    ):
        found = [
            tuple(size if isinstance(size, int) else None for size in array.shape)
            for array in arrays
        ]
        if found != described:
            raise ExportedFileError(
                f"{path}: the program {name} {_shapes(found)}, and {METADATA} says "
                f"{_shapes(described)}"
            )


def _shapes(shapes: Sequence[tuple[int | None, ...]]) -> str:
    """Shapes in words, such as "any number x 4 x 32 x 32 x 3"."""
    return " and ".join(
        " x ".join("any number" if size is None else str(size) for size in shape)
        for shape in shapes
    )


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    The status is 0; 1 if any video cannot be read; 2 if nothing was predicted because an argument
    or the file is wrong; or 130 if Ctrl-C ended it.
    """
    arguments = _parser().parse_args(argv)
    try:
        run, metadata = load_exported(arguments.file)
        if metadata.boxes:
            raise ValueError(
                f"{arguments.file} classifies boxes, and a video has none: call it with clips and "
                "boxes, see docs/deploy.md"
            )
    except (OSError, ValueError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    try:
        return _predict(run, metadata, arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> Parser:
    parser = Parser(
        prog="python -m slowfast_jax.run_exported",
        description="Predicts labels for videos by an exported network, under its test protocol.",
    )
    parser.add_argument("file", metavar="FILE", help="file that slowfast_jax.export wrote")
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEO",
        help="video file, pattern, folder of videos, or folder of pictures, which are the frames "
        f"of a video at {FRAME_RATE:g} per second",
    )
    parser.add_argument(
        "--top-k", type=whole_number, default=5, metavar="K", help="number of labels (default: 5)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object per video instead of a table"
    )
    return parser


def _predict(
    run: Callable[..., jax.Array], metadata: Metadata, arguments: argparse.Namespace
) -> int:
    inputs = find_inputs(arguments.videos, FRAME_RATE)
    for name, reason in inputs.missing.items():
        print(f"{name}: {reason}", file=sys.stderr)
    failed, names = len(inputs.missing), list(inputs.videos)
    if not names:
        return 2
    sampling = metadata.sampling
    views = len(names) * sampling["clips"] * sampling["crops"]
    for result in score_videos(
        run, list(inputs.videos.values()), sampling, method=metadata.ensemble,
        batch_size=metadata.batch or min(MOST_VIEWS, views),
    ):
        name = names[result.index]
        if result.error:
            failed += 1
            print(VideoError(name, result.error), file=sys.stderr)
        else:
            _show(
                name, labeled(result.scores, metadata.classes, arguments.top_k), arguments.json
            )
    return 1 if failed else 0


def _show(
    name: str, predictions: Sequence[Mapping[str, Any]], as_json: bool
) -> None:
    if as_json:
        print(json.dumps({"video": name, "predictions": predictions}), flush=True)
        return
    rows = [f"  {row['score']:.4f}  {row['label']}" for row in predictions]
    print("\n".join([name, *rows]), flush=True)


def _platform() -> str:
    """The platform of this machine by the names of `jax.export`."""
    backend = jax.default_backend()
    if backend != "gpu":
        return backend
    return "rocm" if "rocm" in jax.devices()[0].client.platform_version.lower() else "cuda"


if __name__ == "__main__":
    sys.exit(cli())
