"""Tables of boxes for your own videos: csv files with a header that names the columns

    video,time,x1,y1,x2,y2,action[,person][,score]

in any order. `video` is a file below the folder of videos, with or without its suffix, or a folder
of frames there; `time` is in seconds; corners are fractions of the frame. `action` is a name, a
number from 1 on, or empty; a box with several actions has one row for each. Boxes of a person
detector need no action and may have a score, which is 1 where the column is empty. Each distinct
(video, time) is a keyframe to train on or to recognize actions in.

Commands that are passed videos and a table find the rows of a video by `names_in_table`.
"""

import difflib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.labels import MOST_CLASSES
from data_pipelines.paths import VIDEO_SUFFIXES, PathLike
from data_pipelines.sources.keyframes import (
    Keyframe,
    Moments,
    Row,
    build,
    collect,
    find_sources,
    read_box,
)
from data_pipelines.text_files import (
    OnBadRow,
    bad_rows,
    first_few,
    read_each,
    read_number,
    read_rows,
    shown,
)
from data_pipelines.video import Video

CORNERS = ("x1", "y1", "x2", "y2")
REQUIRED = ("video", "time", *CORNERS, "action")
OPTIONAL = ("person", "score")
HEADER = "video,time,x1,y1,x2,y2,action[,person][,score]"


def read_tables(
    annotated: Sequence[PathLike] = (),
    predicted: Sequence[PathLike] = (),
    *,
    folder: PathLike,
    class_names: Sequence[str] | None = None,
    score_threshold: float = 0.0,
    origin: float = 0.0,
    fps: float = 0.0,
) -> tuple[list[Keyframe], list[str]]:
    """Reads keyframes from tables of annotated and predicted boxes, in the order of their rows.

    Rows of the same moment with the same text of coordinates become one box with all their actions.

    Args:
        folder: the folder of the videos.
        class_names: in class order. None: the actions that occur, names in alphabetical order or
            numbers up to the largest. For other splits, pass the names of the training split.
        score_threshold: predicted boxes with a lower score are dropped.
        origin: time, as in the tables, of the first frame of each video.
        fps: frame rate of videos stored as image files.

    Returns:
        (keyframes, class names)

    Raises:
        FileNotFoundError: a table or the folder does not exist.
        ValueError: a row is invalid or its video is missing (the message names file and line), or
            there are no boxes.
    """
    if class_names is None:
        class_names = find_actions([*annotated, *predicted])
    moments, written, wrong = _collected(annotated, predicted, class_names, score_threshold)

    def refuse_rows() -> None:
        if wrong is not None:
            raise wrong

    def keyframes_of_others() -> list[Keyframe]:
        found = find_sources(folder, [written[video] for video in moments])
        sources: dict[str, Video] = {
            video: found[written[video]] for video in moments if written[video] in found
        }
        return build(moments, sources, origin=origin, fps=fps)

    _, keyframes = read_each(refuse_rows, keyframes_of_others)
    if not moments:
        raise no_boxes(annotated, predicted, score_threshold)
    return keyframes, list(class_names)


def read_moments(
    annotated: Sequence[PathLike],
    predicted: Sequence[PathLike],
    *,
    class_names: Sequence[str] | None,
    score_threshold: float = 0.0,
    on_bad_row: OnBadRow | None = None,
) -> tuple[Moments, dict[str, str]]:
    """Reads the boxes of tables without looking for the videos; otherwise as `read_tables`.

    Args:
        class_names: in class order. None: actions are not read.
        on_bad_row: called with the error of each bad row; if it returns, the row is skipped.
            None: the errors of all bad rows are raised together.

    Returns:
        (boxes by video and time, the name of each video as written in the tables, those of dropped
        boxes included)
    """
    moments, written, wrong = _collected(
        annotated, predicted, class_names, score_threshold, on_bad_row
    )
    if wrong is not None:
        raise wrong
    if not moments:
        raise no_boxes(annotated, predicted, score_threshold)
    return moments, written


def _collected(
    annotated: Sequence[PathLike],
    predicted: Sequence[PathLike],
    class_names: Sequence[str] | None,
    score_threshold: float,
    on_bad_row: OnBadRow | None = None,
) -> tuple[Moments, dict[str, str], ValueError | None]:
    """As `read_moments`, with the error about the bad rows as a third result: the good rows show
    what else is wrong. There may be no boxes."""
    classes = _numbered(class_names)
    moments: Moments = {}
    written: dict[str, str] = {}

    def rows(on_bad_row: OnBadRow) -> Iterator[Row]:
        for path in annotated:
            yield from _rows(path, None, classes, written, on_bad_row)
        for path in predicted:
            yield from _rows(path, score_threshold, classes, written, on_bad_row)

    try:
        with bad_rows(on_bad_row) as on_bad_row:
            moments = collect(rows(on_bad_row))
    except ValueError as error:
        return moments, written, error
    return moments, written, None


