"""Which videos a split of a data set has, and their classes, in the files of its makers."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data_pipelines.text_files import read_number, read_rows

KINETICS = ("label", "youtube_id", "time_start", "time_end")
HMDB51 = re.compile(r"(.+)_test_split\d\.txt")
HMDB51_TRAIN, HMDB51_TEST = "1", "2"


class Listed(NamedTuple):
    """A video of a split.

    names: without folder and suffix, the best first.
    label: name of its class.
    interval: (begin, end) in seconds of the whole video, which the second name stands for.
    """

    names: tuple[str, ...]
    label: str
    interval: tuple[float, float] | None = None


def read_split(paths: Sequence[Path], *, train: bool) -> list[Listed]:
    """Videos of a split, from one of

    - a folder of a folder for each class, with its videos in it (Kinetics, UCF101, HMDB51, own);
    - Kinetics' csv of columns label,youtube_id,time_start,time_end,...;
    - UCF101's trainlist01.txt, testlist01.txt: rows `Class/video.avi` and perhaps a number;
    - HMDB51's files CLASS_test_split1.txt, all of a split: rows `video.avi 1`, where 1 is for
      training, 2 for testing.

    Args:
        train: of HMDB51's files, which videos.

    Raises:
        FileNotFoundError: one of them is missing.
        ValueError: it is none of these, or has a row that is wrong, with its line.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such list of videos")
    if all(HMDB51.fullmatch(path.name) for path in paths):
        return [listed for path in paths for listed in _hmdb51(path, train)]
    if len(paths) > 1:
        raise ValueError(f"{paths[1]}: a second list; only HMDB51 has several for a split")
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
                    f"expected the header {','.join(KINETICS)} of Kinetics"
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
                f"{path}:{line}: from second {begin:g} to {end:g}; expected them to rise"
            )
        video = row["youtube_id"]
        trimmed = f"{video}_{int(begin):06d}_{int(end):06d}"
        yield Listed((trimmed, video), row["label"], (begin, end))


def _ucf101(path: Path) -> Iterator[Listed]:
    for line, text in _lines(path):
        match = re.fullmatch(r"([^/]+)/(.+?)( \d+)?", text)
        if match is None:
            raise ValueError(
                f"{path}:{line}: found {text!r}; expected 'Class/video.avi' as in UCF101"
            )
        yield Listed((Path(match[2]).stem,), match[1])


def _hmdb51(path: Path, train: bool) -> Iterator[Listed]:
    label = HMDB51.fullmatch(path.name)[1]
    for line, text in _lines(path):
        video, _, part = text.rpartition(" ")
        if part not in ("0", HMDB51_TRAIN, HMDB51_TEST) or not video:
            raise ValueError(f"{path}:{line}: {text!r}; expected 'video.avi 1' as in HMDB51")
        if part == (HMDB51_TRAIN if train else HMDB51_TEST):
            yield Listed((Path(video.strip()).stem,), label)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not text in UTF-8 ({error})") from error
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip():
            yield line, row.strip()
