"""Reads frames of video files with PyAV in one pass, keeping only the chosen ones in memory.

Frames are numbered from 0 in the order in which the decoder returns them, regardless of their time
stamps. PySlowFast counts the same way, also in videos of variable frame rate. Pixels are those of
PyAV's rgb24 conversion, rotated upright where the file records the camera's orientation.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType

from data_pipelines.transforms.resize import resize_short_side
from data_pipelines.video.avi_chunks import empty_chunks
from data_pipelines.video.opening import (
    MOST_PIXELS,
    Encoded,
    VideoError,
    check_size,
    open_video,
    size_change,
)
from data_pipelines.video.times import (
    PLACEHOLDER,
    duration_of,
    frame_rate,
    last_end,
    shares_duration,
)

Transform = Callable[[np.ndarray], np.ndarray]  # applied to one picture (H,W,3)
# Decoders that can be told at any time to skip frames. Others, such as those of AV1, take the
# setting only when they are opened, and would go on skipping frames that are needed.
SKIPPING = {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"}
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video.

    Attributes:
        frames: number of frames. `probe` counts packets, which equals the number of frames except
            in damaged or unusual files; `select_frames` counts the decoded frames.
        fps: average frame rate; see times.frame_rate where the file states one that is wrong.
        width, height: size of the upright picture in pixels.
        rotation: degrees counter-clockwise by which the stored picture is turned upright.
        duration: seconds.
        codec: FFmpeg's name of the codec.
        warning: what is wrong with a file that is usable nevertheless; "" if nothing.
    """

    frames: int
    fps: float
    width: int
    height: int
    rotation: int
    duration: float
    codec: str
    warning: str = ""


def data_packets(container, stream, problems: list[str], whole: bool = True) -> Iterator[av.Packet]:
    """Yields the packets of the stream that hold data; adds a truncated file to `problems`.

    Empty packets stand for dropped frames. FFmpeg leaves them out of AVI files, where the decoding
    time of a packet is the number of packets before it.

    Args:
        container, stream: as `open_video` yields them.
        problems: receives a text for each kind of damage found.
        whole: the container is at its start, so the number of packets is checked against the
            header.
    """
    found = empty = 0
    avi = container.format.name == "avi"
    try:
        for packet in container.demux(stream):
            if packet.size == 0:  # the decoder would take an empty packet for the end
                empty += packet.dts is not None
                continue
            found += 1
            if avi and packet.dts is not None:
                empty = max(packet.dts + 1 - found, 0)
            yield packet
    except (av.error.FFmpegError, OSError) as error:
        problems.append(f"reading stops after {found} packets ({error.strerror or error})")
    except IndexError:
        pass  # PyAV raises this at the end of a file whose streams appear late (MPEG-TS)
    missing = whole and found + empty < stream.frames < PLACEHOLDER
    if missing and avi:  # its last frames may have been dropped
        missing = found + empty_chunks(container, stream) < stream.frames
    if missing:
        problems.append(f"the header promises {stream.frames} frames, but the file has {found}")


def decoded_frames(
    container,
    stream,
    problems: list[str],
    unneeded: Callable[[av.Packet], bool] | None = None,
    *,
    whole: bool = True,
) -> Iterator[av.VideoFrame]:
    """Yields decoded frames, and skips packets that cannot be decoded.

    Args:
        container, stream: as `open_video` yields them.
        problems: receives a text for each kind of damage found, once all frames are read.
        unneeded: says whether a packet's frame may be skipped. Frames that no other frame refers to
            are then not decoded (B-frames, about half of the frames of usual H.264). Ignored by
            decoders that are not in SKIPPING.
        whole: the container is at its start, so the number of packets is checked against the
            header.
    """
    packets = bad = damaged = 0
    reason = ""
    leave_out = False
    if stream.codec_context.name not in SKIPPING:
        unneeded = None
    # An earlier reader may have stopped while it skipped frames.
    stream.codec_context.skip_frame = "DEFAULT"

    def decode(packet: av.Packet | None) -> list[av.VideoFrame]:
        nonlocal bad, reason, leave_out
        if unneeded is not None and packet is not None and unneeded(packet) != leave_out:
            leave_out = not leave_out
            stream.codec_context.skip_frame = "NONREF" if leave_out else "DEFAULT"
        try:
            return stream.decode(packet)
        except av.error.FFmpegError as error:
            bad, reason = bad + 1, error.strerror or str(error)
            return []

    for packet in data_packets(container, stream, problems, whole):
        packets += 1
        for frame in decode(packet):
            damaged += frame.is_corrupt
            yield frame
    for frame in decode(None):
        damaged += frame.is_corrupt
        yield frame
    if bad:
        problems.append(f"{bad} of {packets} packets cannot be decoded ({reason})")
    if damaged:
        problems.append(f"{damaged} frame{'s are' if damaged > 1 else ' is'} damaged")


