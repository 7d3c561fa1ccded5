"""Frame-mAP at an IoU of 0.5, the metric of AVA, equal to that of the official evaluator.

    python -m slowfast_jax.metrics.ava detections.csv ava_val_v2.2.csv \\
        --exclusions ava_val_excluded_timestamps_v2.2.csv --labels ava_action_list_v2.2.pbtxt

Within a keyframe and class, a detection is compared with the ground-truth box that it overlaps most
(the first one if several overlap equally). It is a true positive if the overlap is at least 0.5 and
no earlier detection claimed that box. The average precision of a class is the area under its
interpolated precision-recall curve, and mAP is the mean over the classes in the ground truth.

There are two sets of rules, neither of which has a threshold on scores:

- "official" is ActivityNet's script. Detections claim boxes in descending order of score, only the
  50 best of a keyframe count (a later one must strictly exceed the lowest of 50), and detections in
  keyframes that the ground truth does not have are ignored.
- "pyslowfast" is PySlowFast's copy. Detections claim boxes in the given order, all of them count,
  those in unknown keyframes are false positives, and times are compared as whole seconds.

Ties: both programs sort scores with NumPy's default algorithm, whose order of equal scores depends
on the processor. This module orders them reproducibly: keyframes by first appearance, and within a
keyframe by the official script's heap or in the given order. `map_range` in the result has the
lowest and highest mAP under all orders of equal scores.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.command import Parser, explain
from slowfast_jax.metrics.ava_files import (
    BoxTable,
    Keyframe,
    PathLike,
    read_detections,
    read_exclusions,
    read_ground_truth,
    read_label_map,
)
from slowfast_jax.metrics.ava_order import (
    Rows,
    first_met,
    labels,
    number_keyframes,
    official_order,
    select,
)
from slowfast_jax.metrics.average_precision import interpolated

RULES = ("official", "pyslowfast")
CAPACITY = 50  # detections that the official script keeps per keyframe


def evaluate(
    detections: BoxTable,
    ground_truth: BoxTable,
    *,
    classes: Iterable[int],
    excluded: Iterable[Keyframe] = (),
    rules: str = "official",
    iou: float = 0.5,
) -> dict[str, Any]:
    """Average precision of each class, and their mean.

    Args:
      detections: boxes with scores.
      ground_truth: boxes, whose scores are ignored.
      classes: ids of the evaluated classes; rows of other classes are ignored in both tables.
      excluded: keyframes to ignore in both tables.
      rules: "official" or "pyslowfast", see the module's docstring.
      iou: least overlap (intersection over union) of a true positive.

    Returns:
      A dict with
        map: mean over the classes in the ground truth, 0 to 1.
        map_range: (lowest, highest) mean over all orders of equal scores.
        ap: class id -> average precision; nan for classes without ground truth, 0 for classes
          with ground truth but without detections.
        num_gt: class id -> number of boxes in the ground truth.

    Raises:
      ValueError: the ground truth has no box to evaluate, or one whose corners are swapped; a value
        is not finite.
    """
    if rules not in RULES:
        raise ValueError(f'rules is "{rules}", expected one of {", ".join(RULES)}')
    official = rules == "official"
    _check(detections, ground_truth)
    classes = np.unique(np.fromiter(classes, np.int64))
    found_labels, truth_labels = (labels(t, classes) for t in (detections, ground_truth))
    order = first_met(detections.frame[found_labels >= 0])
    found_frames, truth_frames = number_keyframes(
        detections, order, ground_truth, excluded, official
    )
    found = select(found_labels, found_frames[detections.frame], len(classes))
    truth = select(truth_labels, truth_frames[ground_truth.frame], len(classes))
    if not len(truth.row):
        raise ValueError("the ground truth has no box of an evaluated class in any keyframe")

    if official:
        contested = np.unique(truth.group)
        truth = official_order(truth, ground_truth, len(truth.row), contested)
        found = official_order(found, detections, CAPACITY, contested)
    x1, y1, x2, y2 = detections.boxes.T
    found = found.take(((x1 < x2) & (y1 < y2))[found.row])
    hits = _hits(found, detections.boxes, truth, ground_truth.boxes, iou)

    num_gt = np.bincount(truth.label, minlength=len(classes))
    ap = np.full((3, len(classes)), np.nan)
    by_label = np.argsort(found.label, kind="stable")
    ends = np.cumsum(np.bincount(found.label, minlength=len(classes)))
    for label, rows in enumerate(np.split(by_label, ends[:-1])):
        if num_gt[label]:
            scores = detections.scores[found.row[rows]]
            ap[:, label] = _average_precisions(scores, hits[rows], num_gt[label])
    mean, least, largest = np.nanmean(ap, axis=1).tolist()
    return {
        "map": mean,
        "map_range": (least, largest),
        "ap": dict(zip(classes.tolist(), ap[0].tolist(), strict=True)),
        "num_gt": dict(zip(classes.tolist(), num_gt.tolist(), strict=True)),
    }


def every(table: BoxTable, seconds: int = 4) -> BoxTable:
    """The keyframes whose time, in whole seconds, is a multiple of `seconds`.

    PySlowFast validates on every 4th second during training. Its rules count detections in other
    keyframes as false positives, so apply this function to both tables.
    """
    kept = np.array([int(time) % seconds == 0 for _, time in table.keyframes], bool)
    rows = kept[table.frame]
    keyframes = [keyframe for keyframe, keep in zip(table.keyframes, kept, strict=True) if keep]
    frame = (np.cumsum(kept) - 1)[table.frame[rows]]
    return BoxTable(keyframes, frame, *(column[rows] for column in table[2:]))


def _check(detections: BoxTable, ground_truth: BoxTable) -> None:
    for name, table in (("detections", detections), ("ground truth", ground_truth)):
        for field in ("boxes", "scores"):
            bad = ~np.isfinite(getattr(table, field))
            if bad.any():
                raise ValueError(f"{name}: {field} contain {bad.sum()} values that are not finite")
    x1, y1, x2, y2 = ground_truth.boxes.T
    bad = np.flatnonzero((x1 > x2) | (y1 > y2))
    if bad.size:
        video, seconds = ground_truth.keyframes[ground_truth.frame[bad[0]]]
        raise ValueError(
            f"ground truth, {video} at {seconds} s: box {ground_truth.boxes[bad[0]].tolist()}, "
            "expected x1 <= x2 and y1 <= y2"
        )


def _hits(
    found: Rows, found_boxes: np.ndarray, truth: Rows, truth_boxes: np.ndarray, iou: float
) -> np.ndarray:
    """(n,) bool: the `found` rows that are true positives."""
    truth = truth.take(np.argsort(truth.group, kind="stable"))
    group = found.group
    start = np.searchsorted(truth.group, group, "left")
    count = np.searchsorted(truth.group, group, "right") - start
    hits = np.zeros(len(group), bool)
    rivals = np.flatnonzero(count)  # detections with ground truth of their class in their keyframe
    if not rivals.size:
        return hits
    count = count[rivals]
    first = np.cumsum(count) - count  # index of each detection's first pair with a ground-truth box
    box = np.arange(count.sum()) + np.repeat(start[rivals] - first, count)
    overlaps = overlap(
        found_boxes[np.repeat(found.row[rivals], count)], truth_boxes[truth.row[box]]
    )
    best = np.maximum.reduceat(overlaps, first)
    at_best = np.flatnonzero(overlaps == np.repeat(best, count))
    at_best = at_best[np.searchsorted(at_best, first)]  # the first of several equal overlaps
    reached = np.flatnonzero(best >= iou)
    _, earliest = np.unique(box[at_best[reached]], return_index=True)
    hits[rivals[reached[earliest]]] = True
    return hits


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(P,) intersection over union of P pairs of boxes, rounded as in the original programs."""
    a, b = np.asarray(a.T, np.float64), np.asarray(b.T, np.float64)
    width = np.maximum(0.0, np.minimum(a[2], b[2]) - np.maximum(a[0], b[0]))
    height = np.maximum(0.0, np.minimum(a[3], b[3]) - np.maximum(a[1], b[1]))
    shared = height * width
    area_a, area_b = ((c[3] - c[1]) * (c[2] - c[0]) for c in (a, b))
    return shared / (area_a + area_b - shared)


