"""Frame-mAP at an overlap of 0.5, the measure of AVA, as the official evaluator counts it.

    python -m slowfast_jax.metrics.ava detections.csv ava_val_v2.2.csv \\
        --exclusions ava_val_excluded_timestamps_v2.2.csv --labels ava_action_list_v2.2.pbtxt

In each keyframe and class a detection looks at the one box of the ground truth that it overlaps
most (the first, of equal ones); it is a hit where the overlap is at least 0.5 and no detection
before it took that box. The average precision of a class is the area under its interpolated
precision over recall, and mAP is the mean over the classes that occur in the ground truth.

Two sets of rules. "official" is ActivityNet's script: detections take boxes in falling order of
score, only the 50 best of a keyframe count (a later one must beat the worst of 50 strictly), and
detections in keyframes that the ground truth does not name are ignored. "pyslowfast" is
PySlowFast's copy: detections take boxes in the order given, all count, those in unknown keyframes
are false, and times are whole seconds. Neither has a threshold on scores.

Ties. Both programs sort scores with numpy's default algorithm, which leaves equal scores in an
order that depends on the processor. Ours keeps them, on every machine, in the order in which the
program meets them: keyframes as they first appear, within one the official script's heap or the
given order. `map_range` of the result is what mAP could be under any other order of equal scores.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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

RULES = ("official", "pyslowfast")
CAPACITY = 50  # detections of a keyframe that the official script looks at


def evaluate(
    detections: BoxTable,
    ground_truth: BoxTable,
    *,
    classes: Iterable[int],
    excluded: Iterable[Keyframe] = (),
    rules: str = "official",
    iou: float = 0.5,
) -> dict[str, Any]:
    """Average precision of each class and their mean.

    Args:
      classes: ids of the evaluated classes; rows of others are left out on both sides.
      excluded: keyframes left out on both sides.
      rules: "official" or "pyslowfast", see above.
      iou: least overlap of a hit.

    Returns:
      map: mean over the classes that the ground truth has, 0..1.
      map_range: (least, largest) mean over all orders of equal scores.
      ap: class id -> average precision; nan for a class that the ground truth does not have, 0 for
        one that has no detection.
      num_gt: class id -> boxes of the class in the ground truth.

    Raises:
      ValueError: ground truth without a box to evaluate or with corners out of order; a value that
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
    """The keyframes whose whole seconds are a multiple: by 4, PySlowFast's choice while training.

    Its rules count detections elsewhere as false, so apply it to both tables.
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
                raise ValueError(f"{name}: {field} hold {bad.sum()} values that are not finite")
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
    """(n,) which of the `found` rows take a box of the ground truth that is still free."""
    truth = truth.take(np.argsort(truth.group, kind="stable"))
    group = found.group
    start = np.searchsorted(truth.group, group, "left")
    count = np.searchsorted(truth.group, group, "right") - start
    hits = np.zeros(len(group), bool)
    rivals = np.flatnonzero(count)  # detections whose class is in their keyframe
    if not rivals.size:
        return hits
    count = count[rivals]
    first = np.cumsum(count) - count  # of each detection's pairs with the boxes it may take
    box = np.arange(count.sum()) + np.repeat(start[rivals] - first, count)
    overlaps = overlap(
        found_boxes[np.repeat(found.row[rivals], count)], truth_boxes[truth.row[box]]
    )
    best = np.maximum.reduceat(overlaps, first)
    at_best = np.flatnonzero(overlaps == np.repeat(best, count))
    at_best = at_best[np.searchsorted(at_best, first)]  # the first of equal ones
    reached = np.flatnonzero(best >= iou)
    _, earliest = np.unique(box[at_best[reached]], return_index=True)
    hits[rivals[reached[earliest]]] = True
    return hits


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(P,) intersection over union of P pairs of boxes, in the original's order of operations."""
    a, b = np.asarray(a.T, np.float64), np.asarray(b.T, np.float64)
    width = np.maximum(0.0, np.minimum(a[2], b[2]) - np.maximum(a[0], b[0]))
    height = np.maximum(0.0, np.minimum(a[3], b[3]) - np.maximum(a[1], b[1]))
    shared = height * width
    area_a, area_b = ((c[3] - c[1]) * (c[2] - c[0]) for c in (a, b))
    return shared / (area_a + area_b - shared)


