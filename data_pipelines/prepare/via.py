"""Converts annotations made with VIA to a table of boxes and actions (sources/box_tables.py).

    python -m data_pipelines.prepare.via PROJECT.json VIDEOS OUT.csv

PROJECT.json is a project saved by VIA 3 (VGG Image Annotator) of videos or of pictures, or one of
VIA 2 of pictures. VIDEOS is the folder of the videos, which must have the names that they have in
VIA; pictures are named after their video and the number of their frame (via_pictures.py). Each
rectangle becomes one row per action, or a single row without action if it has none. The actions of
a rectangle are the values of all its attributes, regardless of their names: chosen options, or
text, in which commas separate actions. Only the attribute "person", which may also be called
"person ID", is special: it becomes the column "person".
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_pipelines.command import Parser, explain, positive, run
from data_pipelines.paths import PathLike
from data_pipelines.prepare.label_tables import PERSON, check_table, find_video, write_labels
from data_pipelines.prepare.via2 import as_via3, is_via2
from data_pipelines.prepare.via_pictures import find_frames, is_picture
from data_pipelines.sources.keyframes import read_box
from data_pipelines.text_files import parse_json, read_number, read_text, shown
from data_pipelines.video.decoding import VideoError, VideoInfo

PARTS = ("file", "view", "attribute", "metadata")  # required parts of a project
SHAPES = (
    "point", "rectangle", "circle", "ellipse", "line", "polyline", "polygon", "extreme rectangle",
    "extreme circle",
)  # in the order of VIA's numbers, which start at 1
RECTANGLE = 1 + SHAPES.index("rectangle")
PERSONS = (PERSON, "personid")  # names of the attribute, apart from what SEPARATORS match
SEPARATORS = re.compile(r"[\W_]+")
TEXT = 1  # VIA's number of attributes that hold any text


class Converted(NamedTuple):
    """What was converted.

    Attributes:
        rows: number of rows written.
        skipped: number of segments of time, or of notes on whole files, that have no box.
        notes: what was assumed.
    """

    rows: int
    skipped: int
    notes: list[str]


def convert(
    project: PathLike, videos: PathLike, table: PathLike, fps: float | None = None
) -> Converted:
    """Converts a project to a table.

    Args:
        project: the project saved by VIA 3 or VIA 2.
        videos: folder of the videos.
        table: the csv file to write, atomically.
        fps: rate at which annotated pictures were extracted; None: see `find_frames`.

    Raises:
        OSError: the table exists with other rows, so it may have been edited; or it cannot be
            written.
        FileNotFoundError: the project or the folder is missing.
        ValueError: the file is not a project; it has no rectangles; a region is not a rectangle in
            one frame of an existing video; or an action is not among the options. The text names
            the file and the region.
        VideoError: a video cannot be opened.
    """
    check_table(table)
    content = _load(project)
    if not Path(videos).is_dir():
        raise FileNotFoundError(f"{videos}: no such folder of videos")
    regions = {name: each for name, each in content["metadata"].items() if each.get("xy")}
    if not regions:
        raise ValueError(
            f"{project}: has no regions; expected rectangles, drawn around persons in frames of a "
            "video"
        )
    files = {name: _file(project, name, region, content) for name, region in regions.items()}
    frames, notes = find_frames(project, filter(is_picture, files.values()), videos, fps)
    infos: dict[str, tuple[str, VideoInfo]] = {}
    rows: list[tuple[str, ...]] = []
    for name, region in regions.items():
        if files[name] in frames:
            video, time, *size = frames[files[name]]
        else:
            video, info = find_video(f"{project}:{name}", files[name], videos, infos)
            time, size = _time(project, name, region, video, info), (info.width, info.height)
        corners = _corners(project, name, region, *size)
        actions, person = _annotation(project, name, region, content["attribute"])
        place = (video, f"{round(time, 3)}", *corners)
        rows += [(*place, action, person) for action in actions or [""]]
    write_labels(table, rows, str(project), "VIA")
    return Converted(len(rows), len(content["metadata"]) - len(regions), notes)


def _load(path: PathLike) -> dict[str, dict[str, dict[str, Any]]]:
    """Reads the parts of a project, each a dict of dicts."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such project of VIA")
    expected = "expected a project saved by VIA 3 or VIA 2, a .json file, not another export"
    try:
        content = parse_json(path, read_text(path, "JSON"))
    except ValueError as error:
        raise ValueError(f"{error}; {expected}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}; {expected}")
    if is_via2(content):
        content = as_via3(path, content)
    for part in PARTS:
        found = content.get(part)
        if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
            raise ValueError(f"{path}: lacks the part {part!r} of a project; {expected}")
    return content


def _file(path: PathLike, name: str, region: dict, content: dict) -> str:
    """Name of the file, video or picture, that a region is drawn in."""
    view = _text(region.get("vid"))
    files = _list(content["view"].get(view, {}).get("fid_list"))
    if len(files) != 1 or _text(files[0]) not in content["file"]:
        raise ValueError(
            f"{path}:{name}: view {view!r} shows {len(files)} files; expected one video"
        )
    return _text(content["file"][_text(files[0])].get("fname", ""))


