"""Checks data before training: reads every row and decodes every file.

    python -m data_pipelines.doctor train.csv --root VIDEOS --classes kinetics400
    python -m data_pipelines.doctor frame_lists/train.csv --root frames
    python -m data_pipelines.doctor OUT
    python -m data_pipelines.doctor AVA
    python -m data_pipelines.doctor DATA/train.csv --predicted DATA/people.csv --clean clean.csv

The first argument is a list of videos, of folders of frames or of frames, your own table of boxes,
the folder of AVA, or a folder of lists or of videos; the format is detected. Each problem is
printed as one line: where it is, its kind, what is wrong and what to do; of many that are alike,
the first few (--every: all). A summary follows. The
exit status is 0 if there are no problems, 1 if there are, and 2 if the command is wrong.
docs/data.md describes the formats.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from data_pipelines.command import Parser, called_as, explain, run
from data_pipelines.doctor.ava import check_ava
from data_pipelines.doctor.data_sets import (
    SPLITS,
    check_lists,
    check_videos,
    lists_in,
    report_shared,
)
from data_pipelines.doctor.lists import check_frame_list, check_list
from data_pipelines.doctor.own import check_own, report_shared_videos
from data_pipelines.findings import ALIKE_SHOWN, Checked, Findings
from data_pipelines.labels import class_names
from data_pipelines.sources import ava, box_tables, video_lists
from data_pipelines.sources.frame_lists import HEADER

FORMATS = ("kinetics", "rawframes", "frames", "ava", "boxes", "lists", "videos")
# Fields of recipes that the messages of readers name, and what to type here instead.
FLAGS = {
    "data.separator": "--separator", "data.path_prefix": "--root",
    "data.multi_label": "--multi-label", "model.num_classes": "--classes",
    "data.frame_template": "--template", "data.frame_start": "--frame-start",
    "data.score_threshold": "--score-threshold",
    "data.fps": "--fps", "data.format=": "--format ",
}
CLIP = 64  # frames at 30 fps that a clip spans, both of 8 frames 8 apart and of 32 frames 2 apart


class UsageError(Exception):
    """The command cannot be carried out."""


def check(args: argparse.Namespace, findings: Findings, *, complete: bool = True) -> Checked:
    """Checks the data that the arguments name.

    Args:
        args: the arguments.
        findings: receives problems.
        complete: whether each class must have an example, as in training.

    Raises:
        UsageError: the arguments contradict each other or the data.
        OSError, ValueError: the data as a whole cannot be read.
    """
    path = Path(args.path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    kind = args.format or find_format(path, args.separator, args.root)
    for table in args.predicted:
        if not os.path.isfile(table):
            raise UsageError(f"--predicted {table}: no such table")
    if kind in ("lists", "videos"):
        if args.clean:
            raise UsageError("--clean writes one list; name the list instead of the folder")
        return _check_folder(kind, path, args, findings)
    if kind == "ava" and not (path / "annotations").is_dir():
        raise UsageError(f"{path}: has no folder annotations; expected the folder of AVA's data")
    root = args.root
    if not root and kind == "ava":
        places = [path / name for name in ("videos_15min", "videos", "frames")]
        root = next(filter(Path.is_dir, places), places[-1])
    elif not root and kind == "boxes":
        root = path.parent / "videos"
    if root and not os.path.isdir(root):
        raise UsageError(f"{root}: no such folder; pass the folder of the videos with --root")
    if args.predicted and kind != "boxes":
        raise UsageError(
            f"--predicted is only for your own tables of boxes, but {path} has the format {kind}"
        )
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
            path, findings, predicted=args.predicted, videos=root, class_names=names,
            unnamed=_unnamed(args.classes, names), fps=args.fps,
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
        parse = video_lists.folder_parser(
            path, video_lists.list_rows(path), template=args.template, start=args.frame_start,
            with_offset=args.frame_offset, **options,
        )
    else:
        parse = _row_parser(path, args, names, number)
    return check_list(
        path, parse, findings, num_classes=number, clip=args.clip, complete=complete
    )


def _row_parser(
    path: Path, args: argparse.Namespace, names: Sequence[str] | None, number: int | None
) -> Callable[[str, video_lists.Row], video_lists.Sample]:
    """Returns the function that parses the rows of a list of videos."""
    numbers = {name: label for label, name in enumerate(names)} if names else None
    return video_lists.row_parser(
        path, video_lists.list_rows(path), separator=args.separator, path_prefix=args.root,
        num_classes=number, multi_label=args.multi_label, names=numbers,
    )


def _check_folder(
    kind: str, path: Path, args: argparse.Namespace, findings: Findings
) -> Checked:
    """Checks a folder of lists or of videos."""
    if kind == "videos":
        try:
            return check_videos(path, findings, clip=args.clip)
        except ValueError as error:
            raise UsageError(str(error)) from error
    classes, lists = args.classes, lists_in(path)
    first = next(iter(lists.values()))
    of_lists = find_format(first, args.separator, args.root)
    if not classes and (path / "classes.txt").is_file():
        classes = str(path / "classes.txt")
    if not classes and of_lists == "boxes":
        classes = box_tables.find_actions([first], on_bad_row=lambda error: None)

    def check_one(split: str, each: Path) -> Checked:
        changed = {"path": str(each), "format": None, "classes": classes}
        one = argparse.Namespace(**vars(args) | changed)
        return check(one, findings, complete=split == "train")

    expected = ("train", "test") if of_lists == "boxes" else SPLITS
    checked = check_lists(path, check_one, findings, expected)
    if of_lists == "boxes":
        report_shared_videos(lists.values(), args.root or path / "videos", findings)
    if of_lists == "kinetics":
        names, number = _classes(classes)
        report_shared(
            lists.values(), lambda each: _row_parser(each, args, names, number), findings
        )
    return checked


def _classes(text: str | list[str] | None) -> tuple[list[str] | None, int | None]:
    """(names, number) of the classes, each None if not given."""
    if isinstance(text, list):
        return text, len(text)
    if text is None or text.isdecimal():
        return None, text and int(text)
    try:
        names = class_names(text)
    except ValueError as error:
        raise UsageError(f"--classes: {error}") from error
    return names, len(names)


def _unnamed(text: str | list[str] | None, names: Sequence[str] | None) -> set[int]:
    """The classes, from 0, that a file of names with ids leaves out."""
    if not isinstance(text, str) or text.isdecimal() or names is None:
        return set()
    return {label for label, name in enumerate(names) if name == f"action {label + 1}"}


def find_format(path: Path, separator: str, root: str) -> str:
    """Detects the format of a list from its first row, and that of a folder from its files.

    Args:
        path: the list or folder.
        separator: text between the columns of a list.
        root: folder that relative paths of the list start from.

    Raises:
        UsageError: the file is not text.
        ValueError: a JSON list cannot be read, or a table of boxes has no header.
    """
    if path.is_dir():
        if (path / "annotations").is_dir():
            return "ava"
        return "lists" if lists_in(path) else "videos"
    if path.suffix == ".json":
        (_, entry), *_ = video_lists.list_rows(path)
        frames = isinstance(entry.value, dict) and "frame_dir" in entry.value
        return "rawframes" if frames else "kinetics"
    try:
        with open(path, encoding="utf-8-sig") as file:
            row = next(filter(str.strip, file), "").strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not text; expected a list or table in UTF-8") from error
    if row.split()[:1] in ([HEADER.split()[0]], ["original_video_id"]):
        return "frames"
    names = {name.strip(' "').lower() for name in re.split("[,;\t]", row)}
    if names >= {"video", "time", *box_tables.CORNERS}:
        return "boxes"
    if _is_box_row(row):
        raise ValueError(
            f"{path}:1: a row of boxes without a header above it; expected the first line "
            f"{','.join(box_tables.REQUIRED)} (AVA's tables have none: pass the folder of AVA)"
        )
    columns = row.split(separator)
    if len(columns) >= 3 and os.path.isdir(os.path.join(root, columns[0])):
        return "rawframes"
    return "kinetics"


def _is_box_row(row: str) -> bool:
    """Whether a row reads video,time,x1,y1,x2,y2,...; labels of a list may be numbers too."""
    video, *others = (cell.strip(' "') for cell in re.split("[,;\t]", row))
    try:
        _, x1, y1, x2, y2 = map(float, others[:5])
    except ValueError:
        return False
    fractions = 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1
    return fractions or (" " not in video and x1 < x2 and y1 < y2)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called_as("data_pipelines.doctor", "slowfast-jax-doctor"),
        description="Checks data before training: reads every row, decodes every file, and "
        "reports the problems found.",
    )
    parser.add_argument(
        "path", metavar="DATA", help="a list, a table of boxes, or a folder: of AVA, of the lists "
        "train.csv, val.csv and test.csv, or of videos"
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="format of DATA: a list of videos (kinetics), of folders "
        "of frames (rawframes) or of frames (frames), the folder of AVA (ava), your own table of "
        "boxes (boxes), or a folder of lists (lists) or videos (videos); default: detected from "
        "the content",
    )
    parser.add_argument(
        "--root", "--path-prefix", default="", metavar="FOLDER",
        help="folder that relative paths of a list start from, or folder of the videos of boxes "
        "(default for boxes: `videos` beside the table; for AVA: videos_15min, videos or frames)",
    )
    parser.add_argument(
        "--classes", metavar="N|NAMES",
        help="the classes: their number, a file of names, or a known set such as kinetics400 "
        "(default: the classes that occur)",
    )
    parser.add_argument(
        "--clip", type=int, default=CLIP, metavar="FRAMES",
        help="frames that a clip spans, at 30 fps; shorter videos in lists are reported "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--separator", default=" ", help="text between the columns of a list (default: a space)"
    )
    parser.add_argument(
        "--multi-label", action="store_true", help="rows of a list may have several labels"
    )
    parser.add_argument(
        "--template", default=video_lists.TEMPLATE,
        help="file name of a frame in its folder, for rawframes (default: %(default)s)",
    )
    parser.add_argument(
        "--frame-start", type=int, metavar="NUMBER",
        help="number of the first frame's file, for rawframes (default: the lowest in each folder)",
    )
    parser.add_argument(
        "--frame-offset", action="store_true",
        help="rows have an offset into the folder after its name, for rawframes",
    )
    parser.add_argument(
        "--predicted", action="append", default=[], metavar="TABLE",
        help="boxes of a person detector at the moments of your own table; may be repeated",
    )
    parser.add_argument(
        "--score-threshold", type=float, metavar="SCORE",
        help="ignore predicted boxes with a lower score (default: as in the recipes, 0.9 for AVA "
        "and 0.5 for your own tables)",
    )
    parser.add_argument(
        "--first-second", type=float, metavar="SECOND",
        help="time of the first frame, as the tables count (default: 900 for AVA, 0 for your own "
        "tables)",
    )
    parser.add_argument(
        "--fps", type=float, default=ava.FPS,
        help="frame rate of videos of boxes that are stored as images (default: %(default)s)",
    )
    parser.add_argument(
        "--every", action="store_true",
        help="print every problem; without it, of problems that are alike (a missing file in each "
        f"row) only the first {ALIKE_SHOWN} are printed, and the others as one line",
    )
    parser.add_argument(
        "--clean", metavar="OUT",
        help="write the usable part of the data to OUT: a list or table without the rows that "
        "cannot be used, or for AVA a folder of annotations",
    )
    return parser


def cli(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = _parser().parse_args(arguments)
    findings = Findings(FLAGS, every=args.every)
    try:
        if args.clean and os.path.exists(args.clean):
            raise UsageError(f"{args.clean} exists already; pass another name to --clean")
        checked = check(args, findings)
        if args.clean:
            checked.write(args.clean)
    except BrokenPipeError:
        raise
    except (OSError, UsageError) as error:
        print(f"error: {findings.worded(explain(error))}", file=sys.stderr)
        return 2
    except ValueError as error:  # the data as a whole cannot be read
        findings.report_row(error)
        findings.print_rest()
        return 1
    findings.print_table(checked.facts)
    return 1 if findings.kinds else 0


def main() -> None:
    """Runs the command as a program."""
    run(cli, "problems found so far are printed above")


if __name__ == "__main__":
    main()
