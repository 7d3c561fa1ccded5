"""Videos stored as pictures, one for each frame: image files, and single images.

Read by Pillow: its JPEG decoder is the one of the original's cv2.imdecode, so pixels are equal bit
for bit, while FFmpeg's differ where colours change (it interpolates the halved colour planes in
another way).
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image

from data_pipelines.paths import PathLike
from data_pipelines.video.decoding import Transform, VideoError, VideoInfo, short_side_transform
from data_pipelines.video.opening import check_size

MOST_PIXELS = 2**26  # a picture takes up to 14 bytes a pixel while it is read: 1 GB


class Pictures(ABC):
    """A video stored as pictures; `str` is what it is called where it is reported."""

    @abstractmethod
    def open(self) -> tuple[int, Callable[[int], np.ndarray]]:
        """How many there are, and what reads one: uint8 (H,W,3) RGB of its index, from 0 on.

        Both raise VideoError, reading one with the name of the picture.
        """

    @abstractmethod
    def place(self, index: int) -> str:
        """Where the picture `index` is, to be reported."""


@dataclass(frozen=True, slots=True)
class FrameFiles(Pictures):
    """The `count` frames of a video in order, as image files.

    `name` is what the video is called where it is reported. Frame i is the file
    `template.format(first + i)`, or `paths[i]` where the files are not numbered one after the
    other: so a data set of millions of frames takes the memory of one path a video.
    """

    name: str
    count: int
    template: str = ""
    first: int = 0
    paths: tuple[str, ...] = ()

    def path(self, index: int) -> str:
        """The file of frame `index`, from 0 on."""
        return self.paths[index] if self.paths else self.template.format(self.first + index)

    place = path

    def open(self) -> tuple[int, Callable[[int], np.ndarray]]:
        return self.count, lambda index: read_image(self.path(index))

    def __str__(self) -> str:
        return self.name


def literal(text: PathLike) -> str:
    """`text` as a part of a template that stands for itself."""
    return os.fspath(text).replace("{", "{{").replace("}", "}}")


def frame_files(name: str, paths: Sequence[str], path_prefix: PathLike = "") -> FrameFiles:
    """The files `paths` as frames of a video, `path_prefix` before each that is not absolute."""
    match = re.fullmatch(r"(.*?)(\d{1,18})(\D*)", paths[0], re.DOTALL)
    if match:
        before, number, after = match.groups()
        template = f"{literal(before)}{{:0{len(number)}d}}{literal(after)}"
        first = int(number)
        if all(template.format(first + i) == path for i, path in enumerate(paths)):
            template = os.path.join(literal(path_prefix), template)
            return FrameFiles(name, len(paths), template, first)
    joined = tuple(os.path.join(path_prefix, path) for path in paths)
    return FrameFiles(name, len(paths), paths=joined)


def read_image(path: PathLike | BinaryIO) -> np.ndarray:
    """The picture in an image file: uint8 (H,W,3) RGB, as stored (EXIF orientation is ignored).

    Raises:
        VideoError: the file is missing, no image, broken or too large.
    """
    try:
        with Image.open(path) as image:
            check_size(path, *image.size, most=MOST_PIXELS)
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        folder = os.path.dirname(path)
        if folder and not os.path.isdir(folder):
            reason = f"there is no folder {folder}; check data.path_prefix"
        else:
            reason = "no such file"
        raise VideoError(path, reason) from None
    except VideoError:
        raise
    except Exception as error:  # Pillow raises anything at all of broken files
        raise VideoError(path, f"cannot be read as an image ({error})") from error


def select_frames(
    files: Pictures,
    choose: Callable[[VideoInfo], Sequence[int]],
    *,
    short_side: int | None = None,
    transform: Transform | None = None,
) -> tuple[VideoInfo, np.ndarray, np.ndarray]:
    """The frames that `choose(info)` names; the counterpart of decoding.select_frames.

    To `choose` only `info.frames` is known; `info.fps` is 0, because files do not tell it.
    `short_side` and `transform` are those of decoding.select_frames.

    Returns:
        (info, indices, frames): `indices` are the chosen ones in rising order, each once, and
        `frames` the pictures there, transformed if asked: uint8 (len(indices),H,W,3) RGB.

    Raises:
        VideoError: a chosen frame is missing or broken, or of another size than the first; the
            reason names its file. Frames that are not chosen are not looked at.
    """
    if short_side is not None:
        transform = short_side_transform(short_side)
    count, read = files.open()
    info = VideoInfo(
        frames=count, fps=0.0, width=0, height=0, rotation=0, duration=0.0, codec="images"
    )
    wanted = np.unique(np.asarray(choose(info), np.int64))
    pictures = None
    for slot, index in enumerate(wanted.tolist()):
        try:
            picture = read(index)
        except VideoError as error:
            where = f"frame {index + 1} of {count}, " if count > 1 else ""
            raise VideoError(str(files), f"{where}{error.path}: {error.reason}") from error
        height, width = picture.shape[:2]
        if pictures is None:
            info = replace(info, width=width, height=height)
        elif (height, width) != (info.height, info.width):
            raise VideoError(
                str(files),
                f"the picture changes from {info.width}x{info.height} to {width}x{height} at "
                f"{files.place(index)}; extract the frames again, all of one size",
            )
        if transform is not None:
            picture = transform(picture)
        if pictures is None:
            pictures = np.empty((len(wanted), *picture.shape), np.uint8)
        pictures[slot] = picture
    return info, wanted, pictures
