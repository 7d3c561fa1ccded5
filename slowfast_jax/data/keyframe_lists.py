"""From a config to its keyframes with boxes, and the ground truth to evaluate against."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.sources import ava, ava_kinetics, box_tables
from data_pipelines.sources.keyframes import ANNOTATED_OVERHANG, Keyframe
from data_pipelines.sources.record_lists import keyframes_in_records
from data_pipelines.text_files import first_few
from data_pipelines.video.image_files import FrameFiles
from slowfast_jax.config import ConfigError, closest
from slowfast_jax.config.classes import named_by_config
from slowfast_jax.config.problems import Problems
from slowfast_jax.data.video_files import check_frames, check_videos
from slowfast_jax.data.video_lists import data_root
from slowfast_jax.metrics.ava import every
from slowfast_jax.metrics.ava_files import BoxTable, join, read_ground_truth

SECONDS_APART = 4  # from one keyframe to the next in the evaluation during training


class Keyframes(NamedTuple):
    """The keyframes of a subset, and the files they come from.

    files: the tables, first the one with the keyframes. names: of all classes; class k is the
    action k + 1. evaluated: ids of the actions that are evaluated. ground_truth, excluded: what to
    evaluate against, and the moments to leave out; None and empty in training.
    """

    keyframes: list[Keyframe]
    files: list[Path]
    names: list[str]
    evaluated: tuple[int, ...]
    ground_truth: BoxTable | None
    excluded: set[tuple[str, float]]


def find_keyframes(
    config: ConfigDict, workdir: str | os.PathLike | None, subset: str, *, look: bool = False
) -> Keyframes:
    """Finds the keyframes of a subset: "train", "val" (evaluated during training) or "test".

    look: whether to look for the videos that the keyframes need, see `check_videos`.

    Raises:
      ConfigError: the data format does not exist, or fields do not fit the data.
      FileNotFoundError, ValueError: a table does not exist or is invalid; names file and line.
    """
    data = config.data
    if data.format not in READERS:
        raise ConfigError(
            f"config.data.format is {data.format}; expected one of {', '.join(READERS)}"
            f"{closest(data.format, READERS)}"
        )
    found = READERS[data.format](config, data_root(config, workdir), subset, look)
    most = max(len(keyframe.boxes) for keyframe in found.keyframes)
    if most > data.max_boxes:
        raise ConfigError(
            f"config.data.max_boxes is {data.max_boxes}, but a keyframe of {found.files[0]} has "
            f"{most} boxes: set it to {most} or more"
        )
    return found


def _ava(config: ConfigDict, root: Path, subset: str, look: bool) -> Keyframes:
    data, folder = config.data, root / config.data.annotation_dir
    problems = Problems()
    label_map = folder / data.label_map
    evaluated: dict[int, str] = {}
    names: list[str] = []
    with problems.noted():
        evaluated = _evaluated(label_map, config.model.num_classes)
    with problems.noted():
        names = named_by_config(config) or [
            evaluated.get(action, f"action {action}")
            for action in range(1, config.model.num_classes + 1)
        ]
    apart = 1 if subset != "val" or data.full_test_on_val else SECONDS_APART
    parts = []
    if data.train_gt_box_lists + data.train_box_lists if subset == "train" else data.test_box_lists:
        with problems.noted():
            parts.append(_films(config, root, subset, apart, look))
    if data.kinetics_dir:
        with problems.noted():
            parts.append(_kinetics(config, root, subset, apart))
    excluded = set()
    if data.exclusions and subset != "train":
        with problems.noted():
            excluded = ava.read_exclusions(folder / data.exclusions)
    problems.raise_each()
    if not parts:
        raise ConfigError(
            f"config.data names no tables of boxes for {subset}: set "
            + ("train_gt_box_lists" if subset == "train" else "test_box_lists")
            + " or kinetics_dir"
        )
    keyframes, files, truths = (list(column) for column in zip(*parts, strict=True))
    keyframes, files = sum(keyframes, []), sum(files, [])
    if subset == "train":
        return Keyframes(keyframes, files, names, tuple(evaluated), None, set())
    ground_truth = join(truths)
    if apart > 1:
        ground_truth = every(ground_truth, apart)
    files.append(label_map)
    if data.exclusions:
        files.append(folder / data.exclusions)
    return Keyframes(keyframes, files, names, tuple(evaluated), ground_truth, excluded)


def _evaluated(label_map: Path, classes: int) -> dict[int, str]:
    evaluated = ava.read_label_map(label_map)
    if max(evaluated) > classes:
        raise ConfigError(
            f"{label_map} has action {max(evaluated)}, but the network has {classes} classes: set "
            f"config.model.num_classes={max(evaluated)} or more"
        )
    return evaluated


def _films(
    config: ConfigDict, root: Path, subset: str, apart: int, look: bool
) -> tuple[list[Keyframe], list[Path], BoxTable | None]:
    """Keyframes of AVA's films, their files, and the ground truth (None in training)."""
    data, folder = config.data, root / config.data.annotation_dir
    annotated, predicted = (), data.test_box_lists
    if subset == "train":
        annotated, predicted = data.train_gt_box_lists, data.train_box_lists
    tables = [folder / name for name in (*annotated, *predicted)]
    problems = Problems()
    boxes = sources = ground_truth = None
    with problems.noted():
        boxes = ava.read_boxes(
            tables[: len(annotated)], tables[len(annotated):],
            score_threshold=data.score_threshold, num_classes=config.model.num_classes,
            seconds=data.keyframe_seconds, every=apart,
        )
    files, truth = tables, folder / data.ground_truth
    if subset != "train":
        files = [*tables, truth]
        with problems.noted():
            ground_truth = _ground_truth(truth, config.model.num_classes)
    if data.record_dir:
        records = root / data.record_dir / _list_of(config, subset)
        files.insert(len(tables), records)
    else:
        with problems.noted():
            sources = _ava_sources(config, root, subset, boxes or ())
    problems.raise_each()
    if data.record_dir:
        keyframes = keyframes_in_records(boxes, records)
    else:
        keyframes = ava.keyframes(boxes, sources, origin=data.first_frame_second, fps=data.fps)
        if look:
            check_frames([
                source for source in map(sources.get, boxes) if isinstance(source, FrameFiles)
            ])
    if look:
        check_videos(keyframes, files[0], config)
    return keyframes, files, ground_truth


