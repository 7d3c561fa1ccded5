"""Reads the published splits of data sets: the videos of a split and their classes."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.text_files import read_number, read_rows, read_text

KINETICS = ("label", "youtube_id", "time_start", "time_end")
HMDB51 = re.compile(r"(.+)_test_split\d\.txt")
HMDB51_TRAIN, HMDB51_TEST = "1", "2"


class Listed(NamedTuple):
    """A video of a split.

    Attributes:
        names: possible file names without folder and suffix, the preferred one first.
        label: name of the class.
        interval: (begin, end) in seconds to cut from a file with the second name, which is the
            whole video; None if nothing is to be cut.
    """

    names: tuple[str, ...]
    label: str
    interval: tuple[float, float] | None = None


def read_split(paths: Sequence[Path], *, train: bool) -> list[Listed]:
    """Reads the videos of a split from one of these formats:

    - Kinetics: a csv file with the columns label,youtube_id,time_start,time_end,...;
    - UCF101: trainlist01.txt or testlist01.txt, with rows `Class/video.avi` and an optional number;
    - HMDB51: the files CLASS_test_split1.txt of all classes, with rows `video.avi 1`, where 1 means
      training and 2 testing.

    Args:
        paths: the file, or HMDB51's files.
        train: whether to take the training or the test videos of HMDB51's files.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the format is none of these or a row is invalid (the text names its line), or no
            videos are listed.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such list of videos")
    found = _read(paths, train)
    if not found:
        raise ValueError(f"{paths[0]}: lists no videos for {'training' if train else 'this split'}")
    return found


def _read(paths: Sequence[Path], train: bool) -> list[Listed]:
    if all(HMDB51.fullmatch(path.name) for path in paths):
        return [listed for path in paths for listed in _hmdb51(path, train)]
    if len(paths) > 1:
        raise ValueError(
            f"{paths[1]}: second list of a split; expected one, or the lists of HMDB51, named "
            "CLASS_test_split1.txt"
        )
    (path,) = paths
    return list(_kinetics(path) if path.suffix == ".csv" else _ucf101(path))


def _kinetics(path: Path) -> Iterator[Listed]:
    header = None
    for line, columns in read_rows(path):
        if header is None:
            header = [name.strip() for name in columns]
            if missing := [name for name in KINETICS if name not in header]:
                raise ValueError(
                    f"{path}:{line}: no column {', '.join(missing)} in {','.join(columns)!r}; "
                    f"expected Kinetics' header {','.join(KINETICS)}"
                )
            continue
        if len(columns) != len(header):
            raise ValueError(
                f"{path}:{line}: {len(columns)} columns in {','.join(columns)!r}; expected "
                f"{','.join(header)}"
            )
        row = dict(zip(header, columns, strict=True))
        begin, end = (read_number(path, line, name, row[name]) for name in KINETICS[2:])
        if not 0 <= begin < end:
            raise ValueError(
                f"{path}:{line}: clip from second {begin:g} to {end:g}; expected time_start >= 0 "
                "and time_end above it"
            )
        video = row["youtube_id"]
        trimmed = f"{video}_{int(begin):06d}_{int(end):06d}"
        yield Listed((trimmed, video), row["label"], (begin, end))


def _ucf101(path: Path) -> Iterator[Listed]:
    for line, text in _lines(path, "rows 'Class/video.avi' as in UCF101"):
        match = re.fullmatch(r"([^/]+)/(.+?)( \d+)?", text)
        if match is None:
            raise ValueError(
                f"{path}:{line}: found {text!r}; expected 'Class/video.avi' as in UCF101"
            )
        yield Listed((Path(match[2]).stem,), match[1])


def _hmdb51(path: Path, train: bool) -> Iterator[Listed]:
    label = HMDB51.fullmatch(path.name)[1]
    for line, text in _lines(path, "rows 'video.avi 1' as in HMDB51"):
        video, _, part = text.rpartition(" ")
        if part not in ("0", HMDB51_TRAIN, HMDB51_TEST) or not video:
            raise ValueError(f"{path}:{line}: found {text!r}; expected 'video.avi 1' as in HMDB51")
        if part == (HMDB51_TRAIN if train else HMDB51_TEST):
            yield Listed((Path(video.strip()).stem,), label)


def _lines(path: Path, expected: str) -> Iterator[tuple[int, str]]:
    """Yields (number, stripped text) of the lines that are not blank."""
    for line, row in enumerate(read_text(path, expected).splitlines(), 1):
        if row.strip():
            yield line, row.strip()
