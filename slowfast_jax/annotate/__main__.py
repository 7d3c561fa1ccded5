"""The command that prepares videos for labeling: finds and tracks the people in them.

    python -m slowfast_jax.annotate VIDEOS OUT --actions wave,sit,stand

VIDEOS is a folder of videos, or some of its files. In about one frame per second, every person gets
a box, and a number that stays the same through the video. OUT receives

    via.json          a project of VIA 3 with these boxes, in which you add the actions
    cvat/*.xml        the same for a task of CVAT for each video ("CVAT for video 1.1")
    cvat/labels.json  the labels of such a task, for the "Raw" tab where CVAT creates it
    people.csv        the boxes with scores, as a table (data_pipelines/sources/box_tables.py)

data_pipelines.prepare.via and data_pipelines.prepare.cvat make a table of what you labeled.
"""

from slowfast_jax import interrupts

if __name__ == "__main__":  # before the imports below, which take a second
    interrupts.end_at_once()

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from data_pipelines.atomic_files import whole, write_rows
from data_pipelines.command import (
    Parser,
    called_as,
    explain,
    fraction,
    not_negative,
    positive,
)
from data_pipelines.findings import Findings
from data_pipelines.labels import class_names
from data_pipelines.prepare.common import check_folder, videos_in
from data_pipelines.prepare.label_tables import PERSON
from data_pipelines.sources.box_tables import CORNERS, without_suffix
from data_pipelines.text_files import counted
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.finding import why_no_video
from data_pipelines.video.frame_times import frame_times
from slowfast_jax.annotate.cvat_task import cvat_labels, cvat_task
from slowfast_jax.annotate.persons import Found, persons_to_label
from slowfast_jax.annotate.via_project import via_project
from slowfast_jax.detectors.load import DEFAULT as DEFAULT_DETECTOR
from slowfast_jax.detectors.load import EXPECTED as DETECTORS
from slowfast_jax.detectors.load import load_detector
from slowfast_jax.detectors.tracking import HIGH_SCORE, LOW_SCORE
from slowfast_jax.log_file import show_log

