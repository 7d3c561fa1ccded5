"""Prepares data sets: what one downloads becomes what the recipes read.

    python -m data_pipelines.prepare ava AVA
    python -m data_pipelines.prepare kinetics OUT --videos DOWNLOADED --classes kinetics400 \\
        --train kinetics400/train.csv --val kinetics400/validate.csv
    python -m data_pipelines.prepare ssv2 OUT --videos WEBM --annotations LABELS
    python -m data_pipelines.prepare charades OUT --annotations Charades [--videos MP4]
    python -m data_pipelines.prepare own OUT --videos VIDEOS

Each with --downloads prints where to get what it needs. As many videos are worked on at once as
there are processors. The same command goes on where it was interrupted: what is complete is left as
it is, and there are no half files. A video that cannot be read is told and the others are made. The
status is 0 where all is well, 1 where something was told, 2 where the command cannot be carried
out. docs/data.md shows what comes out.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_pipelines.findings import Facts, Findings
from data_pipelines.prepare.ava import SECONDS, prepare_ava
from data_pipelines.prepare.downloads import commands
from data_pipelines.prepare.frames import prepare_charades, prepare_ssv2
from data_pipelines.prepare.own import prepare_own
from data_pipelines.prepare.videos import SPLITS, prepare_videos
from data_pipelines.progress import end_on_interrupt


class _Downloads(argparse.Action):
    """Prints and ends, whatever else is told, as --help does."""

    def __init__(self, option_strings, dest, **options):
        super().__init__(option_strings, dest, nargs=0, help="print where to get what, and end")

    def __call__(self, parser, *_):
        print(commands(parser.prog.split()[-1]))
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_pipelines.prepare", allow_abbrev=False,
        description="Cuts, encodes and extracts what one downloads into what the recipes read.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")

    def add(name: str, text: str, short_side: int | None) -> argparse.ArgumentParser:
        kind = kinds.add_parser(name, help=text, description=text, allow_abbrev=False)
        kind.add_argument("folder", type=Path, metavar="OUT", help="what is made goes here")
        kind.add_argument("--downloads", action=_Downloads)
        told = "as they are" if short_side is None else short_side
        kind.add_argument(
            "--short-side", type=_pixels, default=short_side, metavar="PIXELS",
            help=f"of the pictures, which are only ever made smaller (default: {told})",
        )
        return kind

    kind = add("ava", "films to cuts, frames and frame lists", None)
    kind.add_argument("--films", type=Path, metavar="FOLDER", help="(default: OUT/videos)")
    kind.add_argument("--begin", type=float, default=900, help="second (default: %(default)s)")
    kind.add_argument("--seconds", type=float, default=SECONDS, help="(default: %(default)s)")
    kind.add_argument("--no-frames", dest="frames", action="store_false", help="cuts only")
    kind = add("kinetics", "videos of one class each, also UCF101's and HMDB51's", 256)
    kind.add_argument("--videos", type=Path, metavar="FOLDER", help="where the lists' videos are")
    for split in SPLITS:
        kind.add_argument(
            f"--{split}", type=Path, nargs="+", metavar="LIST",
            help="Kinetics' csv, UCF101's or HMDB51's lists, or a folder of classes",
        )
    kind.add_argument("--classes", metavar="NAMES", help="a set as kinetics400, or a file")
    kind = add("ssv2", "Something-Something: frames, 30 a second, and lists", None)
    for frames in (kind, add("charades", "frames, 24 a second, and lists", None)):
        frames.add_argument(
            "--videos", type=Path, metavar="FOLDER", help="(default: OUT/frames is there already)"
        )
        frames.add_argument("--annotations", type=Path, metavar="FOLDER", required=True)
    kind = add("own", "videos in folders of classes to lists, others to a table of boxes", 320)
    kind.add_argument("--videos", type=Path, metavar="FOLDER", required=True)
    kind.add_argument("--classes", metavar="NAMES", help="a file of names in the order wanted")
    kind.add_argument(
        "--every", type=_seconds, default=1.0, metavar="SECONDS",
        help="between the moments of the table (default: %(default)s)",
    )
    return parser


def _pixels(text: str) -> int:
    number = int(text)
    if number < 16:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise ValueError
    return number


def prepare(args: argparse.Namespace, findings: Findings) -> Facts:
    """Carries out what the arguments say."""
    options = vars(args) | {}
    kind, folder = options.pop("kind"), options.pop("folder")
    options.pop("downloads", None)
    if kind == "kinetics":
        told = {split: options.pop(split) for split in SPLITS}
        options["splits"] = {split: paths for split, paths in told.items() if paths}
    make = {
        "ava": prepare_ava, "kinetics": prepare_videos, "ssv2": prepare_ssv2,
        "charades": prepare_charades, "own": prepare_own,
    }[kind]
    return make(folder, findings, **options)


def cli(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the status."""
    args = _parser().parse_args(arguments)
    findings = Findings()
    try:
        facts = prepare(args, findings)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    findings.print_table(facts)
    return 1 if findings.kinds else 0


if __name__ == "__main__":
    end_on_interrupt()  # no partial files are left, and finishing the current videos takes long
    sys.exit(cli())
