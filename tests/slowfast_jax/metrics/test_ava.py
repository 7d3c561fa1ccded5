import heapq
import json

import numpy as np
import pytest

from slowfast_jax.metrics.ava import evaluate, every
from slowfast_jax.metrics.ava_files import (
    BoxTable,
    from_arrays,
    read_detections,
    read_exclusions,
    read_ground_truth,
    write_detections,
)
from tests.support.paths import PARITY, needs_parity

AVA = PARITY / "eval/ava"
VARIANTS = [
    "a_sorted_le50", "b_shuffled_le50", "c_ascending_le50", "d_unlabelled_frames",
    "e_more_than_50", "f_everything",
]
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def table(*rows):
    """Rows (video, seconds[, box, action[, score]]) as a table."""
    keyframes = list(dict.fromkeys(row[:2] for row in rows))
    rows = [row for row in rows if len(row) > 2]
    return BoxTable(
        keyframes,
        np.array([keyframes.index(row[:2]) for row in rows], np.int32),
        np.array([row[2] for row in rows], float).reshape(-1, 4),
        np.array([row[3] for row in rows], np.int32),
        np.array([row[4] if len(row) > 4 else 1.0 for row in rows], float),
    )


@needs_parity
@pytest.mark.parametrize("excluding", [False, True])
@pytest.mark.parametrize("rules", ["official", "pyslowfast"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_class_equals_the_evaluators(variant, rules, excluding):
    recorded = np.load(AVA / "per_class_ap.npz")
    name = {"official": "official", "pyslowfast": "sf"}[rules] + ("_excl" if excluding else "")
    ids = recorded["class_ids"].tolist()
    result = evaluate(
        read_detections(AVA / f"det_{variant}.csv"), read_ground_truth(AVA / "gt.csv"),
        classes=ids, rules=rules,
        excluded=read_exclusions(AVA / "excluded.csv") if excluding else (),
    )
    expected = {rule: recorded[f"{variant}__{name}__ap_{rule}"] for rule in (
        "stable_descending", "fp_first", "tp_first")}
    ours = np.array([result["ap"][number] for number in ids])
    np.testing.assert_allclose(ours, expected["stable_descending"], rtol=0, atol=1e-12)
    assert np.all((ours >= expected["fp_first"] - 1e-12) | np.isnan(ours))
    assert np.all((ours <= expected["tp_first"] + 1e-12) | np.isnan(ours))
    assert result["map"] == pytest.approx(np.nanmean(expected["stable_descending"]), abs=1e-12)
    bounds = [np.nanmean(expected["fp_first"]), np.nanmean(expected["tp_first"])]
    assert result["map_range"] == pytest.approx(bounds, abs=1e-12)

    key = {("official", False): "official_no_exclusion",
           ("official", True): "official_after_dropping_excluded_rows",
           ("pyslowfast", False): "pyslowfast_no_exclusion",
           ("pyslowfast", True): "pyslowfast_with_exclusion"}[rules, excluding]
    results = json.loads((AVA / "results.json").read_text())["variants"][variant][key]
    assert {str(k): n for k, n in result["num_gt"].items()} == results["num_gt"]
    assert {str(k) for k, ap in result["ap"].items() if np.isnan(ap)} == {
        k for k, ap in results["per_class"].items() if ap is None}
    assert results["mAP_by_tie_rule"]["ap_stable_descending"] == pytest.approx(
        result["map"], abs=1e-12)


@needs_parity
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_fourth_second(variant):
    results = json.loads((AVA / "results.json").read_text())["variants"][variant]
    expected = results["pyslowfast_mini_gt_sec%4_no_exclusion"]["mAP_by_tie_rule"]
    ids = np.load(AVA / "per_class_ap.npz")["class_ids"]
    detections = read_detections(AVA / f"det_{variant}.csv")
    truth = every(read_ground_truth(AVA / "gt.csv"))
    assert all(seconds % 4 == 0 for _, seconds in truth.keyframes)
    # The recorded number is from all detections; those at other seconds are false positives.
    result = evaluate(detections, truth, classes=ids, rules="pyslowfast")
    assert result["map"] == pytest.approx(expected["ap_stable_descending"], abs=1e-12)
    official = [evaluate(d, truth, classes=ids) for d in (detections, every(detections))]
    assert official[0]["map"] == official[1]["map"] > result["map"]


@needs_parity
def test_arrays_from_a_network():
    data = np.load(AVA / "array_path.npz")
    results = json.loads((AVA / "results.json").read_text())
    expected, ids = results["array_path"], results["classes_evaluated"]
    names = expected["video_idx_to_name"]
    keys = [(names[video], float(seconds)) for video, seconds in data["metadata"].tolist()]
    keyframes = list(dict.fromkeys(keys))
    detections = from_arrays(
        keyframes, [keyframes.index(key) for key in keys], data["ori_boxes"][:, 1:],
        data["preds"], classes=range(1, 81),
    )
    truth, excluded = read_ground_truth(AVA / "gt.csv"), read_exclusions(AVA / "excluded.csv")
    result = evaluate(detections, truth, classes=ids, excluded=excluded, rules="pyslowfast")
    assert result["map"] == pytest.approx(expected["mAP_full_gt_with_exclusion"], abs=1e-12)
    result = evaluate(detections, every(truth), classes=ids, rules="pyslowfast")
    assert result["map"] == pytest.approx(expected["mAP_mini_gt_all_detections"], abs=1e-12)


@needs_parity
def test_files_in_the_format_of_pyslowfast_and_in_ours(tmp_path):
    data = np.load(AVA / "array_path.npz")
    results = json.loads((AVA / "results.json").read_text())
    expected, ids = results["array_path"], results["classes_evaluated"]
    keys = [(expected["video_idx_to_name"][video], seconds)
            for video, seconds in data["metadata"].tolist()]
    keyframes = list(dict.fromkeys(keys))
    detections = from_arrays(
        keyframes, [keyframes.index(key) for key in keys], data["ori_boxes"][:, 1:],
        data["preds"][:, np.array(ids) - 1], classes=ids,
    )
    coarse, fine = tmp_path / "coarse.csv", tmp_path / "fine.csv"
    write_detections(coarse, detections, box="%.03f", score="%.04f")
    assert coarse.read_bytes() == (AVA / "arrays_written_detections.csv").read_bytes()
    truth = read_ground_truth(AVA / "gt.csv")
    result = evaluate(read_detections(coarse), truth, classes=ids)
    least, largest = result["map_range"]
    assert least <= expected["official_script_on_written_csv"] <= largest
    write_detections(fine, detections)
    result = [evaluate(d, truth, classes=ids)["map"] for d in (read_detections(fine), detections)]
    assert result[0] == pytest.approx(result[1], abs=1e-5)


def test_perfect_boxes():
    truth = table(
        ("a", 902, LEFT, 1), ("a", 902, LEFT, 7), ("a", 903, RIGHT, 1), ("b", 902, LEFT, 7)
    )
    for rules in ("official", "pyslowfast"):
        result = evaluate(truth, truth, classes=[1, 7], rules=rules)
        assert result == {
            "map": 1.0, "map_range": (1.0, 1.0), "ap": {1: 1.0, 7: 1.0}, "num_gt": {1: 2, 7: 2}}


def test_classes_without_ground_truth_or_detections():
    truth = table(("a", 902, LEFT, 1), ("a", 902, RIGHT, 3), ("a", 902, LEFT, 99))
    found = table(("a", 902, LEFT, 1, 0.5), ("a", 902, LEFT, 2, 0.9), ("a", 902, LEFT, 99, 0.9))
    result = evaluate(found, truth, classes=[1, 2, 3])
    assert result["ap"] == pytest.approx({1: 1.0, 2: np.nan, 3: 0.0}, nan_ok=True)
    assert result["map"] == 0.5 and result["num_gt"] == {1: 1, 2: 0, 3: 1}


def test_a_video_without_detections_and_no_detection_at_all():
    truth = table(("a", 902, LEFT, 1), ("b", 902, LEFT, 1))
    assert evaluate(table(("a", 902, LEFT, 1, 0.5)), truth, classes=[1])["map"] == 0.5
    assert evaluate(table(), truth, classes=[1])["map"] == 0.0


def test_uniform_scores_stay_within_the_range_of_all_orders():
    # Two people per keyframe. Half of the left ones have class 1, all of the right ones class 2.
    keys = [("v", 900.0 + n) for n in range(20)]
    truth = table(*((*key, LEFT, 1) for key in keys[::2]), *((*key, RIGHT, 2) for key in keys))
    found = from_arrays(
        keys, np.repeat(np.arange(20), 2), np.tile([LEFT, RIGHT], (20, 1)), np.full((40, 2), 0.5),
        classes=(1, 2),
    )
    for rules in ("official", "pyslowfast"):
        result = evaluate(found, truth, classes=[1, 2], rules=rules)
        assert result["num_gt"] == {1: 10, 2: 20}
        # In the worst order all false positives come first: 30 before 10 true ones of class 1,
        # 20 before 20 of class 2.
        worst = np.mean([np.mean([10 / 40] * 10), np.mean([20 / 40] * 20)])
        assert result["map_range"] == pytest.approx((worst, 1.0))
        assert worst <= result["map"] <= 1.0


def test_a_second_detection_of_a_box_is_a_false_positive():
    truth = table(("a", 902, LEFT, 1), ("a", 902, RIGHT, 1))
    once = [("a", 902, LEFT, 1, 0.9), ("a", 902, RIGHT, 1, 0.2)]
    result = evaluate(table(once[0], once[0], once[1]), truth, classes=[1])
    assert result["map"] == pytest.approx((1 + 2 / 3) / 2)
    # A detection only claims the box it overlaps most, even if another one is free and close.
    near = (0.0, 0.0, 0.45, 1.0)
    truth = table(("a", 902, LEFT, 1), ("a", 902, (0.0, 0.0, 0.3, 1.0), 1))
    found = table(("a", 902, LEFT, 1, 0.9), ("a", 902, near, 1, 0.8))
    assert evaluate(found, truth, classes=[1])["map"] == 0.5


def test_differences_between_the_two_evaluators():
    truth = table(("a", 902, LEFT, 1), ("a", 903))
    good, worse = ("a", 902, LEFT, 1, 0.5), ("a", 902, (0.0, 0.0, 0.4, 1.0), 1, 0.9)

    def scores(*rows):
        return [evaluate(table(*rows), truth, classes=[1], rules=rules)["map"]
                for rules in ("official", "pyslowfast")]

    assert scores(good, worse) == [1.0, 0.5]  # the higher score claims first, or the first row
    assert scores(("x", 902, LEFT, 1, 0.9), good) == [1.0, 0.5]  # unknown keyframe
    assert scores(("a", 903, LEFT, 1, 0.9), good) == [0.5, 0.5]  # known to contain nobody
    assert scores(("a", 902.4, LEFT, 1, 0.9), good) == [1.0, 1.0]  # 902.4 s is not 902 s, or is
    crowd = [("a", 902, RIGHT, 1, 0.6)] * 50
    assert scores(*crowd, good) == [0.0, pytest.approx(1 / 51)]  # 51st in its keyframe
    other = [("a", 902, RIGHT, 5, 0.6)] * 50
    assert scores(*other, good) == [1.0, 1.0]  # class that is not evaluated


def test_degenerate_boxes_and_excluded_keyframes():
    truth = table(("a", 902, LEFT, 1), ("a", 903, LEFT, 1))
    found = table(
        ("a", 902, (0.5, 0.0, 0.5, 1.0), 1, 0.9), ("a", 902, (0.5, 0.0, 0.1, 1.0), 1, 0.9),
        ("a", 902, LEFT, 1, 0.8), ("a", 903, RIGHT, 1, 0.9),
    )
    assert evaluate(found, truth, classes=[1])["map"] == 0.25
    assert evaluate(found, truth, classes=[1], excluded=[("a", 903.0)])["map"] == 1.0
    point = table(("a", 902, (0.5, 0.5, 0.5, 0.5), 1), ("a", 902, LEFT, 1))
    assert evaluate(found, point, classes=[1])["map"] == 0.5  # degenerate ground truth still counts


def simple_evaluate(found, truth, classes, official):
    """The same metric, written row by row in the simplest way."""

    def keyframes(rows, capacity):
        heaps = {}
        for video, seconds, (x1, y1, x2, y2), action, score in rows:
            if action not in classes:
                continue
            heap = heaps.setdefault((video, seconds), [])
            entry = (score, action, y1, x1, y2, x2)
            if not official:
                heap.append(entry)
            elif len(heap) < capacity:
                heapq.heappush(heap, entry)
            elif score > heap[0][0]:
                heapq.heappushpop(heap, entry)
        if official:
            heaps = {key: sorted(heap, key=lambda e: -e[0]) for key, heap in heaps.items()}
        return heaps

    def overlap(a, b):
        h, w = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(h, 0.0) * max(w, 0.0)
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return shared / (areas[0] + areas[1] - shared)

    named = {row[:2] for row in truth}
    boxes = keyframes([row if len(row) == 5 else (*row, 1.0) for row in truth], 10**9)
    aps = {}
    for number in classes:
        results, total = [], sum(e[1] == number for es in boxes.values() for e in es)
        for key, entries in keyframes(found, 50).items():
            if official and key not in named:
                continue
            free = [e[2:] for e in boxes.get(key, []) if e[1] == number]
            taken = set()
            for entry in entries:
                if entry[1] != number or entry[2] >= entry[4] or entry[3] >= entry[5]:
                    continue
                overlaps = [overlap(entry[2:], box) for box in free]
                best = int(np.argmax(overlaps)) if free else -1
                hit = bool(free) and overlaps[best] >= 0.5 and best not in taken
                results.append((entry[0], hit))
                taken |= {best} if hit else set()
        results.sort(key=lambda result: -result[0])
        hits = np.cumsum([hit for _, hit in results])
        precision = hits / np.arange(1, len(hits) + 1)
        area = sum(precision[n:].max() for n, (_, hit) in enumerate(results) if hit)
        aps[number] = area / total if total else np.nan
    return aps


@pytest.mark.parametrize("rules", ["official", "pyslowfast"])
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_rules_written_row_by_row(rules, seed):
    """Few positions, scores and keyframes give many ties, duplicates and crowded keyframes."""
    rng = np.random.default_rng(seed)

    def rows(number):
        for _ in range(number):
            corners = np.sort(rng.integers(0, 5, (2, 2)), axis=0) / 4  # some have no area
            yield ("v", float(rng.integers(902, 908)), tuple(corners.reshape(-1).tolist()),
                   int(rng.integers(1, 7)), float(rng.integers(0, 20) / 20))

    truth, found = [row[:4] for row in rows(60) if row[1] < 907], list(rows(600))
    truth = [(*row, 1.0) for row in truth if (row[2][0] < row[2][2] and row[2][1] < row[2][3])]
    classes = [1, 2, 4, 5, 6]
    expected = simple_evaluate(found, truth, classes, rules == "official")
    result = evaluate(table(*found), table(*truth), classes=classes, rules=rules)
    assert result["ap"] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_invalid_input_is_an_error():
    truth = table(("a", 902, LEFT, 1))
    with pytest.raises(ValueError, match='rules is "coco", expected one of official, pyslowfast'):
        evaluate(truth, truth, classes=[1], rules="coco")
    with pytest.raises(ValueError, match="no box of an evaluated class"):
        evaluate(truth, truth, classes=[2])
    with pytest.raises(ValueError, match="a at 902 s: box .*expected x1 <= x2 and y1 <= y2"):
        evaluate(truth, table(("a", 902, (0.5, 0.0, 0.1, 1.0), 1)), classes=[1])
    with pytest.raises(ValueError, match="detections: scores contain 1 values that are not finite"):
        evaluate(table(("a", 902, LEFT, 1, np.nan)), truth, classes=[1])
    with pytest.raises(ValueError, match=r"expected boxes \(2, 4\) and scores \(2, 3\)"):
        from_arrays([("a", 902)], [0, 0], np.zeros((2, 4)), np.zeros((2, 4)), classes=[1, 2, 3])
