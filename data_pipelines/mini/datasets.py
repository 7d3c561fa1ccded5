"""Writes small generated data sets in the formats of real ones, for tests and `:mini` recipes.

The same arguments yield the same pictures.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.mini import ava_scenes
from data_pipelines.mini.motions import Step
from data_pipelines.progress import track
from data_pipelines.sources.frame_lists import HEADER
from data_pipelines.video.encoding import write_video

# Mirroring a clip, as training does, does not change any of these classes.
CLASS_NAMES = ("falling down", "getting up", "holding an arm up", "waving")
SHAPE_NAMES = ("moving sideways", "moving up and down", "circling", "growing and shrinking")
SSV2_TEMPLATES = (
    "Moving [something] sideways", "Moving [something] up and down", "Circling with [something]",
    "[Something] growing and shrinking",
)
IMAGENET_CLASSES = ("n00000001", "n00000002", "n00000003", "n00000004")

DETECTIONS = {  # tables of predicted boxes, in annotations/
    "train": "person_box_67091280_iou90/"
    "ava_detection_train_boxes_and_labels_include_negative_v2.2.csv",
    "val": "person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv",
}
# With mbtree, x264's output differs from run to run at some widths on processors with AVX-512.
REPEATABLE = {"preset": "veryfast", "crf": "25", "mbtree": "0", "threads": "1"}


def write_ava(
    directory: str | os.PathLike,
    *,
    seed: int,
    train_videos: int = 160,
    val_videos: int = 24,
    seconds: int = 12,
    fps: int = 15,
    height: int = 96,
    width: int = 128,
) -> None:
    """Writes small videos of moving figures in the layout of AVA, one in place of each film.

    The videos are videos/train_000.mp4 and so on (H.264; the first frame is at second 900). The
    folder annotations holds AVA's files of version 2.2: ava_train_v2.2.csv, ava_val_v2.2.csv, their
    excluded timestamps, the label maps of annotation and evaluation (both with all classes), and in
    person_box_67091280_iou90 the boxes of a simulated person detector, for training with actions.
    Every second from 902 on is annotated.

    Mirroring changes some classes, so train without flips.

    Args:
        directory: folder to write to.
        seed: the same seed yields the same data.
        train_videos, val_videos: number of videos.
        seconds: duration of each video.
        fps: frames per second.
        height, width: size in pixels.
    """
    directory = Path(directory)
    annotations = directory / "annotations"
    (directory / "videos").mkdir(parents=True, exist_ok=True)
    (annotations / DETECTIONS["val"]).parent.mkdir(parents=True, exist_ok=True)
    for split, (name, count) in enumerate((("train", train_videos), ("val", val_videos))):
        truth, found, keyframes = [], [], []
        scenes = ava_scenes.plan_scenes(
            count, [seed, split], seconds=seconds, fps=fps, height=height, width=width
        )
        scenes = track(scenes, count, f"generating videos ({name})")
        for number, (scene, random) in enumerate(scenes):
            video = f"{name}_{number:03d}"
            for row in ava_scenes.annotate(scene):
                truth += [f"{_ava_box(video, row)},{action},{row.mark}\n" for action in row.ids]
            for row in ava_scenes.detect(scene, random):
                ids = row.ids if name == "train" and row.ids else ("",)
                found += [f"{_ava_box(video, row)},{action},{row.mark:.6f}\n" for action in ids]
            keyframes += [f"{video},{900 + s:04d}\n" for s in ava_scenes.keyframe_seconds(scene)]
            write_video(
                directory / "videos" / f"{video}.mp4", scene.pictures(random), fps=fps,
                options=REPEATABLE | {"g": str(fps)},
            )
        random = np.random.default_rng([seed, split])
        excluded = random.permutation(len(keyframes))[: -(-len(keyframes) // 50)]
        for file, lines in (
            (f"ava_{name}_v2.2.csv", truth),
            (f"ava_{name}_excluded_timestamps_v2.2.csv", [keyframes[n] for n in sorted(excluded)]),
            (DETECTIONS[name], found),
        ):
            (annotations / file).write_text("".join(lines), encoding="utf-8")
    kinds, evaluated = "", ""
    for number, (name, kind) in enumerate(ava_scenes.ACTIONS.values(), 1):
        kinds += f'label {{\n  name: "{name}"\n  label_id: {number}\n  label_type: {kind}\n}}\n'
        evaluated += f'item {{\n  name: "{name}"\n  id: {number}\n}}\n'
    for file, content in (("", kinds), ("_for_activitynet_2019", evaluated)):
        path = annotations / f"ava_action_list_v2.2{file}.pbtxt"
        path.write_text(content, encoding="utf-8")


def _ava_box(video: str, row: ava_scenes.LabeledBox) -> str:
    """Columns video, time and box of a row of AVA."""
    return f"{video},{900 + row.second:04d}," + ",".join(f"{edge:.3f}" for edge in row.box)


def moving_figure(
    label: int, random: np.random.Generator, *, frames: int, height: int, width: int, fps: int = 30
) -> Iterable[np.ndarray]:
    """Yields uint8 (H,W,3) frames of a figure that performs class `label` of CLASS_NAMES."""
    body, arm = (("fall", ""), ("get up", ""), ("stand", "raise"), ("stand", "wave"))[label]
    step = Step(frames / fps, body, arm, way=int(random.choice([-1, 1])))
    scene = ava_scenes.stage(
        [[(random.uniform(0.4, 0.6) * width, [step])]], random,
        size=random.uniform(0.55, 0.75) * height, begin=0, frames=frames, fps=fps,
        height=height, width=width,
    )
    return scene.pictures(random)


def moving_shape(
    label: int, random: np.random.Generator, *, frames: int, height: int, width: int
) -> Iterable[np.ndarray]:
    """Yields uint8 (H,W,3) frames of a colored shape that moves as class `label` of SHAPE_NAMES."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    slope = random.uniform(-60, 60, (2, 3))
    background = (
        random.uniform(60, 190, 3)
        + (rows / height - 0.5)[..., None] * slope[0]
        + (columns / width - 0.5)[..., None] * slope[1]
    )
    color = np.where(random.random(3) < 0.5, random.uniform(0, 50, 3), random.uniform(205, 255, 3))
    round_shape = random.random() < 0.5
    radius = min(height, width) * random.uniform(0.12, 0.2)
    center = np.array([height, width]) * random.uniform(0.42, 0.58, 2)
    reach = np.array([height, width]) * 0.28
    turn, period = random.uniform(0, 2 * np.pi), random.uniform(24, 48)
    for number in range(frames):
        angle = turn + 2 * np.pi * number / period
        wave = np.array([np.sin(angle), np.cos(angle)])
        away = {0: wave * [0, 1], 1: wave * [1, 0], 2: wave, 3: wave * 0}[label] * reach
        size = radius * (1 + 0.6 * np.sin(angle)) if label == 3 else radius
        down, right = np.abs(rows - center[0] - away[0]), np.abs(columns - center[1] - away[1])
        inside = np.hypot(down, right) < size if round_shape else np.maximum(down, right) < size
        picture = np.where(inside[..., None], color, background)
        noise = random.normal(0, 6, (height, width, 1))
        yield np.clip(picture + noise, 0, 255).astype(np.uint8)


