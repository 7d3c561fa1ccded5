"""The outcome of a test."""

from pathlib import Path
from typing import Any, NamedTuple


class TestResult(NamedTuple):
    """What `Task.test` returns and `evaluate` records.

    Attributes:
      files: the list (a folder for folders of images), then other files that the labels depend on.
      ids: names of all listed examples.
      images: whether frames came from image files rather than videos.
      metrics: in percent.
      rows: the record of each example.
      failed: {"video_id", "path", "reason"} of examples that could not be read.
      timing: seconds, and rates.
    """

    __test__ = False  # pytest: not a test class

    files: list[Path]
    ids: list[str]
    images: bool
    metrics: dict[str, Any]
    rows: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    timing: dict[str, float]
