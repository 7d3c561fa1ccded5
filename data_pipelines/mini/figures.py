"""Articulated figures: poses as angles of limbs, and anti-aliased drawing.

A figure has a head, a torso, and arms and legs of two parts. Front and back look the same, so that
a motion played backwards looks as plausible as the motion itself.

A pose is nine angles in radians: the torso, then left and right upper arm, forearm, thigh and shin.
An angle is the direction of a limb in the picture: 0 points down (for the torso: up), and positive
angles turn toward the right of the picture. Poses are float arrays (...,9) and are interpolated
linearly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TORSO, UPPER_ARMS, FOREARMS, THIGHS, SHINS = 0, slice(1, 3), slice(3, 5), slice(5, 7), slice(7, 9)
ANGLES = 9
# Lengths and radii as fractions of the height of the upright figure.
TORSO_LENGTH, UPPER_ARM, FOREARM, THIGH, SHIN = 0.28, 0.17, 0.18, 0.23, 0.23
SHOULDER, HIP = 0.085, 0.05  # half of the widths
NECK = 0.115  # from the shoulders to the center of the head
HEAD_RADIUS, TORSO_RADIUS, ARM_RADIUS, LEG_RADIUS = 0.085, 0.075, 0.04, 0.048
# Indices of the joints, in the order of `joints`. PARTS, drawn in order from the rear to the front:
# the two joints, the radius and the color of each part.
HEAD, CHEST, PELVIS = 0, 1, 2
SHOULDERS, ELBOWS, HANDS, HIPS, KNEES, FEET = (slice(n, n + 2) for n in range(3, 15, 2))
SKIN, SHIRT, TROUSERS = 0, 1, 2
PARTS = (
    (9, 11, LEG_RADIUS, TROUSERS), (10, 12, LEG_RADIUS, TROUSERS),
    (11, 13, LEG_RADIUS, TROUSERS), (12, 14, LEG_RADIUS, TROUSERS),
    (1, 2, TORSO_RADIUS, SHIRT), (0, 0, HEAD_RADIUS, SKIN),
    (3, 5, ARM_RADIUS, SHIRT), (4, 6, ARM_RADIUS, SHIRT),
    (5, 7, ARM_RADIUS, SKIN), (6, 8, ARM_RADIUS, SKIN),
)  # fmt: skip
STARTS, ENDS, RADII, _ = (np.array(column) for column in zip(*PARTS, strict=True))


@dataclass(frozen=True)
class Look:
    """Appearance of a figure.

    Attributes:
        height: pixels when upright.
        colors: (3,3) RGB of skin, shirt and trousers.
    """

    height: float
    colors: np.ndarray


def pose(
    torso=0.0, arms=(0.1, 0.1), forearms=None, legs=(0.1, 0.1), shins=None, *, outward: bool = True
) -> np.ndarray:
    """A pose from angles in degrees, which may be arrays.

    Args:
        torso: angle of the torso.
        arms, legs: (left, right) angles of upper arms and thighs.
        forearms, shins: (left, right) angles; None for straight limbs.
        outward: positive angles of limbs point away from the body; otherwise, to the right.

    Returns:
        float32 (...,9) in radians.
    """
    left = -1.0 if outward else 1.0
    rows = [torso]
    for pair in (arms, arms if forearms is None else forearms,
                 legs, legs if shins is None else shins):
        rows += [np.multiply(pair[0], left), pair[1]]
    return np.deg2rad(np.stack(np.broadcast_arrays(*rows), -1).astype(np.float32))


def joints(poses: np.ndarray) -> np.ndarray:
    """Positions of the joints of figures on the ground: poses (...,9) -> (...,15,2).

    Positions are in figure heights: x to the right of the pelvis, y down from the ground. The
    lowest part of the figure touches y = 0, so all y are negative.
    """
    def along(angle: np.ndarray, length: float) -> np.ndarray:
        return np.stack([np.sin(angle), np.cos(angle)], -1) * length

    torso = poses[..., TORSO, None]
    up = along(torso, 1.0) * [1, -1]  # (...,1,2)
    across = np.stack([np.cos(torso), np.sin(torso)], -1) * [[-1.0], [1.0]]  # left, right
    pelvis = np.zeros_like(up)
    chest = pelvis + up * TORSO_LENGTH
    shoulders = chest + across * SHOULDER
    hips = pelvis + across * HIP
    elbows = shoulders + along(poses[..., UPPER_ARMS], UPPER_ARM)
    knees = hips + along(poses[..., THIGHS], THIGH)
    places = np.concatenate([
        chest + up * NECK, chest, pelvis, shoulders, elbows,
        elbows + along(poses[..., FOREARMS], FOREARM), hips, knees,
        knees + along(poses[..., SHINS], SHIN),
    ], -2)  # fmt: skip
    lowest = np.maximum(places[..., STARTS, 1], places[..., ENDS, 1]) + RADII
    places[..., 1] -= lowest.max(-1, keepdims=True)
    return places


def extent(places: np.ndarray, height: float) -> np.ndarray:
    """Bounding boxes of figures.

    Args:
        places: (...,15,2) x,y of the joints in pixels.
        height: height of the upright figure in pixels.

    Returns:
        (...,4) x1,y1,x2,y2 in pixels.
    """
    radii = (RADII * height)[:, None]
    low = np.minimum(places[..., STARTS, :], places[..., ENDS, :]) - radii
    high = np.maximum(places[..., STARTS, :], places[..., ENDS, :]) + radii
    return np.concatenate([low.min(-2), high.max(-2)], -1)


def draw_figure(picture: np.ndarray, places: np.ndarray, look: Look) -> None:
    """Draws a figure.

    Args:
        picture: float32 (H,W,3) RGB, changed in place.
        places: (15,2) x,y of the joints in pixels.
        look: appearance of the figure.
    """
    for start, end, radius, color in PARTS:
        draw_capsule(picture, places[start], places[end], radius * look.height, look.colors[color])


def draw_capsule(
    picture: np.ndarray,
    start: Sequence[float],
    end: Sequence[float],
    radius: float,
    color: np.ndarray,
) -> None:
    """Draws all points within `radius` of a line; parts outside the picture are clipped.

    Args:
        picture: float32 (H,W,3) RGB, changed in place.
        start, end: x,y of the ends in pixels; the center of the first pixel is 0.5,0.5.
        radius: pixels.
        color: RGB.
    """
    height, width = picture.shape[:2]
    (x, y), (to_x, to_y) = map(float, start), map(float, end)
    margin = radius + 1
    left, right = max(int(min(x, to_x) - margin), 0), min(int(max(x, to_x) + margin) + 2, width)
    top, bottom = max(int(min(y, to_y) - margin), 0), min(int(max(y, to_y) + margin) + 2, height)
    if left >= right or top >= bottom:
        return
    columns = np.arange(left, right, dtype=np.float32) + (0.5 - x)
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] + (0.5 - y)
    along_x, along_y = to_x - x, to_y - y
    length = along_x * along_x + along_y * along_y
    if length > 1e-6:
        share = np.clip((columns * along_x + rows * along_y) / length, 0, 1)
        distance = np.hypot(columns - share * along_x, rows - share * along_y)
    else:
        distance = np.hypot(columns, rows)
    cover = np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    patch = picture[top:bottom, left:right]
    patch += cover * (color - patch)
