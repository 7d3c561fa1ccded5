"""Writes a film that browsers play: H.264 in MP4 with the index in front, and with sound."""

import os
import queue
import threading
import time
from collections.abc import Callable
from fractions import Fraction

import av
from av.video.frame import PictureType

from data_pipelines.video.opening import Encoded
from slowfast_jax.demo.film.overlay import Overlay
from slowfast_jax.demo.film.planes import FORMAT, drawable
from slowfast_jax.demo.film.sound import Sound
from slowfast_jax.demo.sources.frames import Frame, Info
from slowfast_jax.demo.timing import Timing

TICKS = 90000  # per second: whole numbers of them for all usual frame rates
WAITING = 3  # frames that wait for the encoder
LEAST_SIDE = 200  # pixels: the short side of smaller pictures is doubled, ..., for the text
CRF = "23"  # x264's quality
# x264's preset by the number of pixels, up to the given one. Faster ones make larger files at this
# quality, not worse pictures.
PRESETS = ((1280 * 720, "veryfast"), (2048 * 1152, "superfast"), (float("inf"), "ultrafast"))
KEY_SECONDS = 2  # between pictures to which players can jump
Paint = Callable[[av.VideoFrame, Overlay], None]  # draws into a frame
Show = Callable[[av.VideoFrame, float], None]  # takes a drawn frame, and its second in the film


def scale_of(info: Info) -> int:
    """The factor by which pictures are enlarged before anything is drawn."""
    return max(1, -(-LEAST_SIDE // min(info.width, info.height)))


def size_of(info: Info) -> tuple[int, int]:
    """Height and width of the film."""
    scale = scale_of(info)
    height, width = info.height * scale, info.width * scale
    return height - height % 2, width - width % 2


class Film:
    """Draws, shows and encodes frames in a thread of its own, so that an interruption of the main
    thread cannot hit the encoder: `close` always leaves a file that plays.

    Attributes:
      latency: of a camera or stream, seconds from the arrival of the last frame until the encoder
        had it.
    """

    def __init__(
        self, path: str | os.PathLike | None, info: Info, paint: Paint, timing: Timing, *,
        sound: Encoded | None = None, slow_motion: float = 1.0, show: Show | None = None,
    ):
        """
        Args:
          path: the .mp4 file; it is created with the first frame. None: frames are only shown.
          info: properties of the source. An odd last row or column, which H.264 cannot store, is
            dropped.
          paint: draws an overlay into a picture.
          timing: receives the parts "draw" and "encode".
          sound: the video whose sound the film gets.
          slow_motion: how many times longer than the source the film is.
          show: called with each frame.
        """
        self.latency = 0.0
        self._path = None if path is None else os.fspath(path)
        self._info, self._paint, self._timing = info, paint, timing
        self._sound_of, self._slow, self._show = sound, slow_motion, show
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
            for frame, overlay in iter(self._waiting.get, None):
                with self._timing.part("draw"):
                    picture = drawable(frame, self._scale)
                    self._paint(picture, overlay)
                seconds = frame.time * self._slow
                if self._show:
                    self._show(picture, seconds)
                if self._path:
                    with self._timing.part("encode"):
                        out = out or _Writer(self._path, picture, self._info.fps, self._sound_of)
                        out.write(picture, seconds)
                self.latency = time.monotonic() - frame.arrived
            ended = True
            if out:
                with self._timing.part("encode"):
                    out, writer = None, out
                    writer.close()
        except Exception as error:  # raised in the thread that adds frames
            self._error = error
            if out:
                out.abandon()
            while not ended and self._waiting.get():  # so that `put` does not wait for room
                pass


class _Writer:
    """The file of a film; its size is that of the first picture."""

    def __init__(self, path: str, picture: av.VideoFrame, fps: float, sound: Encoded | None):
        self._out = av.open(path, "w", format="mp4", options={"movflags": "faststart"})
        rate = Fraction(fps).limit_denominator(1001)
        key = str(max(1, round(fps * KEY_SECONDS)))
        pixels = picture.width * picture.height
        preset = next(preset for most, preset in PRESETS if pixels <= most)
        self._stream = self._out.add_stream("libx264", rate=rate, options={
            "preset": preset, "crf": CRF, "g": key,
        })
        self._stream.height, self._stream.width = picture.height, picture.width
        self._stream.pix_fmt = FORMAT
        context = self._stream.codec_context
        # PyAV's default, threads for slices of a picture, is slower and needs more bits.
        context.thread_type = "FRAME"
        context.time_base = Fraction(1, TICKS)
        context.colorspace, context.color_range = picture.colorspace, picture.color_range
        context.color_primaries, context.color_trc = picture.color_primaries, picture.color_trc
        self._sound = Sound(sound, self._out) if sound is not None else None
        self._last, self._interval = -1, 1 / fps  # time stamp of the frame before

    def write(self, picture: av.VideoFrame, seconds: float) -> None:
        """Encodes a picture that is shown from `seconds` on."""
        self._last = max(round(seconds * TICKS), self._last + 1)
        picture.pts, picture.time_base = self._last, Fraction(1, TICKS)
        picture.pict_type = PictureType.NONE  # the encoder chooses, not that of the source
        self._out.mux(self._stream.encode(picture))
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
