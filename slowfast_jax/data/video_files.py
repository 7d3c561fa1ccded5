"""Whether the files that a list names exist, found out before a run opens any of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from data_pipelines.frame_names import why_no_frames
from data_pipelines.video import Video
from data_pipelines.video.image_files import FrameFiles
from data_pipelines.video.records import Record, RecordPictures
from slowfast_jax.config import ConfigError

MOST_CHECKED = 1000  # files of a list, evenly spaced: a network drive takes a millisecond for each
WITH_PREFIX = ("kinetics", "rawframes", "ssv2", "charades")  # formats that use data.path_prefix


def check_videos(items: Sequence[Any], where: Path, config: ConfigDict) -> None:
    """Logs a warning if some of the listed videos do not exist.

    Of a long list only MOST_CHECKED videos are looked for, and none is opened.

    Args:
      items: samples or keyframes, each with its video as `source`.
      where: the list, for messages.
      config: the complete config.

    Raises:
      ConfigError: none of the videos exists.
    """
    chosen = items[:: -(-len(items) // MOST_CHECKED)] if items else items
    files = dict.fromkeys(file for item in chosen for file in _files(item.source))
    missing = [file for file in files if not os.path.exists(file)]
    if not missing:
        return
    if len(missing) < len(files):
        logging.warning(
            "%d of the %d files of %s that were looked for do not exist, for example %s",
            len(missing), len(files), where, missing[0],
        )
        return
    advice = "check the folders in config.data"
    if config.data.format in WITH_PREFIX:
        prefix = config.data.path_prefix
        advice = (
            "set --config.data.path_prefix to the folder that the paths of the list start from; it "
            f"is {prefix or 'empty, which is the current folder'}"
        )
    raise ConfigError(
        f"{where}: none of its {len(items)} videos exists (the first: {missing[0]}); {advice}"
    )


def check_frames(videos: Sequence[FrameFiles | None], *, listed: bool = True) -> None:
    """Reports a wrong name of the frames once, instead of for every video.

    Args:
      videos: some or all of a list; None: one that is not stored as image files.
      listed: the list names each file.

    Raises:
      ConfigError: a few videos were looked at, and none has the frames that it should.
    """
    if reason := why_no_frames(videos, listed=listed):
        raise ConfigError(reason.replace("data.frame_", "config.data.frame_"))


def _files(video: Video) -> list[str]:
    """Files that the video needs: of frames, the first and the last; [] if there is no telling."""
    if isinstance(video, FrameFiles):
        video = video.found()
        return [video.path(0), video.path(video.count - 1)]
    if isinstance(video, (Record, RecordPictures)):
        return [video.shard]
    if isinstance(video, (str, os.PathLike)) and "://" not in os.fspath(video):
        return [os.fspath(video)]
    return []