def no_boxes(
    annotated: Sequence[PathLike], predicted: Sequence[PathLike], score_threshold: float
) -> ValueError:
    """The error about tables that have no boxes with at least this score."""
    files = ", ".join(map(str, (*annotated, *predicted))) or "no table"
    return ValueError(
        f"{files}: no boxes; expected rows below the header"
        + (f", some with a score of at least {score_threshold}" if predicted else "")
    )


def read_row_by_row(
    path: PathLike, class_names: Sequence[str] | None, *, predicted: bool = False
) -> tuple[list[Row], dict[str, str]]:
    """Reads the rows of a table with their persons, without merging those of the same box.

    Args:
        class_names: in class order. None: actions are not read.
        predicted: the boxes are those of a detector, which may have scores.

    Returns:
        (rows, the name of each video as written in the table)

    Raises:
        FileNotFoundError, ValueError: as `read_tables`, but there may be no boxes.
    """
    written: dict[str, str] = {}
    with bad_rows() as on_bad_row:
        threshold = 0.0 if predicted else None
        return list(_rows(path, threshold, _numbered(class_names), written, on_bad_row)), written


def _numbered(class_names: Sequence[str] | None) -> dict[str, int] | None:
    if class_names is None:
        return None
    return {name: number for number, name in enumerate(class_names)}


def find_actions(paths: Sequence[PathLike], on_bad_row: OnBadRow | None = None) -> list[str]:
    """The class names of tables: the actions that occur in them, in alphabetical order.

    If all actions are numbers, the names are "action 1" and so on up to the largest. `on_bad_row`
    is called for rows with another number of columns; if it returns, they are skipped. If it is
    None, their errors are raised together.

    Raises:
        FileNotFoundError, ValueError: a table does not exist or is invalid, or has no action.
    """
    with bad_rows(on_bad_row) as on_bad_row:
        texts = {
            cells["action"] for path in paths for _, cells in _cells(path, True, on_bad_row)
            if cells.get("action")
        }
    if not texts:
        files = ", ".join(map(str, paths)) or "no table"
        raise ValueError(f"{files}: no actions; give class_names, or tables that have some")
    if all(text.isdecimal() and len(text) < 10 and int(text) > 0 for text in texts):
        largest = max(map(int, texts))
        if largest > MOST_CLASSES:
            raise ValueError(
                f"{', '.join(map(str, paths))}: action {largest}; expected names, or numbers from "
                f"1 to {MOST_CLASSES} at most"
            )
        return [f"action {number}" for number in range(1, largest + 1)]
    return sorted(texts)


def _rows(
    path: PathLike,
    score_threshold: float | None,
    classes: dict[str, int] | None,
    written: dict[str, str],
    on_bad_row: OnBadRow,
) -> Iterator[Row]:
    """Yields the rows of a table, of predicted boxes if there is a threshold; fills `written`."""
    predicted = score_threshold is not None

    def read(line: int, cells: dict[str, str]) -> Row | None:
        video, score = _video(path, line, cells["video"], written), 1.0
        if predicted and cells.get("score"):
            score = read_number(path, line, "score", cells["score"])
            if not 0 <= score <= 1:
                raise ValueError(f"{path}:{line}: score is {score:g}; expected it within 0..1")
            if score < score_threshold:
                return None
        texts = [cells[name] for name in CORNERS]
        return Row(
            path, line, video, read_number(path, line, "time", cells["time"]), ",".join(texts),
            read_box(path, line, texts, predicted),
            _label(path, line, cells.get("action", ""), classes), score, cells.get("person", ""),
        )

    for line, cells in _cells(path, predicted, on_bad_row):
        try:
            row = read(line, cells)
        except ValueError as error:
            on_bad_row(error)
            continue
        if row is not None:
            yield row


