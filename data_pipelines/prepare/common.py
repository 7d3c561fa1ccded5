"""What the preparations of all data sets share: videos of a folder, work on them, frame lists."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av

from data_pipelines.atomic_files import whole
from data_pipelines.findings import Findings
from data_pipelines.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES, PathLike
from data_pipelines.progress import in_threads
from data_pipelines.sources.frame_lists import HEADER
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.extracting import extract

SUFFIXES = frozenset(suffix.lower() for suffix in VIDEO_SUFFIXES)
# With these nothing can be written any more, whatever comes next.
HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class Job(NamedTuple):
    """A file or folder `target` to be made of `source`."""

    source: Path
    target: Path


Make = Callable[[Path, Path], None]  # writes the second, of the first


def videos_in(folder: PathLike) -> list[Path]:
    """Video files of a folder and of those below it, in alphabetical order; not the hidden ones.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there are no videos in it.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder of videos")
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        found += [
            Path(place, name) for name in sorted(files)
            if name[0] != "." and Path(name).suffix.lower() in SUFFIXES
        ]
    if not found:
        raise ValueError(f"{folder}: no videos in it; expected {' '.join(sorted(SUFFIXES))}")
    return found


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Videos by their names without suffix; ValueError where two have the same one."""
    named: dict[str, Path] = {}
    for path in paths:
        before = named.setdefault(path.stem, path)
        if before != path:
            raise ValueError(f"{path}: has the name of {before}; leave one of them out")
    return named


def make_all(what: str, jobs: Sequence[Job], make: Make, findings: Findings) -> list[Job]:
    """Makes the targets that are not there yet, several at once; the jobs whose targets are there.

    A target comes into being as a whole (atomic_files.py), so one that is there is complete. What
    goes wrong with one is told, and the others are made.

    Raises:
        OSError: there is no space left, or the disk cannot be written to.
    """
    def attempt(job: Job) -> tuple[str, str, str] | None:
        try:
            make(job.source, job.target)
        except VideoError as error:
            return error.path, "broken", error.reason
        except (av.error.FFmpegError, OSError) as error:
            if error.errno in HOPELESS:
                raise OSError(error.errno, error.strerror, str(job.target)) from error
            place = job.source if error.filename == str(job.source) else job.target
            return str(place), "not made", f"{error.strerror or error} (from {job.source})"
        return None

    todo = [job for job in jobs if not job.target.exists()]
    failed = set()
    for job, problem in zip(todo, in_threads(attempt, todo, what), strict=True):
        if problem is not None:
            findings.tell(*problem)
            failed.add(job)
    return [job for job in jobs if job not in failed]


def make_frames(
    source: Path,
    target: Path,
    *,
    between: str = "_",
    fps: int = 30,
    seconds: float | None = None,
    short_side: int | None = None,
) -> None:
    """Frames of a video `target/NAME_000001.jpg` and so on; NAME is that of `target`."""
    with whole(target) as part:
        part.mkdir()
        extract(
            source, part, stem=target.name + between, fps=fps, seconds=seconds,
            short_side=short_side,
        )


def extract_all(
    videos: Iterable[Path], folder: Path, findings: Findings, **options
) -> dict[str, list[str]]:
    """Frames of videos in folders of their names; by name, the files of those that are there.

    `options` are those of `make_frames`.
    """
    jobs = [Job(source, folder / source.stem) for source in videos]
    done = make_all("extracting frames", jobs, partial(make_frames, **options), findings)
    return {job.target.name: frame_names(job.target) for job in done}


def frame_names(folder: Path) -> list[str]:
    """Names of the images in a folder, in order."""
    return sorted(
        entry.name for entry in os.scandir(folder)
        if entry.name[0] != "." and entry.name.lower().endswith(IMAGE_SUFFIXES)
    )


def write_frame_list(
    path: Path,
    frames: dict[str, list[str]],
    labels: Callable[[str, int], Sequence[int]] = lambda video, index: (),
) -> None:
    """Writes a list with a row for each frame, in the order of `frames`.

    Args:
        frames: names of the files in each video's folder.
        labels: classes of frame `index`, from 0 on, of a video.
    """
    def rows() -> Iterator[str]:
        yield f"{HEADER}\n"
        for number, (video, names) in enumerate(frames.items()):
            for index, name in enumerate(names):
                text = ",".join(map(str, labels(video, index)))
                yield f'{video} {number} {index} {video}/{name} "{text}"\n'

    write_text(path, rows())


def write_text(path: Path, lines: Iterable[str]) -> None:
    """Writes a file, in the place of one that is there."""
    with whole(path) as part, open(part, "w", encoding="utf-8") as file:
        file.writelines(lines)


def tell_missing(
    findings: Findings, where: PathLike, missing: Sequence[str], folder: PathLike, total: int
) -> None:
    """Videos of a table that are not in the folder: one line for all of them."""
    if missing:
        findings.tell(str(where), "missing", (
            f"{len(missing)} of its {total} videos are not in {folder}, for example {missing[0]}; "
            "get them and run this again, or do without: they are left out"
        ))
