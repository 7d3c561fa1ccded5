"""One's own videos: with their classes as folders, or a table to write boxes into."""

import csv
import io
from functools import partial
from pathlib import Path

from data_pipelines.findings import Facts, Findings
from data_pipelines.prepare.common import Job, by_name, make_all, videos_in, write_text
from data_pipelines.prepare.videos import prepare_videos
from data_pipelines.video.decoding import probe
from data_pipelines.video.encoding import encode

COLUMNS = ("video", "time", "x1", "y1", "x2", "y2", "action", "person")
TABLE = "boxes.csv"


def prepare_own(
    folder: Path,
    findings: Findings,
    *,
    videos: Path,
    every: float = 1.0,
    short_side: int = 320,
    classes: str | None = None,
) -> Facts:
    """Writes folder/videos and a table of moments to fill in, folder/boxes.csv; where videos are in
    folders, which are their classes, lists as `prepare_videos`.

    Args:
        every: seconds between the moments.
        short_side: of the pictures, which are made smaller if need be.

    Raises:
        FileExistsError: the table is there already; filled in, perhaps.
        FileNotFoundError, ValueError: no videos.
        OSError: nothing can be written.
    """
    there = videos_in(videos)
    if all(path.parent != videos for path in there):
        return prepare_videos(
            folder, findings, videos=videos, splits={}, short_side=short_side, classes=classes
        )
    if (folder / TABLE).exists():
        raise FileExistsError(f"{folder / TABLE}: is there already; move it away for a new one")
    jobs = [
        Job(path, folder / "videos" / f"{name}.mp4") for name, path in by_name(there).items()
    ]
    made = make_all("encoding", jobs, partial(encode, short_side=short_side), findings)
    rows = [COLUMNS]
    for _, target in made:
        info = probe(target)
        moments = int(info.frames / info.fps / every)
        rows += [(target.name, f"{number * every:g}") for number in range(1, moments + 1)]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        (*row, *[""] * (len(COLUMNS) - len(row))) for row in rows
    )
    write_text(folder / TABLE, [text.getvalue()])
    return {"videos": len(made), "moments": len(rows) - 1}
