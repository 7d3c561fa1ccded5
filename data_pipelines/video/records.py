"""Reads videos from records of ArrayRecord files, TFDS's format for random access.

A record is a serialized tf.train.Example. Files are opened at their first use, and each process
keeps a limited number of them open. TensorFlow is not needed.
"""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from data_pipelines.video.decoding import VideoError
from data_pipelines.video.image_files import Pictures, read_image

OPEN_FILES = 64  # per process


@dataclass(frozen=True, slots=True)
class Record:
    """An encoded video in a record.

    Attributes:
        shard: the ArrayRecord file.
        index: number of the record in the file, from 0.
        feature: name of the feature that holds the video.
    """

    shard: str
    index: int
    feature: str = "video"

    def read(self) -> bytes:
        """The bytes of the video file.

        Raises:
            VideoError: the record cannot be read.
        """
        return read_values(self.shard, self.index, _encoded(self.feature))[self.feature]

    def __str__(self) -> str:
        return place(self.shard, self.index)


@dataclass(frozen=True, slots=True)
class Absent:
    """A video that is listed but has no record, because it could not be encoded.

    Attributes:
        name: name of the video for reports.
        reason: why it has no record; the text of the error when it is read.
    """

    name: str
    reason: str

    def read(self) -> bytes:
        raise VideoError(self.name, self.reason)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RecordPictures(Pictures):
    """A video in a record, stored as encoded pictures or as one array of frames.

    Attributes:
        shard, index, feature: as for `Record`.
        array: the TFDS feature that decodes the array; None for pictures encoded as PNG or JPEG.
    """

    shard: str
    index: int
    feature: str = "video"
    array: Any = None

    def open(self) -> tuple[int, Callable[[int], np.ndarray]]:
        features = _pictures(self.feature)
        if self.array is not None:
            features = _features({self.feature: self.array})
        pictures = read_values(self.shard, self.index, features)[self.feature]
        if len(pictures) == 0:
            raise VideoError(str(self), "has no frames; leave it out")

        def read(index: int) -> np.ndarray:
            if self.array is not None:
                return pictures[index]
            try:
                return read_image(io.BytesIO(pictures[index]))
            except VideoError as error:
                raise VideoError(self.place(index), error.reason) from error

        return len(pictures), read

    def place(self, index: int) -> str:
        return f"picture {index}"

    def __str__(self) -> str:
        return place(self.shard, self.index)


def place(shard: str, index: int) -> str:
    """Name of a record for reports."""
    return f"{shard}, record {index}"


def read_values(shard: str, index: int, features: Any) -> dict[str, Any]:
    """Reads features of a record.

    Args:
        shard: the ArrayRecord file.
        index: number of the record in the file, from 0.
        features: tfds.features.FeaturesDict of the features wanted; the record may hold more.

    Returns:
        The values by feature, as TFDS decodes them to NumPy.

    Raises:
        VideoError: the file is missing or broken, or the record is missing or lacks the features.
    """
    try:
        content = _reader(shard).read([index])[0]
    except (RuntimeError, IndexError) as error:
        raise VideoError(
            place(shard, index), f"cannot be read ({error}); copy or write the file again"
        ) from error
    if not content:  # what the reader returns for a truncated file
        raise VideoError(
            place(shard, index),
            "not found; the file is truncated or does not match its list: copy or write it again",
        )
    try:
        return features.deserialize_example_np(content)
    except Exception as error:  # TFDS raises many types
        reason = f"does not hold the features of this data set ({error}); write the file again"
        raise VideoError(place(shard, index), reason) from error


@lru_cache(OPEN_FILES)
def _reader(shard: str) -> Any:
    # Imported here because array_record is not available on every system.
    from array_record.python.array_record_module import ArrayRecordReader

    if not os.path.isfile(shard):
        raise RuntimeError("no such file")
    # No reading ahead: records are read in random order.
    return ArrayRecordReader(shard, options="readahead_buffer_size:0")


def _features(by_name: dict[str, Any]) -> Any:
    import tensorflow_datasets as tfds  # slow to import: most of a second

    return tfds.features.FeaturesDict(by_name)


@lru_cache
def _encoded(feature: str) -> Any:
    return _features({feature: content_feature()})


@lru_cache
def _pictures(feature: str) -> Any:
    import tensorflow_datasets as tfds

    return _features({feature: tfds.features.Sequence(content_feature())})


def content_feature() -> Any:
    """The TFDS feature that holds the bytes of a file."""
    import tensorflow_datasets as tfds

    return tfds.features.Tensor(shape=(), dtype=np.object_)
