"""Steps shared by all preparations: finding videos, processing them in threads, frame lists."""

import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av

from data_pipelines.atomic_files import whole
from data_pipelines.findings import Findings
from data_pipelines.paths import IMAGE_SUFFIXES, PathLike
from data_pipelines.progress import in_threads
from data_pipelines.sources.frame_lists import HEADER
from data_pipelines.text_files import first_few
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.extracting import extract
from data_pipelines.video.finding import Found, find_videos

# After these errors nothing more can be written, so the preparation stops.
FATAL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
# Folders, in lower case, that archivers, file servers and disks make beside one's own.
SYSTEM_FOLDERS = frozenset((
    "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found",
))
RECORD = ".sources.json"  # size and time of the source of each target


class Job(NamedTuple):
    """A video `source` and the file or folder `target` to make from it."""

    source: Path
    target: Path


Make = Callable[[Path, Path], None]  # (source, target): writes the target


def check_folder(folder: Path) -> None:
    """OSError if the folder for the results is a file, or can neither be made nor written to."""
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise NotADirectoryError(
            f"{folder}: {'is' if there == folder else f'{there} is'} not a folder; choose another "
            "folder for the results"
        )
    try:  # permissions are no proof: root has them even on a read-only disk
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise PermissionError(
            f"{folder}: {there} cannot be written to ({error.strerror}); choose another folder for "
            "the results"
        ) from error


def found_in(folder: PathLike) -> Found:
    """What `find_videos` finds, except in folders that systems make, such as __MACOSX."""
    found = find_videos(folder)

    def counts(path: Path) -> bool:
        parts = Path(os.path.relpath(path, folder)).parts
        return not any(part.lower() in SYSTEM_FOLDERS for part in parts)

    return Found(
        list(filter(counts, found.videos)),
        {path: reason for path, reason in found.left_out.items() if counts(path)},
        list(filter(counts, found.companions)), list(filter(counts, found.empty)),
    )


def videos_in(folder: PathLike, findings: Findings) -> list[Path]:
    """Finds the videos in a folder and its subfolders, as `find_videos`.

    Args:
        folder: the folder.
        findings: receives the files that are left out, except companions such as text, whose names
            are printed to stderr.

    Raises:
        FileNotFoundError, NotADirectoryError: the folder does not exist or is a file.
        ValueError: it contains no videos.
    """
    found = found_in(folder)
    for path, reason in found.left_out.items():
        findings.report(str(path), "left out", reason)
    if found.companions:
        names = first_few(path.name for path in found.companions)
        print(
            f"{folder}: passed over files of text or data ({len(found.companions)}): {names}",
            file=sys.stderr,
        )
    if not found.videos:
        raise ValueError(f"{folder}: contains no videos; expected files that FFmpeg can decode")
    return found.videos


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Videos by their names without suffix.

    Raises:
        ValueError: two videos have the same name.
    """
    named: dict[str, Path] = {}
    for path in paths:
        before = named.setdefault(path.stem, path)
        if before != path:
            raise ValueError(
                f"{path}: has the same name as {before}; rename or remove one of them"
            )
    return named


def make_all(
    what: str, jobs: Sequence[Job], make: Make, findings: Findings, folder: Path
) -> list[Job]:
    """Makes targets, one per processor at a time; those that exist are kept.

    A target is made again if its source was replaced: if size or time of the source differ from
    those that were recorded in folder/.sources.json, or, without a record, if the source is newer
    than the target, a file.

    Targets must be written atomically (atomic_files.py), so that existing ones are complete.
    Failures are reported and skipped.

    Args:
        what: name of the work for the progress display.
        jobs: what to make.
        make: writes one target.
        findings: receives the failures.
        folder: holds the targets.

    Returns:
        The jobs whose targets exist now.

    Raises:
        OSError: the disk is full or cannot be written to.
    """
    def attempt(job: Job) -> tuple[str, str, str] | None:
        try:
            if job.target.is_dir():
                shutil.rmtree(job.target)
            make(job.source, job.target)
        except VideoError as error:
            return error.path, "broken", error.reason
        except (av.error.FFmpegError, OSError) as error:
            if error.errno in FATAL_ERRORS:
                raise OSError(error.errno, error.strerror, str(job.target)) from error
            place = job.source if error.filename == str(job.source) else job.target
            return str(place), "not written", f"{error.strerror or error} (from {job.source})"
        return None

    record = _read_record(folder)
    todo = [job for job in jobs if not job.target.exists() or _is_replaced(job, folder, record)]
    failed = set()
    try:
        for job, problem in zip(todo, in_threads(attempt, todo, what), strict=True):
            if problem is None:
                record[_place(job, folder)] = _state(job.source)
            else:
                findings.report(*problem)
                failed.add(job)
    finally:
        if len(failed) < len(todo) and record:
            write_text(folder / RECORD, [json.dumps(record, indent=0)])
    return [job for job in jobs if job not in failed]


def _read_record(folder: Path) -> dict[str, list[int]]:
    """The state of the source of each target when it was made, as far as it is recorded."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _is_replaced(job: Job, folder: Path, record: dict[str, list[int]]) -> bool:
    """Whether the source of an existing target is another one than when it was made."""
    if recorded := record.get(_place(job, folder)):
        return recorded != _state(job.source)
    # Frames may be published ones, which are older than the videos.
    return job.target.is_file() and job.source.stat().st_mtime > job.target.stat().st_mtime


