"""Motions of figures: a schedule of steps, each with an action of the body and of the arms.

Most actions come in pairs that look alike in any single frame: walking left and right, falling and
getting up, lifting and putting down, giving and taking, dancing and crouching, waving and raising
the arms, pushing and grabbing. One of a pair is the other played backwards, or the other frozen at
a random moment. Standing is frozen walking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_pipelines.mini.figures import ANGLES, FOREARMS, TORSO, UPPER_ARMS, pose

CHANGE = 0.3  # seconds of the transition from one step to the next
WALKING_SPEED = 0.4  # figure heights per second


@dataclass(frozen=True)
class Step:
    """What a figure does for some time.

    Attributes:
        seconds: duration.
        body: stand, walk left, walk right, sit, lie, crouch, dance, fall or get up.
        arm: an action of one arm (carry, lift, put down, give, take), of both arms (wave, raise,
            push, grab), or "" for none.
        way: the side to which the figure sits, lies, falls or uses one arm: -1 left, 1 right.
        shift: delay in seconds of actions that happen once, such as falling or lifting.
    """

    seconds: float
    body: str
    arm: str = ""
    way: int = 1
    shift: float = 0.0


@dataclass(frozen=True)
class Motion:
    """The motion of a figure over T frames.

    Attributes:
        poses: (T,9), see figures.py.
        walked: (T,) distance walked to the right, in figure heights.
        holding: (T,) 1 while the figure holds an object, 0 otherwise.
        hand: (T,) the hand that holds it: 0 left, 1 right.
    """

    poses: np.ndarray
    walked: np.ndarray
    holding: np.ndarray
    hand: np.ndarray


def act(
    steps: Sequence[Step], begin: float, times: np.ndarray, random: np.random.Generator
) -> Motion:
    """The motion of a figure that performs `steps` one after the other.

    Args:
        steps: the schedule; the first and the last step extend beyond it.
        begin: second at which the first step begins.
        times: (T,) seconds of the frames.
        random: generator of the variations.
    """
    poses = np.zeros((len(times), ANGLES), np.float32)
    walked, holding = np.zeros(len(times)), np.zeros(len(times))
    hand, most = np.zeros(len(times), np.int64), np.zeros(len(times))
    share_after = np.ones(len(times))
    for number, step in enumerate(steps):
        end = begin + step.seconds
        share, last = share_after, number == len(steps) - 1
        change = random.uniform(0.8, 1.2) * CHANGE
        late = random.uniform(-0.05, 0.05)
        share_after = np.zeros(len(times)) if last else _ease((times - end - late) / change + 0.5)
        share = share - share_after
        since_middle = times - (begin + end) / 2 - step.shift
        body = _body(step, since_middle, random)
        held = _use_arms(step, since_middle, random, body)
        poses += share[:, None] * body
        holding += share * held
        hand = np.where(share > most, step.way > 0, hand)
        most = np.maximum(share, most)
        if step.body.startswith("walk"):
            speed = WALKING_SPEED * (1 if step.body == "walk right" else -1)
            walked += speed * np.clip(times - begin, 0, step.seconds)
        begin = end
    return Motion(poses, walked, holding, hand)


def _body(step: Step, since_middle: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Poses (T,9) of a step without its arm action."""
    still = np.zeros_like(since_middle)
    if step.body in ("fall", "get up"):
        course = since_middle if step.body == "fall" else -since_middle
        down = _ease(course / (0.9 * step.seconds) + 0.5)[:, None]
        upright = _upright(still, random)
        return upright + down * (_lying(still, step.way, random) - upright)
    if step.body == "lie":
        return _lying(still, step.way, random)
    if step.body in ("crouch", "dance"):
        turns = random.uniform(1.2, 1.7) * since_middle if step.body == "dance" else still
        depth = 0.75 + 0.25 * np.sin(2 * np.pi * (turns + random.random()))
        lean, arm = random.uniform(-4, 4), random.uniform(10, 30)
        legs = random.uniform(68, 78) * depth
        return pose(lean, (arm, arm), legs=(legs, legs), shins=(-legs, -legs))
    if step.body == "sit":
        thigh, shin = random.uniform(100, 118), random.uniform(45, 70)
        lean, arm = random.uniform(-18, -4), random.uniform(-25, -10)
        return pose(
            step.way * (lean + still), (step.way * arm, step.way * (arm + 20)),
            legs=(step.way * thigh, step.way * (thigh - 8)),
            shins=(step.way * shin, step.way * (shin + 8)), outward=False,
        )
    steps_per_second = random.uniform(0.9, 1.15)
    return _upright(steps_per_second * since_middle if "walk" in step.body else still, random)


