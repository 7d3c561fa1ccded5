"""Converts annotations made with CVAT to a table of boxes and actions (sources/box_tables.py).

    python -m data_pipelines.prepare.cvat ANNOTATIONS.xml ... VIDEOS OUT.csv

ANNOTATIONS.xml is a task or a project that CVAT exported as "CVAT for video 1.1", or the .zip file
around it. (The export of a job does not name its video.) VIDEOS is the folder of the videos, which
must have the names that they have in CVAT. CVAT has boxes in every frame; the table gets those of
one frame per second (--every), as one row per action; a box without actions becomes one row. The
actions of a box are its ticked checkboxes and the values of its other attributes, in which commas
separate actions. Only the attribute "person" is special: it becomes the column "person". Tracks
without it get numbers that no other track has.
"""

import itertools
import sys
import zipfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from data_pipelines.command import Parser, explain, positive, run
from data_pipelines.paths import PathLike
from data_pipelines.prepare.label_tables import (
    PERSON,
    check_table,
    find_video,
    moments_to_label,
    write_labels,
)
from data_pipelines.sources.keyframes import read_box
from data_pipelines.text_files import first_few, read_number, shown
from data_pipelines.video.decoding import VideoError, VideoInfo
from data_pipelines.video.frame_times import frame_times

LABEL = "person"
EDGES = ("xtl", "ytl", "xbr", "ybr")
EXPORTED = "annotations.xml"  # in the .zip file of an export
EXPECTED = 'expected annotations that CVAT exported as "CVAT for video 1.1"'
OF_A_JOB = (
    "holds a job, which does not name its video; export the task instead (in the list of tasks: "
    "Actions, Export task dataset)"
)
TICKED = {"true": True, "false": False}  # values of a checkbox


class Task(NamedTuple):
    """A video of a file. width, height: as CVAT shows it, in pixels."""

    source: str
    width: float
    height: float


class Box(NamedTuple):
    """A box of a track.

    Attributes:
        frame: number of the frame.
        outside: the person is not there from this frame on.
        edges: float64 (4,) in pixels.
        actions, person: see the module.
    """

    frame: int
    outside: bool
    edges: np.ndarray
    actions: list[str]
    person: str


class Track(NamedTuple):
    """The boxes of a person in order of time. place: in the file, for messages."""

    place: str
    boxes: list[Box]


class Converted(NamedTuple):
    """What was converted.

    Attributes:
        rows: number of rows written.
        other_labels: labels whose tracks were left out.
    """

    rows: int
    other_labels: set[str]


def convert(
    files: Sequence[PathLike], videos: PathLike, table: PathLike, every: float = 1.0
) -> Converted:
    """Converts annotations to a table.

    Args:
        files: .xml files, or the .zip files around them.
        videos: folder of the videos.
        table: the csv file to write, atomically.
        every: seconds between the frames whose boxes are taken.

    Raises:
        OSError: a file or the folder is missing, or the table cannot be written or exists with
            other rows.
        ValueError: a file is not such an export; it has no boxes of persons at these frames; or a
            box is not within an existing video. The text names the file and the track.
        VideoError: a video cannot be opened.
    """
    check_table(table)
    if not Path(videos).is_dir():
        raise FileNotFoundError(f"{videos}: no such folder of videos")
    infos: dict[str, tuple[str, VideoInfo]] = {}
    rows, others = [], set()
    for path in files:
        root = _read(path)
        tasks = _tasks(path, root)
        for task, tracks in _tracks(path, root, tasks, others).items():
            video, info = find_video(str(path), tasks[task].source, videos, infos)
            rows += _rows(
                video, tasks[task], _numbered(tracks), info, Path(videos) / video, every
            )
    if not rows:
        also = f"; left out were tracks of {first_few(sorted(others))}" if others else ""
        raise ValueError(
            f"{', '.join(map(str, files))}: no boxes of the label {LABEL!r} in frames every "
            f"{every:g} s{also}"
        )
    write_labels(table, rows, ", ".join(map(str, files)), "CVAT")
    return Converted(len(rows), others)


