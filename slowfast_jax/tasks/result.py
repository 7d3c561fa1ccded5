"""What a test hands to the one who records it."""

from pathlib import Path
from typing import Any, NamedTuple


class Tested(NamedTuple):
    """The outcome of a test.

    files: the list (for images the folder), then other files that the labels depend on.
    ids: what was listed. images: whether frames came from image files. metrics: in percent.
    rows: what is recorded of each video. failed: {"video_id", "path", "reason"} of those that could
    not be read. timing: seconds.
    """

    files: list[Path]
    ids: list[str]
    images: bool
    metrics: dict[str, Any]
    rows: list[dict[str, Any]]
    failed: list[dict[str, Any]]
    timing: dict[str, float]