def write_videos(
    directory: str | os.PathLike,
    *,
    count: int,
    seed: int,
    train_count: int = 24,
    frames: int = 64,
    height: int = 96,
    width: int = 128,
) -> Path:
    """Writes videos of one figure each, with lists in the format of Kinetics.

    The videos are videos/000.mp4 and so on for validation and test, and videos/train_000.mp4 and so
    on for training (H.264, 30 frames per second, classes in turn). The lists train.csv, val.csv and
    test.csv have rows `videos/000.mp4 label`; read them with path_prefix=directory. classes.txt
    names the classes, which differ only in motion.

    Args:
        directory: folder to write to.
        count: number of videos for validation and test.
        seed: the same seed yields the same pictures.
        train_count: number of videos for training.
        frames: frames of each video.
        height, width: size in pixels.

    Returns:
        The path of test.csv.
    """
    directory = Path(directory)
    (directory / "videos").mkdir(parents=True, exist_ok=True)
    for split, (prefix, number_of) in enumerate((("", count), ("train_", train_count))):
        rows = []
        what = f"generating videos ({'train' if prefix else 'val'})"
        for number in track(range(number_of), number_of, what):
            label, name = number % len(CLASS_NAMES), f"videos/{prefix}{number:03d}.mp4"
            pictures = moving_figure(
                label, np.random.default_rng([seed, split, number]),
                frames=frames, height=height, width=width,
            )
            write_video(
                directory / name, pictures,
                options={"preset": "ultrafast", "crf": "20", "threads": "1"},
            )
            rows.append(f"{name} {label}\n")
        for listed in ("train",) if prefix else ("val", "test"):
            (directory / f"{listed}.csv").write_text("".join(rows), encoding="utf-8")
    (directory / "classes.txt").write_text("\n".join(CLASS_NAMES) + "\n", encoding="utf-8")
    return directory / "test.csv"