def _read(path: PathLike) -> ElementTree.Element:
    """The root of a file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file of annotations")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = archive.read(EXPORTED)
        else:
            content = Path(path).read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # which may blow up to any size
            raise ValueError("it defines entities")
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read ({error}); {EXPECTED}") from error
    if root.tag != "annotations":
        raise ValueError(f"{path}: holds <{root.tag}>, not <annotations>; {EXPECTED}")
    if root.find("image") is not None:
        raise ValueError(f'{path}: holds pictures ("CVAT for images 1.1"); {EXPECTED}')
    return root


def _tasks(path: PathLike, root: ElementTree.Element) -> dict[str, Task]:
    """The tasks of a file by their id."""
    tasks = {}
    for element in root.iterfind("meta//task"):
        source = (element.findtext("source") or "").strip()
        if source:
            width, height = (
                read_number(path, "meta", side, element.findtext(f"original_size/{side}") or "")
                for side in ("width", "height")
            )
            if not (width > 0 and height > 0):
                raise ValueError(f"{path}: original_size is {width:g} x {height:g}; {EXPECTED}")
            tasks[element.findtext("id") or ""] = Task(source, width, height)
    if not tasks:
        is_job = root.find("meta/job") is not None
        raise ValueError(f"{path}: {OF_A_JOB if is_job else f'names no video; {EXPECTED}'}")
    return tasks


def _tracks(
    path: PathLike, root: ElementTree.Element, tasks: Mapping[str, Task], others: set[str]
) -> dict[str, list[Track]]:
    """The tracks of persons by the id of their task; `others` receives the labels of the rest."""
    tracks: dict[str, list[Track]] = {task: [] for task in tasks}
    for index, element in enumerate(root.iter("track")):
        place = f"{path}:track {element.get('id', index)}"
        label = element.get("label", "")
        if label.lower() != LABEL:
            others.add(label)
            continue
        task = element.get("task_id", next(iter(tasks)))
        if task not in tasks:
            raise ValueError(f"{place}: its task {shown(task)} is not in the file; {EXPECTED}")
        tracks[task].append(Track(place, _boxes(place, element)))
    return tracks


def _boxes(place: str, track: ElementTree.Element) -> list[Box]:
    """The boxes of a track in order of time."""
    boxes = []
    for element in track:
        frame = read_number(place, "frame", "frame", element.get("frame", ""))
        line = f"frame {frame:g}"
        where = f"{place}:{line}"
        rotation = read_number(place, line, "rotation", element.get("rotation") or "0")
        if element.tag != "box" or rotation:
            what = "rotated box" if element.tag == "box" else element.tag
            raise ValueError(f"{where}: {what}; expected an upright box: draw it again")
        edges = [read_number(place, line, e, element.get(e, "")) for e in EDGES]
        actions, person = [], ""
        for attribute in element.iterfind("attribute"):
            name, value = attribute.get("name", ""), (attribute.text or "").strip()
            if name.lower() == PERSON:
                person = value
            elif value in TICKED:
                actions += [name] if TICKED[value] else []
            else:
                actions += filter(None, map(str.strip, value.split(",")))
        boxes.append(Box(
            int(frame), element.get("outside") == "1", np.array(edges),
            list(dict.fromkeys(actions)), person,
        ))
    return sorted(boxes, key=lambda box: box.frame)


def _numbered(tracks: Sequence[Track]) -> list[Track]:
    """The tracks of a video, with a person in every box: those without get numbers that no other
    track has, so that a track that was added in CVAT is not taken for somebody else."""
    given = {box.person for _, boxes in tracks for box in boxes}
    left = (number for number in map(str, itertools.count(1)) if number not in given)
    numbered = []
    for place, boxes in tracks:
        number = "" if all(box.person for box in boxes) else next(left)
        boxes = [box._replace(person=box.person or number) for box in boxes]
        numbered.append(Track(place, boxes))
    return numbered


def _rows(
    video: str, task: Task, tracks: Sequence[Track], info: VideoInfo, path: Path, every: float
) -> Iterator[tuple[str, ...]]:
    """The rows of a video, moment by moment."""
    times = frame_times(path)
    for time in moments_to_label(info, every).values():
        frame = int(np.abs(times - time).argmin())
        for place, boxes in tracks:
            box = _at(boxes, frame)
            if box is None:
                continue
            size = (task.width, task.height) * 2
            corners = [
                f"{edge:.6f}" for edge in np.clip(box.edges / size, 0, 1)
            ]
            read_box(place, f"frame {frame}", corners, predicted=False)
            for action in box.actions or [""]:
                yield video, f"{time}", *corners, action, box.person


def _at(boxes: Sequence[Box], frame: int) -> Box | None:
    """The box in a frame, interpolated between its neighbors; None: the person is not visible."""
    after = bisect_right(boxes, frame, key=lambda box: box.frame)
    if not after or boxes[after - 1].outside:
        return None
    box = boxes[after - 1]
    if after == len(boxes) or boxes[after].outside:
        return box
    share = (frame - box.frame) / (boxes[after].frame - box.frame)
    return box._replace(edges=box.edges + share * (boxes[after].edges - box.edges))


def cli(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status, 0 or, after an error on stderr, 1."""
    parser = Parser(
        prog="python -m data_pipelines.prepare.cvat",
        description="Converts annotations made with CVAT to a table of boxes and actions.",
    )
    parser.add_argument(
        "annotations", nargs="+", metavar="ANNOTATIONS.xml",
        help='exported as "CVAT for video 1.1"; or the .zip file around it',
    )
    parser.add_argument("videos", metavar="VIDEOS", help="folder of the annotated videos")
    parser.add_argument("table", metavar="OUT.csv", help="table to write")
    parser.add_argument(
        "--every", type=positive, metavar="SECONDS", default=1.0,
        help="interval between the frames whose boxes are taken (default: 1)",
    )
    args = parser.parse_args(arguments)
    try:
        converted = convert(args.annotations, args.videos, args.table, args.every)
    except (OSError, ValueError, VideoError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 1
    if converted.other_labels:
        labels = first_few(sorted(converted.other_labels))
        print(f"warning: tracks of other labels than {LABEL} left out: {labels}", file=sys.stderr)
    print(f"{args.table}: {converted.rows} rows")
    return 0


if __name__ == "__main__":
    run(cli, "nothing is written")
