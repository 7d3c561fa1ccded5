"""Turns videos into a TFDS data set: ArrayRecord files of short re-encoded clips.

    python -m data_pipelines.tfds_builders kinetics train.csv val.csv --root VIDEOS --out DATA \\
        --name kinetics400
    python -m data_pipelines.tfds_builders ava AVA --out DATA --name ava \\
        --boxes train=ava_train_v2.2.csv --boxes val=ava_val_v2.2.csv --predicted val=PROPOSALS

Splits are named after their lists, or as --boxes and --predicted say. Run the same command again to
continue after an interruption: finished files are kept. Videos that cannot be encoded are reported
and skipped. The exit status is 0 if all videos were encoded, 1 if some were skipped, and 2 if the
command failed. docs/records.md describes how to read the data set, and how --beam spreads the work
over many machines.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from data_pipelines.command import explain, install
from data_pipelines.labels import class_names
from data_pipelines.sources import ava
from data_pipelines.sources.record_lists import read_broken
from data_pipelines.tfds_builders.jobs import Job, ava_jobs, list_jobs
from data_pipelines.tfds_builders.shards import Settings

SHOWN = 20  # at most this many skipped videos are printed


def _plan(args: argparse.Namespace) -> tuple[dict[str, list[Job]], dict[str, Any]]:
    """The jobs of each split, and the features of their records."""
    import tensorflow_datasets as tfds

    if args.kind == "ava":
        annotations = Path(args.folder, "annotations")
        if not annotations.is_dir():
            raise ValueError(f"{args.folder}: has no folder annotations; expected AVA's folder")
        tables: dict[str, dict[str, list[Path]]] = {}
        for kind in ("boxes", "predicted"):
            for split, name in getattr(args, kind):
                of_split = tables.setdefault(split, {"boxes": [], "predicted": []})
                of_split[kind].append(annotations / name)
        if not tables:
            raise ValueError("no tables given; pass each split's with --boxes or --predicted")
        videos = Path(args.folder, args.videos)
        number = np.float64
        features = {
            "id": tfds.features.Text(), "time": tfds.features.Scalar(dtype=number),
            "begin": tfds.features.Scalar(dtype=number),
            "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
            "actions": tfds.features.Sequence(np.int64),
        }
        return {
            split: ava_jobs(
                paths["boxes"], paths["predicted"], videos=videos, origin=args.first_second,
                fps=args.fps, num_classes=args.actions,
            )
            for split, paths in tables.items()
        }, features
    names = class_names(args.classes) if args.classes else None
    splits: dict[str, list[Job]] = {}
    for path in map(Path, args.lists):
        if path.stem in splits:
            raise ValueError(f"{path}: another list is named {path.stem}; rename one of them")
        splits[path.stem] = list_jobs(
            path, root=args.root, separator=args.separator, multi_label=args.multi_label,
            num_classes=names and len(names),
        )
    label = tfds.features.ClassLabel(names=names) if names else tfds.features.ClassLabel(
        num_classes=1 + max(
            int(label) for jobs in splits.values() for job in jobs
            for label in job.row["label"].split()
        )
    )
    several = {"labels": tfds.features.Sequence(label)}
    one = {"label": label}
    return splits, {"id": tfds.features.Text(), **(several if args.multi_label else one)}


def run(args: argparse.Namespace) -> int:
    """Writes the data set unless it exists; returns the exit status.

    Raises:
        OSError: an input is missing, or the disk cannot be written to.
        ValueError: an input cannot be read, or no video of a split can be encoded.
    """
    import tensorflow_datasets as tfds

    from data_pipelines.tfds_builders.builder import EncodedVideos

    splits, features = _plan(args)
    builder = EncodedVideos(
        args.name, splits=splits, features=features, data_dir=args.out, shards=args.shards,
        settings=Settings(args.short_side, args.gop, args.seconds),
    )
    if builder.folder.exists():
        print(f"{builder.folder}: exists already; remove it to write it again")
    else:
        beam = args.beam and {"beam_runner": args.beam, "beam_options": _beam_options(args)}
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(**(beam or {}))
        )
    return _report(builder.folder, splits)


def _beam_options(args: argparse.Namespace) -> Any:
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ValueError(
            f"--beam needs Apache Beam ({error}); {install('beam')}"
        ) from error
    return PipelineOptions(args.beam_option)


def _report(folder: Path, splits: Sequence[str]) -> int:
    """Prints the numbers of records and the skipped videos; returns the exit status."""
    broken = []
    for split in splits:
        path = folder / f"{split}.csv"
        records, reasons = read_broken(path)
        broken += [f"{split}: {name}: {reason}" for name, reason in reasons]
        print(f"{path}: {records} records" + (f", {len(reasons)} skipped" if reasons else ""))
    for line in broken[:SHOWN]:
        print(line, file=sys.stderr)
    if broken:
        more = f" (the lists name {len(broken) - SHOWN} more)" if len(broken) > SHOWN else ""
        print(f"videos that could not be encoded: {len(broken)}{more}", file=sys.stderr)
    return 1 if broken else 0


def _table(text: str) -> tuple[str, str]:
    split, _, name = text.partition("=")
    if not (split and name):
        raise argparse.ArgumentTypeError(f"{text!r}; expected SPLIT=TABLE")
    return split, name


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--out", required=True, metavar="DIR", help="folder of data sets, TFDS's data_dir"
    )
    common.add_argument("--name", required=True, help="name of the data set")
    common.add_argument(
        "--short-side", type=_count, default=Settings.short_side, metavar="PIXELS",
        help="short side to which larger pictures are reduced (default: %(default)s)",
    )
    common.add_argument(
        "--gop", type=_count, default=Settings.gop, metavar="FRAMES",
        help="frames from one key frame to the next (default: %(default)s)",
    )
    common.add_argument(
        "--shards", type=_count, metavar="FILES",
        help="number of files of each split (default: one per 64 videos)",
    )
    common.add_argument(
        "--beam", metavar="RUNNER",
        help="write with Apache Beam on this runner: DirectRunner, FlinkRunner, SparkRunner, ...",
    )
    common.add_argument(
        "--beam-option", action="append", default=[], metavar="=--KEY=VALUE",
        help="option of the runner, such as --beam-option=--direct_num_workers=8; may be repeated",
    )
    parser = argparse.ArgumentParser(
        prog="python -m data_pipelines.tfds_builders", allow_abbrev=False,
        description="Turns videos into a TFDS data set: ArrayRecord files of re-encoded clips.",
        epilog="`python -m data_pipelines.tfds_builders KIND --help` lists the options of a kind.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    text = "whole videos of lists with their labels, such as Kinetics"
    lists = kinds.add_parser(
        "kinetics", parents=[common], help=text, description=f"Encodes {text}."
    )
    lists.add_argument(
        "lists", nargs="+", metavar="LIST", help="list of a split, with rows `path label`"
    )
    lists.add_argument(
        "--root", default="", metavar="FOLDER", help="folder that relative paths start from"
    )
    lists.add_argument(
        "--classes", metavar="NAMES",
        help="class names: a file, or a known set such as kinetics400 (default: numbers only)",
    )
    lists.add_argument(
        "--separator", default=" ", help="text between the columns of a list (default: a space)"
    )
    lists.add_argument(
        "--multi-label", action="store_true", help="rows of a list may have several labels"
    )
    text = "the time around each keyframe of AVA, with its boxes"
    films = kinds.add_parser("ava", parents=[common], help=text, description=f"Encodes {text}.")
    films.add_argument(
        "folder", metavar="AVA", help="AVA's folder, with annotations and the videos"
    )
    films.add_argument(
        "--boxes", type=_table, action="append", default=[], metavar="SPLIT=TABLE",
        help="annotated boxes of a split, a file in annotations; may be repeated",
    )
    films.add_argument(
        "--predicted", type=_table, action="append", default=[], metavar="SPLIT=TABLE",
        help="boxes of a person detector, whose moments are encoded as well; may be repeated",
    )
    films.add_argument(
        "--videos", default="videos", metavar="FOLDER",
        help="folder in AVA of the films or of their frames (default: %(default)s)",
    )
    films.add_argument(
        "--first-second", type=float, default=ava.FIRST_SECOND, metavar="SECOND",
        help="time of the first frame, as the tables count (default: %(default)s)",
    )
    films.add_argument(
        "--fps", type=float, default=ava.FPS,
        help="frame rate of films stored as images (default: %(default)s)",
    )
    films.add_argument(
        "--seconds", type=float, default=Settings.seconds, metavar="SECONDS",
        help="duration before and after a keyframe (default: %(default)s, for 64 frames 2 apart)",
    )
    films.add_argument(
        "--actions", type=_count, default=ava.NUM_CLASSES, metavar="N",
        help="number of actions (default: %(default)s)",
    )
    parser.set_defaults(seconds=Settings.seconds)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number of at least 1")
    return int(text)


def cli(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = _parser().parse_args(arguments)
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # TFDS warns about configs that it does not know
    try:
        return run(args)
    except (OSError, ValueError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    finally:
        logging.set_verbosity(before)


if __name__ == "__main__":
    sys.exit(cli())
