"""Links detected boxes to action tubes, as MMAction2 does for MultiSports.

    python -m slowfast_jax.metrics.tube_linking detections.csv tubes.csv --classes classes.txt

Class by class and frame by frame, a tube is continued by the box of the best score among those that
overlap its last box by at least half; tubes of higher mean scores choose first. A tube that no box
continues ends, and a box that continues no tube starts one. In each frame, boxes that overlap
better ones get lower scores before (soft non-maximum suppression), and only the best ten count.

Source: link_tubes in MMAction2, mmaction/evaluation/functional/multisports_utils.py. There, up to
version 1.2.0, a slip gives every box the score of the last detection in the file before the boxes
are linked (`frm_det` for `frm_dets`), so that all tubes have the same score. Here each box has its
own score; with that slip corrected, MMAction2 finds the same tubes.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from data_pipelines.command import Parser, explain
from data_pipelines.labels import class_names
from data_pipelines.text_files import counted
from slowfast_jax.metrics import tube_tables
from slowfast_jax.metrics.action_tubes import Tube, Tubes
from slowfast_jax.metrics.ava import overlap
from slowfast_jax.metrics.ava_files import BoxTable
from slowfast_jax.option_names import whole_number

MIN_FRAMES = 15  # of a tube of MultiSports, whose videos have 25 frames per second
MIN_SCORE = 0.005  # of a tube
LINK_IOU = 0.5  # least overlap of a box with the last one of the tube that it continues
SUPPRESS_IOU = 0.6  # overlap with a better box beyond which a score is lowered
MOST_BOXES = 10  # of a class in a frame


def link(detections: BoxTable, *, min_frames: int = MIN_FRAMES, pixel: float = 1.0) -> Tubes:
    """Tubes of detected boxes; the score of a tube is the mean of its boxes' scores.

    Args:
      detections: boxes with scores; times of keyframes are numbers of frames.
      min_frames: tubes with fewer frames are dropped.
      pixel: added to width and height of boxes to suppress: 1 for boxes in pixels, as in MMAction2,
        0 for fractions of the frame.

    Returns:
      class id -> its tubes, video by video.
    """
    videos = {video: None for video, _ in detections.keyframes}
    numbers = {video: number for number, video in enumerate(videos)}
    names = list(videos)
    keyframes = np.array([(numbers[video], frame) for video, frame in detections.keyframes], int)
    video, frame = keyframes.reshape(-1, 2)[detections.frame].T
    order = np.lexsort((frame, video, detections.actions))
    rows = np.column_stack([detections.boxes, detections.scores]).astype(np.float64)
    keys = list(zip(
        detections.actions[order].tolist(), video[order].tolist(), frame[order].tolist(),
        strict=True,
    ))
    tubes: Tubes = {}
    for (action, number), group in groupby(range(len(order)), lambda place: keys[place][:2]):
        frames = (
            (at, _suppress(rows[order[list(places)]], pixel))
            for at, places in groupby(group, lambda place: keys[place][2])
        )
        for growing in _grow(frames):
            score = np.mean([row[4] for row in growing.rows])
            if score >= MIN_SCORE and len(growing.rows) >= min_frames:
                boxes = np.array(growing.rows, np.float32)[:, :4]
                tubes.setdefault(action, []).append(
                    Tube(names[number], growing.first, boxes, float(score))
                )
    return tubes


@dataclass
class _Growing:
    """A tube that may be continued: its first frame, a row x1, y1, x2, y2, score for each frame,
    and the sum of the scores."""

    first: int
    rows: list[np.ndarray]
    total: float

    def add(self, row: np.ndarray) -> None:
        self.rows.append(row)
        self.total += row[4]


def _grow(frames: Iterable[tuple[int, np.ndarray]]) -> Iterator[_Growing]:
    """Links the boxes of one class in one video.

    Args:
      frames: ascending numbers of frames, and the boxes there, (N, 5), best first.
    """
    current: list[_Growing] = []
    for number, rows in frames:
        current.sort(key=lambda tube: -tube.total / len(tube.rows))
        continued = []
        for tube in current:
            near = np.zeros(0, int)
            if tube.first + len(tube.rows) == number:
                near = np.flatnonzero(overlap(rows[:, :4], tube.rows[-1][None, :4]) >= LINK_IOU)
            if near.size:  # the first one has the best score
                tube.add(rows[near[0]])
                rows = np.delete(rows, near[0], axis=0)
                continued.append(tube)
            else:
                yield tube
        current = continued + [_Growing(number, [row], row[4]) for row in rows]
    yield from current


def _suppress(rows: np.ndarray, pixel: float) -> np.ndarray:
    """The best MOST_BOXES of the rows (N, 5), best first, with lower scores where boxes overlap.

    The score of a box is multiplied by 1 - IoU if its IoU with a better box, whose own score is not
    lowered, exceeds SUPPRESS_IOU.
    """
    boxes = rows[:, :4] + (0, 0, pixel, pixel)
    order = np.argsort(-rows[:, 4], kind="stable")
    weights = np.ones(len(rows))
    while order.size:
        best, order = order[0], order[1:]
        ious = overlap(boxes[order], boxes[best][None])
        near = ious > SUPPRESS_IOU
        weights[order[near]] = 1 - ious[near]
        order = order[~near]
    rows = np.column_stack([rows[:, :4], rows[:, 4] * weights])
    return rows[np.argsort(-rows[:, 4], kind="stable")[:MOST_BOXES]]


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, or 2 if a file cannot be read or written."""
    parser = Parser(
        prog="python -m slowfast_jax.metrics.tube_linking",
        description="Links the boxes of a table of detections to action tubes, and writes these "
        "as a table, in which each tube is a person.",
    )
    parser.add_argument("detections", metavar="DETECTIONS",
                        help="csv table of boxes with actions and scores, or detections.csv of a "
                        "test")
    parser.add_argument("tubes", metavar="TUBES", help="the csv table to write")
    parser.add_argument("--classes", metavar="FILE",
                        help="class names, one per line, for a table that has numbers of actions")
    parser.add_argument("--min-frames", metavar="N", type=whole_number, default=1,
                        help="leave out tubes at fewer times (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if os.path.realpath(arguments.tubes) == os.path.realpath(arguments.detections):
        parser.error(f"{arguments.tubes} would be replaced; choose another name for TUBES")
    try:
        if arguments.classes:
            names = class_names(arguments.classes)
        else:
            names = tube_tables.classes_in(arguments.detections)
        boxes = tube_tables.read_boxes(arguments.detections, names, predicted=True)
        frames = tube_tables.number_frames(boxes)
        tubes = link(
            tube_tables.as_table(boxes, frames), min_frames=arguments.min_frames, pixel=0.0
        )
        tube_tables.write_tubes(arguments.tubes, tubes, names, frames)
    except (OSError, ValueError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    print(f"{arguments.tubes}: {counted(sum(map(len, tubes.values())), 'tube')}")
    return 0


if __name__ == "__main__":
    sys.exit(cli())