def _average_precisions(
    scores: np.ndarray, hits: np.ndarray, num_gt: int
) -> tuple[float, float, float]:
    """Area under the interpolated precision over recall of one class.

    Returns:
      With equal scores in the given order, in the least and in the most favourable one.
    """
    if not len(scores):
        return 0.0, 0.0, 0.0
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))  # of equal scores
    sizes = np.diff(starts, append=len(scores))
    place = np.arange(len(scores)) - np.repeat(starts, sizes)
    inside = np.add.reduceat(hits.astype(np.int64), starts)
    last = place >= np.repeat(sizes - inside, sizes)
    first = place < np.repeat(inside, sizes)
    return tuple(_area(order, num_gt) for order in (hits, last, first))


def _area(hits: np.ndarray, num_gt: int) -> float:
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    highest_after = np.maximum.accumulate(precision[::-1])[::-1]
    return float(highest_after[hits].sum() / num_gt)


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
      label_map: the evaluated classes; without it those of the ground truth, which makes a
        difference to the official rules alone, where other classes compete for the 50 places.
      mini_gt: takes only every fourth second of both.

    Returns:
      rules, map and map_range; classes, a list of {"id", "name", "num_gt", "ap"} with ap None where
      the ground truth does not have the class; warnings, a list of sentences.
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
    width = max(len("name"), *(len(row["name"]) for row in rows))
    lines = [f"{'id':>4}  {'name':<{width}}  {'#gt':>7}  {'AP':>8}"]
    for row in rows:
        ap = "-" if row["ap"] is None else f"{row['ap']:.4f}"
        lines.append(f"{row['id']:>4}  {row['name']:<{width}}  {row['num_gt']:>7}  {ap:>8}")
    return "\n".join(lines)


def _warnings(
    detections: BoxTable, ground_truth: BoxTable, classes: Iterable[int]
) -> Iterator[str]:
    """What is legal and yet hardly meant."""
    ids, counts = np.unique(detections.actions, return_counts=True)
    unknown = ~np.isin(ids, list(classes))
    if unknown.any():
        some = ", ".join(map(str, ids[unknown][:10])) + (" ..." if unknown.sum() > 10 else "")
        yield (f"{counts[unknown].sum()} of {counts.sum()} detections have classes that are not "
               f"evaluated (ids {some})")
    if not set(detections.keyframes) & set(ground_truth.keyframes):
        examples = (t.keyframes[0] if t.keyframes else "none" for t in (detections, ground_truth))
        yield ("no keyframe of the detections is in the ground truth; the first ones are "
               "{} and {}".format(*examples))
    sizes = [np.abs(t.boxes).max(initial=0.0) for t in (detections, ground_truth)]
    if (sizes[0] > 2) != (sizes[1] > 2) and min(sizes) > 0:
        yield (f"coordinates reach {sizes[0]:g} in the detections and {sizes[1]:g} in the ground "
               "truth: pixels in one, fractions of the frame in the other?")


def cli(argv: Sequence[str] | None = None) -> int:
    """The command: 0, or 1 where a file cannot be read or evaluated."""
    parser = argparse.ArgumentParser(
        prog="python -m slowfast_jax.metrics.ava",
        description="Frame-mAP@0.5 of a file of detections.", allow_abbrev=False,
    )
    parser.add_argument("detections", metavar="DETECTIONS",
                        help="csv: video,seconds,x1,y1,x2,y2,action,score")
    parser.add_argument("ground_truth", metavar="GROUND_TRUTH",
                        help="csv: video,seconds,x1,y1,x2,y2,action[,person]")
    parser.add_argument("--exclusions", metavar="CSV", help="video,seconds to leave out")
    parser.add_argument("--labels", metavar="PBTXT",
                        help="the evaluated classes (default: those of the ground truth)")
    parser.add_argument("--rules", choices=RULES, default="official",
                        help="whose evaluator to equal [%(default)s]")
    parser.add_argument("--mini-gt", action="store_true",
                        help="keyframes at whole seconds divisible by 4 alone")
    parser.add_argument("--json", metavar="FILE", help="write the result there")
    arguments = parser.parse_args(argv)
    try:
        result = evaluate_files(
            arguments.detections, arguments.ground_truth, exclusions=arguments.exclusions,
            label_map=arguments.labels, rules=arguments.rules, mini_gt=arguments.mini_gt,
        )
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(_table(result["classes"]))
    print("mAP@0.5 {:.6f}, {} rules; {:.6f} to {:.6f} over all orders of equal scores".format(
        result["map"], arguments.rules, *result["map_range"]))
    return 0


if __name__ == "__main__":
    sys.exit(cli())
