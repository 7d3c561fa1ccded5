"""Writes one ArrayRecord file: encodes its videos one after the other.

Files are written atomically. Beside each, a JSON note lists its records and the videos that could
not be encoded, so interrupted work continues with the missing files.
"""

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from data_pipelines.atomic_files import whole
from data_pipelines.tfds_builders.jobs import Job
from data_pipelines.transforms.resize import resize_short_side
from data_pipelines.video.decoding import VideoError, probe
from data_pipelines.video.encoding import CRF, GOP, SUFFIX, encode, write_video
from data_pipelines.video.image_files import FrameFiles, read_image
from data_pipelines.video.records import content_feature

MEASURED = ("frames", "fps", "width", "height")


@dataclass(frozen=True)
class Settings:
    """How videos are encoded.

    Attributes:
        short_side: pixels to which the short side of larger pictures is reduced.
        gop: frames from one key frame to the next.
        seconds: duration before and after a keyframe.
    """

    short_side: int = 320
    gop: int = GOP
    seconds: float = 2.5


@dataclass(frozen=True)
class Shard:
    """A file to write.

    Attributes:
        path: the file.
        jobs: its records.
        settings: how videos are encoded.
        features: features of a record, as `describe` returns them.
    """

    path: Path
    jobs: tuple[Job, ...]
    settings: Settings
    features: dict[str, Any]

    @property
    def note(self) -> Path:
        """The JSON note beside the file."""
        return self.path.with_name(self.path.name + ".json")


def describe(features: Any) -> dict[str, Any]:
    """Features of TFDS as JSON, which other processes can read."""
    return features.to_json()


def video_features(**others: Any) -> Any:
    """The features of a record: an encoded video, its measured properties, and `others`."""
    import tensorflow_datasets as tfds

    whole_number, number = (tfds.features.Scalar(dtype=t) for t in (np.int64, np.float32))
    return tfds.features.FeaturesDict({
        "video": content_feature(), "frames": whole_number, "fps": number, "width": whole_number,
        "height": whole_number, **others,
    })


def write_shard(shard: Shard) -> list[dict[str, str]]:
    """Writes the file unless it exists; returns a row of the list of records for each video.

    A row holds the columns of its job, the measured properties, and `broken`: why the video could
    not be encoded, or "".
    """
    if not shard.note.is_file():
        rows = _write(shard)
        with whole(shard.note) as part:
            part.write_text(json.dumps(rows), encoding="utf-8")
    return json.loads(shard.note.read_text(encoding="utf-8"))


def _write(shard: Shard) -> list[dict[str, str]]:
    import tensorflow_datasets as tfds

    features = tfds.features.FeatureConnector.from_json(shard.features)
    rows, count = [], 0
    with whole(shard.path) as part, tempfile.TemporaryDirectory(dir=part.parent) as folder:
        writer = ArrayRecordWriter(str(part), "group_size:1")
        try:
            for job in shard.jobs:
                row = {"shard": "", "record": "", **job.row}
                try:
                    measured, content = _encoded(job, shard.settings, Path(folder, f"v{SUFFIX}"))
                except (VideoError, av.error.FFmpegError) as error:
                    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    reason = error.reason if isinstance(error, VideoError) else str(error)
                    rows.append(row | dict.fromkeys(measured_columns(job), "") | {
                        "broken": " ".join(reason.split())
                    })
                    continue
                values = {**job.values, **measured, "video": content}
                writer.write(features.serialize_example(
                    {name: values[name] for name in features}
                ))
                row |= {"record": str(count)}
                row |= {name: f"{measured[name]:.9g}" for name in measured_columns(job)}
                rows.append(row | {"broken": ""})
                count += 1
        finally:
            writer.close()
    return rows


def measured_columns(job: Job) -> tuple[str, ...]:
    """Columns of the list of records that hold measured properties."""
    return MEASURED if job.time is None else ("begin", *MEASURED)


def _encoded(job: Job, settings: Settings, target: Path) -> tuple[dict[str, Any], bytes]:
    """Encodes a video: (its measured properties, the bytes of its file)."""
    measured: dict[str, Any] = {}
    part: dict[str, Any] = {}
    if isinstance(job.source, FrameFiles):
        first = _encode_images(job, settings, target)
        fps = job.fps
    elif job.time is None:
        first, fps = 0, 1.0
        encode(job.source, target, short_side=settings.short_side, gop=settings.gop)
    else:
        fps = _rate(job.source)
        first = _first(job, settings, fps)
        stop = round((job.time + settings.seconds) * fps) + 1
        part = {"begin": first / fps, "seconds": (stop - first - 0.5) / fps}
        encode(job.source, target, short_side=settings.short_side, gop=settings.gop, **part)
    if job.time is not None:
        measured["begin"] = job.origin + first / fps
    info = probe(target)
    if info.warning:
        raise VideoError(job.name, f"the encoded copy is damaged ({info.warning})")
    measured |= {name: getattr(info, name) for name in MEASURED}
    return measured, target.read_bytes()


def _first(job: Job, settings: Settings, fps: float) -> int:
    """The first frame to encode before a keyframe."""
    return max(round((job.time - settings.seconds) * fps), 0)


@lru_cache(8)
def _rate(path: str | os.PathLike) -> float:
    return probe(path).fps


def _encode_images(job: Job, settings: Settings, target: Path) -> int:
    """Encodes frames stored as images; returns the index of the first one."""
    first = _first(job, settings, job.fps)
    stop = min(round((job.time + settings.seconds) * job.fps) + 1, job.source.count)
    if first >= stop:
        raise VideoError(job.name, f"lies after the last of its {job.source.count} frames")

    def pictures() -> Iterator[np.ndarray]:
        for index in range(first, stop):
            picture = read_image(job.source.path(index))
            if min(picture.shape[:2]) > settings.short_side:
                picture = resize_short_side(picture[None], settings.short_side)[0]
            height, width = (side // 2 * 2 for side in picture.shape[:2])
            yield picture[:height, :width]  # H.264 stores color at half the size

    options = {"preset": "fast", "crf": CRF, "g": str(settings.gop), "threads": "1"}
    write_video(target, pictures(), fps=Fraction(job.fps).limit_denominator(10**5), options=options)
    return first
