"""Turns videos into a data set of TFDS: ArrayRecord files of short encoded clips.

    python -m data_pipelines.tfds_builders kinetics train.csv val.csv --root VIDEOS --out DATA \\
        --name kinetics400
    python -m data_pipelines.tfds_builders ava AVA --out DATA --name ava \\
        --boxes train=ava_train_v2.2.csv --boxes val=ava_val_v2.2.csv --predicted val=PROPOSALS

Splits are called by the names of the lists, or as --boxes says. What is done is kept when the
command is stopped: the same command goes on. Videos that cannot be encoded are told; the status is
1 then, and the rest is complete. It is 2 where the command is wrong. docs/records.md tells how to
read the data set, and how --beam spreads the work over many machines.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from data_pipelines.labels import class_names
from data_pipelines.sources import ava
from data_pipelines.sources.record_lists import read_broken
from data_pipelines.tfds_builders.jobs import Job, ava_jobs, list_jobs
from data_pipelines.tfds_builders.shards import Settings

SHOWN = 20  # broken videos that are printed


def _plan(args: argparse.Namespace) -> tuple[dict[str, list[Job]], dict[str, Any]]:
    """The videos of each split, and the features of their records."""
    import tensorflow_datasets as tfds

    if args.kind == "ava":
        annotations = Path(args.folder, "annotations")
        if not annotations.is_dir():
            raise ValueError(f"{args.folder}: no folder annotations in it; expected AVA's folder")
        tables: dict[str, dict[str, list[Path]]] = {}
        for kind in ("boxes", "predicted"):
            for split, name in getattr(args, kind):
                of_split = tables.setdefault(split, {"boxes": [], "predicted": []})
                of_split[kind].append(annotations / name)
        if not tables:
            raise ValueError("tell by --boxes or --predicted of which tables the splits are made")
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
            raise ValueError(f"{path}: there is another list named {path.stem}; rename one")
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
    """Writes the data set; returns the status."""
    import tensorflow_datasets as tfds

    from data_pipelines.tfds_builders.builder import EncodedVideos

    splits, features = _plan(args)
    builder = EncodedVideos(
        args.name, splits=splits, features=features, data_dir=args.out, shards=args.shards,
        settings=Settings(args.short_side, args.gop, args.seconds),
    )
    if builder.folder.exists():
        print(f"{builder.folder}: is there already; remove it to write it anew")
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
            f"--beam needs Apache Beam ({error}): pip install 'slowfast_jax[beam]'"
        ) from error
    return PipelineOptions(args.beam_option)


def _report(folder: Path, splits: Sequence[str]) -> int:
    """Tells what is there and what is not; returns the status."""
    broken = []
    for split in splits:
        path = folder / f"{split}.csv"
        records, reasons = read_broken(path)
        broken += [f"{split}: {name}: {reason}" for name, reason in reasons]
        print(f"{path}: {records} records" + (f", {len(reasons)} broken" if reasons else ""))
    for line in broken[:SHOWN]:
        print(line, file=sys.stderr)
    if broken:
        more = f" ({len(broken) - SHOWN} more are in the lists)" if len(broken) > SHOWN else ""
        print(f"{len(broken)} videos could not be encoded{more}", file=sys.stderr)
    return 1 if broken else 0


def _table(text: str) -> tuple[str, str]:
    split, _, name = text.partition("=")
    if not (split and name):
        raise argparse.ArgumentTypeError(f"{text!r}; expected SPLIT=TABLE")
    return split, name


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--out", required=True, metavar="DIR", help="data_dir of TFDS")
    common.add_argument("--name", required=True, help="what the data set is called")
    common.add_argument(
        "--short-side", type=_count, default=Settings.short_side, metavar="PIXELS",
        help="of the picture; smaller videos stay as they are (default: %(default)s)",
    )
    common.add_argument(
        "--gop", type=_count, default=Settings.gop, metavar="FRAMES",
        help="from one key frame to the next (default: %(default)s)",
    )
    common.add_argument(
        "--shards", type=_count, help="files of each split (default: one for 64 videos)"
    )
    common.add_argument(
        "--beam", metavar="RUNNER",
        help="write with Apache Beam, on its DirectRunner, FlinkRunner, SparkRunner ...",
    )
    common.add_argument(
        "--beam-option", action="append", default=[], metavar="=--KEY=VALUE",
        help="of the runner, as --beam-option=--direct_num_workers=8; may be repeated",
    )
    parser = argparse.ArgumentParser(
        prog="python -m data_pipelines.tfds_builders", allow_abbrev=False,
        description="Turns videos into a data set of TFDS: ArrayRecord files of encoded clips.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    lists = kinds.add_parser(
        "kinetics", parents=[common], help="lists of videos and their labels, as of Kinetics"
    )
    lists.add_argument("lists", nargs="+", metavar="LIST", help="of a split, rows `path label`")
    lists.add_argument("--root", default="", help="where relative paths begin")
    lists.add_argument("--classes", metavar="NAMES", help="a file of names, or kinetics400 ...")
    lists.add_argument("--separator", default=" ", help="between the columns")
    lists.add_argument("--multi-label", action="store_true", help="rows have several labels")
    films = kinds.add_parser(
        "ava", parents=[common], help="keyframes of AVA: the time around each, with its boxes"
    )
    films.add_argument("folder", metavar="AVA", help="with annotations/ and the videos")
    films.add_argument(
        "--boxes", type=_table, action="append", default=[], metavar="SPLIT=TABLE",
        help="annotated boxes, a file in annotations; may be repeated",
    )
    films.add_argument(
        "--predicted", type=_table, action="append", default=[], metavar="SPLIT=TABLE",
        help="boxes of a person detector, whose moments are encoded, too; may be repeated",
    )
    films.add_argument("--videos", default="videos", help="folder of films, or of their frames")
    films.add_argument(
        "--first-second", type=float, default=ava.FIRST_SECOND, metavar="SECOND",
        help="of the film that its first frame shows (default: %(default)s)",
    )
    films.add_argument("--fps", type=float, default=ava.FPS, help="of folders of frames")
    films.add_argument(
        "--seconds", type=float, default=Settings.seconds,
        help="to each side of a keyframe (default: %(default)s, for 64 frames 2 apart)",
    )
    films.add_argument("--actions", type=_count, default=ava.NUM_CLASSES, help="how many there are")
    parser.set_defaults(seconds=Settings.seconds)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}; expected at least 1")
    return number


def cli(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the status."""
    args = _parser().parse_args(arguments)
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # TFDS warns of a config that is not its own
    try:
        return run(args)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        logging.set_verbosity(before)


if __name__ == "__main__":
    sys.exit(cli())
