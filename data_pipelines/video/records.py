"""Videos in records of ArrayRecord files, which is how TFDS keeps data sets that can be read at
random. Nothing here needs TensorFlow.

A record is a serialised tf.train.Example. Files are opened when first read and stay open, a number
of them in each process.
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
    """An encoded video in a record: its file `shard`, its number there, the feature it is in."""

    shard: str
    index: int
    feature: str = "video"

    def read(self) -> bytes:
        """The content of the video file; VideoError where the record cannot be read."""
        return read_values(self.shard, self.index, _encoded(self.feature))[self.feature]

    def __str__(self) -> str:
        return place(self.shard, self.index)


@dataclass(frozen=True, slots=True)
class Absent:
    """A video of a list of records that could not be put into one, and why."""

    name: str
    reason: str

    def read(self) -> bytes:
        raise VideoError(self.name, self.reason)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RecordPictures(Pictures):
    """The frames of a video in a record, each encoded as PNG or JPEG, or an array of them all.

    array: the TFDS feature that reads an array; None for encoded pictures.
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
            raise VideoError(str(self), "has no frames")

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
    """How a record is called where it is reported."""
    return f"{shard}, record {index}"


def read_values(shard: str, index: int, features: Any) -> dict[str, Any]:
    """The values of some features of a record, as TFDS gives them.

    Args:
        index: from 0 on.
        features: a tfds.features.FeaturesDict of those wanted; the record may hold more.

    Raises:
        VideoError: the file is missing or broken, there is no such record, or it holds something
            else.
    """
    try:
        content = _reader(shard).read([index])[0]
    except (RuntimeError, IndexError) as error:
        raise VideoError(
            place(shard, index), f"cannot be read ({error}); copy or write its file again"
        ) from error
    if not content:  # the reader's answer where a file is cut off
        raise VideoError(
            place(shard, index),
            "is not there; the file is cut off or another than its list says: copy or write it "
            "again",
        )
    try:
        return features.deserialize_example_np(content)
    except Exception as error:  # TFDS raises many kinds
        raise VideoError(place(shard, index), f"is none of this data set ({error})") from error


@lru_cache(OPEN_FILES)
def _reader(shard: str) -> Any:
    from array_record.python.array_record_module import ArrayRecordReader  # not on every system

    if not os.path.isfile(shard):
        raise RuntimeError("there is no such file")
    # What follows a record is of no use: the next one wanted is anywhere.
    return ArrayRecordReader(shard, options="readahead_buffer_size:0")


def _features(by_name: dict[str, Any]) -> Any:
    import tensorflow_datasets as tfds  # takes most of a second

    return tfds.features.FeaturesDict(by_name)


@lru_cache
def _encoded(feature: str) -> Any:
    return _features({feature: content_feature()})


@lru_cache
def _pictures(feature: str) -> Any:
    import tensorflow_datasets as tfds

    return _features({feature: tfds.features.Sequence(content_feature())})


def content_feature() -> Any:
    """The TFDS feature of the content of a file."""
    import tensorflow_datasets as tfds

    return tfds.features.Tensor(shape=(), dtype=np.object_)
