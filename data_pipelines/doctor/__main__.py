"""Checks data before anything is trained on it: every row is read, every file is decoded.

    python -m data_pipelines.doctor train.csv --root VIDEOS --classes kinetics400
    python -m data_pipelines.doctor frame_lists/train.csv --root frames
    python -m data_pipelines.doctor AVA
    python -m data_pipelines.doctor DATA/train.csv --predicted DATA/people.csv --clean clean.csv

What is given is a list of videos, of folders of frames or of frames, the folder AVA, or a table of
boxes of one's own; which one is seen from its content. Each problem is a line: where, of what kind,
what, and what to do. A table of numbers follows. The status is 0 where all is well, 1 where
something was found, 2 where the command is wrong. docs/data.md shows the formats.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from data_pipelines.doctor.ava import check_ava
from data_pipelines.doctor.lists import check_frame_list, check_list
from data_pipelines.doctor.own import check_own
from data_pipelines.findings import Checked, Findings
from data_pipelines.labels import class_names
from data_pipelines.sources import ava, box_tables, video_lists
from data_pipelines.sources.frame_lists import HEADER

FORMATS = ("kinetics", "rawframes", "frames", "ava", "boxes")
CLIP = 64  # frames at 30 a second: 8 x 8 and 32 x 2


class UsageError(Exception):
    """The command cannot be carried out."""


def check(args: argparse.Namespace, findings: Findings) -> Checked:
    """Checks what the arguments name."""
    path = Path(args.path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    kind = args.format or find_format(path, args.separator, args.root)
    if kind == "ava" and not (path / "annotations").is_dir():
        raise UsageError(f"{path}: no folder annotations in it; expected the folder of AVA's data")
    root = args.root
    if not root and kind == "ava":
        places = [path / name for name in ("videos_15min", "videos", "frames")]
        root = next(filter(Path.is_dir, places), places[-1])
    elif not root and kind == "boxes":
        root = path.parent / "videos"
    if root and not os.path.isdir(root):
        raise UsageError(f"{root}: no such folder; tell --root, where the videos are")
    if args.predicted and kind != "boxes":
        raise UsageError(f"--predicted goes with boxes of one's own, and {path} is {kind}")
    names, number = _classes(args.classes)
    if kind == "ava":
        return check_ava(
            path, findings, videos=root, fps=args.fps,
            score_threshold=0.9 if args.score_threshold is None else args.score_threshold,
            origin=ava.FIRST_SECOND if args.first_second is None else args.first_second,
        )
    if kind == "boxes":
        if number is not None and not names:
            names = [f"action {action}" for action in range(1, number + 1)]
        return check_own(
            path, findings, predicted=args.predicted, videos=root, class_names=names, fps=args.fps,
            score_threshold=0.5 if args.score_threshold is None else args.score_threshold,
            origin=args.first_second or 0.0,
        )
    if kind == "frames":
        return check_frame_list(
            path, findings, path_prefix=root, num_classes=number, clip=args.clip
        )
    options = dict(path_prefix=root, num_classes=number, multi_label=args.multi_label)
    if kind == "rawframes":
        try:
            video_lists.check_template(args.template)
        except ValueError as error:
            raise UsageError(f"--template: {error}") from error
        parse = partial(video_lists.folder_sample, template=args.template, **options)
    else:
        parse = partial(video_lists.video_sample, separator=args.separator, **options)
    return check_list(path, parse, findings, num_classes=number, clip=args.clip)


def _classes(text: str | None) -> tuple[list[str] | None, int | None]:
    """(names, number) of the classes, each None where it is not told."""
    if text is None or text.isdecimal():
        return None, text and int(text)
    try:
        names = class_names(text)
    except ValueError as error:
        raise UsageError(f"--classes: {error}") from error
    return names, len(names)


def find_format(path: Path, separator: str, root: str) -> str:
    """The format of a list, from its first row; a folder is AVA's."""
    if path.is_dir():
        return "ava"
    if path.suffix == ".json":
        (_, entry), *_ = video_lists.list_rows(path)
        frames = isinstance(entry.value, dict) and "frame_dir" in entry.value
        return "rawframes" if frames else "kinetics"
    try:
        with open(path, encoding="utf-8-sig") as file:
            row = next(filter(str.strip, file), "").strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not text; expected a list or a table") from error
    if row.split()[:1] in ([HEADER.split()[0]], ["original_video_id"]):
        return "frames"
    if {name.strip() for name in row.split(",")} >= {"video", "time", *box_tables.CORNERS}:
        return "boxes"
    columns = row.split(separator)
    if len(columns) >= 3 and os.path.isdir(os.path.join(root, columns[0])):
        return "rawframes"
    return "kinetics"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_pipelines.doctor", allow_abbrev=False,
        description="Reads every row and decodes every file of data, and tells what is wrong.",
    )
    parser.add_argument("path", metavar="DATA", help="a list, a table of boxes, or the folder AVA")
    parser.add_argument(
        "--format", choices=FORMATS, help="where its content does not tell: videos (kinetics), "
        "folders of frames (rawframes), a row for each frame (frames), ava, or boxes of one's own",
    )
    parser.add_argument(
        "--root", "--path-prefix", default="", metavar="FOLDER",
        help="where relative paths of a list begin; where the videos of boxes are (default: "
        "videos beside the table, in AVA videos_15min, videos or frames)",
    )
    parser.add_argument(
        "--classes", metavar="N|NAMES",
        help="their number, a file of names, or a set as kinetics400; default: those that occur",
    )
    parser.add_argument(
        "--clip", type=int, default=CLIP, metavar="FRAMES",
        help="at 30 a second; shorter videos of lists are told (default: %(default)s)",
    )
    parser.add_argument("--separator", default=" ", help="between the columns of a list")
    parser.add_argument("--multi-label", action="store_true", help="rows have several labels")
    parser.add_argument(
        "--template", default=video_lists.TEMPLATE,
        help="of a frame's file in its folder (default: %(default)s)",
    )
    parser.add_argument(
        "--predicted", action="append", default=[], metavar="TABLE",
        help="boxes of a person detector at the moments of one's own table; may be repeated",
    )
    parser.add_argument(
        "--score-threshold", type=float, metavar="SCORE",
        help="predicted boxes below it do not count (default: 0.9 for AVA, 0.5 for one's own, as "
        "in the recipes)",
    )
    parser.add_argument(
        "--first-second", type=float, metavar="SECOND",
        help="the tables' time of the first frame (default: 900 for AVA, 0 for one's own)",
    )
    parser.add_argument(
        "--fps", type=float, default=ava.FPS, help="of videos of boxes that are stored as images"
    )
    parser.add_argument(
        "--clean", metavar="OUT",
        help="write what is right: a list or table without the rows that are wrong, for AVA the "
        "folder of annotations",
    )
    return parser


def cli(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the status."""
    args = _parser().parse_args(arguments)
    findings = Findings()
    try:
        if args.clean and os.path.exists(args.clean):
            raise UsageError(f"{args.clean} is there already; give --clean a new name")
        checked = check(args, findings)
        if args.clean:
            checked.write(args.clean)
    except (OSError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ValueError as error:  # nothing of it can be read
        findings.tell_row(error)
        return 1
    findings.print_table(checked.facts)
    return 1 if findings.kinds else 0


if __name__ == "__main__":
    sys.exit(cli())
