"""Extracts frames of a video as JPEG files at a constant rate.

The frames are those that FFmpeg 4 extracts, with which the published frame lists and weights were
made, by

    ffmpeg -i VIDEO -r 30 -q:v 1 FOLDER/NAME_%06d.jpg
"""

import statistics
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from data_pipelines.paths import PathLike
from data_pipelines.video.decoding import VideoError, open_video, orientation_of
from data_pipelines.video.encoding import fitting_size, timed_frames, upright_frame
from data_pipelines.video.times import usual_rate

# FFmpeg's -q:v 1, in its internal unit (FF_QP2LAMBDA).
JPEG_OPTIONS = {"flags": "+qscale", "global_quality": "118"}
# A frame is repeated or dropped once its time is off by more than this many frames.
PATIENCE = 1.1
# Added to times, so that the later frame wins halfway between two.
MIDDLE = 2.0**-17


def extract(
    source: PathLike,
    folder: PathLike,
    *,
    stem: str,
    fps: int = 30,
    seconds: float | None = None,
    short_side: int | None = None,
) -> int:
    """Writes the frames of a video as JPEG files STEM000001.jpg, STEM000002.jpg and so on.

    Args:
        source: the video.
        folder: an existing folder for the files.
        stem: beginning of the file names.
        fps: frame rate of the files; frames are repeated or dropped to reach it.
        seconds: duration to extract from the start; None takes all.
        short_side: pixels to which the short side is reduced if it is longer; None keeps the size.

    Returns:
        The number of files written.

    Raises:
        VideoError: the video cannot be read to its end.
    """
    encoder = orientation = written = None
    count = 0
    with open_video(source, "NONE") as (container, stream):
        for frame, repeated in constant_rate(container, stream, fps, seconds):
            if encoder is None:
                orientation = orientation_of(frame)
                encoder = _jpeg_encoder(*fitting_size(frame, orientation, short_side))
            if written is not frame:
                picture = upright_frame(frame, orientation).reformat(
                    encoder.width, encoder.height, "yuvj420p", dst_color_range="JPEG",
                    interpolation="BICUBIC", threads=1,
                )
                picture.pts, picture.time_base = count, encoder.time_base
                (packet,) = encoder.encode(picture)
                written, content = frame, bytes(packet)
            for _ in range(repeated):
                count += 1
                Path(folder, f"{stem}{count:06d}.jpg").write_bytes(content)
    if count == 0:
        raise VideoError(source, "no frame can be decoded; download it again, or leave it out")
    return count


def constant_rate(
    container, stream, fps: int, seconds: float | None = None
) -> Iterator[tuple[av.VideoFrame, int]]:
    """Yields (frame, number of times it is shown) at a constant rate.

    Follows FFmpeg 4's `-r`. From 24 to 30 frames per second in the source, the frame nearest in
    time is shown; from slower sources, the last one that has begun; faster sources lag by up to one
    and a half frames.

    Args:
        container, stream: as `open_video` yields them.
        fps: the constant rate in frames per second.
        seconds: duration from the start; None takes all.
    """
    limit = None if seconds is None else round(seconds * fps)
    usual = float(fps / usual_rate(stream))
    shown, before, delays = 0, None, [0, 0, 0]

    def give(frame: av.VideoFrame, count: int) -> tuple[av.VideoFrame, int]:
        nonlocal shown
        if limit is not None:
            count = min(count, limit - shown)
        shown += count
        return frame, count

    for time, frame in timed_frames(container, stream):
        if shown == limit:
            return
        own = float(frame.duration * stream.time_base * fps) if frame.duration else usual
        ahead = float(time * fps) + MIDDLE - shown
        end = ahead + (round(own) or min(usual, 1.0))
        delay, count = 0, 1
        if end < -PATIENCE:
            count = 0
        elif end > PATIENCE:
            count = round(end)
            delay = round(ahead - 0.6) if ahead > PATIENCE else 0
        if delay:
            yield give(before or frame, delay)
        if count > delay:
            yield give(frame, count - delay)
        delays = [*delays[1:], delay]
        before = frame
    if before is not None and (rest := statistics.median(delays)):
        yield give(before, rest)


def _jpeg_encoder(width: int, height: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1, 30)  # required, but JPEG files do not store it
    encoder.options = JPEG_OPTIONS
    return encoder
