"""Writes a film that browsers play: H.264 in MP4 with the index in front, and with sound."""

import os
import queue
import threading
import time
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from data_pipelines.video.opening import Encoded
from slowfast_jax.demo.film.overlay import Overlay
from slowfast_jax.demo.film.sound import Sound
from slowfast_jax.demo.sources.frames import Frame, Info
from slowfast_jax.demo.timing import Timing

TICKS = 90000  # per second: whole numbers of them for all usual frame rates
BT709 = 1  # FFmpeg's number of the color space that browsers assume
WAITING = 3  # frames that wait for the encoder
LEAST_SIDE = 200  # pixels: the short side of smaller pictures is doubled, ..., for the text
OPTIONS = {"preset": "veryfast", "crf": "23"}
KEY_SECONDS = 2  # between pictures to which players can jump
Paint = Callable[[np.ndarray, Overlay], None]  # draws into uint8 (H, W, 3)


def scale_of(info: Info) -> int:
    """The factor by which pictures are enlarged before anything is drawn."""
    return max(1, -(-LEAST_SIDE // min(info.width, info.height)))


class Film:
    """Draws and encodes frames in a thread of its own, so that an interruption of the main thread
    cannot hit the encoder: `close` always leaves a file that plays.

    Attributes:
      latency: seconds from the arrival of the last frame that was written, of a camera or stream,
        until then.
    """

    def __init__(
        self, path: str | os.PathLike, info: Info, paint: Paint, timing: Timing, *,
        sound: Encoded | None = None, slow_motion: float = 1.0,
    ):
        """
        Args:
          path: the .mp4 file; it is created with the first frame.
          info: properties of the source. An odd last row or column, which H.264 cannot store, is
            dropped.
          paint: draws an overlay into a picture.
          timing: receives the parts "draw" and "encode".
          sound: the video whose sound the film gets.
          slow_motion: how many times longer than the source the film is.
        """
        self.latency = 0.0
        self._path, self._info, self._paint, self._timing = os.fspath(path), info, paint, timing
        self._sound_of, self._slow = sound, slow_motion
        self._scale = scale_of(info)
        self._waiting: queue.Queue[tuple[Frame, Overlay] | None] = queue.Queue(WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="film", daemon=True)
        self._thread.start()

    def put(self, frame: Frame, overlay: Overlay) -> None:
        """Adds the next frame; waits while too many have not been written yet.

        Raises:
          OSError: an earlier frame cannot be written.
        """
        self._raise_error()
        self._waiting.put((frame, overlay))

    def close(self) -> None:
        """Writes the frames that wait, and the end of the file.

        Raises:
          OSError: it cannot be written.
        """
        self._waiting.put(None)
        self._thread.join()
        self._raise_error()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error:
            raise OSError(
                getattr(error, "errno", None) or 0, getattr(error, "strerror", "") or str(error),
                self._path,
            ) from error

    def _work(self) -> None:
        out, ended = None, False
        try:
            while not (ended := (found := self._waiting.get()) is None):
                frame, overlay = found
                with self._timing.part("draw"):
                    picture = self._enlarged(frame.picture())
                    self._paint(picture, overlay)
                with self._timing.part("encode"):
                    out = out or _Writer(self._path, picture, self._info.fps, self._sound_of)
                    out.write(picture, frame.time * self._slow)
                self.latency = time.monotonic() - frame.arrived
            if out:
                with self._timing.part("encode"):
                    out, writer = None, out
                    writer.close()
        except Exception as error:  # raised in the thread that adds frames
            self._error = error
            if out:
                out.abandon()
            while not ended and self._waiting.get():  # nobody may wait for room
                pass

    def _enlarged(self, picture: np.ndarray) -> np.ndarray:
        if self._scale == 1:
            return picture
        size = picture.shape[1] * self._scale, picture.shape[0] * self._scale
        return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


class _Writer:
    """The file of a film; its size is that of the first picture."""

    def __init__(self, path: str, picture: np.ndarray, fps: float, sound: Encoded | None):
        self._out = av.open(path, "w", format="mp4", options={"movflags": "faststart"})
        rate = Fraction(fps).limit_denominator(1001)
        key = str(max(1, round(fps * KEY_SECONDS)))
        self._stream = self._out.add_stream("libx264", rate=rate, options=OPTIONS | {"g": key})
        self._stream.height, self._stream.width = (
            side - side % 2 for side in picture.shape[:2]
        )
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, TICKS)
        context.colorspace = context.color_primaries = context.color_trc = BT709
        self._sound = Sound(sound, self._out) if sound is not None else None
        self._last, self._interval = -1, 1 / fps  # time stamp of the frame before

    def write(self, picture: np.ndarray, seconds: float) -> None:
        """Encodes uint8 (H, W, 3) RGB, shown from `seconds` on."""
        height, width = self._stream.height, self._stream.width
        picture = np.ascontiguousarray(picture[:height, :width])
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=BT709, threads=1
        )
        self._last = max(round(seconds * TICKS), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._out.mux(self._stream.encode(frame))
        if self._sound:
            self._sound.write_until(seconds)

    def close(self) -> None:
        """Ends the file."""
        self._out.mux(self._stream.encode(None))
        if self._sound:
            self._sound.write_until(self._last / TICKS + self._interval)
            self._sound.close()
        self._out.close()

    def abandon(self) -> None:
        """Ends the file after an error, as far as that is possible."""
        try:
            self.close()
        except (av.error.FFmpegError, OSError, ValueError):
            pass
