"""Reads videos stored as one image per frame, and single images.

Pillow decodes them: its JPEG decoder is the same as that of cv2.imdecode, which PySlowFast uses, so
pixels are bitwise equal. FFmpeg's decoder upsamples the color planes differently.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from PIL import Image

from data_pipelines.paths import PathLike
from data_pipelines.video.decoding import Transform, VideoError, VideoInfo, short_side_transform
from data_pipelines.video.opening import check_size

MOST_PIXELS = 2**26  # reading takes up to 14 bytes per pixel: 1 GB


class Pictures(ABC):
    """A video stored as one picture per frame; `str` gives its name for reports."""

    fps: float = 0.0  # frame rate; 0: unknown

    @abstractmethod
    def open(self) -> tuple[int, Callable[[int], np.ndarray]]:
        """The number of frames, and a function from an index (from 0) to uint8 (H,W,3) RGB.

        Raises:
            VideoError: the video cannot be opened. The function raises it as well, with the
                location of the picture.
        """

    @abstractmethod
    def place(self, index: int) -> str:
        """Location of picture `index`, for reports."""


@dataclass(frozen=True, slots=True)
class FrameFiles(Pictures):
    """The frames of a video as image files.

    A template in place of paths keeps data sets of millions of frames small in memory.

    Attributes:
        name: name of the video for reports.
        count: number of frames.
        template: frame i is the file `template.format(first + i)`, unless there are `paths`.
        first: number of the first file; None: the folder shows it, see `found`.
        paths: the files in order, if they are not numbered consecutively.
        offset: where `first` is None, the number of files of the folder that come before.
        fps: frame rate; 0: unknown.
    """

    name: str
    count: int
    template: str = ""
    first: int | None = 0
    paths: tuple[str, ...] = ()
    offset: int = 0
    fps: float = 0.0

    def path(self, index: int) -> str:
        """The file of frame `index`, from 0."""
        if self.paths:
            return self.paths[index]
        if self.first is None:
            return self.found().path(index)
        return self.template.format(self.first + index)

    place = path

    def open(self) -> tuple[int, Callable[[int], np.ndarray]]:
        files = self.found()
        return files.count, lambda index: read_image(files.path(index))

    def found(self) -> "FrameFiles":
        """The same files, with the first number that the folder has.

        If numbers are missing but there are as many files as the video has frames, the files in the
        order of their numbers are the frames.
        """
        if self.first is not None or self.paths:
            return self

        def exists(number: int) -> bool:
            return os.path.exists(self.template.format(number))

        end = self.offset + self.count
        if not exists(0) and exists(1) and exists(end) and not exists(end + 1):  # the usual case
            return replace(self, first=1 + self.offset)
        numbers = _numbers(self.template)
        if len(numbers) == end < numbers[-1] - numbers[0] + 1:
            paths = tuple(self.template.format(number) for number in numbers[self.offset :])
            return replace(self, first=0, paths=paths)
        return replace(self, first=(numbers[0] if numbers else 1) + self.offset)

    def __str__(self) -> str:
        return self.name


def _numbers(template: str) -> list[int]:
    """The numbers of the files that fit a template, in order."""
    folder = os.path.dirname(template.format(0))
    if not os.path.isdir(folder):
        return []
    found = set()
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        for digits in re.findall(r"\d{1,18}", name):
            if template.format(int(digits)) == path:
                found.add(int(digits))
    return sorted(found)


def literal(text: PathLike) -> str:
    """Escapes `text` for use within a template."""
    return os.fspath(text).replace("{", "{{").replace("}", "}}")


def frame_files(name: str, paths: Sequence[str], path_prefix: PathLike = "") -> FrameFiles:
    """A video made of the image files `paths`.

    Args:
        name: name of the video for reports.
        paths: the files in order.
        path_prefix: folder that relative paths start from.
    """
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
    """Reads an image: uint8 (H,W,3) RGB, as stored (EXIF orientation is ignored).

    Raises:
        VideoError: the file is missing, broken, not an image, or too large.
    """
    try:
        with Image.open(path) as image:
            check_size(path, *image.size, most=MOST_PIXELS)
            if image.mode == "F":
                raise VideoError(
                    path, "holds floating-point numbers, which have no fixed range; expected 8 or "
                    "16 bits per value: convert it, for example to PNG",
                )
            if image.mode.startswith("I"):  # 16-bit gray: Pillow would clip instead of scaling
                image = _high_bytes(image)
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
    except Exception as error:  # Pillow may raise any exception on broken files
        raise VideoError(path, f"cannot be read as an image ({error})") from error


def _high_bytes(image: Image.Image) -> Image.Image:
    """A 16-bit gray image reduced to 8 bits, as cv2.imread does by default."""
    return Image.fromarray((np.asarray(image).clip(0, 2**16 - 1) >> 8).astype(np.uint8))


def select_frames(
    files: Pictures,
    choose: Callable[[VideoInfo], Sequence[int]],
    *,
    short_side: int | None = None,
    transform: Transform | None = None,
) -> tuple[VideoInfo, np.ndarray, np.ndarray]:
    """Reads the frames whose indices `choose(info)` returns; other frames are not opened.

    Args:
        files: the video.
        choose: returns at least one index within 0..info.frames-1. Its `info` holds only `frames`
            and the frame rate, which is 0 if unknown.
        short_side, transform: as for decoding.select_frames.

    Returns:
        (info, indices, frames): `indices` are the chosen ones sorted without repetition, and
        `frames` are the pictures there, uint8 (len(indices),H,W,3) RGB, transformed if asked.

    Raises:
        VideoError: a chosen frame is missing or broken, or has another size than the first; the
            reason names its file.
    """
    if short_side is not None:
        transform = short_side_transform(short_side)
    count, read = files.open()
    info = VideoInfo(
        frames=count, fps=files.fps, width=0, height=0, rotation=0, duration=0.0, codec="images"
    )
    wanted = np.unique(np.asarray(choose(info), np.int64))
    pictures = None
    for slot, picture in enumerate(_read_each(files, count, read, wanted.tolist())):
        if pictures is None:
            info = replace(info, height=picture.shape[0], width=picture.shape[1])
        if transform is not None:
            picture = transform(picture)
        if pictures is None:
            pictures = np.empty((len(wanted), *picture.shape), np.uint8)
        pictures[slot] = picture
    return info, wanted, pictures


def iterate_frames(
    files: Pictures, first: int = 0, stop: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (index, picture (H,W,3)) from `first` up to, not including, `stop` or the end.

    Raises:
        VideoError: as `select_frames`.
    """
    count, read = files.open()
    chosen = range(first, count if stop is None else min(stop, count))
    yield from zip(chosen, _read_each(files, count, read, chosen), strict=True)


def _read_each(
    files: Pictures, count: int, read: Callable[[int], np.ndarray], chosen: Iterable[int]
) -> Iterator[np.ndarray]:
    """Yields the pictures at the indices `chosen`; all must have the size of the first."""
    size = None
    for index in chosen:
        try:
            picture = read(index)
        except VideoError as error:
            where = f"frame {index + 1} of {count}, " if count > 1 else ""
            raise VideoError(str(files), f"{where}{error.path}: {error.reason}") from error
        height, width = picture.shape[:2]
        size = size or (width, height)
        if (width, height) != size:
            raise VideoError(
                str(files),
                f"the picture changes from {size[0]}x{size[1]} to {width}x{height} at "
                f"{files.place(index)}; extract the frames again, all of one size",
            )
        yield picture
