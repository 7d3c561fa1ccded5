"""Frames of cameras and streams, of which late ones are dropped.

Only addresses that the user has named are opened: `live_address` tells them from files.
"""

import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import av

from data_pipelines.video.decoding import orientation_of
from data_pipelines.video.opening import MOST_PIXELS, VideoError, check_size
from data_pipelines.video.times import usual_rate
from slowfast_jax.demo.sources.frames import Frame, Info, colors_of
from slowfast_jax.inference.inputs import ADDRESS, STREAMS

FILES_OVER_NETWORK = {"http", "https"}  # may be faster than they play
CAMERA = re.compile(r"camera:(\d+)|(/dev/video\d+)", re.IGNORECASE)
# FFmpeg's name of the cameras of a system, and the name of one of them.
CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none"),
    "win32": ("dshow", "video={}"),
}
TIMEOUT = 10.0  # seconds
OPTIONS = {"rtsp_transport": "tcp", "max_pixels": str(MOST_PIXELS)}
BAD = (av.error.FFmpegError, OSError)
LONGEST_STEP = 10.0  # seconds between two time stamps; a longer step is another recording


def live_address(text: str) -> bool:
    """Whether an argument names a camera (camera:0, /dev/video0) or a stream (rtsp://...)."""
    address = ADDRESS.match(text)
    if address:
        return address[1].lower() in STREAMS | FILES_OVER_NETWORK
    return CAMERA.fullmatch(text) is not None


def hidden(address: str) -> str:
    """An address without a name and password, as it may be shown and written."""
    return re.sub(r"(?<=://)[^/]*@", "", address)


class LiveFrames:
    """The frames of a camera or stream: iterating gives the newest one each time.

    Use it as a context, which closes the source.

    Attributes:
      info: properties of the source.
      received: number of frames that came.
      dropped: number of frames for which there was no time.
    """

    def __init__(self, address: str, timeout: float = TIMEOUT):
        """Opens the source, and begins to read it.

        Args:
          address: see `live_address`.
          timeout: seconds without a frame after which the source counts as lost.

        Raises:
          VideoError: it cannot be opened.
        """
        self._address, self._timeout = address, timeout
        self.received = self.dropped = 0
        self._newest: Frame | None = None
        self._failure: str | None = None  # why no more frames come; "" if the source has ended
        self._changed = threading.Condition()
        self._closed = False
        self._container, self._stream = self._open()
        stream = self._stream
        self.info = Info(float(usual_rate(stream)), stream.width, stream.height)
        check_size(address, stream.width, stream.height)
        self._thread = threading.Thread(target=self._read, name="live", daemon=True)
        self._thread.start()

    def __enter__(self) -> "LiveFrames":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._thread.join(1.0)  # a camera may not answer any more; then the process ends without it
        if not self._thread.is_alive():
            self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yields the newest frame, which was not yielded before, until the source ends.

        Raises:
          VideoError: the source is lost, or sends nothing for too long.
        """
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._newest is not None or self._failure is not None, self._timeout
                )
                frame, self._newest = self._newest, None
                failure = self._failure
            if frame is not None:
                yield frame
            elif failure:
                raise VideoError(self._address, failure)
            elif failure is None:
                raise VideoError(self._address, _stalled(self._timeout))
            else:
                return

    def forget(self) -> None:
        """Forgets the frames that have come so far."""
        with self._changed:
            self._newest, self.received, self.dropped = None, 0, 0

    def _open(self) -> tuple[Any, Any]:
        camera = CAMERA.fullmatch(self._address)
        place, options = self._address, {"options": OPTIONS}
        if camera:
            kind, name = CAMERAS.get(sys.platform, CAMERAS["linux"])
            place = camera[2] or name.format(camera[1])
            options = {"format": kind}
        try:
            container = av.open(place, timeout=(self._timeout, self._timeout), **options)
        except av.error.ExitError as error:
            raise VideoError(self._address, _stalled(self._timeout)) from error
        except BAD as error:
            reason = error.strerror or str(error)
            raise VideoError(self._address, f"cannot be opened ({reason})") from error
        if not container.streams.video:
            container.close()
            raise VideoError(self._address, "has no pictures")
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # threads for whole frames would each hold one back
        return container, stream

    def _read(self) -> None:
        try:
            for frame in self._timed_frames():
                with self._changed:
                    self.received += 1
                    self.dropped += self._newest is not None
                    self._newest = frame
                    self._changed.notify()
            failure = ""
        except VideoError as error:
            failure = error.reason
        except av.error.ExitError:
            failure = _stalled(self._timeout)
        except BAD as error:
            failure = f"is lost ({error.strerror or error})"
        with self._changed:
            self._failure = failure
            self._changed.notify()

    def _timed_frames(self) -> Iterator[Frame]:
        """The frames by their time stamps, or by when they come if they have none."""
        address = ADDRESS.match(self._address)
        paced = bool(address) and address[1].lower() in FILES_OVER_NETWORK
        begun = orientation = colors = size = first = None
        before = shift = 0.0
        for frame in self._decoded():
            now = time.monotonic()
            if begun is None:
                begun, first, size = now, frame.pts, (frame.width, frame.height)
                orientation, colors = orientation_of(frame), colors_of(frame)
            if (frame.width, frame.height) != size:
                raise VideoError(self._address, "has changed the size of its picture")
            seconds = now - begun
            if frame.pts is not None and first is not None and not self._closed:
                seconds = float((frame.pts - first) * frame.time_base) + shift
                if not before <= seconds < before + LONGEST_STEP:
                    shift += now - begun - seconds
                    seconds = max(now - begun, before)
            before = seconds
            if paced and (early := begun + seconds - now) > 0:
                time.sleep(early)
            yield Frame(seconds, frame, orientation, time.monotonic(), colors)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._container.demux(self._stream):
            if self._closed:
                return
            try:
                yield from self._stream.decode(packet)
            except av.error.InvalidDataError:  # packets are lost, as is usual on a network
                continue


def _stalled(seconds: float) -> str:
    return f"has sent no picture for {seconds:g} seconds (--timeout)"
