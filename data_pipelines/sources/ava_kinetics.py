"""AVA-Kinetics (Li et al. 2020): AVA's boxes and actions at one or a few moments of the clips of
Kinetics-700.

Its tables (kinetics_train_v1.0.csv and others) have rows `video,time,x1,y1,x2,y2,action` like
AVA's, with the id of the video on YouTube and the time in seconds of that video, and rows
`video,time` for moments without boxes. Clips are files `video_000012_000022.mp4`, which hold the
seconds 12 to 22 of the video.
"""

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_pipelines.paths import PathLike
from data_pipelines.sources.keyframes import Keyframe, Moments
from data_pipelines.video.finding import why_no_video
from data_pipelines.video.records import Absent

NAME = re.compile(r"(?P<video>.+)_(?P<start>\d{6})_(?P<end>\d{6})")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clip:
    """A file with the seconds `start` to `end` of a film."""

    path: str
    start: int
    end: int


def find_clips(folder: PathLike, videos: Iterable[str]) -> dict[str, list[Clip]]:
    """Finds the clips of videos below a folder; videos without clips are not in the result.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder of clips; check data.kinetics_dir")
    wanted, found = set(videos), {}
    for directory, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            stem, _ = os.path.splitext(file)
            match = NAME.fullmatch(stem)
            if match and match["video"] in wanted:
                path = os.path.join(directory, file)
                if why_no_video(path):
                    continue
                clip = Clip(path, int(match["start"]), int(match["end"]))
                found.setdefault(match["video"], []).append(clip)
    return found


def keyframes(moments: Moments, folder: PathLike, *, keep_missing: bool) -> list[Keyframe]:
    """The keyframes of ava.read_boxes (seconds=None) in the clips below `folder`.

    Many clips are no longer on YouTube. The number of moments without a clip is logged.

    Args:
        keep_missing: keep keyframes without a clip; reading them raises VideoError. Testing does
            this, so that their annotated boxes count as missed.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: no moment is in any clip.
    """
    clips = find_clips(folder, moments)
    found, missing = [], []
    for video, times in moments.items():
        for time, moment in sorted(times.items()):
            clip = next((c for c in clips.get(video, ()) if c.start <= time < c.end), None)
            if clip is None:
                missing.append(f"{video} at {time:g}")
                if not keep_missing:
                    continue
            boxes, labels, scores = zip(*moment.boxes.values(), strict=True)
            reason = f"no clip of this moment below {folder}; get it, or remove its rows"
            found.append(Keyframe(
                video=video, time=time,
                source=clip.path if clip else Absent(f"{video} at {time:g}", reason),
                origin=float(clip.start) if clip else 0.0, fps=0.0,
                boxes=np.array(boxes, np.float32), labels=tuple(map(tuple, labels)),
                scores=np.array(scores, np.float32),
            ))
    total = sum(map(len, moments.values()))
    if len(missing) == total:
        raise ValueError(
            f"{folder}: none of the {total} moments (for example {missing[0]}) is in a clip there; "
            "expected files like -5KQ66BBWC4_000012_000022.mp4"
        )
    if missing:
        logger.warning(
            "%s: no clip of %d of %d moments, for example %s", folder, len(missing), total,
            missing[0],
        )
    return found
