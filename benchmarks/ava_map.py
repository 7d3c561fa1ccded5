"""Seconds and memory of computing frame-mAP on a set as large as AVA's validation set.

    python -m benchmarks.ava_map

The generated set has 64 videos with 897 keyframes each, about 165,000 proposals scored for 60
classes (10 million detections), and about 180,000 rows of ground truth. The inputs are:

    arrays      scores in memory, as at the end of a test
    csv         files, as for `python -m slowfast_jax.metrics.ava`, reading included
    coarse csv  the same with PySlowFast's number of decimals, hence with ties
    uniform     arrays in which every detection has the same score

Each figure is measured in a new process. The peak is that of its resident memory (Linux only).
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

from slowfast_jax.metrics.ava import evaluate, evaluate_files
from slowfast_jax.metrics.ava_files import BoxTable, from_arrays, write_detections

CLASSES = range(1, 61)
SECONDS = range(902, 1799)  # AVA's keyframes of a video
FORMATS = {"csv": {}, "coarse csv": {"box": "%.03f", "score": "%.04f"}}


def keyframes(videos: int) -> list[tuple[str, float]]:
    """Video name and second of all keyframes."""
    return [(f"vid{n:08d}", float(second)) for n in range(videos) for second in SECONDS]


def make_truth(frames: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Random ground truth: about 1.3 people per keyframe with 2.4 actions each.

    Returns:
      Keyframe index `(n,)`, boxes `(n, 4)` and class ids `(n,)` of the rows.
    """
    person_frame = np.repeat(np.arange(frames), rng.poisson(1.3, frames))
    corner, size = rng.random((2, len(person_frame), 2))
    boxes = np.concatenate([corner * 0.6, corner * 0.6 + 0.1 + 0.3 * size], axis=1)
    person = np.repeat(np.arange(len(person_frame)), 1 + rng.poisson(1.4, len(person_frame)))
    actions = (60 * rng.random(len(person)) ** 3).astype(np.int32) + 1  # a few classes are frequent
    return person_frame[person], boxes[person].round(3), actions


def make_proposals(
    truth: tuple[np.ndarray, ...], frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random proposals: slightly displaced people, and false positives.

    Returns:
      Keyframe index `(M,)`, boxes `(M, 4)` and scores `(M, 60)`, sorted by keyframe.
    """
    truth_frame, truth_boxes, actions = truth
    people, person = np.unique(
        np.column_stack([truth_frame, truth_boxes]), axis=0, return_inverse=True
    )
    false = frames * 8 // 5
    frame = np.concatenate([people[:, 0], rng.integers(0, frames, false)]).astype(np.int32)
    boxes = np.concatenate([people[:, 1:], people[rng.integers(0, len(people), false), 1:]])
    boxes = (boxes + rng.normal(0, 0.01, boxes.shape)).astype(np.float32)
    logits = rng.normal(-5, 1.5, (len(frame), len(CLASSES))).astype(np.float32)
    logits[person, actions - 1] += 3
    order = np.argsort(frame, kind="stable")
    return frame[order], boxes[order], (1 / (1 + np.exp(-logits)))[order]


def make(folder: Path, videos: int) -> None:
    """Writes the proposals as arrays and csv files, and the ground truth as a csv file."""
    rng = np.random.default_rng(0)
    names = keyframes(videos)
    truth = make_truth(len(names), rng)
    frame, boxes, scores = make_proposals(truth, len(names), rng)
    np.savez(folder / "proposals.npz", frame=frame, boxes=boxes, scores=scores)
    np.savez(folder / "truth.npz", frame=truth[0], boxes=truth[1], actions=truth[2])
    write_detections(folder / "truth.csv", ground_truth(folder, videos), box="%.3f", score="%d")
    for name, form in FORMATS.items():
        table = from_arrays(names, frame, boxes, scores, classes=CLASSES)
        write_detections(folder / f"{name}.csv", table, **form)


def ground_truth(folder: Path, videos: int) -> BoxTable:
    """Reads the ground truth; as in AVA's files, it has only keyframes with boxes."""
    truth, names = np.load(folder / "truth.npz"), keyframes(videos)
    kept, frame = np.unique(truth["frame"], return_inverse=True)
    named = [names[number] for number in kept.tolist()]
    return BoxTable(named, frame, truth["boxes"], truth["actions"], np.ones(len(frame)))


def measure(what: str, rules: str, folder: Path, videos: int) -> dict:
    """Runs one evaluation; returns seconds, mAP, and the process's peak memory in GB."""
    if what in FORMATS:
        begin = time.perf_counter()
        result = evaluate_files(folder / f"{what}.csv", folder / "truth.csv", rules=rules)
    else:
        data, truth = dict(np.load(folder / "proposals.npz")), ground_truth(folder, videos)
        if what == "uniform":
            data["scores"] = np.full_like(data["scores"], 0.5)
        begin = time.perf_counter()
        table = from_arrays(keyframes(videos), **data, classes=CLASSES)
        result = evaluate(table, truth, classes=CLASSES, rules=rules)
    seconds = time.perf_counter() - begin
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return dict(what=what, rules=rules, seconds=seconds, peak_gb=peak / 1e6, map=result["map"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=64,
                        help="number of videos, with 897 keyframes each [%(default)s]")
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file")
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, options.videos)
        count = np.load(folder / "proposals.npz")["scores"].size
        rows = len(np.load(folder / "truth.npz")["frame"])
        print(f"{count:,} detections, {rows:,} rows of ground truth")
        print(f"{'input':<12}{'rules':<12}{'seconds':>8}{'peak GB':>9}{'mAP':>9}")
        for what in ("arrays", *FORMATS, "uniform"):
            for rules in ("official", "pyslowfast"):
                with processes.Pool(1) as pool:
                    result = pool.apply(measure, (what, rules, folder, options.videos))
                results.append(result)
                print(f"{what:<12}{rules:<12}{result['seconds']:8.1f}{result['peak_gb']:9.2f}"
                      f"{result['map']:9.4f}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