def _average_precisions(
    scores: np.ndarray, hits: np.ndarray, num_gt: int
) -> tuple[float, float, float]:
    """Area under the interpolated precision-recall curve of one class.

    Returns:
      The area with equal scores in the given, in the worst and in the best order.
    """
    if not len(scores):
        return 0.0, 0.0, 0.0
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))  # of runs of equal scores
    sizes = np.diff(starts, append=len(scores))
    place = np.arange(len(scores)) - np.repeat(starts, sizes)
    inside = np.add.reduceat(hits.astype(np.int64), starts)
    last = place >= np.repeat(sizes - inside, sizes)
    first = place < np.repeat(inside, sizes)
    return tuple(interpolated(order, num_gt) for order in (hits, last, first))


def evaluate_files(
    detections_file: PathLike,
    ground_truth_file: PathLike,
    *,
    exclusions: PathLike | None = None,
    label_map: PathLike | None = None,
    rules: str = "official",
    mini_gt: bool = False,
) -> dict[str, Any]:
    """Evaluates a csv file of detections.

    Args:
      detections_file, ground_truth_file: csv files, see `ava_files`.
      exclusions: csv file of keyframes to ignore.
      label_map: AVA action list of the classes to evaluate. Default: the classes in the ground
        truth. Under the official rules the choice can change the result, because all evaluated
        classes compete for the 50 detections of a keyframe.
      rules: see `evaluate`.
      mini_gt: evaluates only every fourth second.

    Returns:
      A dict with rules, map and map_range; classes, a list of {"id", "name", "num_gt", "ap"} with
      ap None for classes without ground truth; and warnings, a list of sentences.

    Raises:
      OSError, ValueError: a file cannot be read or evaluated.
    """
    ground_truth = read_ground_truth(ground_truth_file)
    detections = read_detections(detections_file)
    if label_map:
        names = read_label_map(label_map)
    else:
        names = dict.fromkeys(np.unique(ground_truth.actions).tolist(), "")
    excluded = read_exclusions(exclusions) if exclusions else ()
    if mini_gt:
        ground_truth, detections = every(ground_truth), every(detections)
    result = evaluate(detections, ground_truth, classes=names, excluded=excluded, rules=rules)
    classes = [
        {"id": number, "name": names[number], "num_gt": result["num_gt"][number],
         "ap": None if np.isnan(ap) else ap}
        for number, ap in result["ap"].items()
    ]
    return {
        "rules": rules, "map": result["map"], "map_range": list(result["map_range"]),
        "classes": classes, "warnings": list(_warnings(detections, ground_truth, names)),
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """The classes of a result as text."""
    width = max(len("name"), *(len(row["name"]) for row in rows))
    lines = [f"{'id':>4}  {'name':<{width}}  {'#gt':>7}  {'AP':>8}"]
    for row in rows:
        ap = "-" if row["ap"] is None else f"{row['ap']:.4f}"
        lines.append(f"{row['id']:>4}  {row['name']:<{width}}  {row['num_gt']:>7}  {ap:>8}")
    return "\n".join(lines)


def _warnings(
    detections: BoxTable, ground_truth: BoxTable, classes: Iterable[int]
) -> Iterator[str]:
    """Describes input that is valid but probably a mistake."""
    ids, counts = np.unique(detections.actions, return_counts=True)
    unknown = ~np.isin(ids, list(classes))
    if unknown.any():
        some = ", ".join(map(str, ids[unknown][:10])) + (" ..." if unknown.sum() > 10 else "")
        yield (f"{counts[unknown].sum()} of {counts.sum()} detections belong to classes that are "
               f"not evaluated (ids {some})")
    if not set(detections.keyframes) & set(ground_truth.keyframes):
        examples = (t.keyframes[0] if t.keyframes else "none" for t in (detections, ground_truth))
        yield ("detections and ground truth have no keyframes in common; their first ones are "
               "{} and {}".format(*examples))
    sizes = [np.abs(t.boxes).max(initial=0.0) for t in (detections, ground_truth)]
    if (sizes[0] > 2) != (sizes[1] > 2) and min(sizes) > 0:
        yield (f"coordinates reach {sizes[0]:g} in the detections and {sizes[1]:g} in the ground "
               "truth: is one in pixels and the other in fractions of the frame?")


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status.

    It is 1 if a file cannot be read or evaluated, and 2 if there is no such file.
    """
    parser = Parser(
        prog="python -m slowfast_jax.metrics.ava",
        description="Computes the frame-mAP at IoU 0.5 of detections in AVA's csv format, per "
        "class and on average.",
    )
    parser.add_argument("detections", metavar="DETECTIONS",
                        help="csv file with rows video,seconds,x1,y1,x2,y2,action,score")
    parser.add_argument("ground_truth", metavar="GROUND_TRUTH",
                        help="csv file with rows video,seconds,x1,y1,x2,y2,action[,person]")
    parser.add_argument("--exclusions", metavar="CSV",
                        help="csv file with rows video,seconds: keyframes to ignore")
    parser.add_argument("--labels", metavar="PBTXT",
                        help="AVA action list of the classes to evaluate (default: the classes in "
                        "the ground truth)")
    parser.add_argument("--rules", choices=RULES, default="official",
                        help="evaluate as the official script or as PySlowFast [%(default)s]")
    parser.add_argument("--mini-gt", action="store_true",
                        help="evaluate only keyframes at multiples of 4 seconds, as PySlowFast "
                        "does during training")
    parser.add_argument("--json", metavar="FILE", help="also write the result to this file")
    arguments = parser.parse_args(argv)
    given = (
        arguments.detections, arguments.ground_truth, arguments.exclusions, arguments.labels
    )
    if missing := [path for path in given if path and not Path(path).is_file()]:
        print(f"error: {', '.join(missing)}: no such file", file=sys.stderr)
        return 2
    try:
        result = evaluate_files(
            arguments.detections, arguments.ground_truth, exclusions=arguments.exclusions,
            label_map=arguments.labels, rules=arguments.rules, mini_gt=arguments.mini_gt,
        )
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 1
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(_table(result["classes"]))
    print("mAP@0.5 {:.6f}, {} rules; {:.6f} to {:.6f} over all orders of equal scores".format(
        result["map"], arguments.rules, *result["map_range"]))
    return 0


if __name__ == "__main__":
    sys.exit(cli())