def _kinetics(
    config: ConfigDict, root: Path, subset: str, apart: int
) -> tuple[list[Keyframe], list[Path], BoxTable | None]:
    """As `_films`, for the Kinetics clips that AVA-Kinetics annotates."""
    data, folder = config.data, root / config.data.annotation_dir
    training = subset == "train"
    truths = [folder / name for name in (data.train_kinetics if training else data.val_kinetics)]
    predicted = [] if training else [folder / name for name in data.kinetics_box_lists]
    boxes = ava.read_boxes(
        () if predicted else truths, predicted, score_threshold=data.score_threshold,
        num_classes=config.model.num_classes, seconds=None, every=apart,
    )
    keyframes = ava_kinetics.keyframes(
        boxes, root / data.kinetics_dir, keep_missing=not training
    )
    if training:
        return keyframes, truths, None
    truth = join([_ground_truth(path, config.model.num_classes) for path in truths])
    return keyframes, [*predicted, *truths], truth


def _ground_truth(path: Path, num_classes: int) -> BoxTable:
    """Reads what to evaluate against, with the checks that `ava.read_boxes` makes of its tables."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such table of the ground truth; check data.root, data.annotation_dir and "
            "data.ground_truth"
        )
    table = read_ground_truth(path)
    outside = abs(table.boxes - 0.5) > 0.5 + ANNOTATED_OVERHANG
    for rows, expected in (
        ((table.actions < 1) | (table.actions > num_classes),
         f"an action within 1..{num_classes} (the number of classes is model.num_classes)"),
        (outside.any(1), "fractions x1,y1,x2,y2 of the frame"),
    ):
        if rows.any():
            row = int(rows.argmax())
            video, time = table.keyframes[table.frame[row]]
            box = ",".join(f"{value:g}" for value in table.boxes[row])
            raise ValueError(
                f"{path}: {rows.sum()} of {len(rows)} rows are invalid; the first is "
                f"{video},{time:g},{box},{table.actions[row]}; expected {expected}"
            )
    return table


def _ava_sources(config: ConfigDict, root: Path, subset: str, boxes: Iterable[str]) -> dict:
    """Videos by name: files in data.video_dir, frames of a list, or folders of frames."""
    data = config.data
    if data.video_dir:
        return ava.find_sources(root / data.video_dir, boxes)
    if data.frame_list_dir:
        path = root / data.frame_list_dir / _list_of(config, subset)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such list of frames; for video files, set --config.data.video_dir to "
                f"their folder in {root}; for frames without lists, --config.data.frame_list_dir=; "
                "for lists elsewhere, config.data.frame_list_dir and config.data."
                f"{'train_list' if subset == 'train' else 'test_list'}"
            )
        return ava.read_frame_list(path, path_prefix=root / data.frame_dir)
    return ava.find_sources(root / data.frame_dir, boxes)


def _list_of(config: ConfigDict, subset: str) -> str:
    return config.data.train_list if subset == "train" else config.data.test_list


def _boxes(config: ConfigDict, root: Path, subset: str, look: bool) -> Keyframes:
    """Custom tables of boxes. "val" equals "test": it is evaluated at the moments of its table."""
    data, folder = config.data, root / config.data.video_dir
    files = {
        field: [root / name for name in data[field]]
        for field in ("train_boxes", "test_boxes", "test_detections")
    }
    names, annotated = named_by_config(config), files["train_boxes"]
    tables = files["train_boxes" if subset == "train" else "test_boxes"]
    if not names and (subset == "train" or all(path.is_file() for path in annotated)):
        # Bad rows of the tables that are read below are reported there.
        on_bad_row = (lambda error: None) if tables == annotated else None
        names = box_tables.find_actions(annotated, on_bad_row)
    elif not names:
        raise ConfigError(
            "the classes are the actions of config.data.train_boxes, which was not found "
            f"({_join(annotated)}): set config.data.root, or config.class_names to a "
            "file with one name per line"
        )
    problems, keyframes = Problems(), []
    if len(names) != config.model.num_classes:
        with problems.noted():
            raise ConfigError(
                f"{_join(annotated)} has {len(names)} actions ({first_few(names)}), but the "
                f"network has {config.model.num_classes} classes: set "
                f"--config.model.num_classes={len(names)}"
            )
    options = dict(
        folder=folder, class_names=names, origin=data.first_frame_second, fps=data.fps
    )
    with problems.noted():
        keyframes, _ = box_tables.read_tables(tables, **options)
    if subset != "train" and files["test_detections"]:
        with problems.noted():
            found, _ = box_tables.read_tables(
                predicted=files["test_detections"], score_threshold=data.score_threshold, **options
            )
    problems.raise_each()
    if look:
        check_videos(keyframes, tables[0], config)
    evaluated = tuple(range(1, len(names) + 1))
    if subset == "train":
        return Keyframes(keyframes, tables, names, evaluated, None, set())
    ground_truth = to_table(keyframes)
    if files["test_detections"]:
        keyframes = _at_moments_of(found, keyframes, files)
        tables = [*files["test_detections"], *tables]
    return Keyframes(keyframes, tables, names, evaluated, ground_truth, set())


def to_table(keyframes: Sequence[Keyframe]) -> BoxTable:
    """Annotated boxes as ground truth, with one row for each action of each box."""
    rows = [
        (number, box, label + 1)
        for number, keyframe in enumerate(keyframes)
        for box, labels in zip(keyframe.boxes, keyframe.labels, strict=True)
        for label in labels
    ]
    frame, boxes, actions = zip(*rows, strict=True) if rows else ((), (), ())
    return BoxTable(
        [(keyframe.video, keyframe.time) for keyframe in keyframes],
        np.array(frame, np.int32), np.array(boxes, np.float32).reshape(-1, 4),
        np.array(actions, np.int32), np.ones(len(rows)),
    )


def _at_moments_of(
    detected: list[Keyframe], annotated: list[Keyframe], files: dict[str, list[Path]]
) -> list[Keyframe]:
    """The detected keyframes at annotated moments; there is no ground truth for the others."""
    moments = {(keyframe.video, keyframe.time) for keyframe in annotated}
    kept = [keyframe for keyframe in detected if (keyframe.video, keyframe.time) in moments]
    if not kept:
        raise ConfigError(
            f"no moment of {_join(files['test_detections'])} (for example {detected[0].video} at "
            f"{detected[0].time:g}) is in {_join(files['test_boxes'])} (for example "
            f"{annotated[0].video} at {annotated[0].time:g}); detect persons at annotated moments"
        )
    logging.info(
        "%d of %d annotated moments have detected boxes; %d other moments are dropped",
        len(kept), len(moments), len(detected) - len(kept),
    )
    return kept


def _join(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths)) or "no table"


READERS: dict[str, Callable[[ConfigDict, Path, str, bool], Keyframes]] = {
    "ava": _ava, "boxes": _boxes,
}
