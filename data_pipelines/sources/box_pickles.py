"""Predicted person boxes of AVA in the format of MMAction2 and PaddleVideo: a pickle of arrays.

The pickle is a dict "video,second" (such as "-5KQ66BBWC4,0902") -> array (N,5) of x1, y1, x2, y2
as fractions of the frame and the detector's score. A pickle may import any name; here only names
that make arrays of numbers are allowed, so that no code of the file runs.

To convert such a pickle to a table with rows `video,second,x1,y1,x2,y2,,score`, or back:

    python -m data_pipelines.sources.box_pickles BOXES.pkl BOXES.csv
    python -m data_pipelines.sources.box_pickles BOXES.csv BOXES.pkl
"""

import argparse
import csv
import io
import pickle
import pickletools
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data_pipelines.atomic_files import whole
from data_pipelines.paths import PathLike
from data_pipelines.sources.keyframes import read_box
from data_pipelines.text_files import (
    OnBadRow,
    raise_error,
    read_number,
    read_rows,
    shown,
)

SUFFIX = ".pkl"
KEY = "'video,second' such as '-5KQ66BBWC4,0902'"


def read_proposals(
    path: PathLike, on_bad_row: OnBadRow = raise_error
) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """Yields (key, video, text of the second, (N,5) x1, y1, x2, y2, score) in file order.

    N may be 0. Numbers are not checked. `on_bad_row` is called for invalid keys and arrays; if it
    returns, they are skipped.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not such a pickle, it imports other names, or a key or array is invalid
            (the message names the key).
    """
    boxes = _load(path)
    if not isinstance(boxes, dict):
        raise ValueError(
            f"{path}: holds a {type(boxes).__name__}; expected a dict of {KEY} to arrays (N,5)"
        )
    for key, array in boxes.items():
        array = array.array if isinstance(array, _Unfilled) else array
        try:
            video, second = _moment(path, key, array)
        except ValueError as error:
            on_bad_row(error)
            continue
        yield key, video, second, array


def _moment(path: PathLike, key: object, array: object) -> tuple[str, str]:
    """Video and second of a key, after a check of its array."""
    video, comma, second = key.rpartition(",") if isinstance(key, str) else ("", "", "")
    if not (video and comma and second):
        raise ValueError(f"{path}: key {shown(key)}; expected {KEY}")
    if not isinstance(array, np.ndarray):
        kind = getattr(array, "dtype", type(array).__name__)
        raise ValueError(f"{path}:{key}: is of {kind}; expected an array (N,5) of numbers")
    if array.ndim == 2 and array.shape[1] == 4:
        raise ValueError(
            f"{path}:{key}: array of shape {array.shape} has no scores; expected (N,5), the "
            "last column being the detector's score: append that column, with 1 for unknown scores"
        )
    if array.ndim != 2 or array.shape[1] != 5:
        raise ValueError(
            f"{path}:{key}: array of shape {array.shape}; expected (N,5): x1,y1,x2,y2,score"
        )
    return video, second


class _Refused(Exception):
    """A name that a pickle of arrays of numbers does not need."""


class _Type:
    """A stand-in for numpy.dtype: a pickle gives its name and then its byte order.

    numpy.dtype itself trusts a pickle, even one that declares text to be addresses of objects.
    """

    def __init__(self, name: str, *_):
        self.name, self.order = name, "="

    def __setstate__(self, state: tuple):
        self.order = state[1]

    def dtype(self) -> np.dtype:
        if not re.fullmatch(r"[a-zA-Z]\d{0,9}", self.name) or self.order not in tuple("=<>|"):
            raise ValueError(f"type {shown(self.name)}")
        return np.dtype(self.name).newbyteorder(self.order)


class _NoNumbers:
    """Stands for an array that does not hold numbers; `dtype` is for the message."""

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype


class _Unfilled:
    """An array whose content follows in the pickle as its state."""

    def __init__(self, *_):
        self.array = None

    def __setstate__(self, state: tuple):
        _, shape, kind, by_columns, content = state
        self.array = _array(content, kind, shape, "F" if by_columns else "C")