def _upright(turns: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Poses (T,9) of an upright figure whose limbs have swung back and forth `turns` (T,) times."""
    swing = random.uniform(20, 34) * np.sin(2 * np.pi * (turns + random.random()))
    arm, lean = random.uniform(4, 14), random.uniform(-3, 3)
    return pose(
        lean, (-arm - 0.7 * swing, arm + 0.7 * swing), legs=(swing, -swing), outward=False
    )


def _lying(still: np.ndarray, way: int, random: np.random.Generator) -> np.ndarray:
    torso = way * (90 + random.uniform(-4, 4))
    arms, legs = random.uniform(-16, 16, 2), random.uniform(-8, 8, 2)
    return pose(torso + still, arms - way * 90, legs=legs - way * 90, outward=False)


def _use_arms(
    step: Step, since_middle: np.ndarray, random: np.random.Generator, body: np.ndarray
) -> np.ndarray:
    """Adds the arm action to the poses `body` (T,9) in place; returns `Motion.holding`."""
    still, held = np.zeros_like(since_middle), np.zeros_like(since_middle)
    if not step.arm:
        return held
    side = int(step.way > 0)
    sides = ((0, -1), (1, 1))
    if step.arm in ("wave", "raise", "push", "grab"):
        moving = step.arm in ("wave", "push")
        turns = random.uniform(1.3, 1.8) * since_middle if moving else still
        course = np.sin(2 * np.pi * (turns + random.random()))
        if step.arm in ("wave", "raise"):
            parts = (still + random.uniform(140, 160), 178 + 50 * course)
        else:
            reach = 0.65 + 0.35 * course
            parts = (130 * reach - 50, 115 - 23 * reach)
            body[:, TORSO] += step.way * np.deg2rad(4 + 16 * reach)
            sides = ((0, step.way), (1, step.way))
    else:
        sides = ((side, step.way),)
        if step.arm == "carry":
            arm, held = still + random.uniform(22, 34), still + 1
            parts = (arm, arm)
        elif step.arm in ("lift", "put down"):
            course = since_middle if step.arm == "lift" else -since_middle
            arm, held = 20 + 140 * _ease(course / 0.9 + 0.5), still + 1
            parts = (arm, arm)
        else:
            free = np.rad2deg(body[:, [UPPER_ARMS.start + side, FOREARMS.start + side]]) * step.way
            parts, held = _hand_over(step, since_middle, random, free)
    for number, outward in sides:
        body[:, UPPER_ARMS.start + number] = outward * np.deg2rad(parts[0])
        body[:, FOREARMS.start + number] = outward * np.deg2rad(parts[1])
    return held


def _hand_over(
    step: Step, since_middle: np.ndarray, random: np.random.Generator, free: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """(outward angles of upper arm and forearm in degrees, `Motion.holding`).

    `free` (T,2) are the angles without the object.
    """
    carrying = random.uniform(22, 34)
    away = _ease(since_middle / 0.08 + 0.5)  # 0 before the object is handed over, 1 after
    if step.arm == "take":
        away = 1 - away
    reach = _ease(1 - np.abs(since_middle) / 0.45)
    parts = []
    for part, forward in enumerate((24, 84)):
        course = np.where(away > 0.5, free[:, part], carrying)
        parts.append(course + reach * (forward - course))
    return parts, 1 - away


def _ease(share: np.ndarray) -> np.ndarray:
    """Smooth transition from 0 to 1 as `share` goes from 0 to 1 (smoothstep)."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)