def _cells(
    path: PathLike, predicted: bool, on_bad_row: OnBadRow
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (line, text by column) of each row below the header."""
    header = None
    for line, columns in read_rows(path):
        columns = [column.strip() for column in columns]
        if header is None:
            header = [column.lower() for column in columns]
            required = [name for name in REQUIRED if not (predicted and name == "action")]
            missing = [name for name in required if name not in header]
            unknown = [name for name in header if name not in (*REQUIRED, *OPTIONAL)]
            if missing or unknown or len(set(header)) < len(header):
                problem = (
                    f"no column {', '.join(missing)}" if missing
                    else f"unknown column {', '.join(map(repr, unknown))}" if unknown
                    else "a column twice"
                )
                raise ValueError(
                    f"{path}:{line}: {problem} in {','.join(header)!r}; expected the header "
                    f"{HEADER}"
                )
        elif len(columns) != len(header):
            on_bad_row(ValueError(
                f"{path}:{line}: {len(columns)} columns in {','.join(columns)!r}; expected "
                f"{','.join(header)}"
            ))
        else:
            yield line, dict(zip(header, columns, strict=True))


def without_suffix(name: str) -> str:
    """The name of a video without the suffix of a video file, if it has one."""
    suffix = Path(name).suffix
    return name[: -len(suffix)] if suffix.lower() in VIDEO_SUFFIXES else name


def name_in_table(video: PathLike, names: Collection[str]) -> str | None:
    """The name in a table that is the end of the path of a video, the longest one; None: no name.

    A path such as "../a.mp4" is also found as it is.

    Args:
        video: a path, with or without suffix.
        names: of videos, without suffixes.
    """
    path = os.path.abspath(video)
    stems = [without_suffix(path)]
    if stems == [path] and os.path.isfile(path):
        stems.append(os.path.splitext(path)[0])  # the file has a suffix that few videos have
    for stem in stems:
        parts = stem.split(os.sep)
        ends = (os.sep.join(parts[first:]) for first in range(len(parts)))
        if (name := next((end for end in ends if end in names), None)) is not None:
            return name
    passed = without_suffix(os.path.normpath(video))
    return passed if passed in names else None


def names_in_table(
    table: PathLike, written: Mapping[str, str], videos: Collection[str]
) -> dict[str, str | None]:
    """The name of each video in a table; None for videos that are not in it.

    It is that of `name_in_table`. If several videos would have the same name, it is that of the one
    with the suffix as written in the table, or else of the one that has exactly this name below the
    folder that all of the videos have in common.

    Args:
        table: the file, for messages.
        written: names without suffixes -> names as written in the table.
        videos: paths.

    Raises:
        ValueError: none of the videos is in the table, or a name could mean several of them.
    """
    if not videos:
        return {}
    names = {video: name_in_table(video, written) for video in videos}
    if not any(names.values()):
        example = os.path.basename(without_suffix(next(iter(videos))))
        raise ValueError(
            f"{table}: has no boxes for {first_few(videos, 3)}, but for "
            f"{first_few(written.values(), 3)}; expected the ends of the paths of videos, such as "
            f"{example!r}"
        )
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(video)) for video in videos])
    with bad_rows() as note:
        for name in dict.fromkeys(filter(None, names.values())):
            several = [video for video in videos if names[video] == name]
            meant = _meant(several, name, written[name], folder)
            if len({os.path.abspath(video) for video in meant}) > 1:
                note(ValueError(
                    f"{table}: {written[name]!r} may be {first_few(meant, 3, ' or ')}; write the "
                    "folder and suffix of the one that is meant, or pass no other"
                ))
            names |= dict.fromkeys(video for video in several if video not in meant)
    return names


def _meant(several: Sequence[str], name: str, written: str, folder: str) -> Sequence[str]:
    """Those of several videos of a name that the table means, see `names_in_table`."""
    paths = {video: os.path.abspath(video) for video in several}
    if written != name:
        same = [video for video in several if f"{os.sep}{paths[video]}".endswith(os.sep + written)]
        several = same or several
    below = [
        video for video in several
        if without_suffix(os.path.relpath(paths[video], folder)) == name
    ]
    return below or several


def _video(path: PathLike, line: int, name: str, written: dict[str, str]) -> str:
    """The name without suffix, so that it is the same in tables with and without suffixes."""
    if not name:
        raise ValueError(f"{path}:{line}: no video; expected the name of a file")
    name = os.path.normpath(name)
    video = without_suffix(name)
    before = written.setdefault(video, name)
    if before != name:
        if video not in (before, name):
            raise ValueError(
                f"{path}:{line}: videos {before!r} and {name!r}; names must differ in more "
                "than the suffix"
            )
        written[video] = max(before, name, key=len)
    return video


def _label(path: PathLike, line: int, text: str, classes: dict[str, int] | None) -> int | None:
    """The class, starting at 0; None: no action, or not asked for."""
    if text == "" or classes is None:
        return None
    if text in classes:
        return classes[text]
    if text.isdecimal() and len(text) < 10 and 1 <= int(text) <= len(classes):
        return int(text) - 1
    # The time of the comparison grows with the product of the lengths.
    close = difflib.get_close_matches(text, classes, n=1) if len(text) < 100 else []
    raise ValueError(
        f"{path}:{line}: action is {shown(text)}; expected one of {len(classes)} classes by name "
        "or number from 1" + (f", perhaps {close[0]!r}" if close else "")
    )
