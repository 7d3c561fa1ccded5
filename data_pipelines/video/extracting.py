"""Frames of a video as JPEG files at a constant rate, the same ones as by

    ffmpeg -i VIDEO -r 30 -q:v 1 FOLDER/NAME_%06d.jpg

of FFmpeg 4, with which the published frame lists and weights were made.
"""

import statistics
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from data_pipelines.paths import PathLike
from data_pipelines.video.decoding import VideoError, open_video, orientation_of, upright_picture
from data_pipelines.video.encoding import fitting_size, timed_frames

# FFmpeg's quality 1, in its unit (FF_QP2LAMBDA).
JPEG_OPTIONS = {"flags": "+qscale", "global_quality": "118"}
# How far, in frames, times may be off before a frame is repeated or left out.
PATIENCE = 1.1
# Where a time lies in the middle between two frames the later is taken.
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
    """Writes the frames of a video to `folder`, which must be there: stem + "000001.jpg" and so on.

    Args:
        fps: frames a second; where the video has others they are repeated or left out.
        seconds: how much of it, from the beginning on; None is all.
        short_side: see encoding.encode; None leaves pictures as they are.

    Returns:
        How many frames there are.

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
                picture = _picture(frame, orientation, encoder)
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
    """Frames, and how often each is shown at `fps` frames a second.

    As FFmpeg 4 does it for `-r`: from 24 to 30 frames a second the frame nearest in time is shown,
    from slower ones the last that has begun, faster ones lag by up to one and a half.
    """
    limit = None if seconds is None else round(seconds * fps)
    usual = float(fps / (stream.average_rate or stream.guessed_rate or Fraction(fps)))
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
    encoder.time_base = Fraction(1, 30)  # what is kept is the picture alone
    encoder.options = JPEG_OPTIONS
    return encoder


def _picture(frame: av.VideoFrame, orientation, encoder) -> av.VideoFrame:
    if any(orientation):
        frame = av.VideoFrame.from_ndarray(upright_picture(frame, orientation, None))
    return frame.reformat(
        encoder.width, encoder.height, "yuvj420p", dst_color_range="JPEG",
        interpolation="BICUBIC", threads=1,
    )
