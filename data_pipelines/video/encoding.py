"""Writes videos: cut without re-encoding, or re-encoded small and quick to seek in."""

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
from data_pipelines.video.times import JUMP_BACK, keeps_times, usual_rate

GOP = 12  # frames between key frames: at most these are decoded before the first frame of a clip
CRF = "20"  # x264's quality: no visible loss, at a third of the size of 17 ("visually lossless")
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


def even_sides(pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Pictures (H,W,3) without an odd last row or column, which H.264 cannot store."""
    for picture in pictures:
        height, width = (side - side % 2 for side in picture.shape[:2])
        yield np.ascontiguousarray(picture[:height, :width])


def timed_frames(
    container, stream, *, whole: bool = True
) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """Yields (time, frame) from the current position of the container, with increasing times.

    Times are seconds after the first frame of the file. In files without usable time stamps (AVI
    with B-frames, MPEG-PS) they are computed from the frame rate. Of several frames with the same
    time, the first is yielded. Where time stamps jump back, as between two recordings that were
    joined together, the second continues the first.

    Args:
        container, stream: as `open_video` yields them.
        whole: the container is at its start.

    Raises:
        VideoError: packets cannot be decoded or the file is truncated, which a copy would hide.
    """
    problems: list[str] = []
    timed, before = keeps_times(container, stream), None
    rate, shift = usual_rate(stream), Fraction(0)
    for number, frame in enumerate(decoded_frames(container, stream, problems, whole=whole)):
        if timed and frame.pts is None:
            raise VideoError(container.name, "has frames without time stamps; re-encode it")
        time = number / rate
        if timed:
            time = (frame.pts - stream.start_time) * stream.time_base + shift
            if before is not None and time < before - JUMP_BACK:
                shift += before + 1 / rate - time
                time = before + 1 / rate
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
    """Re-encodes a video to H.264 in MP4: upright, without sound, with the original time stamps.

    Args:
        source: the video.
        target: the file to write, atomically.
        short_side: pixels to which the short side is reduced if it is longer; sides become even.
        begin: the first frame is the one shown nearest to this second.
        seconds: duration from `begin` on; None takes the rest.
        gop: frames between key frames.

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
                picture = upright_frame(frame, orientation).reformat(
                    copy.width, copy.height, "yuv420p", interpolation="BICUBIC", threads=1
                )
                picture.time_base = copy.codec_context.time_base
                picture.pts = round((time - first) / picture.time_base)
                out.mux(copy.encode(picture))
            if copy is None:
                reason = f"ends before second {begin:g}; get the whole video"
                raise VideoError(source, reason)
            out.mux(copy.encode(None))


def cut(source: PathLike, target: PathLike, *, begin: float, seconds: float) -> bool:
    """Cuts `seconds` of a video from `begin` on into an MP4 file without sound.

    Packets are copied, so pixels do not change and it takes seconds. The copy starts at the key
    frame before `begin`, and an edit list hides the frames up to `begin`. If MP4 cannot hold the
    packets or the copy decodes to other frames, the part is re-encoded.

    The first frame is the one shown nearest to `begin`, and frame n of the part is n frames later
    in the source. If the rate times `begin` is not a whole number, as at 23.976 frames per second,
    the frame nearest to a given second may be the neighbor of the one in the source. A copy may
    contain a few frames after its end, to which B-frames before the end refer.

    Args:
        source: the video.
        target: the file to write, atomically.
        begin: second of the source at which the part starts.
        seconds: duration of the part.

    Returns:
        True if packets were copied, False if the part was re-encoded.

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
    """Seeks to the key frame before the frame nearest to `begin`; returns that frame's time."""
    if begin <= 0 or not keeps_times(container, stream):
        rate = usual_rate(stream)
        return round(begin * rate) / rate
    target = stream.start_time + round(begin / stream.time_base)
    for back in (0, 1, 4, 16, 64):
        begun = target - round(back / stream.time_base)
        container.seek(max(begun, stream.start_time), stream=stream)
        if (nearest := _nearest(container, stream, target, whole=False)) is not None:
            break
    else:  # the index is too coarse, so all packets are read
        with open_video(container.name, "NONE") as (again, same):
            nearest = _nearest(again, same, target, whole=True)
    if nearest is None or abs(nearest - target) * stream.time_base > 1:
        reason = f"has no frame at second {begin:g}; get the whole video"
        raise VideoError(container.name, reason)
    container.seek(nearest, stream=stream)
    return (nearest - stream.start_time) * stream.time_base


def _nearest(container, stream, target: int, whole: bool) -> int | None:
    """The time stamp nearest to `target`; None if a seek landed after its key frame.

    Args:
        container, stream: as `open_video` yields them.
        target: a time in ticks of the stream.
        whole: the container is at its start.
    """
    nearest = None
    for packet in container.demux(stream):
        if packet.pts is None or packet.size == 0:
            continue
        if nearest is None and not whole:
            if not packet.is_keyframe:
                continue
            if packet.pts > target:
                return None
        if nearest is None or abs(packet.pts - target) < abs(nearest - target):
            nearest = packet.pts
        if packet.dts is not None and packet.dts > target + 1 / stream.time_base:
            break
    return nearest


def _frames_from(container, stream, first: Fraction) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """Yields (time, frame) from time `first` on, to which `_seek` has moved the container."""
    sure = first == 0 or not keeps_times(container, stream)
    # A seek may land after the key frame needed, or on another frame. Then seek further back.
    for back in (1, 4, 16, 64):
        complete = sure
        for time, frame in timed_frames(container, stream, whole=sure):
            if not complete and not frame.key_frame:
                continue
            if not complete and time > first:
                break
            complete = True
            if time >= first:
                yield time, frame
        if complete:
            return
        target = max(first - back, 0) / stream.time_base
        container.seek(stream.start_time + round(target), stream=stream)
    with open_video(container.name, "NONE") as (again, same):
        yield from (found for found in timed_frames(again, same) if found[0] >= first)


def _copy_packets(container, stream, part: PathLike, first: Fraction, end: float) -> None:
    if not keeps_times(container, stream):
        raise ValueError("no usable time stamps")
    shift = stream.start_time + int(first / stream.time_base)
    last = stream.start_time + round(end / stream.time_base)
    with av.open(str(part), "w", format="mp4") as out:
        copy = out.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            if packet.pts is None or packet.dts is None:
                raise ValueError("packets without time stamps")
            if packet.dts >= last:
                break
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
            out.mux(packet)


def _same_ends(source: PathLike, part: PathLike, first: Fraction) -> bool:
    """Whether the first and last frame of a part equal those of the source."""
    info, _, pictures = seeking.select_frames(part, lambda info: [0, info.frames - 1])
    start = 0

    def of_whole(whole_info) -> list[int]:
        nonlocal start
        start = round(first * Fraction(whole_info.fps))
        return [start, min(start + info.frames - 1, whole_info.frames - 1)]

    _, chosen, expected = seeking.select_frames(source, of_whole)
    return len(chosen) == len(pictures) and np.array_equal(pictures, expected)


def fitting_size(frame: av.VideoFrame, orientation, short_side: int | None) -> tuple[int, int]:
    """(width, height) of the upright picture with its short side reduced to at most `short_side`.

    Pictures are never enlarged. The long side of a reduced picture is even.
    """
    width, height = (frame.width, frame.height)[:: -1 if orientation[0] else 1]
    if short_side is None or min(width, height) <= short_side:
        return width, height
    long = 2 * round(max(width, height) * short_side / min(width, height) / 2)
    return (long, short_side) if width > height else (short_side, long)


def _add_stream(out, stream, frame, orientation, short_side, gop):
    """Adds an H.264 stream to `out` for the reduced upright pictures of `stream`."""
    rate = usual_rate(stream)
    # One thread per file, because one file per processor is encoded at a time.
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


def upright_frame(frame: av.VideoFrame, orientation: tuple[bool, bool, bool]) -> av.VideoFrame:
    """The frame turned upright; the frame itself, without a conversion, if it is upright."""
    if not any(orientation):
        return frame
    return av.VideoFrame.from_ndarray(upright_picture(frame, orientation, None))
