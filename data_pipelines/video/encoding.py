"""Videos written anew: a part of one without decoding it, or small and quick to seek in."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from data_pipelines.atomic_files import whole
from data_pipelines.paths import PathLike
from data_pipelines.video import seeking
from data_pipelines.video.decoding import (
    VideoError,
    decoded_frames,
    open_video,
    orientation_of,
    upright_picture,
)
from data_pipelines.video.seeking import keeps_times

GOP = 12  # frames from one key frame to the next: a clip decodes at most these before its first
CRF = "20"  # of x264: no loss that one sees, about a third of the size of lossless to the eye (17)
SUFFIX = ".mp4"


def write_video(
    path: PathLike,
    frames: Iterable[np.ndarray],
    *,
    fps: Fraction | int = 30,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> None:
    """Encodes uint8 (H,W,3) RGB frames; the container follows from the suffix of `path`."""
    path = Path(path)
    index_first = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=index_first) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.pix_fmt = pixel_format
        for number, picture in enumerate(frames):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def timed_frames(
    container, stream, *, whole: bool = True
) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """Frames and when they are shown, in seconds after the first of the file; rising.

    From where the container is; `whole` where that is its beginning. Where the file keeps no times
    (AVI with B-frames, MPEG-PS) they follow each other at its rate, from the start. Of frames shown
    at once the first is given.

    Raises:
        VideoError: packets cannot be decoded, or the file breaks off: a copy would hide that.
    """
    problems: list[str] = []
    timed, before = keeps_times(container, stream), None
    rate = stream.average_rate or stream.guessed_rate or Fraction(30)
    for number, frame in enumerate(decoded_frames(container, stream, problems, whole=whole)):
        if timed and frame.pts is None:
            raise VideoError(container.name, "has frames without time; re-encode it")
        time = (frame.pts - stream.start_time) * stream.time_base if timed else number / rate
        if before is None or time > before:
            yield time, frame
            before = time
    if problems:
        raise VideoError(container.name, "; ".join(problems) + ": download it again")


def encode(
    source: PathLike,
    target: PathLike,
    *,
    short_side: int | None = None,
    begin: float = 0.0,
    seconds: float | None = None,
    gop: int = GOP,
) -> None:
    """Encodes a video to H.264 in MP4, without its sound, upright, at its own times.

    Args:
        short_side: of the picture, which is made smaller if need be, never larger; sides become
            even.
        begin: the first frame is the one shown nearest to this second.
        seconds: from `begin` to the end; None takes all.
        gop: frames from one key frame to the next.

    Raises:
        VideoError: the video cannot be read to its end, or ends before `begin`.
    """
    with open_video(source, "NONE") as (container, stream), whole(target) as part:
        first = _seek(container, stream, begin)
        with av.open(str(part), "w", format="mp4") as out:
            copy = None
            for time, frame in _frames_from(container, stream, first):
                if seconds is not None and time >= begin + seconds:
                    break
                if copy is None:
                    orientation = orientation_of(frame)
                    copy = _add_stream(out, stream, frame, orientation, short_side, gop)
                picture = _picture(frame, orientation, copy.width, copy.height)
                picture.time_base = copy.codec_context.time_base
                picture.pts = round((time - first) / picture.time_base)
                out.mux(copy.encode(picture))
            if copy is None:
                raise VideoError(source, f"ends before second {begin:g}; get the whole video")
            out.mux(copy.encode(None))


def cut(source: PathLike, target: PathLike, *, begin: float, seconds: float) -> bool:
    """Writes the part of a video from `begin` on to MP4, without its sound.

    Packets are copied: pixels stay as they are, and it takes seconds. They start at the key frame
    before, and the file says (as an edit list) from when on they are shown. Where the container
    cannot hold them, or does not give the same frames back, the part is encoded anew.

    The first frame is the one shown nearest to `begin`, so that frame n of the part is n frames
    later in the whole. Where the rate times `begin` is no whole number, as at 23.976 a second, the
    frame nearest to a second may be its neighbour in the whole. Of copied packets a few frames
    behind the end may be left, to which B-frames before it refer.

    Returns:
        Whether packets were copied.

    Raises:
        VideoError: as `encode`.
    """
    try:
        with open_video(source, "NONE") as (container, stream), whole(target) as part:
            first = _seek(container, stream, begin)
            _copy_packets(container, stream, part, first, begin + seconds)
            if not _same_ends(source, part, first):
                raise ValueError("the copy shows other frames")
        return True
    except (ValueError, av.error.FFmpegError):
        encode(source, target, begin=begin, seconds=seconds)
        return False


def _seek(container, stream, begin: float) -> Fraction:
    """Goes to the key frame before the frame nearest to `begin`; gives that frame's time."""
    if begin <= 0 or not keeps_times(container, stream):
        rate = stream.average_rate or stream.guessed_rate or Fraction(30)
        return round(begin * rate) / rate
    target = stream.start_time + round(begin / stream.time_base)
    container.seek(target, stream=stream)
    nearest = None
    for packet in container.demux(stream):
        if packet.pts is None or packet.size == 0:
            continue
        if nearest is None or abs(packet.pts - target) < abs(nearest - target):
            nearest = packet.pts
        if packet.dts is not None and packet.dts > target + 1 / stream.time_base:
            break
    if nearest is None or abs(nearest - target) * stream.time_base > 1:
        raise VideoError(container.name, f"shows nothing at second {begin:g}; get the whole video")
    container.seek(nearest, stream=stream)
    return (nearest - stream.start_time) * stream.time_base


