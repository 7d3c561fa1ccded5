"""Prepares data sets: turns what you download into the files that the recipes read.

    python -m data_pipelines.prepare ava AVA
    python -m data_pipelines.prepare kinetics OUT --videos DOWNLOADED --classes kinetics400 \\
        --train kinetics400/train.csv --val kinetics400/validate.csv
    python -m data_pipelines.prepare ssv2 OUT --videos WEBM --annotations LABELS
    python -m data_pipelines.prepare charades OUT --annotations Charades [--videos MP4]
    python -m data_pipelines.prepare own OUT --videos VIDEOS

With --downloads, each prints where to download its input. One video per processor is processed at
a time. Run the same command again to continue after an interruption: finished files are kept, and
files are written atomically. Videos that cannot be read are reported and skipped. The exit status
is 0 if all went well, 1 if problems were reported, and 2 if the command failed. docs/data.md
describes the results.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data_pipelines.command import Parser, called_as, explain, positive, run
from data_pipelines.findings import Facts, Findings
from data_pipelines.prepare import downloads
from data_pipelines.prepare.ava import SECONDS, prepare_ava
from data_pipelines.prepare.common import check_folder
from data_pipelines.prepare.dividing import SPLITS
from data_pipelines.prepare.frames import prepare_charades, prepare_ssv2
from data_pipelines.prepare.own import next_steps, prepare_own
from data_pipelines.prepare.videos import prepare_videos


class _Downloads(argparse.Action):
    """Prints the downloads and exits regardless of other arguments, as --help does."""

    def __init__(self, option_strings, dest, **options):
        text = "print the commands that download the data and weights, and exit"
        super().__init__(option_strings, dest, nargs=0, help=text)

    def __call__(self, parser, *_):
        print(downloads.commands(parser.prog.split()[-1]))
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    name = called_as("data_pipelines.prepare", "slowfast-jax-prepare")
    parser = Parser(
        prog=name,
        description="Turns downloaded data sets into the files that the recipes read.",
        epilog=f"`{name} KIND --help` lists the options of a data set.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")

    def add(name: str, text: str, short_side: int | None) -> argparse.ArgumentParser:
        kind = kinds.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}."
        )
        kind.add_argument("folder", type=Path, metavar="OUT", help="folder for the results")
        kind.add_argument("--downloads", action=_Downloads)
        default = "original size" if short_side is None else short_side
        kind.add_argument(
            "--short-side", type=_pixels, default=short_side, metavar="PIXELS",
            help="shrink frames to this short side; smaller frames keep their size "
            f"(default: {default})",
        )
        return kind

    kind = add("ava", "cut AVA's films, extract their frames and write frame lists", None)
    kind.add_argument(
        "--films", type=Path, metavar="FOLDER",
        help="the uncut films (default: OUT/videos; if it does not exist, existing cuts are used)",
    )
    kind.add_argument(
        "--begin", type=float, default=900, metavar="SECOND",
        help="second of the film at which the cut starts (default: %(default)s)",
    )
    kind.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="SECONDS",
        help="duration of the cut in seconds (default: %(default)s)",
    )
    kind.add_argument(
        "--no-frames", dest="frames", action="store_false",
        help="only cut the films; do not extract frames",
    )
    kind = add(
        "kinetics", "re-encode videos of one class each (Kinetics, UCF101, HMDB51) and list them",
        256,
    )
    kind.add_argument(
        "--videos", type=Path, metavar="FOLDER",
        help="the videos that the lists name; without lists, a folder with a folder of videos for "
        "each class, which are divided into training, validation and test",
    )
    for split in SPLITS:
        kind.add_argument(
            f"--{split}", type=Path, nargs="+", metavar="LIST",
            help=f"videos of the {split} split: Kinetics' csv file, lists of UCF101 or HMDB51, or "
            "a folder with a folder of videos for each class",
        )
    kind.add_argument(
        "--classes", metavar="NAMES",
        help="class names in order: a known set such as kinetics400, or a file (default: the "
        "classes found, in alphabetical order)",
    )
    kind = add(
        "ssv2", "extract Something-Something's frames at 30 fps and write frame lists", None
    )
    charades = add(
        "charades", "extract Charades's frames at 24 fps and write frame lists", None
    )
    for frames in (kind, charades):
        frames.add_argument(
            "--videos", type=Path, metavar="FOLDER",
            help="the videos to extract frames from (default: OUT/frames already holds the frames)",
        )
        frames.add_argument(
            "--annotations", type=Path, metavar="FOLDER", required=True,
            help="folder of the downloaded annotations",
        )
    kind = add(
        "own", "re-encode your own videos; list them by class folder, or write a table to fill in "
        "with boxes", 320,
    )
    kind.add_argument(
        "--videos", type=Path, metavar="FOLDER", required=True,
        help="the videos: in a folder for each class, to list them with their class; or without "
        "subfolders, to get a table to fill in with boxes",
    )
    kind.add_argument(
        "--classes", metavar="NAMES",
        help="a file of class names in order (default: the class folders in alphabetical order)",
    )
    kind.add_argument(
        "--every", type=positive, default=1.0, metavar="SECONDS",
        help="seconds between the rows of the table (default: %(default)s)",
    )
    return parser


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 16:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number of at least 16")
    return int(text)


def prepare(args: argparse.Namespace, findings: Findings) -> Facts:
    """Runs the preparation that the arguments name; returns the facts of its summary."""
    options = vars(args) | {}
    kind, folder = options.pop("kind"), options.pop("folder")
    options.pop("downloads", None)
    check_folder(folder)
    if kind == "kinetics":
        given = {split: options.pop(split) for split in SPLITS}
        options["splits"] = {split: paths for split, paths in given.items() if paths}
    prepare_kind = {
        "ava": prepare_ava, "kinetics": prepare_videos, "ssv2": prepare_ssv2,
        "charades": prepare_charades, "own": prepare_own,
    }[kind]
    return prepare_kind(folder, findings, **options)


def cli(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = _parser().parse_args(arguments)
    findings = Findings()
    try:
        facts = prepare(args, findings)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    findings.print_table(facts)
    if args.kind == "own":
        what, commands = next_steps(args.folder, facts)
        print(f"\n{what}:\n", *(f"    {command}" for command in commands), sep="\n")
    return 1 if findings.kinds else 0


def main() -> None:
    """Runs the command as a program."""
    # Unfinished files are removed by the next run; finishing the current videos takes long.
    run(cli, "finished files are kept; run the same command again to continue")


if __name__ == "__main__":
    main()
