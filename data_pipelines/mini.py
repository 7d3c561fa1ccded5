"""Small generated videos that look a little like a data set, for tests and the `:mini` recipes."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# None changes its meaning when a clip is mirrored, as training does.
CLASS_NAMES = ("moving sideways", "moving up and down", "circling", "growing and shrinking")


def write_video(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    *,
    fps: Fraction | int = 30,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> None:
    """Encodes uint8 (H,W,3) RGB frames; the container follows from the suffix of `path`."""
    path = Path(path)
    index_first = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=index_first) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.pix_fmt = pixel_format
        for number, picture in enumerate(frames):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def moving_shape(
    label: int, random: np.random.Generator, *, frames: int, height: int, width: int
) -> Iterable[np.ndarray]:
    """Frames of a coloured shape that moves as class `label` says, on a noisy background."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    slope = random.uniform(-60, 60, (2, 3))
    background = (
        random.uniform(60, 190, 3)
        + (rows / height - 0.5)[..., None] * slope[0]
        + (columns / width - 0.5)[..., None] * slope[1]
    )
    colour = np.where(random.random(3) < 0.5, random.uniform(0, 50, 3), random.uniform(205, 255, 3))
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
        picture = np.where(inside[..., None], colour, background)
        noise = random.normal(0, 6, (height, width, 1))
        yield np.clip(picture + noise, 0, 255).astype(np.uint8)


def write_videos(
    directory: str | os.PathLike,
    *,
    count: int,
    seed: int,
    frames: int = 64,
    height: int = 96,
    width: int = 128,
) -> Path:
    """Writes `count` videos, the classes in turn, and the lists that go with them.

    In `directory` are afterwards videos/000.mp4 and so on (H.264, 30 frames a second), test.csv
    with rows `videos/000.mp4 label` (read it with path_prefix=directory) and classes.txt. The same
    arguments give the same pictures.

    Returns:
        The path of test.csv.
    """
    directory = Path(directory)
    (directory / "videos").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        label = number % len(CLASS_NAMES)
        name = f"videos/{number:03d}.mp4"
        pictures = moving_shape(
            label, np.random.default_rng([seed, number]), frames=frames, height=height, width=width
        )
        write_video(
            directory / name, pictures, options={"preset": "ultrafast", "crf": "20", "threads": "1"}
        )
        rows.append(f"{name} {label}\n")
    (directory / "classes.txt").write_text("\n".join(CLASS_NAMES) + "\n", encoding="utf-8")
    test_list = directory / "test.csv"
    test_list.write_text("".join(rows), encoding="utf-8")
    return test_list
