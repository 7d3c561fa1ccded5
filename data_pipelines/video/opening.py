"""Opening video files with PyAV: of which formats, how large their pictures may be."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import av

from data_pipelines.paths import PathLike


@runtime_checkable
class Stored(Protocol):
    """An encoded video that is no file of its own; `str` tells where it is."""

    def read(self) -> bytes:
        """The content of the file that it would be; VideoError where that cannot be had."""


Encoded = PathLike | Stored
# The largest picture of H.264, HEVC and AV1 at level 6.2, a little more than 8K. What claims to be
# larger is damaged or means harm, and a decoder would take gigabytes for it.
MOST_PIXELS = 8192 * 4352
MOST_UNEQUAL = 50  # the longer side by the shorter: resized by its short side, a line is huge
# Files that consist of the names of others: those may be anything, also somewhere else.
PLAYLISTS = {"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub"}
FORMATS = ",".join(sorted(av.formats_available - PLAYLISTS))


class VideoError(Exception):
    """A video of which no frame can be had: `path`, and `reason` with what to do about it."""

    def __init__(self, path: Encoded, reason: str):
        super().__init__(str(path), reason)
        self.path, self.reason = str(path), reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@contextmanager
def open_video(path: Encoded, thread_type: str) -> Iterator[tuple]:
    """Opens `path` and yields (container, its first video stream)."""
    try:
        container = _open(path)
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            path,
            f"cannot be opened ({error.strerror or error}); it is not a video or is cut off: "
            "download it again, or see what `ffprobe` says",
        ) from error
    with container:
        kinds = {s.index: "cover" if _is_cover(s) else s.type for s in container.streams}
        stream = next((s for s in container.streams if kinds[s.index] == "video"), None)
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
        # What the header says may be undone by the stream, to which the decoder then holds this.
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        stream.thread_type = thread_type
        yield container, stream


def _open(path: Encoded) -> av.container.InputContainer:
    settings = {
        "metadata_errors": "replace",
        # The second is for decoders that are tried while the file is opened.
        "options": {"format_whitelist": FORMATS, "max_pixels": str(MOST_PIXELS)},
    }
    if isinstance(path, Stored):
        content = path.read()
        if not content:
            raise VideoError(path, "is empty; write it again")
        # FFmpeg takes it in one piece: each further one would wait for Python's lock.
        return av.open(io.BytesIO(content), buffer_size=len(content), **settings)
    if not os.path.exists(path):
        raise VideoError(path, "no such file; check the path, in a list also its path_prefix")
    if os.path.isdir(path):
        raise VideoError(path, "is a folder; expected a video file")
    if os.path.getsize(path) == 0:
        raise VideoError(path, "the file is empty; copy or download it again")
    return av.open(os.fspath(path), **settings)


def check_size(path: Encoded, width: int, height: int, most: int = MOST_PIXELS) -> None:
    """VideoError for a picture that takes more memory than anything that one films."""
    if width * height > most or max(width, height) > MOST_UNEQUAL * min(width, height) > 0:
        raise VideoError(
            path,
            f"the picture is {width}x{height}; expected at most {most / 1e6:.0f} million "
            f"pixels, one side at most {MOST_UNEQUAL} times the other: if the file is right, "
            "reduce it, and otherwise leave it out",
        )


def _is_cover(stream: av.stream.Stream) -> bool:
    """Whether it is the cover of a song, which is stored as a video of one picture."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)
