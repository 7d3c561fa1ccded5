"""Reads video files and folders of images in every way that the project does; see watched.py."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.sources.video_lists import Sample
from data_pipelines.video import Video, decoding, stills
from data_pipelines.video.decoding import VideoError, VideoInfo
from data_pipelines.video.image_files import FrameFiles, frame_files
from tests.data_pipelines.support.watched import Wrong, serve

SIDE = 32
PROTOCOL = dict(num_frames=4, sampling_rate=2, target_fps=30.0)


def source_of(path: Path) -> Video:
    """The video of a file, or of a folder of images."""
    if not path.is_dir():
        return str(path)
    return frame_files(path.name, sorted(os.listdir(path)), path)


def _probe(source: Video) -> None:
    if isinstance(source, FrameFiles):
        return
    info = decoding.probe(source)
    numbers = info.frames, info.width, info.height, info.fps
    if min(numbers) <= 0 or not np.isfinite([info.fps, info.duration]).all():
        raise Wrong(f"probe gives {info}")


def _train(source: Video) -> None:
    frames = source if isinstance(source, FrameFiles) else None
    sample = Sample(str(source), 3, frames)
    for seed, mode in enumerate(("kinetics", "ssv2", "charades")):
        element = load_clip(
            sample, Sampling(**PROTOCOL, mode=mode), Augmentation(crop=SIDE, jitter=(SIDE, 40)),
            rng=np.random.default_rng(seed),
        )
        _check(element["clip"], (4, SIDE, SIDE, 3))


def _test(source: Video) -> None:
    clips = list(iterate_views(source, **PROTOCOL, clips=2, crops=3, test_crop=SIDE))
    _check(np.stack(clips), (2, 3, 4, SIDE, SIDE, 3))


def _look(source: Video) -> None:
    def choose(info: VideoInfo) -> list[int]:
        return sorted({0, info.frames // 2, info.frames - 1})

    _, pictures = stills.look(source, choose)
    _check(pictures, (len(pictures), *pictures.shape[1:3], 3))
    if not (1 <= len(pictures) <= 3 and 1 <= min(pictures.shape[1:3]) <= stills.LARGEST):
        raise Wrong(f"look gives {pictures.shape}")


def _check(array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.uint8:
        raise Wrong(f"{array.dtype} {array.shape}; expected uint8 {shape}")


READINGS: tuple[Callable[[Video], None], ...] = (_probe, _train, _test, _look)


def read(path: Path) -> str:
    """Outcomes of all ways of reading; raises Wrong for anything but success and VideoError."""
    source = source_of(path)
    texts = []
    for reading in READINGS:
        name = reading.__name__[1:]
        try:
            reading(source)
            texts.append(f"{name}: read")
        except VideoError as error:
            if error.path != str(source):
                raise Wrong(f"{name}: VideoError of {error.path!r}: {error.reason}") from error
            texts.append(f"{name}: {error.reason}")
        except Wrong:
            raise
        except Exception as error:
            raise Wrong(f"{name}: {type(error).__name__}: {error}") from error
    return "; ".join(texts)


if __name__ == "__main__":
    serve(read)