def _time(path: PathLike, name: str, region: dict, video: str, info: VideoInfo) -> float:
    """The time of a region of a video in seconds; ValueError if the video does not cover it."""
    times = _list(region.get("z"))
    if len(times) != 1:
        raise ValueError(
            f"{path}:{name}: {_shape(region)} at {len(times)} times; expected it in one frame of a "
            "video"
        )
    time = read_number(path, name, "time", _text(times[0]))
    length = max(info.duration, info.frames / info.fps)
    if not 0 <= time <= length:
        raise ValueError(
            f"{path}:{name}: {_shape(region)} at {time:g} s lies outside {video}, which lasts "
            f"{length:.2f} s; draw it again, or put the video that was annotated there"
        )
    return time


def _shape(region: dict) -> str:
    shape, *_ = _list(region["xy"]) or [None]
    known = isinstance(shape, int) and 1 <= shape <= len(SHAPES)
    return SHAPES[shape - 1] if known else shown(region["xy"])


def _corners(
    path: PathLike, name: str, region: dict, width: int, height: int
) -> list[str]:
    """The corners of a region as fractions of the frame, as texts."""
    shape, *numbers = _list(region["xy"]) or [None]
    if shape != RECTANGLE or len(numbers) != 4:
        times = ", ".join(map(_text, _list(region.get("z")))) or "no time"
        raise ValueError(
            f"{path}:{name}: region {_shape(region)} at {times}; expected a rectangle: draw it "
            "again"
        )
    x, y, wide, high = (read_number(path, name, "xy", _text(number)) for number in numbers)
    corners = [
        f"{edge:.6f}" for edge in (
            x / width, y / height, (x + wide) / width, (y + high) / height
        )
    ]
    read_box(path, name, corners, predicted=False)
    return corners


def _annotation(
    path: PathLike, name: str, region: dict, attributes: dict[str, dict]
) -> tuple[list[str], str]:
    """The actions of a region, and its person ("" if not given)."""
    actions: list[str] = []
    person = ""
    chosen = region.get("av") or {}
    if not isinstance(chosen, dict):
        raise ValueError(f"{path}:{name}: attributes {shown(chosen)}; expected a dictionary")
    for number, value in chosen.items():
        if number not in attributes:
            raise ValueError(
                f"{path}:{name}: attribute {shown(number)} is not defined in the project; expected "
                f"one of {', '.join(attributes) or 'none'}"
            )
        if isinstance(value, list):
            value = ",".join(map(_text, value))
        texts = list(_texts(path, name, attributes[number], _text(value)))
        if SEPARATORS.sub("", _text(attributes[number].get("aname", "")).lower()) in PERSONS:
            person = ",".join(texts)
        else:
            actions += [text for text in texts if text not in actions]
    return actions, person


def _texts(path: PathLike, name: str, attribute: dict, value: str) -> Iterator[str]:
    """The texts of an attribute's value: the options whose ids it lists, or the parts of a text."""
    options = attribute.get("options")
    if isinstance(options, list):
        options = {str(number): option for number, option in enumerate(options)}
    if not isinstance(options, dict) or attribute.get("type") == TEXT or not any(options):
        options = {}  # a text; VIA may write {"": ""} for it
    for part in filter(None, map(str.strip, value.split(","))):
        if options and part not in options:
            raise ValueError(
                f"{path}:{name}: option {shown(part)} of {shown(attribute.get('aname'))}; expected "
                f"one of {', '.join(options)}"
            )
        yield _text(options.get(part, part)).strip()


def _text(value: Any) -> str:
    """The value as text, whatever its type."""
    return value if isinstance(value, str) else shown(value)


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def cli(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status, 0 or, after an error on stderr, 1."""
    parser = Parser(
        prog="python -m data_pipelines.prepare.via",
        description="Converts annotations made with VIA 3 or VIA 2 to a table of boxes and "
        "actions.",
    )
    parser.add_argument(
        "project", metavar="PROJECT.json", help="project saved by VIA 3, of videos or pictures, or "
        "by VIA 2, of pictures",
    )
    parser.add_argument("videos", metavar="VIDEOS", help="folder of the annotated videos")
    parser.add_argument("table", metavar="OUT.csv", help="table to write")
    parser.add_argument(
        "--fps", type=positive, metavar="RATE", help="frames per second at which annotated "
        "pictures were extracted (default: the rate of the video)",
    )
    args = parser.parse_args(arguments)
    try:
        converted = convert(args.project, args.videos, args.table, args.fps)
    except (OSError, ValueError, VideoError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 1
    for note in converted.notes:
        print(f"note: {note}", file=sys.stderr)
    if converted.skipped:
        print(
            f"warning: segments of time without a box skipped: {converted.skipped}",
            file=sys.stderr,
        )
    print(f"{args.table}: {converted.rows} rows")
    return 0


if __name__ == "__main__":
    run(cli, "nothing is written")
