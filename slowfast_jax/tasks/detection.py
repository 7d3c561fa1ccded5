"""Action detection as on AVA: classifies what each person does, given boxes at a keyframe."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.labels import unnamed
from data_pipelines.loading.batches import Examples
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.text_files import counted
from data_pipelines.video.image_files import Pictures
from slowfast_jax import distributed
from slowfast_jax.config import ConfigError
from slowfast_jax.config.class_weights import weights_of
from slowfast_jax.data.keyframe_lists import Keyframes, find_keyframes
from slowfast_jax.data.keyframe_loader import keyframe_loader
from slowfast_jax.inference.box_scores import BoxScores, score_boxes
from slowfast_jax.inference.features import Options
from slowfast_jax.inference.predict_step import Predictor
from slowfast_jax.inference.timeline import length_of
from slowfast_jax.metrics import ava
from slowfast_jax.metrics.ava_files import BoxTable, from_arrays, write_detections
from slowfast_jax.progress import track
from slowfast_jax.report import detection
from slowfast_jax.tasks.base import Task
from slowfast_jax.tasks.result import Extracted, TestResult
from slowfast_jax.tasks.saved_scores import average_of_boxes
from slowfast_jax.tasks.unfinished import Unfinished, key_of
from slowfast_jax.training.losses import LOSSES
from slowfast_jax.training.step import Batch, Metrics


class Detection(Task):
    """Classifies the actions of people in boxes at the keyframe in the middle of a clip."""

    headline = "map"

    def find(self, subset: str, workdir: str | os.PathLike | None) -> Keyframes:
        """The keyframes of a subset; "val" is every fourth second of the test set, and every
        second with config.data.full_test_on_val."""
        return find_keyframes(self.config, workdir, subset, look=True)

    def training_examples(self, found: Keyframes) -> tuple[Examples, list[str]]:
        """The training keyframes and the class names."""
        keyframes = found.keyframes
        self.class_weights = weights_of(
            self.config, lambda: (labels for keyframe in keyframes for labels in keyframe.labels)
        )
        load = keyframe_loader(self.config, keyframes, self.config.protocol.train_crop)
        return Examples(len(keyframes), load, lambda i: name_of(keyframes[i])), found.names

    def batch_shapes(self, rows: int, crop: int) -> dict[str, jax.ShapeDtypeStruct]:
        boxes, protocol = self.config.data.max_boxes, self.config.protocol
        classes = self.config.model.num_classes
        return {
            "clip": jax.ShapeDtypeStruct((rows, protocol.num_frames, crop, crop, 3), np.uint8),
            "boxes": jax.ShapeDtypeStruct((rows, boxes, 4), np.float32),
            "box_mask": jax.ShapeDtypeStruct((rows, boxes), bool),
            "label": jax.ShapeDtypeStruct((rows, boxes, classes), np.float32),
        }

    def objective(
        self, logits: jax.Array, endpoints: dict[str, jax.Array], batch: Batch
    ) -> tuple[jax.Array, Metrics]:
        """The mean loss over all boxes of the batch, padding excluded."""
        loss = LOSSES[self.config.train.loss]
        return loss(logits, batch["label"], batch["box_mask"], **self.loss_options), {}

    def validate(
        self,
        predictor: Predictor,
        variables: Mapping[str, Any],
        extra: Any,
        found: Keyframes,
    ) -> dict[str, Any]:
        """Frame-mAP in percent on the keyframes of the validation set."""
        predict = partial(predictor, variables)
        scores, failed = _score(
            self.config, predict, found.keyframes, Unfinished(None, ""), "validation"
        )
        for failure in failed if distributed.first() else ():
            logging.error("failed: %s: %s", failure["path"], failure["reason"])
        return metrics(found, scores, self.config.data.evaluator)[0]

    def test(
        self,
        recognizer: Any,
        found: Keyframes,
        workdir: str | os.PathLike | None,
        save_scores: bool = False,
    ) -> TestResult:
        """Scores all boxes of all keyframes; writes `workdir`/detections.csv in AVA's format.

        With `save_scores`, `workdir`/scores.npz holds the scores (B, K), coordinates (B, 4) and
        keyframe index (B,) of all boxes, and the video and time of each keyframe.
        """
        config = self.config
        _check_names(recognizer.class_names, found)
        keyframes = found.keyframes
        boxes = sum(len(keyframe.boxes) for keyframe in keyframes)
        logging.info(
            "%s: %s of %s with %s", config.name, counted(len(keyframes), "keyframe"),
            found.files[0], counted(boxes, "box"),
        )
        start = time.perf_counter()
        key = "" if workdir is None else key_of(recognizer, [*map(name_of, keyframes)])
        with Unfinished(workdir, key) as unfinished:
            scores, failed = _score(config, recognizer, keyframes, unfinished, "testing")
        scored = len(keyframes) - len(unfinished.known)
        timing = {"seconds": time.perf_counter() - start}
        timing["keyframes_per_second"] = scored / timing["seconds"]
        results, table = {}, None
        if scores:
            results, table = metrics(found, scores, config.data.evaluator)
        if workdir is not None and table is not None and distributed.first():
            Path(workdir).mkdir(parents=True, exist_ok=True)
            write_detections(Path(workdir) / "detections.csv", table)
            if save_scores:
                used = sorted(scores)
                np.savez(
                    Path(workdir) / "scores.npz",
                    scores=np.concatenate([scores[i] for i in used]),
                    boxes=np.concatenate([keyframes[i].boxes for i in used]),
                    keyframe=np.repeat(used, [len(keyframes[i].boxes) for i in used]),
                    video=[keyframe.video for keyframe in keyframes],
                    time=[keyframe.time for keyframe in keyframes],
                )
        return TestResult(
            files=found.files,
            ids=[name_of(keyframe) for keyframe in keyframes],
            images=any(isinstance(keyframe.source, Pictures) for keyframe in keyframes),
            metrics=results,
            rows=[],
            failed=failed,
            timing=timing,
            unit="keyframes",
        )

    def combine(
        self, files: Sequence[str | os.PathLike], workdir: str | os.PathLike | None
    ) -> dict[str, Any]:
        """Metrics of the mean scores of several tests of the same boxes, from their scores.npz."""
        found = self.find("test", workdir)
        moments = [(keyframe.video, keyframe.time) for keyframe in found.keyframes]
        scores = average_of_boxes(files, moments, found.files[0], self.config.model.num_classes)
        return metrics(found, scores, self.config.data.evaluator)[0]

    def videos(self, found: Keyframes) -> list[str]:
        """The names of the videos that have keyframes."""
        return [keyframe.video for keyframe in found.keyframes]

    def extract(
        self, recognizer: Any, found: Keyframes, names: Sequence[str], options: Options
    ) -> Iterator[Extracted]:
        """Features (B, ..., C) of all boxes of each video, from the clips around its keyframes.

        "time" (B,) is the second of the keyframe as the tables count, "start" and "end" are those
        of its clip, and "boxes" (B, 4) are fractions of the picture.
        """
        moments: dict[str, list[Keyframe]] = {name: [] for name in names}
        for keyframe in found.keyframes:
            if keyframe.video in moments:
                moments[keyframe.video].append(keyframe)
        keyframes = [keyframe for part in moments.values() for keyframe in part]
        predict = partial(
            recognizer.clip_features, endpoint=options.endpoint, whole=options.whole
        )
        done: dict[str, dict[int, BoxScores]] = {}  # videos of which a part is extracted
        for result in _scored(self.config, predict, keyframes):
            name = keyframes[result.index].video
            results = done.setdefault(name, {})
            results[result.index] = result
            if len(results) == len(moments[name]):
                results = [results[index] for index in sorted(done.pop(name))]
                errors = [result.error for result in results if result.error]
                rows = [result.scores for result in results]
                arrays = {} if errors else _feature_arrays(self.config, moments[name], rows)
                yield Extracted(name, arrays | {"endpoint": options.endpoint}, errors)

    def report(self, workdir: str | os.PathLike) -> dict[str, Any]:
        return detection.report(self.config, workdir)


def _check_names(names: Sequence[str], found: Keyframes) -> None:
    """ConfigError if the network's class names differ from the data's, or in their order."""
    if names in (found.names, unnamed(len(names))):
        return
    pairs = zip(names, found.names, strict=True)
    first = next(i for i, (stored, wanted) in enumerate(pairs) if stored != wanted)
    raise ConfigError(
        f"class {first + 1} of the network is {names[first]!r}, but in {found.files[0]} it is "
        f"{found.names[first]!r}: set config.class_names to the classes it was trained on"
    )


def _feature_arrays(
    config: ConfigDict, keyframes: Sequence[Keyframe], rows: Sequence[np.ndarray]
) -> dict[str, Any]:
    """The arrays of a video's file; `rows` has the features of the boxes of each keyframe."""
    protocol = config.protocol
    fps = keyframes[0].fps or length_of(keyframes[0].source, protocol.target_fps)[1]
    half = protocol.num_frames * protocol.sampling_rate / fps / 2
    time = np.repeat([k.time for k in keyframes], [len(k.boxes) for k in keyframes])
    return {
        "features": np.concatenate(rows), "start": time - half, "end": time + half, "fps": fps,
        "time": time, "boxes": np.concatenate([keyframe.boxes for keyframe in keyframes]),
    }