def _place(job: Job, folder: Path) -> str:
    return job.target.relative_to(folder).as_posix()


def _state(path: Path) -> list[int]:
    """Size in bytes and time of the last change in seconds."""
    status = path.stat()
    return [status.st_size, int(status.st_mtime)]


def make_frames(
    source: Path,
    target: Path,
    *,
    between: str = "_",
    fps: int = 30,
    seconds: float | None = None,
    short_side: int | None = None,
) -> None:
    """Extracts the frames of a video as TARGET/NAME_000001.jpg and so on.

    Args:
        source: the video.
        target: the folder to write, atomically; its name is NAME.
        between: text between NAME and the frame's number.
        fps, seconds, short_side: as for `extract`.

    Raises:
        VideoError: the video cannot be read to its end.
    """
    with whole(target) as part:
        part.mkdir()
        extract(
            source, part, stem=target.name + between, fps=fps, seconds=seconds,
            short_side=short_side,
        )


def extract_all(
    videos: Iterable[Path], folder: Path, findings: Findings, **options
) -> dict[str, list[str]]:
    """Extracts the frames of each video into a folder of its name within `folder`.

    Args:
        videos: the videos.
        folder: where the folders of frames go.
        findings: receives the failures.
        **options: as for `make_frames`.

    Returns:
        The file names of the frames by name of the video, for videos whose frames exist now.
    """
    jobs = [Job(source, folder / source.stem) for source in videos]
    done = make_all("extracting frames", jobs, partial(make_frames, **options), findings, folder)
    return {job.target.name: frame_names(job.target) for job in done}


def frame_names(folder: Path) -> list[str]:
    """Sorted names of the images in a folder, except hidden ones."""
    return sorted(
        entry.name for entry in os.scandir(folder)
        if entry.name[0] != "." and entry.name.lower().endswith(IMAGE_SUFFIXES)
    )


def write_frame_list(
    path: Path,
    frames: dict[str, list[str]],
    labels: Callable[[str, int], Sequence[int]] = lambda video, index: (),
) -> None:
    """Writes a frame list: a row for each frame of each video, in the order of `frames`.

    Args:
        path: the list to write, atomically.
        frames: file names of the frames by video.
        labels: returns the classes of a frame, given its video and its index from 0.
    """
    def rows() -> Iterator[str]:
        yield f"{HEADER}\n"
        for number, (video, names) in enumerate(frames.items()):
            for index, name in enumerate(names):
                text = ",".join(map(str, labels(video, index)))
                yield f'{video} {number} {index} {video}/{name} "{text}"\n'

    write_text(path, rows())


def write_text(path: Path, lines: Iterable[str]) -> None:
    """Writes a text file atomically, replacing an existing one."""
    with whole(path) as part, open(part, "w", encoding="utf-8") as file:
        file.writelines(lines)


def report_missing(
    findings: Findings, where: PathLike, missing: Sequence[str], folder: PathLike, total: int
) -> None:
    """Reports, in one line, the videos that a table names but the folder lacks.

    Args:
        findings: receives the problem.
        where: the table.
        missing: names of the missing videos.
        folder: the folder that should hold them.
        total: the number of videos that the table names.
    """
    if missing:
        findings.report(str(where), "missing", (
            f"{len(missing)} of its {total} videos not found in {folder}, such as {missing[0]}; "
            "they are left out: to include them, get them and run this command again"
        ))
