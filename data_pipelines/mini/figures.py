"""Articulated figures: poses as angles of limbs, and figures drawn from them with soft edges.

A figure has a head, a torso and two-part arms and legs. It shows no front or back, so that a
movement played backwards is as likely a sight as the movement itself.

A pose is nine angles in radians: the torso, then left and right upper arm, forearm, thigh and shin.
An angle says where a limb points in the picture: 0 is down (for the torso: up), a positive one is
turned towards the right of the picture. Poses are float arrays (...,9); between two poses lie their
weighted means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TORSO, UPPER_ARMS, FOREARMS, THIGHS, SHINS = 0, slice(1, 3), slice(3, 5), slice(5, 7), slice(7, 9)
ANGLES = 9
# Lengths and radii in heights of the upright figure.
TORSO_LENGTH, UPPER_ARM, FOREARM, THIGH, SHIN = 0.28, 0.17, 0.18, 0.23, 0.23
SHOULDER, HIP, NECK = 0.085, 0.05, 0.115  # half widths; shoulders to the middle of the head
HEAD_RADIUS, TORSO_RADIUS, ARM_RADIUS, LEG_RADIUS = 0.085, 0.075, 0.04, 0.048
# Joints in the order of `joints`; then each part's two joints, radius and colour, rear ones first.
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
    """`height` in pixels when upright; `colours` (3,3): RGB of skin, shirt and trousers."""

    height: float
    colours: np.ndarray


def pose(
    torso=0.0, arms=(0.1, 0.1), forearms=None, legs=(0.1, 0.1), shins=None, *, outward: bool = True
) -> np.ndarray:
    """A pose from degrees or arrays of them: float32 (...,9).

    `forearms` and `shins` default to straight limbs. With `outward` the angles of limbs are counted
    away from the body on both sides, else to the right on both.
    """
    left = -1.0 if outward else 1.0
    rows = [torso]
    for pair in (arms, arms if forearms is None else forearms,
                 legs, legs if shins is None else shins):
        rows += [np.multiply(pair[0], left), pair[1]]
    return np.deg2rad(np.stack(np.broadcast_arrays(*rows), -1).astype(np.float32))


def joints(poses: np.ndarray) -> np.ndarray:
    """Places of the joints, standing on the ground: (...,9) -> (...,15,2).

    In heights of the figure: x to the right from the pelvis, y down from the ground, so that the
    figure is at negative y and its lowest part touches 0.
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
    """The box x1,y1,x2,y2 in pixels around figures with joints at `places` pixels: (...,4)."""
    radii = (RADII * height)[:, None]
    low = np.minimum(places[..., STARTS, :], places[..., ENDS, :]) - radii
    high = np.maximum(places[..., STARTS, :], places[..., ENDS, :]) + radii
    return np.concatenate([low.min(-2), high.max(-2)], -1)


def draw_figure(picture: np.ndarray, places: np.ndarray, look: Look) -> None:
    """Draws onto float32 (H,W,3) the figure with joints at `places` (15,2), x,y in pixels."""
    for start, end, radius, colour in PARTS:
        draw_capsule(
            picture, places[start], places[end], radius * look.height, look.colours[colour]
        )


def draw_capsule(
    picture: np.ndarray,
    start: Sequence[float],
    end: Sequence[float],
    radius: float,
    colour: np.ndarray,
) -> None:
    """Draws all points within `radius` of a line from `start` to `end`, x,y in pixels.

    The middle of the picture's first pixel is at 0.5, 0.5. What lies outside is left out.
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
    patch += cover * (colour - patch)
