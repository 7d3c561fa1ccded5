"""Frames as H.264 stores them, in planes of brightness and color, and drawing into them.

Frames are drawn into as the decoder returned them: for large pictures, a conversion to RGB and back
would take longer than the decoder, and lose a little quality.
"""

from functools import lru_cache
from typing import NamedTuple

import av
import numpy as np

from slowfast_jax.demo.sources.frames import Frame
from slowfast_jax.report.drawing import Color

FORMAT = "yuv420p"
LIMITED, FULL = 1, 2  # FFmpeg's numbers of the ranges of values: 16 to 235, and 0 to 255
BT601, BT709 = 5, 1  # FFmpeg's numbers of matrices, for conversions
# Matrix that a frame states, by its number in ITU-T H.273 -> the number for conversions.
MATRICES = {1: BT709, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: 9}
UNKNOWN = 2
HIGH_DYNAMIC_RANGE = {16, 18}  # transfer functions (H.273) that need more than eight bits
HD = 720  # rows from which on players take BT.709 where no matrix is stated
Place = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels


class Planes(NamedTuple):
    """The planes of a picture with even sides, uint8.

    Attributes:
      luma: (H, W), brightness.
      blue, red: (H / 2, W / 2).
    """

    luma: np.ndarray
    blue: np.ndarray
    red: np.ndarray


def planes_in(frame: av.VideoFrame) -> Planes:
    """The planes of a frame in FORMAT; what is written into them is in the frame."""
    return Planes(*(
        np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    ))


def drawable(frame: Frame, scale: int = 1) -> av.VideoFrame:
    """The upright picture of a frame in memory of its own, in FORMAT and the limited range.

    Colors stay as they are coded, and their matrix as the frame states it. RGB becomes BT.709, and
    so do pictures of a high dynamic range, in which they are no longer the same.

    Args:
      scale: a factor by which the picture is enlarged. An odd last row or column is dropped.
    """
    stored, own = frame.stored, False
    if isinstance(stored, np.ndarray):
        stored = av.VideoFrame.from_ndarray(stored, format="rgb24")
    matrix, primaries, transfer = frame.colors
    converted = stored.format.is_rgb or transfer in HIGH_DYNAMIC_RANGE or (
        matrix != UNKNOWN and matrix not in MATRICES
    )
    if converted:
        matrix = primaries = transfer = BT709
    full = stored.color_range == FULL or stored.format.name.startswith("yuvj")
    if scale != 1 or converted or full or stored.format.name != FORMAT:
        # More threads would compete with the decoder and the network for cores.
        stored, own = stored.reformat(
            stored.width * scale, stored.height * scale, FORMAT, interpolation="BICUBIC",
            dst_colorspace=BT709 if converted else None, dst_color_range=LIMITED, threads=1,
        ), True
    width, height = stored.width - stored.width % 2, stored.height - stored.height % 2
    if not own or (width, height) != (stored.width, stored.height) or any(frame.orientation):
        whole = stored
        sides = (height, width) if frame.orientation[0] else (width, height)
        stored = av.VideoFrame(*sides, FORMAT)
        for target, plane, half in zip(
            planes_in(stored), planes_in(whole), (1, 2, 2), strict=True
        ):
            target[:] = _upright(plane[: height // half, : width // half], frame.orientation)
    stored.colorspace, stored.color_primaries, stored.color_trc = matrix, primaries, transfer
    stored.color_range = LIMITED
    return stored


def _upright(plane: np.ndarray, orientation: tuple[bool, bool, bool]) -> np.ndarray:
    transpose, flip_rows, flip_columns = orientation
    plane = plane.T if transpose else plane
    return plane[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def matrix_of(frame: av.VideoFrame) -> int:
    """The matrix of a frame for conversions; one that is not stated is guessed as players do."""
    return MATRICES.get(frame.colorspace, BT709 if frame.height >= HD else BT601)


def encoded(picture: np.ndarray, matrix: int) -> Planes:
    """RGB, uint8 (H, W, 3) with even sides, as planes."""
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
        format=FORMAT, dst_colorspace=matrix, dst_color_range=LIMITED, threads=1
    )
    return Planes(*(plane.copy() for plane in planes_in(frame)))


def fill(planes: Planes, place: Place, color: Color, matrix: int) -> None:
    """Fills a rectangle with a color; places within a picture have even coordinates."""
    left, top, right, bottom = place
    luma, blue, red = _codes(color, matrix)
    planes.luma[top:bottom, left:right] = luma
    half = slice(top // 2, bottom // 2), slice(left // 2, right // 2)
    planes.blue[half], planes.red[half] = blue, red


@lru_cache
def _codes(color: Color, matrix: int) -> tuple[int, int, int]:
    """Brightness, blue and red of a color."""
    picture = np.full((2, 16, 3), color, np.uint8)
    luma, blue, red = (int(plane[0, 0]) for plane in encoded(picture, matrix))
    return luma, blue, red


def paste(planes: Planes, patch: Planes, left: int, top: int) -> None:
    """Copies a patch into a picture at an even place, as much of it as fits."""
    for plane, piece, half in zip(planes, patch, (1, 2, 2), strict=True):
        part = plane[top // half :, left // half :][: piece.shape[0], : piece.shape[1]]
        part[:] = piece[: part.shape[0], : part.shape[1]]