def _array(content, kind: _Type, shape: tuple[int, ...], order: str) -> np.ndarray | _NoNumbers:
    dtype = kind.dtype()
    if dtype.kind not in "fiu":
        return _NoNumbers(dtype)
    array = np.ndarray(shape, dtype, buffer=content, order=order)
    if array.nbytes != len(content):
        raise ValueError(f"{len(content)} bytes for an array of shape {shape}")
    return array


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1")  # how protocols before 3 write bytes, whatever `encoding`


# NumPy 1 says core, NumPy 2 _core. numpy.ndarray occurs only as an argument of _reconstruct.
ALLOWED = {
    "numpy.ndarray": "numpy.ndarray",
    "numpy.dtype": _Type,
    "_codecs.encode": _encode,
    **{f"numpy.{core}.multiarray._reconstruct": _Unfilled for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that refuses all names but those in ALLOWED."""

    def find_class(self, module: str, name: str):
        full = f"{module}.{name}"
        if full not in ALLOWED:
            raise _Refused(full)
        return ALLOWED[full]


def _load(path: PathLike):
    """The content of a pickle."""
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: no such table of boxes; check data.root and the names of the tables in "
            "config.data"
        )
    content = Path(path).read_bytes()
    try:
        _check_sizes(content)
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except _Refused as error:
        raise ValueError(
            f"{path}: refers to {error}; expected a dict of arrays and nothing else. Nothing was "
            "run"
        ) from error
    except Exception as error:  # bytes that are not a pickle may raise anything
        raise ValueError(
            f"{path}: is not a pickle, or is cut short ({type(error).__name__}: "
            f"{str(error)[:200]}); expected a dict of {KEY} to arrays (N,5)"
        ) from error


def _check_sizes(content: bytes) -> None:
    """ValueError for sizes beyond that of the file, for which Python would allocate memory.

    The indices of the memo, the objects that a pickle refers back to, are such sizes.
    """
    for code, argument, _ in pickletools.genops(io.BytesIO(content)):
        if code.name.endswith("PUT") and argument > len(content):
            raise ValueError(f"object {argument} in a file of {len(content)} bytes")


def convert(source: PathLike, target: PathLike) -> int:
    """Converts a pickle to a table or a table to a pickle; returns the number of boxes.

    Actions are dropped. A box with several actions, and so several rows, is written once.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a row or array is invalid, or not exactly one of the names ends in .pkl.
    """
    from_pickle, to_pickle = (Path(path).suffix == SUFFIX for path in (source, target))
    if from_pickle == to_pickle:
        raise ValueError(f"{source}, {target}: expected exactly one of the two to end in {SUFFIX}")
    if from_pickle:
        rows = list(_table_rows(source))
        try:
            with whole(target) as part, open(part, "w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{source}: the name of a video cannot be written as UTF-8 ({error})"
            ) from error
        return len(rows)
    boxes = _boxes_by_moment(source)
    with whole(target) as part:
        part.write_bytes(pickle.dumps(boxes, protocol=4))
    return sum(map(len, boxes.values()))


def _table_rows(path: PathLike) -> Iterator[list[str]]:
    for _, video, second, boxes in read_proposals(path):
        for *corners, score in boxes:
            texts = [np.format_float_positional(corner, min_digits=3) for corner in corners]
            yield [video, second, *texts, "", np.format_float_positional(score, min_digits=6)]


def _boxes_by_moment(path: PathLike) -> dict[str, np.ndarray]:
    moments: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for line, columns in read_rows(path):
        if len(columns) != 8:
            raise ValueError(
                f"{path}:{line}: {len(columns)} columns in {','.join(columns)!r}; expected "
                "video,second,x1,y1,x2,y2,,score"
            )
        video, second, *texts, _, score = columns
        box = read_box(path, line, texts, predicted=True)
        row = [*box, read_number(path, line, "score", score)]
        moments.setdefault(f"{video},{second}", {}).setdefault(tuple(texts), row)
    return {key: np.array(list(boxes.values())) for key, boxes in moments.items()}


def cli(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m data_pipelines.sources.box_pickles", allow_abbrev=False,
        description="Convert a pickle of predicted boxes to a csv table, or a table to a pickle.",
    )
    parser.add_argument("source", metavar="IN")
    parser.add_argument("target", metavar="OUT", help="exactly one of IN and OUT ends in .pkl")
    args = parser.parse_args(arguments)
    try:
        count = convert(args.source, args.target)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.target}: {count} boxes")
    return 0


if __name__ == "__main__":
    sys.exit(cli())