def _frames_from(container, stream, first: Fraction) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """Frames from that time on, of a container that `_seek` has brought there."""
    sure = first == 0 or not keeps_times(container, stream)
    # A seek may end behind the key frame needed, or at none; then one from further back is tried.
    for back in (1, 4, 16, 64, None):
        complete = sure
        for time, frame in timed_frames(container, stream, whole=sure):
            if not complete and not frame.key_frame:
                continue
            if not complete and time > first and back is not None:
                break
            complete = True
            if time >= first:
                yield time, frame
        if complete:
            return
        if back is not None:
            target = max(first - back, 0) / stream.time_base
            container.seek(stream.start_time + round(target), stream=stream)


def _copy_packets(container, stream, part: PathLike, first: Fraction, end: float) -> None:
    if not keeps_times(container, stream):
        raise ValueError("no times to cut at")
    shift = stream.start_time + int(first / stream.time_base)
    last = stream.start_time + round(end / stream.time_base)
    with av.open(str(part), "w", format="mp4") as out:
        copy = out.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None or packet.dts is None:
                raise ValueError("packets without time")
            if packet.dts >= last:
                break
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
            out.mux(packet)


def _same_ends(source: PathLike, part: PathLike, first: Fraction) -> bool:
    """Whether the first and last frame of a part are those of the whole."""
    info, _, pictures = seeking.select_frames(part, lambda info: [0, info.frames - 1])
    start = 0

    def of_whole(whole_info) -> list[int]:
        nonlocal start
        start = round(first * Fraction(whole_info.fps))
        return [start, min(start + info.frames - 1, whole_info.frames - 1)]

    _, chosen, expected = seeking.select_frames(source, of_whole)
    return len(chosen) == len(pictures) and np.array_equal(pictures, expected)


def fitting_size(frame: av.VideoFrame, orientation, short_side: int | None) -> tuple[int, int]:
    """(width, height) of the upright picture made smaller to a short side; never made larger.

    The long side of a picture that is made smaller is even.
    """
    width, height = (frame.width, frame.height)[:: -1 if orientation[0] else 1]
    if short_side is None or min(width, height) <= short_side:
        return width, height
    long = 2 * round(max(width, height) * short_side / min(width, height) / 2)
    return (long, short_side) if width > height else (short_side, long)


def _add_stream(out, stream, frame, orientation, short_side, gop):
    """A stream of H.264 for the pictures of another."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(30)
    # One thread a file: as many files are encoded at once as there are processors.
    copy = out.add_stream("libx264", rate=rate, options={
        "preset": "fast", "crf": CRF, "g": str(gop), "threads": "1"
    })
    copy.width, copy.height = (
        side + side % 2 for side in fitting_size(frame, orientation, short_side)
    )
    copy.pix_fmt = "yuv420p"
    timed = stream.time_base is not None
    copy.codec_context.time_base = stream.time_base if timed else 1 / Fraction(rate)
    copy.codec_context.colorspace = frame.colorspace
    return copy


def _picture(frame: av.VideoFrame, orientation, width: int, height: int) -> av.VideoFrame:
    """The frame upright and of this size, as H.264 keeps it."""
    if any(orientation):
        frame = av.VideoFrame.from_ndarray(upright_picture(frame, orientation, None))
    return frame.reformat(width, height, "yuv420p", interpolation="BICUBIC", threads=1)
