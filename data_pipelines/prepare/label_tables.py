"""Tables of boxes and actions from what people labeled with a tool: the videos and the rows."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from data_pipelines.atomic_files import write_rows
from data_pipelines.paths import PathLike
from data_pipelines.prepare.common import check_folder
from data_pipelines.sources.box_tables import CORNERS
from data_pipelines.text_files import first_few, shown
from data_pipelines.video.decoding import VideoInfo, probe
from data_pipelines.video.finding import walk

ACTION, PERSON = "action", "person"
COLUMNS = ("video", "time", *CORNERS, ACTION, PERSON)


def check_table(table: PathLike) -> None:
    """OSError if a table cannot be written there: checked before the work begins."""
    if os.path.isdir(table):
        raise IsADirectoryError(f"{table}: is a folder; expected a .csv file to write")
    check_folder(Path(table).parent)
    if os.path.lexists(table) and not os.access(table, os.W_OK):
        raise PermissionError(f"{table}: cannot be written to; choose another name")


def write_labels(
    table: PathLike, rows: Sequence[Sequence[str]], project: str, tool: str
) -> None:
    """Writes rows of COLUMNS as a table, without the column of persons if none is given.

    Args:
        table: the csv file, written atomically.
        project, tool: where the rows come from, for messages.

    Raises:
        FileExistsError: the table exists with other rows; it may have been edited.
        ValueError: a name cannot be written.
    """
    width = len(COLUMNS) - (not any(row[-1] for row in rows))
    written = [list(row[:width]) for row in (COLUMNS, *rows)]
    if os.path.lexists(table) and _rows_of(table) != written:
        raise FileExistsError(
            f"{table}: exists already with other rows, so it may have been edited; move it away, "
            "or choose another name"
        )
    try:
        write_rows(table, written)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{project}: a name cannot be written as UTF-8 ({error}); rename it in {tool}"
        ) from error


def _rows_of(table: PathLike) -> list[list[str]] | None:
    """The rows of an existing table, the header included; None if it cannot be read as one."""
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))
    except (OSError, ValueError, csv.Error):
        return None


def find_video(
    place: str, written: str, videos: PathLike, known: dict[str, tuple[str, VideoInfo]]
) -> tuple[str, VideoInfo]:
    """Name, relative to the folder of the videos, and properties of a labeled video.

    Args:
        place: where the tool's file names the video, for messages.
        written: that name; of a path or an address that is not there, the last part counts, which
            may be in a subfolder.
        videos: the folder.
        known: videos found before, by the name as written; filled here.

    Raises:
        ValueError: it is not there, or several are.
        VideoError: it cannot be opened.
    """
    if written not in known:
        name = Path(written).name
        found = [written] if written and os.path.isfile(Path(videos) / written) else [
            os.path.relpath(os.path.join(folder, name), videos)
            for folder, _, files in walk(videos, lambda error: None) if name in files
        ]
        if len(found) != 1:
            several = f"is in {videos} as {first_few(sorted(found))}; leave one of them there"
            raise ValueError(f"{place}: video {shown(written)} " + (
                several if found else f"not found in {videos}; put it there under that name"
            ))
        known[written] = found[0], probe(Path(videos) / found[0])
    return known[written]


def moments_to_label(info: VideoInfo, every: float, margin: float = 0.0) -> dict[int, float]:
    """The frames to label: number of the frame -> time in seconds.

    Times are the multiples of `every` that lie at least `margin` seconds from either end of the
    video. If there are none, the middle frame is the only one. Each frame begins at most half a
    frame before or after its time, so a player that seeks to the time shows it.
    """
    every, length = max(every, 1 / info.fps), info.frames / info.fps
    moments = {}
    for count in range(1, int(length / every) + 1):
        frame = round(count * every * info.fps)
        if frame < info.frames and margin <= count * every <= length - margin:
            moments[frame] = round(count * every, 3)
    middle = info.frames // 2
    return moments or {middle: round(middle / info.fps, 3)}
