"""Classification over time: the scores of windows that slide over the frames of a video."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from data_pipelines.sampling import clip_indices, clip_size
from data_pipelines.transforms import geometry
from slowfast_jax.demo.sources.frames import Frame
from slowfast_jax.demo.stages.clips import ClipBuffer
from slowfast_jax.demo.stages.worker import Worker
from slowfast_jax.demo.timing import Timing
from slowfast_jax.inference.timeline import (
    WindowCombiner,
    WindowScores,
    clip_seconds,
    plan,
    window_options,
)

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer


def classify(
    events: Iterable[Any], recognizer: "Recognizer", fps: float, timing: Timing, *,
    window: float | None = None, stride: float | None = None, late: bool = False,
) -> Iterator[Any]:
    """Passes events on, and adds the scores of each window as soon as they are known.

    Scores are those of `Recognizer.score_windows` where frames have a constant rate.

    Args:
      events: frames in order of time, and anything else.
      recognizer: a network that classifies whole clips.
      fps: the usual number of frames per second.
      window: seconds; None for the length of the network's clip, which is the least.
      stride: seconds from one window to the next; None for the length of the window.
      late: leave out clips for which the network has no time, instead of waiting for it.

    Yields:
      The events, and `WindowScores`.

    Raises:
      ValueError: a window or stride that is not positive, or a stride of less than a frame.
    """
    options = window_options(recognizer.config, window, stride)
    sampling, window, stride = options["sampling"], options["window"], options["stride"]
    planned = plan(clip_seconds(sampling), window, stride)
    crop, step = sampling["crop"], planned.step * fps
    if step < 1:
        raise ValueError(
            f"a clip every {planned.step:.4g} seconds needs at least {1 / planned.step:.4g} frames "
            f"per second, and the video has {fps:.4g}"
        )
    size = clip_size(
        sampling["num_frames"], sampling["sampling_rate"], fps, sampling["target_fps"]
    )
    buffer = ClipBuffer(fps, partial(_center, crop=crop))
    combined = WindowCombiner(planned, stride, options["method"])
    number = 0  # of the next clip

    with Worker() as worker:

        def submit() -> None:
            if number % planned.every >= planned.count or (late and worker.busy):
                return
            with timing.part("recognize"):
                positions = clip_indices(buffer.count, number * step, size, sampling["num_frames"])
                clip = buffer.clip(positions)
            worker.submit(number, partial(_scores, recognizer, clip, timing))

        def scored(*, all_jobs: bool = False) -> Iterator[WindowScores]:
            for clip_number, row in worker.results(all_jobs=all_jobs):
                yield from combined.add(clip_number, row)

        for event in events:
            yield event
            if not isinstance(event, Frame):
                continue
            buffer.push(event)
            while number * step + size <= buffer.count:
                submit()
                number += 1
                yield from scored()
            buffer.forget(number * step)
            yield from scored()
        covered = (number - 1) * step + size if number else 0
        if covered < buffer.count and number * step < buffer.count:
            submit()
        combined.duration = buffer.count / fps
        yield from scored(all_jobs=True)
        yield from combined.last()


def empty_clip(recognizer: "Recognizer") -> np.ndarray:
    """A black clip (1, T, S, S, 3) of the shape that `classify` gives to the network."""
    protocol = recognizer.config.protocol
    return np.zeros((1, protocol.num_frames, *(protocol.test_crop,) * 2, 3), np.uint8)


def _center(picture: np.ndarray, crop: int) -> np.ndarray:
    drawn = geometry.center(*picture.shape[:2], short_side=crop, crop=crop)
    return geometry.apply(picture[None], drawn)[0]


def _scores(recognizer: "Recognizer", clip: np.ndarray, timing: Timing) -> np.ndarray:
    with timing.part("recognize"):
        return np.asarray(recognizer(clip[None]))[0]
