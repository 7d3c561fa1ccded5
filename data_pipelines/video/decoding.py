"""Reading frames out of video files with PyAV, in one forward pass and without holding the video.

Frames are counted in the order the decoder gives them, from 0, whatever their time stamps: that is
how the original reads a video, also one of variable frame rate. Pixels are those of PyAV's rgb24
conversion, turned upright where the file says how the camera was held.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType

from data_pipelines.transforms.resize import resize_short_side
from data_pipelines.video.opening import MOST_PIXELS, Encoded, VideoError, check_size, open_video

Transform = Callable[[np.ndarray], np.ndarray]  # of one picture (H,W,3)


@dataclass(frozen=True)
class VideoInfo:
    """What a file holds.

    `frames` is the number of packets of its video stream, which is the number of frames in all but
    damaged or odd files; `select_frames` returns the number that decoding gave. `fps` is the
    average rate, `width` and `height` are of the upright picture, `rotation` the degrees
    counter-clockwise it was turned by, `duration` is in seconds. `warning` tells what is wrong with
    a file that is usable all the same, "" if nothing.
    """

    frames: int
    fps: float
    width: int
    height: int
    rotation: int
    duration: float
    codec: str
    warning: str = ""


def _packets(container, stream, problems: list[str], whole: bool = True) -> Iterator[av.Packet]:
    """Packets of the stream that yield a frame; where the file breaks off, `problems` tells."""
    found = 0
    try:
        for packet in container.demux(stream):
            if packet.size == 0:  # to the decoder an empty packet would mean the end
                continue
            found += 1
            yield packet
    except (av.error.FFmpegError, OSError) as error:
        problems.append(f"reading stops after {found} packets ({error.strerror or error})")
    except IndexError:
        pass  # PyAV at the end of a file in which it found more streams on the way (MPEG-TS)
    if whole and found < stream.frames:
        problems.append(f"the header promises {stream.frames} frames, {found} are there")


def decoded_frames(
    container,
    stream,
    problems: list[str],
    unneeded: Callable[[av.Packet], bool] | None = None,
    *,
    whole: bool = True,
) -> Iterator[av.VideoFrame]:
    """Decoded frames; packets that cannot be decoded are left out and counted in `problems`.

    Frames of `unneeded` packets that no other frame refers to are not decoded, and left out
    (B-frames, about half of the frames of H.264 as it is usually made).

    `whole`: the container is at its beginning, so that it should have as many as its header says.
    """
    packets = bad = damaged = 0
    reason = ""
    leave_out = False
    # An earlier reading may have ended while it left some out.
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

    for packet in _packets(container, stream, problems, whole):
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
        problems.append(f"{damaged} frames are damaged")


# Degrees counter-clockwise of an orientation; a mirrored picture is told by its transposition only.
_ROTATION = {
    (False, False, False): 0, (True, True, False): 90, (False, True, True): 180,
    (True, False, True): 270,
}


def orientation_of(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """(transpose, flip rows, flip columns) that turn the picture upright, in that order.

    From the file's display matrix: a pixel at (x, y) is shown at (a x + c y, b x + d y).
    """
    try:
        # Not frame.side_data: that and the frame refer to each other, so that both stay until the
        # garbage collector comes, in a process with many objects after thousands of clips.
        matrix = SideDataContainer(frame).get(SideDataType.DISPLAYMATRIX)
    except ValueError:  # beside it is what this PyAV has no name for, as the EXIF of a photograph
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
    """How far an orientation turns a picture, counter-clockwise."""
    return _ROTATION.get(orientation, 90 if orientation[0] else 0)


def upright_picture(
    frame: av.VideoFrame, orientation: tuple[bool, bool, bool], transform: Transform | None
) -> np.ndarray:
    """uint8 (H,W,3) RGB, upright, transformed if asked."""
    # Threads of the conversion would take the cores from the decoder and from the network.
    picture = frame.to_ndarray(format="rgb24", threads=1)
    transpose, flip_rows, flip_columns = orientation
    if transpose:
        picture = picture.transpose(1, 0, 2)
    picture = picture[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
    return picture if transform is None else transform(picture)


def probe(path: Encoded) -> VideoInfo:
    """Reads the whole file but decodes only its first frame.

    Raises:
        VideoError: the file is missing, empty, no video, or no frame of it can be decoded.
    """
    problems: list[str] = []
    with open_video(path, "SLICE") as (container, stream):
        first, frames = None, 0
        for packet in _packets(container, stream, problems):
            frames += not packet.is_discard
            if first is None:
                try:
                    first = next(iter(stream.decode(packet)), None)
                except av.error.FFmpegError:
                    continue  # a later packet may do; select_frames counts and tells
        if first is None:
            try:
                first = next(iter(stream.decode(None)), None)
            except av.error.FFmpegError:
                first = None
        if first is None:
            raise VideoError(path, _nothing_decodes(stream, frames))
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        if not rate:
            problems.append("the file gives no frame rate, 30 is assumed")
        fps = float(rate or 30)
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / av.time_base
        else:
            duration = frames / fps
        orientation = orientation_of(first)
        size = (first.height, first.width) if orientation[0] else (first.width, first.height)
        return VideoInfo(
            frames=max(frames, 1),
            fps=fps,
            width=size[0],
            height=size[1],
            rotation=degrees(orientation),
            duration=duration,
            codec=stream.codec_context.name,
            warning="; ".join(problems),
        )


def short_side_transform(size: int) -> Transform:
    """A transform that resizes a picture to this short side."""
    return lambda picture: resize_short_side(picture[None], size)[0]


def _nothing_decodes(stream: av.VideoStream, packets: int) -> str:
    return (
        f"no frame can be decoded (codec {stream.codec_context.name}, {packets} packets); the "
        f"file is damaged, or its picture larger than {MOST_PIXELS / 1e6:.0f} million pixels: "
        "download it again, or leave it out"
    )


def _decode(
    path: Encoded,
    wanted: np.ndarray,
    transform: Transform | None,
    thread_type: str,
    to_end: bool,
) -> tuple[np.ndarray, int, list[str]]:
    """One pass: the pictures at the sorted indices `wanted`, as far as the video goes.

    Returns (pictures, how many frames were decoded, what went wrong).
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
                    # One block: small arrays between large temporary ones break memory in pieces.
                    pictures = np.empty((len(wanted), *picture.shape), np.uint8)
                height, width = pictures.shape[1:3]
                if picture.shape[:2] != (height, width):
                    raise VideoError(
                        path,
                        f"the picture changes from {width}x{height} to {picture.shape[1]}x"
                        f"{picture.shape[0]} at frame {count}; re-encode it to one size",
                    )
                pictures[kept] = picture
                kept += 1
            count += 1
            if not to_end and kept == len(wanted):
                break
        if count == 0:
            raise VideoError(path, _nothing_decodes(stream, 0))
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
    """The frames that `choose(info)` names, for a choice that depends on how many there are.

    Should decoding give another number of frames than `probe` counted, `choose` is asked again
    with the number decoded and the file is read once more. Only chosen frames are kept in memory,
    after resizing.

    Args:
        choose: gives indices within 0..info.frames-1, in any order.
        short_side: resize each frame to this short side (see transforms.resize_short_side).
        transform: done to each chosen frame as it is decoded, instead of that.
        thread_type: FFmpeg threads: "AUTO" is fastest for one video at a time, "NONE" within many
            workers.
        to_end: decode to the end of the file, so that the number of frames is certain; without it
            decoding stops after the last chosen frame.

    Returns:
        (info, indices, frames): `info.frames` is the number of frames decoded (as probed if not
        `to_end`), `info.warning` tells of damage; `indices` are the chosen ones in rising order,
        each once, and `frames` the pictures there: uint8 (len(indices),H,W,3) RGB.

    Raises:
        VideoError: as `probe`, or the picture changes its size.
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
    raise VideoError(path, "gives another number of frames each time it is decoded; re-encode it")


def read_frames(
    path: Encoded,
    indices: Sequence[int],
    *,
    short_side: int | None = None,
    thread_type: str = "AUTO",
) -> np.ndarray:
    """The frames at `indices`, in that order: uint8 (len(indices),H,W,3) RGB.

    Indices may repeat and be in any order; those past the end give the last frame. Decoding stops
    after the last one needed. The other arguments are those of `select_frames`.

    Raises:
        VideoError: as `select_frames`.
        ValueError: no index, or a negative one.
    """
    if len(indices) == 0 or min(indices) < 0:
        raise ValueError(f"expected indices from 0 on, found {list(indices)}")

    def clamped(info: VideoInfo) -> np.ndarray:
        return np.minimum(np.asarray(indices, np.int64), info.frames - 1)

    info, found, pictures = select_frames(
        path, clamped, short_side=short_side, thread_type=thread_type, to_end=False
    )
    chosen = clamped(info)
    if np.array_equal(found, chosen):
        return pictures
    return pictures[np.searchsorted(found, chosen)]
