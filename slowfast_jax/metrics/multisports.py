"""Reads the pickles of MultiSports (https://github.com/MCG-NJU/MultiSports); no code in them runs.

- The ground truth, multisports_GT.pkl, is a dict of labels, a list; test_videos, [[name, ...]];
  nframes, {video: number of frames}; and gttubes, {video: {class id: [array (T, 5) of frame, x1,
  y1, x2, y2, ...]}}.
- Detections, frame_detections.pkl, are an array (N, 8), or a list of N arrays, of video, frame,
  class id, score, x1, y1, x2, y2, where the video is an index into test_videos[0].
- Found tubes, video_detections.pkl, are a dict {class id: [(video, score, array (T, 6) of frame,
  x1, y1, x2, y2, score of the box), ...]}.

Boxes are in pixels, and frames count from 1.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from convert.unpickle import load_pickle
from data_pipelines.paths import PathLike
from data_pipelines.text_files import LARGEST_NUMBER, counted, first_few
from slowfast_jax.metrics.action_tubes import Tube, Tubes
from slowfast_jax.metrics.ava_files import BoxTable

KEYS = ("labels", "test_videos", "nframes", "gttubes")
COLUMNS = "video, frame, class, score, x1, y1, x2, y2"
# These classes are too rare in the test videos to be evaluated.
NOT_EVALUATED = (
    "aerobic kick jump", "aerobic off axis jump", "aerobic butterfly jump",
    "aerobic balance turn", "basketball save", "basketball jump ball",
)


class Truth(NamedTuple):
    """The true tubes of the test videos.

    Attributes:
      names: class names; their places are the class ids.
      lengths: number of frames of each test video, in the order of their indices.
      tubes: class id -> tubes.
    """

    names: list[str]
    lengths: dict[str, int]
    tubes: Tubes


def evaluated(names: Sequence[str]) -> list[int]:
    """Ids of the classes that MultiSports evaluates."""
    return [number for number, name in enumerate(names) if name not in NOT_EVALUATED]


def read_truth(path: PathLike) -> Truth:
    """Reads multisports_GT.pkl.

    Raises:
      OSError: the file cannot be read.
      ValueError: it has another content; the message has the file and the reason.
    """
    content = _load(path)
    if not isinstance(content, dict) or any(key not in content for key in KEYS):
        found = f"the keys {first_few(content)}" if isinstance(content, dict) else "no dict"
        raise ValueError(
            f"{path}: has {found}; expected MultiSports' ground truth, a dict of {', '.join(KEYS)}"
        )
    try:
        lengths = {video: int(content["nframes"][video]) for video in content["test_videos"][0]}
        tubes: Tubes = {}
        for video in lengths:
            for number, arrays in content["gttubes"].get(video, {}).items():
                where = f"{path}: {video}, class {number}"
                tubes.setdefault(int(number), []).extend(
                    _tube(where, video, rows, 5) for rows in arrays
                )
        return Truth(list(content["labels"]), lengths, tubes)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: is not MultiSports' ground truth ({type(error).__name__}: {error})"
        ) from error


def read_detections(path: PathLike, truth: Truth) -> tuple[BoxTable, int]:
    """Reads detections, and checks that they are of these videos, frames and classes.

    Returns:
      Boxes in pixels, in keyframes (video, number of the frame), and the number of boxes without
      area, which are left out.

    Raises:
      OSError: the file cannot be read.
      ValueError: it has another content, or a row is invalid.
    """
    rows = _load(path)
    if isinstance(rows, list) and len({np.shape(row) for row in rows}) == 1:
        rows = np.array(rows)
    if not _numeric(rows) or rows.ndim != 2 or rows.shape[1] != 8:
        raise ValueError(f"{path}: found {_what(rows)}; expected an array (N, 8) of {COLUMNS}")
    rows = rows.astype(np.float64)
    videos, lengths = list(truth.lengths), np.array([*truth.lengths.values()])
    valid = (np.abs(rows) < LARGEST_NUMBER).all(axis=1)  # False for nan, too
    video, frame, label = keys = np.where(valid, rows[:, :3].T, -1).astype(np.int64)
    valid &= (keys == rows[:, :3].T).all(axis=0)
    valid &= (video >= 0) & (video < len(videos)) & (label >= 0) & (label < len(truth.names))
    valid[valid] = (frame[valid] >= 1) & (frame[valid] <= lengths[video[valid]])
    if not valid.all():
        first = int(np.flatnonzero(~valid)[0])
        raise ValueError(
            f"{path}: {counted(int((~valid).sum()), 'invalid row')}; row {first} is "
            f"{rows[first].tolist()}; expected {COLUMNS}, with a video from 0 to "
            f"{len(videos) - 1}, one of its frames, and a class from 0 to {len(truth.names) - 1}"
        )
    area = (rows[:, 4] < rows[:, 6]) & (rows[:, 5] < rows[:, 7])
    rows, label = rows[area], label[area]
    keyframes, index = np.unique(keys[:2, area], axis=1, return_inverse=True)
    names = [(videos[number], float(at)) for number, at in keyframes.T.tolist()]
    table = BoxTable(names, index.reshape(-1), rows[:, 4:], label, rows[:, 3])
    return table, int((~area).sum())


def read_tubes(path: PathLike, truth: Truth) -> Tubes:
    """Reads found tubes, in place of those that `tube_linking.link` makes of detections.

    Raises:
      OSError: the file cannot be read.
      ValueError: it has another content; the message has the file and the reason.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: found {_what(content)}; expected a dict of tubes by class")
    tubes: Tubes = {}
    try:
        for number, of_class in content.items():
            for video, score, rows in of_class:
                where = f"{path}: {video}, class {number}"
                if video not in truth.lengths:
                    raise ValueError(f"{where}: this is not a test video")
                tube = _tube(where, video, rows, 6)
                tubes.setdefault(int(number), []).append(tube._replace(score=float(score)))
    except TypeError as error:
        raise ValueError(
            f"{path}: {error}; expected {{class: [(video, score, array (T, 6)), ...]}}"
        ) from error
    return tubes


def _load(path: PathLike) -> Any:
    with open(path, "rb") as file:
        try:
            return load_pickle(file)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _numeric(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiu"


def _what(content: Any) -> str:
    return str(getattr(content, "shape", type(content).__name__))


def _tube(where: str, video: str, rows: Any, columns: int) -> Tube:
    if not _numeric(rows) or rows.ndim != 2 or rows.shape[1] != columns or not len(rows):
        raise ValueError(f"{where}: found {_what(rows)}; expected an array (T, {columns})")
    if (rows[:, 0] != rows[0, 0] + np.arange(len(rows))).any():
        raise ValueError(f"{where}: frames {first_few(rows[:, 0])}; expected consecutive ones")
    return Tube(video, int(rows[0, 0]), rows[:, 1:5])