PROJECT, TASKS, LABELS, TABLE = "via.json", "cvat", "labels.json", "people.csv"
LONGEST_NAME = 64  # characters of a name that CVAT takes
COLUMNS = ("video", "time", *CORNERS, "person", "score")


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    The status is 0; 1 if any video failed (the others are written); 2 if nothing was written
    because an argument, a file or the detector is wrong; or 130 if Ctrl-C ended it.
    """
    arguments = _parser().parse_args(argv)
    show_log(logging.WARNING)
    out, found = Path(arguments.out), []
    with interrupts.command(
        lambda: f"; {out} gets the people of {counted(len(found), 'video')}" if found else
        "; nothing was written"
    ):
        try:
            _check_out(out)
            actions = _actions(arguments.actions)
            findings = Findings()
            folder, videos = _videos(list(map(Path, arguments.videos)), findings)
            detector = load_detector(
                arguments.detector, threshold=min(LOW_SCORE, arguments.threshold)
            )
            for number, (name, path) in enumerate(videos.items(), 1):
                try:
                    each = persons_to_label(
                        path, name, detector, every=arguments.every, margin=arguments.margin,
                        threshold=arguments.threshold,
                        what=f"finding people in {name} ({number} of {len(videos)}; frames)",
                    )
                except VideoError as error:
                    findings.report(str(path), "broken", error.reason)
                    continue
                found.append(each)
                if not each.persons:
                    print(f"warning: {path}: nobody was found", file=sys.stderr)
            _write(found, folder, actions, out)
        except KeyboardInterrupt:  # the line that says so was printed when Ctrl-C came
            _write(found, folder, actions, out)
            return interrupts.leave()
        except (OSError, ValueError) as error:
            print(f"error: {explain(error)}", file=sys.stderr)
            return 2
    if not found:
        print("error: no video can be read; nothing was written", file=sys.stderr)
        return 2
    moments, persons = (sum(map(len, each)) for each in (
        [each.times for each in found], [each.persons for each in found]
    ))
    print(
        f"{out}: {counted(len(found), 'video')}, {counted(moments, 'frame')} to label, "
        f"{persons} boxes"
    )
    return 1 if findings.kinds else 0


def _check_out(out: Path) -> None:
    """OSError if OUT cannot be written, or has labels that would be lost."""
    check_folder(out)
    for name in (PROJECT, TASKS, TABLE):
        if os.path.lexists(out / name):
            raise FileExistsError(
                f"{out / name}: exists already and may have your labels; choose another folder"
            )


def _actions(text: str | None) -> list[str]:
    """The actions to choose from, in a file or separated by commas; none: []."""
    if text is None:
        return []
    is_file = os.path.isfile(text)
    actions = class_names(text) if is_file else [action.strip() for action in text.split(",")]
    lengths_fit = all(0 < len(action) <= LONGEST_NAME for action in actions)
    if not lengths_fit or len(set(actions)) < len(actions) or PERSON in map(str.lower, actions):
        raise ValueError(
            f"--actions {text!r}: expected a file of names, or names separated by commas, all "
            f"different, of at most {LONGEST_NAME} characters, and none of them {PERSON!r}"
        )
    return actions


def _videos(places: Sequence[Path], findings: Findings) -> tuple[Path, dict[str, Path]]:
    """(the folder of all videos, videos by their names relative to it).

    Raises:
      OSError: a file or folder does not exist.
      ValueError: there are no videos, or two whose names differ only in their suffixes.
    """
    paths: list[Path] = []
    for place in places:
        if not place.is_file():
            paths += videos_in(place, findings)
        elif reason := why_no_video(place):
            raise ValueError(f"{place}: {reason}")
        else:
            paths.append(place)
    folders = [place.parent if place.is_file() else place for place in places]
    folder = Path(os.path.commonpath([each.absolute() for each in folders]))
    videos, stems = {}, {}
    for path in paths:
        name = path.absolute().relative_to(folder).as_posix()
        before = stems.setdefault(without_suffix(name), name)
        if before != name:
            raise ValueError(
                f"{path}: has the name of {before} but for the suffix; rename one of them"
            )
        videos[name] = path
    return folder, videos


def _write(found: Sequence[Found], folder: Path, actions: Sequence[str], out: Path) -> None:
    """Writes all files; none if there is no video."""
    if not found:
        return
    with whole(out / TASKS) as part:
        for each in found:
            target = part / f"{each.name}.xml"
            target.parent.mkdir(parents=True, exist_ok=True)
            times = frame_times(folder / each.name)
            cvat_task(each, times, actions).write(target, "utf-8", xml_declaration=True)
        _write_json(part / LABELS, cvat_labels(actions))
    write_rows(out / TABLE, [COLUMNS, *(
        (each.name, person.time, *(f"{edge:.6f}" for edge in person.box), person.number,
         f"{person.score:.4f}")
        for each in found for person in each.persons
    )])
    with whole(out / PROJECT) as part:
        _write_json(part, via_project(found, folder, actions))


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called_as("slowfast_jax.annotate", "slowfast-jax-annotate"),
        description="Finds and tracks the people in videos, and writes them as projects of VIA "
        "and CVAT in which you add the actions.",
    )
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEOS", help="a folder of videos, or some of its files"
    )
    parser.add_argument("out", metavar="OUT", help="folder for the results")
    parser.add_argument(
        "--actions", metavar="NAMES",
        help="the actions to choose from, separated by commas, or a file with one per line "
        "(default: you write them)",
    )
    parser.add_argument(
        "--every", type=positive, default=1.0, metavar="SECONDS",
        help="interval between the frames to label (default: 1)",
    )
    parser.add_argument(
        "--margin", type=not_negative, default=0.0, metavar="SECONDS",
        help="leave out frames this close to the start or end of a video, where clips are "
        "incomplete (default: 0; AVA: 2)",
    )
    parser.add_argument(
        "--detector", default=DEFAULT_DETECTOR, metavar="DETECTOR",
        help=f"{DETECTORS} (default: %(default)s)",
    )
    parser.add_argument(
        "--threshold", type=fraction, default=HIGH_SCORE, metavar="SCORE",
        help="minimum detector score of a box that starts a track (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli())
