"""The result of a test."""

from pathlib import Path
from typing import Any, NamedTuple


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
    """

    __test__ = False  # tells pytest that this is no test class

    files: list[Path]
    ids: list[str]
    images: bool
    metrics: dict[str, Any]
    rows: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    timing: dict[str, float]