def write_ssv2(
    directory: str | os.PathLike,
    *,
    count: int,
    seed: int,
    train_count: int = 8,
    frames: int = 24,
    height: int = 96,
    width: int = 128,
) -> None:
    """Writes videos in the format of Something-Something: frame files, lists and label files.

    The frames are frames/1/1_000001.jpg and so on, first of the videos for validation, then of
    those for training. The lists are val.csv and train.csv, whose paths start with frames/, and the
    label files are something-something-v2-labels.json, -validation.json and -train.json.

    Args:
        directory, count, seed, train_count, frames, height, width: as for `write_videos`.
    """
    directory = Path(directory)
    files = {"labels": {
        template.replace("[", "").replace("]", ""): str(number)
        for number, template in enumerate(SSV2_TEMPLATES)
    }}
    for split, numbers in _splits(count, train_count):
        rows, entries = [f"{HEADER}\n"], []
        for number in track(numbers, len(numbers), f"generating videos ({split})"):
            label, video = number % len(SSV2_TEMPLATES), str(number + 1)
            pictures = moving_shape(
                label, np.random.default_rng([seed, number]),
                frames=frames, height=height, width=width,
            )
            rows += _write_frames(directory, video, number, pictures, [()] * frames)
            entries.append({
                "id": video, "label": SHAPE_NAMES[label], "template": SSV2_TEMPLATES[label],
                "placeholders": ["a shape"],
            })
        (directory / f"{split}.csv").write_text("".join(rows), encoding="utf-8")
        files["validation" if split == "val" else split] = entries
    for name, content in files.items():
        path = directory / f"something-something-v2-{name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_charades(
    directory: str | os.PathLike,
    *,
    count: int,
    seed: int,
    train_count: int = 8,
    frames: int = 48,
    height: int = 96,
    width: int = 128,
) -> None:
    """Writes videos in the format of Charades: frame files, and lists with labels for each frame.

    Each video shows two classes one after the other, with frames of no class in between. The frames
    are frames/V0000/V0000-000001.jpg and so on, first of the videos for validation, in val.csv,
    then of those for training, in train.csv. Charades_v1_classes.txt names the classes.

    Args:
        directory, count, seed, train_count, frames, height, width: as for `write_videos`.
    """
    directory = Path(directory)
    third = frames // 3
    between = frames - 2 * third
    for split, numbers in _splits(count, train_count):
        rows = [f"{HEADER}\n"]
        for number in track(numbers, len(numbers), f"generating videos ({split})"):
            first = number % len(SHAPE_NAMES)
            second = (first + 1 + number // len(SHAPE_NAMES)) % len(SHAPE_NAMES)
            pictures, labels = [], []
            for label, length, of_frames in (
                (first, third, (first,)), (first, between, ()), (second, third, (second,))
            ):
                random = np.random.default_rng([seed, number, label])
                pictures += moving_shape(label, random, frames=length, height=height, width=width)
                labels += [of_frames] * length
            rows += _write_frames(
                directory, f"V{number:04d}", number, pictures, labels, between="-"
            )
        (directory / f"{split}.csv").write_text("".join(rows), encoding="utf-8")
    names = "".join(f"c{number:03d} {name}\n" for number, name in enumerate(SHAPE_NAMES))
    (directory / "Charades_v1_classes.txt").write_text(names, encoding="utf-8")


def write_imagenet(
    directory: str | os.PathLike,
    *,
    count: int,
    seed: int,
    train_count: int = 16,
    height: int = 96,
    width: int = 128,
) -> None:
    """Writes images in the layout of ImageNet: val/n00000001/*.JPEG and train/n00000001/*.JPEG.

    Classes take turns; they differ in direction and width of stripes.

    Args:
        directory: folder to write to.
        count: number of images for validation.
        seed: the same seed yields the same pictures.
        train_count: number of images for training.
        height, width: size in pixels.
    """
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    for split, numbers in _splits(count, train_count):
        for number in track(numbers, len(numbers), f"generating images ({split})"):
            label = number % len(IMAGENET_CLASSES)
            random = np.random.default_rng([seed, number])
            along = rows if label % 2 else columns
            wave = np.sin(along * (0.8 if label // 2 else 0.3) + random.uniform(0, 2 * np.pi))
            low, high = random.uniform(0, 100, 3), random.uniform(155, 255, 3)
            picture = np.where(wave[..., None] > 0, high, low)
            picture += random.normal(0, 6, (height, width, 1))
            path = Path(directory, split, IMAGENET_CLASSES[label], f"{split}_{number:08d}.JPEG")
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_jpeg(path, np.clip(picture, 0, 255).astype(np.uint8))


def _splits(count: int, train_count: int) -> tuple[tuple[str, range], ...]:
    """Numbers of the examples for validation and, following them, for training."""
    return ("val", range(count)), ("train", range(count, count + train_count))


def _write_frames(
    directory: Path,
    video: str,
    video_number: int,
    pictures: Iterable[np.ndarray],
    labels: Iterable[tuple[int, ...]],
    between: str = "_",
) -> list[str]:
    """Writes the frames of a video; returns their rows of a frame list."""
    rows = []
    for number, (picture, classes) in enumerate(zip(pictures, labels, strict=True)):
        name = f"frames/{video}/{video}{between}{number + 1:06d}.jpg"
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_jpeg(path, picture)
        text = ",".join(map(str, classes))
        rows.append(f'{video} {video_number} {number} {name} "{text}"\n')
    return rows


def _write_jpeg(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(path, "JPEG", quality=95)
