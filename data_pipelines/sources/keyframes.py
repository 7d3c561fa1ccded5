"""Keyframes: moments of videos with boxes of persons.

The readers of tables (ava.py, box_tables.py) give rows. `collect` merges rows of the same box, and
`build` joins them with the videos. Errors name the file and the line of the row.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data_pipelines.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES, PathLike
from data_pipelines.text_files import counted, read_number
from data_pipelines.video import Video
from data_pipelines.video.finding import why_no_video
from data_pipelines.video.image_files import FrameFiles, frame_files

# How far a box may reach beyond the frame, as a fraction of it: annotations are rounded, and
# detectors guess hidden parts. Coordinates in pixels are far outside.
ANNOTATED_OVERHANG = 0.01
PREDICTED_OVERHANG = 0.25
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A moment of a video, with the boxes whose actions are to be recognized.

    Attributes:
        video: its name in the annotations.
        time: seconds as the annotations count them.
        source: a video file or record, or frames stored as images.
        origin: time of frame 0 of `source`, as the annotations count it.
        fps: frame rate of frames stored as images; 0.0 for a video file, which has its own.
        boxes: float32 (B,4) x1, y1, x2, y2 as fractions of the frame, as written in the table:
            predicted ones may reach a little outside.
        labels: for each box its classes, counted from 0; () for a box without action.
        scores: float32 (B,) of the person detector, 1 for annotated boxes.
        place: file:line of its first row, for reports; "" if unknown.
    """

    video: str
    time: float
    source: Video
    origin: float
    fps: float
    boxes: np.ndarray
    labels: tuple[tuple[int, ...], ...]
    scores: np.ndarray
    place: str = ""


class Row(NamedTuple):
    """A row of a table: a box and at most one of its classes."""

    path: PathLike
    line: int | str  # a number, or the key in a pickle
    video: str
    time: float
    text: str  # of the coordinates
    box: tuple[float, float, float, float]
    label: int | None
    score: float
    person: str = ""  # "" if unknown


class Moment(NamedTuple):
    """The boxes of one moment by the text of their coordinates, and the place of the first row."""

    path: PathLike
    line: int | str
    boxes: dict[str, tuple[tuple[float, ...], list[int], float]]  # box, classes, score


Moments = dict[str, dict[float, Moment]]  # video -> time -> its boxes


def read_box(
    path: PathLike, line: int | str, texts: list[str], predicted: bool
) -> tuple[float, float, float, float]:
    """Parses x1, y1, x2, y2; ValueError if they are not a box within the frame."""
    overhang = PREDICTED_OVERHANG if predicted else ANNOTATED_OVERHANG
    try:  # there are a million rows, so the cause of an error is looked for only if there is one
        x1, y1, x2, y2 = box = tuple(map(float, texts))
        if -overhang <= x1 < x2 <= 1 + overhang and -overhang <= y1 < y2 <= 1 + overhang:
            return box
    except ValueError:
        pass
    for name, text in zip(("x1", "y1", "x2", "y2"), texts, strict=True):
        read_number(path, line, name, text)
    if x2 <= x1 or y2 <= y1:
        raise ValueError(
            f"{path}:{line}: box {','.join(texts)} has no area; expected x1,y1,x2,y2 with x1 < x2 "
            "and y1 < y2"
        )
    raise ValueError(
        f"{path}:{line}: box {','.join(texts)} reaches outside the frame; expected fractions "
        f"of its width and height within 0..1 (at most {overhang} beyond)"
    )


def collect(rows: Iterable[Row]) -> Moments:
    """Merges rows whose coordinates have the same text into one box, as the original does.

    Videos, boxes and classes keep the order of their rows.
    """
    moments: Moments = {}
    for row in rows:
        path, line, video, time, text, box, label, score, _ = row
        times = moments.get(video)
        if times is None:
            times = moments[video] = {}
        moment = times.get(time)
        if moment is None:
            moment = times[time] = Moment(path, line, {})
        entry = moment.boxes.get(text)
        if entry is None:
            entry = moment.boxes[text] = (box, [], score)
        if label is not None and label not in entry[1]:
            entry[1].append(label)
    return moments