# Degrees counter-clockwise of each orientation that is a pure rotation.
_ROTATION = {
    (False, False, False): 0, (True, True, False): 90, (False, True, True): 180,
    (True, False, True): 270,
}


def orientation_of(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """The (transpose, flip rows, flip columns) that turn the picture upright, in that order.

    They come from the file's display matrix, by which a pixel at (x, y) is shown at
    (a x + c y, b x + d y).
    """
    try:
        # Not frame.side_data: it and the frame refer to each other, so both would stay in memory
        # until the garbage collector runs, which may be thousands of clips later.
        matrix = SideDataContainer(frame).get(SideDataType.DISPLAYMATRIX)
    except ValueError:  # PyAV has no name for some other side data, such as EXIF of a photograph
        return {angle: turn for turn, angle in _ROTATION.items()}.get(
            frame.rotation % 360, (False, False, False)
        )
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, b < 0, c < 0
    return False, d < 0, a < 0


def degrees(orientation: tuple[bool, bool, bool]) -> int:
    """The rotation of an orientation in degrees counter-clockwise, without its mirroring."""
    return _ROTATION.get(orientation, 90 if orientation[0] else 0)


def upright_picture(
    frame: av.VideoFrame, orientation: tuple[bool, bool, bool], transform: Transform | None
) -> np.ndarray:
    """The upright picture of a frame, uint8 (H,W,3) RGB, after `transform` if one is given."""
    # More threads for the conversion would compete with the decoder and the network for cores.
    picture = frame.to_ndarray(format="rgb24", threads=1)
    transpose, flip_rows, flip_columns = orientation
    if transpose:
        picture = picture.transpose(1, 0, 2)
    picture = picture[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return picture if transform is None else transform(picture)


def probe(path: Encoded) -> VideoInfo:
    """Properties of a video: reads the whole file, but decodes only the first frame.

    Raises:
        VideoError: the file is missing, empty or not a video, or no frame can be decoded.
    """
    problems: list[str] = []
    with open_video(path, "SLICE") as (container, stream):
        first, times, order, durations = None, [], [], []
        for packet in data_packets(container, stream, problems):
            if not packet.is_discard:
                times.append(packet.pts)
                order.append(packet.dts)
                durations.append(packet.duration)
            if first is None:
                try:
                    first = next(iter(stream.decode(packet)), None)
                except av.error.FFmpegError:
                    continue  # a later packet may decode; select_frames reports the damage
        if first is None:
            try:
                first = next(iter(stream.decode(None)), None)
            except av.error.FFmpegError:
                first = None
        if first is None:
            raise VideoError(path, nothing_decodes(stream, len(times)))
        last_duration = durations[-1] if durations else None
        fps, wrong_rate = frame_rate(container, stream, times, last_duration, order)
        if wrong_rate:
            logger.info("%s: %s", path, wrong_rate)
        duration = duration_of(container, stream)
        if shares_duration(container, stream):
            duration = last_end(stream, zip(times, durations, strict=True)) or duration
        orientation = orientation_of(first)
        size = (first.height, first.width) if orientation[0] else (first.width, first.height)
        return VideoInfo(
            frames=max(len(times), 1),
            fps=fps,
            width=size[0],
            height=size[1],
            rotation=degrees(orientation),
            duration=duration or len(times) / fps,
            codec=stream.codec_context.name,
            warning="; ".join(problems),
        )


def short_side_transform(size: int) -> Transform:
    """A transform that resizes a picture so that its short side has `size` pixels."""
    return lambda picture: resize_short_side(picture[None], size)[0]


def nothing_decodes(stream: av.VideoStream, packets: int) -> str:
    """Error text for a video without a frame that can be decoded."""
    if stream.codec_context.name == "webp":
        return "an animated WebP (this FFmpeg decodes none) or a damaged one: convert it to MP4"
    return (
        f"no frame can be decoded (codec {stream.codec_context.name}, {packets} packets); the "
        f"file is damaged or its picture larger than {MOST_PIXELS / 1e6:.0f} million pixels: "
        "download it again, or leave it out"
    )


def _decode(
    path: Encoded,
    wanted: np.ndarray,
    transform: Transform | None,
    thread_type: str,
    to_end: bool,
) -> tuple[np.ndarray, int, list[str]]:
    """Reads the pictures at the sorted indices `wanted`, as far as the video goes, in one pass.

    Returns (pictures, number of decoded frames, problems found).
    """
    pictures = orientation = None
    problems: list[str] = []
    kept = count = 0
    with open_video(path, thread_type) as (container, stream):
        for frame in decoded_frames(container, stream, problems):
            if orientation is None:
                check_size(path, frame.width, frame.height)
                orientation = orientation_of(frame)
            if kept < len(wanted) and count == wanted[kept]:
                picture = upright_picture(frame, orientation, transform)
                if pictures is None:
                    # One array for all: small arrays between large temporary ones would fragment
                    # the memory.
                    pictures = np.empty((len(wanted), *picture.shape), np.uint8)
                height, width = pictures.shape[1:3]
                if picture.shape[:2] != (height, width):
                    after = picture.shape[1], picture.shape[0]
                    raise VideoError(path, size_change((width, height), after, f"frame {count}"))
                pictures[kept] = picture
                kept += 1
            count += 1
            if not to_end and kept == len(wanted):
                break
        if count == 0:
            raise VideoError(path, nothing_decodes(stream, 0))
    if pictures is None:
        pictures = np.empty((0, 0, 0, 3), np.uint8)
    return pictures[:kept], count, problems


def select_frames(
    path: Encoded,
    choose: Callable[[VideoInfo], Sequence[int]],
    *,
    short_side: int | None = None,
    transform: Transform | None = None,
    thread_type: str = "AUTO",
    to_end: bool = True,
) -> tuple[VideoInfo, np.ndarray, np.ndarray]:
    """Reads the frames whose indices `choose(info)` returns.

    If decoding yields another number of frames than `probe` counted, `choose` is called again with
    the decoded number and the file is read once more. Only chosen frames are kept in memory, after
    resizing.

    Args:
        path: the video.
        choose: returns indices within 0..info.frames-1, in any order.
        short_side: resize each frame to this short side (see `resize_short_side`).
        transform: applied to each chosen frame as it is decoded; replaces `short_side`.
        thread_type: FFmpeg's threads: "AUTO" is fastest for one video at a time, "NONE" among many
            workers.
        to_end: decode to the end of the file, so that the number of frames is exact; otherwise
            decoding stops after the last chosen frame.

    Returns:
        (info, indices, frames): `info.frames` is the number of decoded frames (the probed number
        if not `to_end`) and `info.warning` describes damage; `indices` are the chosen ones sorted
        without repetition, and `frames` are the pictures there, uint8 (len(indices),H,W,3) RGB.

    Raises:
        VideoError: as `probe`, or the picture changes its size.
        ValueError: a chosen index is out of range.
    """
    if short_side is not None:
        transform = short_side_transform(short_side)
    info = probe(path)
    for _ in range(3):
        wanted = np.unique(np.asarray(choose(info), np.int64))
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < info.frames:
            raise ValueError(
                f"frames {wanted[0]}..{wanted[-1]} chosen of {path}, which has {info.frames}"
            )
        pictures, count, problems = _decode(path, wanted, transform, thread_type, to_end)
        warnings = [w for w in (*info.warning.split("; "), *problems) if w]
        info = replace(info, warning="; ".join(dict.fromkeys(warnings)))
        if len(pictures) == len(wanted) and (count == info.frames or not to_end):
            return info, wanted, pictures
        info = replace(info, frames=count)
    raise VideoError(path, "yields a different number of frames in each decode; re-encode it")


def read_frames(
    path: Encoded,
    indices: Sequence[int],
    *,
    short_side: int | None = None,
    thread_type: str = "AUTO",
) -> np.ndarray:
    """Reads the frames at `indices`, in that order: uint8 (len(indices),H,W,3) RGB.

    Indices may repeat and come in any order; those past the end give the last frame. Decoding stops
    after the last frame needed. The other arguments are those of `select_frames`.

    Raises:
        VideoError: as `select_frames`.
        ValueError: there are no indices, or one is negative.
    """
    if len(indices) == 0 or min(indices) < 0:
        raise ValueError(f"expected one or more indices >= 0, found {list(indices)}")

    def clamped(info: VideoInfo) -> np.ndarray:
        return np.minimum(np.asarray(indices, np.int64), info.frames - 1)

    info, found, pictures = select_frames(
        path, clamped, short_side=short_side, thread_type=thread_type, to_end=False
    )
    chosen = clamped(info)
    if np.array_equal(found, chosen):
        return pictures
    return pictures[np.searchsorted(found, chosen)]
