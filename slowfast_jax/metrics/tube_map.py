"""Frame-mAP and video-mAP of action tubes, the metrics of MultiSports, equal to MMAction2's.

    python -m slowfast_jax.metrics.tube_map frame_detections.pkl multisports_GT.pkl
    python -m slowfast_jax.metrics.tube_map people.csv test.csv

action_tubes.py says what a tube is and how tubes are compared, and tube_linking.py how detected
boxes become tubes. multisports.py and tube_tables.py describe the two kinds of files.

Frame-mAP compares single boxes: it is the mean over the classes in the ground truth of the area
under the interpolated precision-recall curve, where detections in descending order of score claim
the box of their frame and class that they overlap most, with an IoU of at least 0.5. Video-mAP is
the same for tubes, at several least overlaps.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.command import Parser, explain
from data_pipelines.labels import class_names
from data_pipelines.paths import PathLike
from data_pipelines.text_files import counted
from slowfast_jax.metrics import ava, multisports, tube_tables
from slowfast_jax.metrics.action_tubes import Tubes, boxes_of, video_ap
from slowfast_jax.metrics.ava_files import BoxTable
from slowfast_jax.metrics.tube_linking import MIN_FRAMES, link
from slowfast_jax.option_names import whole_number

PICKLE = ".pkl"
FRAME_IOU = 0.5
IOUS = (0.2, 0.5)
# The thresholds that a mean is taken over, computed as in MMAction2.
RANGES = {
    "0.05:0.45": tuple(0.05 + 0.05 * step for step in range(9)),
    "0.10:0.90": tuple(0.1 + 0.1 * step for step in range(9)),
    "0.50:0.95": tuple(0.5 + 0.05 * step for step in range(10)),
}


def evaluate(
    detections: BoxTable, found: Tubes, truth: Tubes, classes: Sequence[int]
) -> dict[str, Any]:
    """Frame-mAP of detections and video-mAP of tubes.

    Args:
      detections: boxes with scores; times of keyframes are numbers of frames.
      found: tubes with scores, such as `tube_linking.link` makes of the detections.
      truth: the tubes of the ground truth. Detections in other frames are false positives.
      classes: ids of the classes to evaluate.

    Returns:
      A dict with
        metrics: "f_map@0.5", "v_map@0.2", "v_map@0.5", and the means of video-mAP over RANGES,
          such as "v_map@0.50:0.95"; 0 to 1.
        classes: class id -> {"num_tubes", "num_boxes", "f_ap@0.5", "v_ap@0.2", "v_ap@0.5"}, for
          the classes in the ground truth.

    Raises:
      ValueError: the ground truth has no tube of these classes; or detections or boxes are invalid,
        see `ava.evaluate`.
    """
    classes = [number for number in classes if truth.get(number)]
    if not classes:
        raise ValueError("the ground truth has no tube of an evaluated class")
    by_frame = ava.evaluate(
        _best_first(detections), boxes_of(truth), classes=classes, rules="pyslowfast",
        iou=FRAME_IOU,
    )
    ious = {*IOUS, *(iou for steps in RANGES.values() for iou in steps)}
    rows = [video_ap(found.get(number, []), truth[number], [*ious]) for number in classes]
    video_aps = dict(zip(ious, np.transpose(rows).tolist(), strict=True))  # IoU -> of each class
    metrics = {f"f_map@{FRAME_IOU}": by_frame["map"]}
    metrics |= {f"v_map@{iou}": float(np.mean(video_aps[iou])) for iou in IOUS}
    metrics |= {
        f"v_map@{name}": float(np.mean([video_aps[iou] for iou in steps]))
        for name, steps in RANGES.items()
    }
    of_class = {
        number: {
            "num_tubes": len(truth[number]), "num_boxes": by_frame["num_gt"][number],
            f"f_ap@{FRAME_IOU}": by_frame["ap"][number],
            **{f"v_ap@{iou}": video_aps[iou][place] for iou in IOUS},
        }
        for place, number in enumerate(classes)
    }
    return {"metrics": metrics, "classes": of_class}


def _best_first(table: BoxTable) -> BoxTable:
    order = np.argsort(-table.scores, kind="stable")
    return BoxTable(table.keyframes, *(column[order] for column in table[1:]))


def evaluate_files(
    detections_file: PathLike,
    ground_truth_file: PathLike,
    *,
    tubes_file: PathLike | None = None,
    classes: Sequence[str] | None = None,
    min_frames: int | None = None,
) -> dict[str, Any]:
    """Evaluates the files of MultiSports, or two tables of boxes.

    Persons in a table of detections are tubes. Other boxes are linked to tubes.

    Args:
      detections_file, ground_truth_file: both pickles (see `multisports`), or both csv files (see
        `tube_tables`).
      tubes_file: found tubes of MultiSports (see `multisports`), in place of linked detections.
      classes: names in class order, for tables. None: the actions in the tables.
      min_frames: found tubes of fewer frames are dropped. None: MIN_FRAMES for MultiSports; 1 for
        tables, which have a box per second or so.

    Returns:
      A dict with metrics, as `evaluate`; classes, a list of {"id", "name", "num_tubes", ...}; and
      warnings, a list of sentences.

    Raises:
      OSError, ValueError: a file cannot be read or evaluated.
    """
    pickles = [Path(path).suffix == PICKLE for path in (detections_file, ground_truth_file)]
    if any(pickles) and not all(pickles):
        raise ValueError(
            f"{detections_file}, {ground_truth_file}: expected two {PICKLE} files of MultiSports, "
            "or two tables"
        )
    if tubes_file and not all(pickles):
        raise ValueError(f"{tubes_file}: tubes go with MultiSports' ground truth, not with tables")
    if tubes_file and min_frames:
        raise ValueError(f"{tubes_file}: tubes are taken as they are; leave out --min-frames")
    if all(pickles):
        task = _of_multisports(
            detections_file, ground_truth_file, tubes_file, min_frames or MIN_FRAMES
        )
    else:
        task = _of_tables(detections_file, ground_truth_file, classes, min_frames or 1)
    result = evaluate(task.detections, task.found, task.truth, list(task.names))
    rows = [
        {"id": number, "name": task.names[number], **row}
        for number, row in result["classes"].items()
    ]
    return {"metrics": result["metrics"], "classes": rows, "warnings": task.warnings}


class _Task(NamedTuple):
    """What is evaluated; names: class id -> name, of the classes to evaluate."""

    names: dict[int, str]
    detections: BoxTable
    found: Tubes
    truth: Tubes
    warnings: list[str]


def _of_multisports(
    detections: PathLike, ground_truth: PathLike, tubes: PathLike | None, min_frames: int
) -> _Task:
    truth = multisports.read_truth(ground_truth)
    table, flat = multisports.read_detections(detections, truth)
    names = {number: truth.names[number] for number in multisports.evaluated(truth.names)}
    warnings = [f"{counted(flat, 'detected box')} without area left out"] if flat else []
    if tubes:
        found = multisports.read_tubes(tubes, truth)
    else:
        found = link(table, min_frames=min_frames)
    return _Task(names, table, found, truth.tubes, warnings)


def _of_tables(
    detections: PathLike, ground_truth: PathLike, classes: Sequence[str] | None, min_frames: int
) -> _Task:
    if classes is None:
        classes = tube_tables.classes_in(detections, [ground_truth])
    true_boxes = tube_tables.read_boxes(ground_truth, classes)
    frames = tube_tables.number_frames(true_boxes)
    truth = tube_tables.tubes_of_persons(true_boxes, frames)
    boxes = [
        box for box in tube_tables.read_boxes(detections, classes, predicted=True)
        if box.label is not None
    ]
    compared = tube_tables.at_times(boxes, frames)
    warnings = []
    if left_out := len(boxes) - len(compared):
        warnings.append(
            f"{left_out} of {counted(len(boxes), 'detected box')} left out: the ground truth does "
            "not have their videos or times"
        )
    table = tube_tables.as_table(compared, frames)
    if all(box.person for box in compared):
        tracks = tube_tables.tubes_of_persons(compared, frames)
        found = {
            number: [tube for tube in tubes if len(tube.boxes) >= min_frames]
            for number, tubes in tracks.items()
        }
    else:
        found = link(table, min_frames=min_frames, pixel=0.0)
    return _Task(dict(enumerate(classes)), table, found, truth, warnings)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """The classes of a result as text."""
    columns = [name for name in rows[0] if name not in ("id", "name")]
    width = max(len("name"), *(len(row["name"]) for row in rows))
    lines = [f"{'id':>4}  {'name':<{width}}" + "".join(f"  {name:>9}" for name in columns)]
    for row in rows:
        cells = (f"{row[name]:.4f}" if "@" in name else row[name] for name in columns)
        lines.append(
            f"{row['id']:>4}  {row['name']:<{width}}" + "".join(f"  {cell:>9}" for cell in cells)
        )
    return "\n".join(lines)


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status: 0, or 2 if a file cannot be evaluated."""
    parser = Parser(
        prog="python -m slowfast_jax.metrics.tube_map",
        description="Computes frame-mAP and video-mAP of action tubes, as MMAction2 does for "
        "MultiSports.",
    )
    parser.add_argument("detections", metavar="DETECTIONS",
                        help="MultiSports' pickle of boxes; or a csv table of boxes with actions "
                        "and scores, such as --csv of the demo or detections.csv of a test. If it "
                        "has persons, they are the tubes, otherwise boxes are linked by IoU")
    parser.add_argument("ground_truth", metavar="GROUND_TRUTH",
                        help="multisports_GT.pkl; or a csv table with a column of persons")
    parser.add_argument("--tubes", metavar="PICKLE",
                        help="MultiSports' pickle of tubes, taken as they are in place of linked "
                        "boxes")
    parser.add_argument("--classes", metavar="FILE",
                        help="class names, one per line, for a table that has numbers of actions")
    parser.add_argument("--min-frames", metavar="N", type=whole_number,
                        help="leave out found tubes of fewer frames; in tables, of fewer times "
                        f"(default: {MIN_FRAMES} for MultiSports, 1 for tables)")
    parser.add_argument("--json", metavar="FILE", help="also write the result to this file")
    arguments = parser.parse_args(argv)
    try:
        result = evaluate_files(
            arguments.detections, arguments.ground_truth, tubes_file=arguments.tubes,
            classes=class_names(arguments.classes) if arguments.classes else None,
            min_frames=arguments.min_frames,
        )
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(_table(result["classes"]))
    print("\n".join(f"{name:<16} {value:.4f}" for name, value in result["metrics"].items()))
    return 0


if __name__ == "__main__":
    sys.exit(cli())
