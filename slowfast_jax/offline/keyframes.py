"""Keyframes with boxes: each keyframe is an input with one row of scores per box."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.atomic_files import whole
from data_pipelines.sources.keyframes import Keyframe
from slowfast_jax.config import ConfigError
from slowfast_jax.data.keyframe_lists import Keyframes
from slowfast_jax.data.keyframe_loader import keyframe_loader
from slowfast_jax.inference.box_scores import with_padding
from slowfast_jax.metrics.ava_files import BoxTable
from slowfast_jax.tasks import detection

UNIT = "keyframes"
DTYPES = {"clip": "uint8", "boxes": "float32"}
TRUTH = "ground_truth.npz"


def options(config: ConfigDict) -> dict[str, Any]:
    """What the inputs depend on, apart from the list."""
    protocol, data = config.protocol, config.data
    return {key: protocol[key] for key in ("num_frames", "sampling_rate", "test_crop")} | {
        key: data[key] for key in ("fps", "first_frame_second", "test_flip")
    }


def views_per_example(config: ConfigDict) -> int:
    """0: keyframes have no views, only a single clip."""
    return 0


def entries(found: Keyframes) -> list[dict[str, Any]]:
    """What the index says about each keyframe: its moment and its boxes as fractions."""
    return [
        {"video": keyframe.video, "time": keyframe.time, "boxes": keyframe.boxes.tolist()}
        for keyframe in found.keyframes
    ]


def name_of(found: Keyframes, index: int) -> str:
    """What a keyframe is called in messages."""
    return detection.name_of(found.keyframes[index])


def label_of(found: Keyframes, index: int) -> dict[str, Any]:
    """The classes of each box, () for those of a person detector."""
    return {"labels": [list(labels) for labels in found.keyframes[index].labels]}


def loader(
    config: ConfigDict, found: Keyframes, box_rows: int | None
) -> Callable[[int], Iterator[dict[str, np.ndarray]]]:
    """A function `load(index)` that yields the inputs of a keyframe, unless it has no box.

    They are the clip, uint8 (1, T, H, W, 3), and the boxes, float32 (1, B, 4) x1, y1, x2, y2 in its
    pixels. box_rows: B, of which those after the boxes are the whole frame; None: no padding.

    Raises:
      ConfigError: a keyframe has more boxes.
    """
    most = max(len(keyframe.boxes) for keyframe in found.keyframes)
    if box_rows is not None and box_rows < most:
        raise ConfigError(
            f"--boxes is {box_rows}, but a keyframe of {found.files[0]} has {most}: pass "
            f"--boxes {most} or more"
        )
    load_keyframe = keyframe_loader(config, found.keyframes, config.protocol.test_crop)

    def load(index: int) -> Iterator[dict[str, np.ndarray]]:
        loaded = load_keyframe(index, None)
        count = len(found.keyframes[index].boxes)
        rows = box_rows or count
        boxes, present = np.zeros((rows, 4), np.float32), np.arange(rows) < count
        boxes[:count] = loaded["boxes"][:count]
        if count:
            clip = loaded["clip"][None]
            yield {"clip": clip, "boxes": with_padding(boxes, present, clip.shape)[None]}

    return load


def least_bytes(config: ConfigDict) -> int:
    """The least size of a keyframe's clip, which is known when its video is open."""
    return config.protocol.num_frames * config.protocol.test_crop**2 * 3


def write_truth(folder: Path, found: Keyframes) -> None:
    """Writes what detections are evaluated against."""
    truth, excluded = found.ground_truth, sorted(found.excluded)
    videos, times = zip(*truth.keyframes, strict=True)
    with whole(folder / TRUTH) as part, part.open("wb") as file:
        np.savez(
            file, evaluated=found.evaluated, video=videos, time=times, frame=truth.frame,
            boxes=truth.boxes, actions=truth.actions, scores=truth.scores,
            excluded_video=[video for video, _ in excluded] or np.zeros(0, str),
            excluded_time=[time for _, time in excluded],
        )


def class_names(config: ConfigDict, found: Keyframes) -> list[str]:
    """Names of the K classes, those that are not evaluated included."""
    return found.names


def rows_of(entry: Mapping[str, Any]) -> int:
    """Rows of the scores of one input, those of padding included."""
    return entry["shapes"]["boxes"][1]


def metrics(
    config: ConfigDict, folder: Path, index: Mapping[str, Any],
    scores: Sequence[Sequence[np.ndarray]],
) -> dict[str, Any]:
    """Metrics in percent; scores: for each entry of the index, (B, K) or nothing without boxes."""
    keyframes, classes = index["examples"], len(index["classes"])
    if not keyframes:
        return {}
    found = _test_set(folder, index)
    by_keyframe = {
        i: rows[0][: len(keyframes[i]["boxes"])] if rows else np.zeros((0, classes), np.float32)
        for i, rows in enumerate(scores)
    }
    return detection.metrics(found, by_keyframe, config.data.evaluator)[0]


def _test_set(folder: Path, index: Mapping[str, Any]) -> Keyframes:
    """The keyframes of the index without their videos, and the ground truth."""
    keyframes = [
        Keyframe(
            entry["video"], entry["time"], "", 0.0, 0.0,
            np.array(entry["boxes"], np.float32).reshape(-1, 4), (), np.ones(len(entry["boxes"])),
        )
        for entry in index["examples"]
    ]
    with np.load(folder / TRUTH) as stored:
        truth = BoxTable(
            list(zip(stored["video"].tolist(), stored["time"].tolist(), strict=True)),
            stored["frame"], stored["boxes"], stored["actions"], stored["scores"],
        )
        excluded = zip(
            stored["excluded_video"].tolist(), stored["excluded_time"].tolist(), strict=True
        )
        return Keyframes(
            keyframes, [folder / TRUTH], index["classes"], tuple(stored["evaluated"].tolist()),
            truth, set(excluded),
        )
