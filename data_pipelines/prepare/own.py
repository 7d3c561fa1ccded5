"""Prepares your own videos: lists them by class folder, or writes a table to fill in with boxes."""

from functools import partial
from pathlib import Path

from data_pipelines.atomic_files import write_rows
from data_pipelines.findings import Facts, Findings
from data_pipelines.prepare.common import Job, by_name, make_all, videos_in
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
    """Prepares videos in class folders as `prepare_videos` does, other videos for a table of boxes.

    For the latter it writes folder/videos and folder/boxes.csv, a table of moments in which you
    fill in boxes and actions.

    Args:
        folder: folder for the results.
        findings: receives problems.
        videos: folder of the videos.
        every: interval between the moments in seconds.
        short_side: pixels to which the short side of larger pictures is reduced.
        classes: as for `prepare_videos`.

    Returns:
        The facts of the summary.

    Raises:
        FileExistsError: the table exists; it may be filled in already.
        FileNotFoundError, ValueError: there are no videos.
        OSError: the disk cannot be written to.
    """
    found = videos_in(videos)
    if all(path.parent != videos for path in found):
        return prepare_videos(
            folder, findings, videos=videos, splits={}, short_side=short_side, classes=classes
        )
    if (folder / TABLE).exists():
        raise FileExistsError(
            f"{folder / TABLE}: exists already and may be filled in; move it away to write a new "
            "one"
        )
    jobs = [
        Job(path, folder / "videos" / f"{name}.mp4") for name, path in by_name(found).items()
    ]
    made = make_all("encoding", jobs, partial(encode, short_side=short_side), findings)
    rows = [COLUMNS]
    for _, target in made:
        info = probe(target)
        moments = int(info.frames / info.fps / every)
        rows += [(target.name, f"{number * every:g}") for number in range(1, moments + 1)]
    write_rows(folder / TABLE, ((*row, *[""] * (len(COLUMNS) - len(row))) for row in rows))
    return {"videos": len(made), "moments": len(rows) - 1}