def _score(
    config: ConfigDict, predict: Callable[..., Any], keyframes: Sequence[Keyframe],
    unfinished: Unfinished, what: str,
) -> tuple[dict[int, np.ndarray], list[dict[str, Any]]]:
    """{keyframe index: (B, K) scores of its boxes}, and a record of each unreadable keyframe.

    what: name of the work, shown with its progress.
    """
    left = [index for index in range(len(keyframes)) if index not in unfinished.known]
    share = distributed.share(len(left))
    left = left[share.start : share.stop]
    scored = _scored(config, predict, [keyframes[index] for index in left])
    scores: dict[int, np.ndarray] = {}
    failed: list[dict[str, Any]] = []
    for result in track(scored, len(left), what):
        index = left[result.index]
        if result.error:
            name = name_of(keyframes[index])
            failed.append({"video_id": index, "path": name, "reason": result.error})
        else:
            scores[index] = result.scores
            unfinished.add(index, result.scores)
    parts = distributed.gather((scores, failed))
    scores = unfinished.known | {i: row for part, _ in parts for i, row in part.items()}
    return scores, [failure for _, part in parts for failure in part]


def _scored(
    config: ConfigDict, predict: Callable[..., Any], keyframes: Sequence[Keyframe]
) -> Iterator[BoxScores]:
    """What `predict` returns for the boxes of each keyframe."""
    load = keyframe_loader(config, keyframes, config.protocol.test_crop)
    loading = {}  # a published model has no config.train
    if "train" in config:
        loading = dict(threads=config.train.threads, workers=config.train.workers)
    return score_boxes(
        predict, load, len(keyframes), batch_size=config.test.batch_size, **loading
    )


