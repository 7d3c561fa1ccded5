"""Opens video files with PyAV, and refuses unsafe formats and pictures that are too large."""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import av

from data_pipelines.paths import PathLike


@runtime_checkable
class Stored(Protocol):
    """An encoded video that is stored inside another file; `str` gives its location."""

    def read(self) -> bytes:
        """The bytes of the video file.

        Raises:
            VideoError: the bytes cannot be read.
        """


Encoded = PathLike | Stored
# The largest picture of H.264, HEVC and AV1 at level 6.2, a little more than 8K. A file that claims
# a larger one is damaged or malicious, and decoding it would take gigabytes.
MOST_PIXELS = 8192 * 4352
# Largest ratio of the sides: resizing a very narrow picture by its short side makes it huge.
MOST_UNEQUAL = 50
# Formats whose files only name other files, which may be anything, even on other machines.
PLAYLISTS = {"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub"}
FORMATS = ",".join(sorted(av.formats_available - PLAYLISTS))


class VideoError(Exception):
    """A video that cannot be read.

    Attributes:
        path: the file, or the location of a video stored inside another file.
        reason: what is wrong and what to do about it.
    """

    def __init__(self, path: Encoded, reason: str):
        super().__init__(str(path), reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@contextmanager
def open_video(path: Encoded, thread_type: str) -> Iterator[tuple]:
    """Opens a video and yields (container, its video stream).

    Args:
        path: the video.
        thread_type: FFmpeg's threads for decoding: "AUTO", "FRAME", "SLICE" or "NONE".

    Raises:
        VideoError: the file is missing or empty, is not a video, has no decoder, or its picture
            is too large.
    """
    try:
        container = _open(path)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            path,
            f"cannot be opened ({error.strerror or error}); it is truncated or not a video: "
            "download it again, or see what `ffprobe` reports",
        ) from error
    with container:
        kinds = {s.index: "cover" if _is_cover(s) else s.type for s in container.streams}
        stream = _main_stream([s for s in container.streams if kinds[s.index] == "video"])
        if stream is None:
            found = ", ".join(sorted(set(kinds.values()))) or "nothing"
            raise VideoError(
                path, f"no video stream (found: {found}); expected a video, leave this file out"
            )
        if stream.codec_context is None:
            raise VideoError(
                path, "this PyAV has no decoder for its codec; re-encode it, for example to H.264"
            )
        check_size(path, stream.codec_context.width, stream.codec_context.height)
        # The stream may announce a larger picture than the header; the decoder enforces this limit.
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        stream.thread_type = thread_type
        yield container, stream


def _open(path: Encoded) -> av.container.InputContainer:
    settings = {
        "metadata_errors": "replace",
        # `max_pixels` limits the decoders that FFmpeg tries while it opens the file.
        "options": {"format_whitelist": FORMATS, "max_pixels": str(MOST_PIXELS)},
    }
    if isinstance(path, Stored):
        content = path.read()
        if not content:
            raise VideoError(path, "is empty; write it again")
        # One buffer for everything: each further read by FFmpeg would wait for Python's lock.
        return av.open(io.BytesIO(content), buffer_size=len(content), **settings)
    if not os.path.exists(path):
        raise VideoError(path, "no such file; check the path, for a list also data.path_prefix")
    if os.path.isdir(path):
        raise VideoError(path, "is a folder; expected a video file")
    if os.path.getsize(path) == 0:
        raise VideoError(path, "the file is empty; copy or download it again")
    return av.open(os.fspath(path), **settings)


def check_size(path: Encoded, width: int, height: int, most: int = MOST_PIXELS) -> None:
    """Refuses pictures larger or narrower than anything a camera films.

    Args:
        path: the video, for the error.
        width, height: size of the picture in pixels.
        most: the largest number of pixels allowed.

    Raises:
        VideoError: the picture is too large or too narrow.
    """
    if width * height > most or max(width, height) > MOST_UNEQUAL * min(width, height) > 0:
        raise VideoError(
            path,
            f"the picture is {width}x{height}; expected at most {most / 1e6:.0f} million "
            f"pixels, one side at most {MOST_UNEQUAL} times the other: re-encode it smaller, or "
            "leave it out",
        )


def size_change(before: tuple[int, int], after: tuple[int, int], where: str) -> str:
    """Error text for a video whose picture changes its size.

    Args:
        before, after: (width, height) in pixels.
        where: the first frame of the new size.
    """
    return (
        f"the picture changes from {before[0]}x{before[1]} to {after[0]}x{after[1]} at {where}; "
        "re-encode it to one size"
    )


def _main_stream(streams: Sequence[av.VideoStream]) -> av.VideoStream | None:
    """The first of the streams that can be decoded, is no single picture and is marked as default.

    A property that no stream has is not looked for. None if there are no streams.
    """
    for wanted in (
        lambda stream: stream.codec_context is not None,
        lambda stream: stream.frames != 1,
        lambda stream: bool(stream.disposition & av.stream.Disposition.default),
    ):
        streams = [stream for stream in streams if wanted(stream)] or streams
    return next(iter(streams), None)


def _is_cover(stream: av.stream.Stream) -> bool:
    """Whether the stream is the cover of a song, stored as a video of one picture."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)
