"""The result of a test."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class TestResult(NamedTuple):
    """What `Task.test` returns and `evaluate` records.

    Attributes:
      files: the test list (or the folder of images), then other files that the labels depend on.
      ids: names of all listed examples.
      images: whether frames were read from image files rather than videos.
      metrics: the metrics, in percent.
      rows: a record for each readable example; may be empty.
      failed: {"video_id", "path", "reason"} of each unreadable example.
      timing: durations in seconds, and examples or views per second.
      unit: what an example is, in the plural: results count "videos_listed", "videos_used", ...
      views: views of each example whose scores are combined; 0 if the task has no views.
    """

    __test__ = False  # tells pytest that this is no test class

    files: list[Path]
    ids: list[str]
    images: bool
    metrics: dict[str, Any]
    rows: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    timing: dict[str, float]
    unit: str = "videos"
    views: int = 0


class Extracted(NamedTuple):
    """What `Task.extract` yields for a video.

    Attributes:
      name: of the video, one of `Task.videos`.
      arrays: what its file holds: "features", "endpoint", and when and where they were computed.
      errors: why the video, or some of its moments, could not be read; empty if all could.
    """

    name: str
    arrays: dict[str, np.ndarray]
    errors: list[str]