def build(
    moments: Moments, sources: Mapping[str, Video], *, origin: float, fps: float = 0.0
) -> list[Keyframe]:
    """Builds keyframes in the order of `sources`, and for each video in order of time.

    Args:
        sources: videos by their names in `moments`; more are ignored.
        origin: time of the first frame, as the annotations count it.
        fps: frame rate of sources that are image files.

    Raises:
        ValueError: a video is not in `sources`, or a moment lies before the first frame or, of
            image files, after the last one (of video files this is noticed when they are read).
    """
    _refuse_missing(moments, sources)
    keyframes = []
    for video, source in sources.items():
        images = isinstance(source, FrameFiles)
        for time, moment in sorted(moments.get(video, {}).items()):
            if images:
                _check_within(video, time, moment, source, origin, fps)
            elif time < origin:
                raise ValueError(
                    f"{moment.path}:{moment.line}: time {time:g} of {video} lies before the "
                    f"beginning of the video, which is {origin:g}"
                )
            boxes, labels, scores = zip(*moment.boxes.values(), strict=True)
            keyframes.append(Keyframe(
                video=video, time=time, source=source, origin=origin,
                fps=fps if images else 0.0, boxes=np.array(boxes, np.float32),
                labels=tuple(map(tuple, labels)), scores=np.array(scores, np.float32),
                place=f"{moment.path}:{moment.line}",
            ))
    logger.info(
        "%s of %s with %s, %s",
        counted(len(keyframes), "keyframe"), counted(len(moments), "video"),
        counted(sum(len(k.boxes) for k in keyframes), "box"),
        counted(sum(len(labels) for k in keyframes for labels in k.labels), "label"),
    )
    return keyframes


def _refuse_missing(moments: Moments, sources: Mapping[str, Video]) -> None:
    missing = [video for video in moments if video not in sources]
    if not missing:
        return
    first = next(iter(moments[missing[0]].values()))
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    found = f"found {len(sources)}, such as {next(iter(sources))!r}" if sources else "found none"
    raise ValueError(
        f"{first.path}:{first.line}: video {missing[0]!r}{others} not found ({found}); get it, or "
        "remove its rows"
    )


def _check_within(
    video: str, time: float, moment: Moment, files: FrameFiles, origin: float, fps: float
) -> None:
    if not fps > 0:
        raise ValueError(f"{files}: frames stored as images need their rate: set data.fps")
    if not 0 <= round((time - origin) * fps) < files.count + fps / 2:
        raise ValueError(
            f"{moment.path}:{moment.line}: time {time:g} of {video} lies outside its {files.count} "
            f"frames, which span {origin:g}..{origin + (files.count - 1) / fps:g} s at {fps:g} "
            "fps; extract all of them, or remove the row"
        )


def find_sources(folder: PathLike, videos: Iterable[str]) -> dict[str, Video]:
    """Finds videos: files `folder/video.mp4` or similar, or folders of frames `folder/video`.

    Files with the suffix of a video are preferred; others are taken if they can be decoded.

    A name may include its suffix, and may be a path below the folder. Frames are numbered
    consecutively, from any number on. Videos that are not found are not in the result.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the numbers of frames are not consecutive.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder of videos; check data.root")
    found: dict[str, Video] = {}
    names: dict[str, dict[str, list[str]]] = {}  # folder -> stem -> names of its files
    for video in videos:
        path = os.path.join(folder, video)
        file = path if os.path.isfile(path) else _file_of(path, names)
        if file is not None:
            found[video] = file
        elif os.path.isdir(path) and (frames := _frames_in(video, path)):
            found[video] = frames
    return found


def _file_of(path: str, known: dict[str, dict[str, list[str]]]) -> str | None:
    """The video file whose path without suffix is `path`; `known` caches the names of files."""
    folder, stem = os.path.split(path)
    if folder not in known:
        stems = known[folder] = {}
        if os.path.isdir(folder):
            for name in sorted(os.listdir(folder)):
                stems.setdefault(os.path.splitext(name)[0], []).append(name)
    files = [os.path.join(folder, name) for name in known[folder].get(stem, ())]
    files = sorted(filter(os.path.isfile, files), key=_preference)
    return next((file for file in files if not why_no_video(file)), None)


def _preference(file: str) -> int:
    """The place of the file's suffix among those of videos; other suffixes come last."""
    suffix = os.path.splitext(file)[1].lower()
    return VIDEO_SUFFIXES.index(suffix) if suffix in VIDEO_SUFFIXES else len(VIDEO_SUFFIXES)


def _frames_in(video: str, folder: str) -> FrameFiles | None:
    names = sorted(
        entry.name for entry in os.scandir(folder)
        if entry.name[0] != "." and entry.name.lower().endswith(IMAGE_SUFFIXES)
    )
    if not names:
        return None
    files = frame_files(video, names, folder)
    if files.paths and len(names) > 1:
        raise ValueError(
            f"{folder}: its {len(names)} images, from {names[0]} to {names[-1]}, are not numbered "
            "one after the other; extract the frames again"
        )
    return files
