"""Randomly damaged videos are either read or reported as broken; nothing else may happen."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.video.encoding import write_video
from tests.data_pipelines.support.mutations import OF_VIDEOS, mutate
from tests.data_pipelines.support.watched import read_all
from tests.support.paths import REAL

KINDS = {
    "h264.mp4": dict(options={"preset": "ultrafast", "g": "5", "threads": "1"}),
    "bframes.mp4": dict(options={"bf": "3", "g": "8", "threads": "1"}),
    "h264.mkv": dict(options={"bf": "2", "g": "6", "threads": "1"}),
    "vp9.webm": dict(codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    "vp8.webm": dict(codec="libvpx", options={"deadline": "realtime", "cpu-used": "8"}),
    "mpeg4.avi": dict(codec="mpeg4"),
    "mjpeg.avi": dict(codec="mjpeg", pixel_format="yuvj420p"),
    "h264.ts": dict(options={"preset": "ultrafast", "g": "5", "threads": "1"}),
    "mpeg2.ts": dict(codec="mpeg2video"),
    "mpeg1.mpg": dict(codec="mpeg1video"),
    "flv1.flv": dict(codec="flv"),
    "ffv1.mkv": dict(codec="ffv1"),
    "h265.mp4": dict(
        codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none"}
    ),
    "prores.mov": dict(codec="prores_ks", pixel_format="yuv422p10le"),
    "gif.gif": dict(codec="gif", pixel_format="rgb8"),
}
IMAGES = (("jpg", "jpeg"), ("jpg", "jpeg"), ("png", "png"), ("gif", "gif"), ("webp", "webp"))
FRAMES = 16


def pictures(count: int = FRAMES) -> list[np.ndarray]:
    """Coarse moving noise."""
    random = np.random.default_rng(5)
    scene = random.integers(0, 256, (9, 12 + count, 3), dtype=np.uint8)
    return [scene[:, i : i + 8].repeat(8, 0).repeat(8, 1)[:48] for i in range(count)]


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    found = {}
    for name, keywords in KINDS.items():
        write_video(folder / name, pictures(), **keywords)
        found[name] = (folder / name).read_bytes()
    return found


def write_damaged(folder: Path, originals: dict[str, bytes], count: int, seed: int) -> list[Path]:
    """Writes `count` damaged files and folders of images; their names state the damage."""
    real = sorted((REAL / "videos").glob("*")) if REAL.is_dir() else []
    paths = []
    for number in range(count):
        random = np.random.default_rng([seed, number])
        if number % 20 == 19 and real:
            name = real[number // 20 % len(real)]
            done, content = mutate(name.read_bytes(), random, OF_VIDEOS)
            name = f"real{name.suffix}"
        elif number % 20 in (5, 15):
            paths.append(_damaged_images(folder / f"{number:05d} images", random))
            continue
        else:
            name = list(originals)[number % len(originals)]
            done, content = mutate(originals[name], random, OF_VIDEOS)
        paths.append(folder / f"{number:05d} {done} {name}")
        paths[-1].write_bytes(content)
    return paths


def _damaged_images(folder: Path, random: np.random.Generator) -> Path:
    """Frames as image files, one of them damaged."""
    suffix, kind = IMAGES[random.integers(len(IMAGES))]
    files = []
    for picture in pictures(6):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, kind)
        files.append(file.getvalue())
    victim = random.integers(len(files))
    done, files[victim] = mutate(files[victim], random, OF_VIDEOS)
    folder = folder.with_name(f"{folder.name} {done}")
    folder.mkdir()
    for number, content in enumerate(files):
        (folder / f"{number:03d}.{suffix}").write_bytes(content)
    return folder


@pytest.mark.parametrize("count", [150, pytest.param(3000, marks=pytest.mark.slow)])
def test_damaged_videos_are_read_or_reported(originals, tmp_path, count):
    paths = write_damaged(tmp_path, originals, count, seed=count)
    failures, outcomes = read_all("tests.data_pipelines.support.hostile_videos", paths)
    assert not failures, "\n".join(f"{name}: {text}" for name, text in failures.items())
    assert len(outcomes) == count
    # Both outcomes must occur, or the damage is too weak or too strong to test anything.
    readable = sum(text.count(": read") == 4 for text in outcomes.values())
    assert 0.15 < readable / count < 0.85
