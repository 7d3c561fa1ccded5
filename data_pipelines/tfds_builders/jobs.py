"""Lists what to encode: whole videos of a list, or the time around the keyframes of AVA."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.paths import PathLike
from data_pipelines.sources import ava, video_lists
from data_pipelines.sources.box_pickles import SUFFIX, read_proposals
from data_pipelines.sources.keyframes import find_sources
from data_pipelines.text_files import read_number, read_rows
from data_pipelines.video import Video
from data_pipelines.video.image_files import FrameFiles


@dataclass(frozen=True)
class Job:
    """A record to write.

    Attributes:
        name: name of the video for reports.
        source: the video.
        values: features of the record besides the video and its measured properties.
        row: columns of its row in the list of records.
        time: the keyframe around which to cut, in seconds after the first frame; None encodes the
            whole video.
        origin: time of the first frame, as the annotations count.
        fps: frame rate of a video stored as images.
    """

    name: str
    source: Video
    values: dict[str, Any] = field(default_factory=dict)
    row: dict[str, str] = field(default_factory=dict)
    time: float | None = None
    origin: float = 0.0
    fps: float = 0.0


def list_jobs(
    path: PathLike,
    *,
    root: PathLike = "",
    separator: str = " ",
    num_classes: int | None = None,
    multi_label: bool = False,
) -> list[Job]:
    """Jobs for the videos of a list.

    Args:
        path, separator, num_classes, multi_label: as for `video_lists.read_list`.
        root: folder that relative paths start from.

    Raises:
        FileNotFoundError, ValueError: as `video_lists.read_list`; ValueError also for a video that
            is listed twice.
    """
    jobs, seen, root = [], set(), os.fspath(root) or os.curdir
    for sample in video_lists.read_list(
        path, separator=separator, path_prefix=root, num_classes=num_classes,
        multi_label=multi_label,
    ):
        name = sample.path.removeprefix(os.path.join(root, ""))
        if name in seen:
            raise ValueError(f"{path}: {name} is listed twice; remove one of the rows")
        seen.add(name)
        labels = sample.label if multi_label else (sample.label,)
        label = {"labels": list(labels)} if multi_label else {"label": sample.label}
        jobs.append(Job(
            name, sample.path, {"id": name, **label},
            {"id": name, "label": " ".join(map(str, labels))},
        ))
    return jobs


def ava_jobs(
    annotated: Sequence[PathLike],
    predicted: Sequence[PathLike] = (),
    *,
    videos: PathLike,
    origin: float = ava.FIRST_SECOND,
    fps: float = ava.FPS,
    num_classes: int = ava.NUM_CLASSES,
) -> list[Job]:
    """Jobs for the moments of AVA's tables, sorted by time within each film.

    Args:
        annotated: tables whose boxes and actions are stored in the records.
        predicted: tables or pickles of predicted boxes, whose moments are encoded as well.
        videos: folder of the films, or of their folders of frames.
        origin: time of the first frame, as the tables count seconds.
        fps: frame rate of films stored as images.
        num_classes: the number of actions.

    Raises:
        FileNotFoundError: a table or the folder is missing.
        ValueError: a table cannot be read, or all films are missing.
    """
    moments = {}
    if annotated:
        moments = ava.read_boxes(annotated, num_classes=num_classes, seconds=None)
    times: dict[str, set[float]] = {video: set(found) for video, found in moments.items()}
    for path in predicted:
        for video, time in _moments(path):
            times.setdefault(video, set()).add(time)
    found = find_sources(videos, times)
    if not found:
        raise ValueError(
            f"{videos}: contains none of the {len(times)} videos of the tables, such as "
            f"{next(iter(times))}; pass their folder with --videos"
        )
    jobs = []
    for video in times:
        source = found.get(video, os.path.join(videos, video))  # a missing one is reported later
        for time in sorted(times[video]):
            moment = moments.get(video, {}).get(time)
            rows = [
                (box, action + 1)
                for box, actions, _ in (moment.boxes.values() if moment else ())
                for action in actions
            ]
            jobs.append(Job(
                f"{video} at {time:g}", source,
                {
                    "id": video, "time": time,
                    "boxes": np.float32([box for box, _ in rows]).reshape(-1, 4),
                    "actions": [action for _, action in rows],
                },
                {"video": video, "time": f"{time:g}"}, time - origin, origin,
                fps if isinstance(source, FrameFiles) else 0.0,
            ))
    return jobs


def _moments(path: PathLike) -> list[tuple[str, float]]:
    if Path(path).suffix == SUFFIX:
        return [
            (video, read_number(path, key, "time", second))
            for key, video, second, _ in read_proposals(path)
        ]
    return [
        (columns[0], read_number(path, line, "time", columns[1]))
        for line, columns in read_rows(path)
    ]
