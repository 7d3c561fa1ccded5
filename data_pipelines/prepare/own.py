"""Prepares your own videos: lists them by class folder, or writes a table to fill in with boxes."""

import shlex
from functools import partial
from pathlib import Path

from data_pipelines.atomic_files import write_rows
from data_pipelines.findings import Facts, Findings
from data_pipelines.prepare.common import Job, by_name, found_in, make_all, videos_in
from data_pipelines.prepare.dividing import SPLITS, split_folders
from data_pipelines.prepare.label_tables import COLUMNS, moments_to_label
from data_pipelines.prepare.videos import list_fact, prepare_videos
from data_pipelines.video.decoding import VideoError, probe
from data_pipelines.video.encoding import encode

TABLE = "boxes.csv"
RECIPE = "kinetics/x3d_xs_finetune"
RECIPE_CLIP = 48  # frames that its clips span: 4 frames 12 apart


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

    The class folders may lie in folders train, val and test; otherwise their videos are divided.

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
        FileNotFoundError, ValueError: there are no videos, or some are in class folders and others
            are not.
        OSError: the disk cannot be written to.
    """
    if folder.resolve() == videos.resolve():
        raise ValueError(f"{folder}: holds your videos; choose another folder for the results")
    found, left_out, *_ = found_in(videos)
    loose = [path for path in found if path.parent == videos]
    if loose and len(loose) < len(found):
        nested = next(path for path in found if path.parent != videos)
        raise ValueError(
            f"{loose[0]}: is not in a class folder, but other videos are, such as {nested}; move "
            f"the {len(loose)} videos that are not into class folders, or out of {videos}"
        )
    if found and not loose:
        splits = split_folders(videos, found)
        if splits:  # the folders of the splits report what is left out in them
            for path, reason in left_out.items():
                if videos in (path, path.parent):
                    findings.report(str(path), "left out", reason)
        return prepare_videos(
            folder, findings, videos=videos, splits=splits, short_side=short_side, classes=classes
        )
    found = videos_in(videos, findings)
    if (folder / TABLE).exists():
        raise FileExistsError(
            f"{folder / TABLE}: exists already and may be filled in; move it away to write a new "
            "one"
        )
    jobs = [
        Job(path, folder / "videos" / f"{name}.mp4") for name, path in by_name(found).items()
    ]
    made = make_all("encoding", jobs, partial(encode, short_side=short_side), findings, folder)
    rows = [COLUMNS]
    for _, target in made:
        try:
            info = probe(target)
        except VideoError as error:  # an existing file
            findings.report(str(target), "broken", f"{error.reason}; or remove it and run again")
            continue
        rows += [(target.name, f"{time:g}") for time in moments_to_label(info, every).values()]
    write_rows(folder / TABLE, ((*row, *[""] * (len(COLUMNS) - len(row))) for row in rows))
    return {"videos": len(made), "moments": len(rows) - 1}


def next_steps(folder: Path, facts: Facts) -> tuple[str, list[str]]:
    """What to do with what `prepare_own` wrote, and the commands for it.

    Args:
        folder: folder of the results.
        facts: what `prepare_own` returned.
    """
    made = [split for split in SPLITS if list_fact(split) in facts]
    place = shlex.quote(str(folder))
    if not made:
        table = folder / TABLE
        return f"Fill in {table}, then check it", [
            f"python -m data_pipelines.doctor {shlex.quote(str(table))}"
        ]
    # Without a list for one of them, validation and test use the same videos.
    others = [
        f" --config.data.{missing}_list={given}.csv"
        for missing, given in (("val", "test"), ("test", "val")) if missing not in made
    ]
    return "Next, check the data and train", [
        f"python -m data_pipelines.doctor {place} --clip {RECIPE_CLIP}",
        f"python -m slowfast_jax.main --config {RECIPE} --config.data.root={place}"
        f"{''.join(others)} --workdir RUN",
    ]