def metrics(
    found: Keyframes, scores: Mapping[int, np.ndarray], rules: str
) -> tuple[dict[str, Any], BoxTable]:
    """Metrics in percent, and the table of detections that they are computed from.

    Args:
      found: the test set.
      scores: {keyframe index: (B, K) scores of its boxes} of the keyframes that could be read.
      rules: config.data.evaluator, see `metrics.ava.evaluate`.
    """
    used = sorted(scores)
    columns = [action - 1 for action in found.evaluated]
    table = from_arrays(
        [(found.keyframes[i].video, found.keyframes[i].time) for i in used],
        np.repeat(np.arange(len(used)), [len(scores[i]) for i in used]),
        np.concatenate([found.keyframes[i].boxes for i in used]),
        np.concatenate([scores[i] for i in used])[:, columns],
        classes=found.evaluated,
    )
    result = ava.evaluate(
        table, found.ground_truth, classes=found.evaluated, excluded=found.excluded,
        rules=rules,
    )
    per_class = {found.names[action - 1]: action for action in found.evaluated}
    in_percent = {
        "map": 100 * result["map"],
        "num_keyframes": len(used),
        "num_boxes": sum(len(scores[i]) for i in used),
        "per_class_ap": {
            name: 100 * result["ap"][action] for name, action in per_class.items()
            if not math.isnan(result["ap"][action])
        },
        "per_class_boxes": {
            name: result["num_gt"][action] for name, action in per_class.items()
        },
    }
    return in_percent, table


def name_of(keyframe: Keyframe) -> str:
    """What a keyframe is called in messages and results."""
    return f"{keyframe.video} at {keyframe.time:g} s"
