"""Decodes the videos of requests in memory, within limits."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.video.decoding import VideoInfo, probe


class Uploaded(NamedTuple):
    """A video that came with a request; nothing of it is written to a file."""

    content: bytes

    def read(self) -> bytes:
        return self.content

    def __str__(self) -> str:
        return "the video"


class TooLong(ValueError):
    """A video of more seconds than the service accepts."""


def views_of(
    content: bytes, sampling: Mapping[str, Any], longest: float
) -> tuple[VideoInfo, np.ndarray]:
    """Properties of an encoded video, and its test clips (V, T, S, S, 3), uint8.

    Args:
      content: the bytes of the file.
      sampling: keywords of `iterate_views`.
      longest: seconds that the video may have.

    Raises:
      VideoError: it cannot be decoded.
      TooLong: it is longer than `longest`.
    """
    video = Uploaded(content)
    info = probe(video)
    if info.duration > longest:
        raise TooLong(f"the video has {info.duration:.0f} seconds, more than {longest:g}")
    views = iterate_views(video, **sampling, thread_type="SLICE", report=lambda info: None)
    return info, np.concatenate(list(views))
