"""Figures: size, ground contact, boxes, and pairs of motions that look alike in any frame."""

import numpy as np
import pytest

from data_pipelines.mini.figures import (
    FEET,
    HEAD,
    Look,
    draw_capsule,
    draw_figure,
    extent,
    joints,
    pose,
)
from data_pipelines.mini.motions import WALKING_SPEED, Step, act

LOOK = Look(60.0, np.array([[250.0, 0, 0], [0, 250, 0], [0, 0, 250]]))
KEYFRAME = np.array([1.0])


def drawn(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(black picture 100x120 with the figure in its center, joints of the figure)."""
    picture, places = np.zeros((100, 120, 3), np.float32), joints(poses) * LOOK.height + [60, 90]
    draw_figure(picture, places, LOOK)
    return picture, places


def at_keyframe(body: str, arm: str = "", count: int = 300, seed: int = 0) -> np.ndarray:
    """Random poses (count,9) in the middle of a step of two seconds."""
    random = np.random.default_rng(seed)
    poses = []
    for way in (-1, 1) * (count // 2):
        step = Step(2, body, arm, way, random.uniform(-0.1, 0.1))
        poses += list(act([step], 0, KEYFRAME, random).poses)
    return np.stack(poses)


def test_an_upright_figure_stands_on_the_ground():
    places = joints(pose(legs=(0, 0)))
    x1, y1, x2, y2 = extent(places, 1.0)
    assert y2 == pytest.approx(0, abs=1e-6) and y1 == pytest.approx(-1, abs=0.05)
    assert x1 == pytest.approx(-x2) and places[HEAD, 0] == 0
    assert places[FEET, 1] == pytest.approx(places[FEET, 1][::-1])
    for body in ("lie", "sit", "crouch", "fall"):
        assert extent(joints(at_keyframe(body, count=4)), 1.0)[:, 3] == pytest.approx(0, abs=1e-6)


def test_boxes_enclose_the_drawn_pixels():
    for body in ("stand", "lie", "sit", "dance"):
        for one in at_keyframe(body, "wave" if body == "stand" else "", count=2):
            picture, places = drawn(one)
            rows, columns = np.nonzero(picture.sum(-1) > 125)  # at least half covered
            found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert np.abs(extent(places, LOOK.height) - found).max() < 1.2, body


def test_soft_edges_and_clipping():
    picture = np.zeros((20, 20, 3), np.float32)
    draw_capsule(picture, (5, 10), (15, 10), 3.0, np.array([100.0, 0, 0]))
    assert picture[10, 10, 0] == 100 and picture[10, 0, 0] == 0 and not picture[..., 1:].any()
    assert picture[..., 0].sum() / 100 == pytest.approx(10 * 6 + np.pi * 9, rel=0.03)
    before = picture.copy()
    draw_capsule(picture, (-50, 10), (-40, 10), 3.0, np.array([0, 100.0, 0]))
    assert (picture == before).all()
    draw_capsule(picture, (0, 0), (0, 0), 3.0, np.array([0, 100.0, 0]))  # a quarter is visible
    assert picture[..., 1].sum() / 100 == pytest.approx(np.pi * 9 / 4, rel=0.15)


@pytest.mark.parametrize(("one", "other"), [
    (("walk left", ""), ("walk right", "")), (("walk left", ""), ("stand", "")),
    (("fall", ""), ("get up", "")), (("crouch", ""), ("dance", "")),
    (("stand", "wave"), ("stand", "raise")), (("stand", "push"), ("stand", "grab")),
    (("stand", "give"), ("stand", "take")), (("stand", "lift"), ("stand", "put down")),
])
def test_pairs_look_alike_in_a_single_frame(one, other):
    poses = [np.sort(at_keyframe(*action, seed=n), 0) for n, action in enumerate((one, other))]
    # The quantiles of every angle differ no more than between two samples of the same action.
    apart = np.abs(poses[0] - poses[1])[20:-20].mean(0)
    again = np.abs(poses[0] - np.sort(at_keyframe(*one, seed=7), 0))[20:-20].mean(0)
    assert (apart < np.maximum(0.12, 2 * again)).all()


@pytest.mark.parametrize(("one", "other"), [
    (("fall", ""), ("get up", "")), (("stand", "give"), ("stand", "take")),
    (("stand", "lift"), ("stand", "put down")),
])
def test_one_of_a_pair_is_the_other_played_backwards(one, other):
    times = np.linspace(0, 1, 31)
    there, back = (
        act([Step(1, *action)], 0, times, np.random.default_rng(4)) for action in (one, other)
    )
    np.testing.assert_allclose(there.poses, back.poses[::-1], atol=1e-5)
    np.testing.assert_allclose(there.holding, back.holding[::-1], atol=1e-6)
    assert np.abs(np.diff(there.poses, axis=0)).max() < 0.35  # continuous


def test_steps_follow_one_another():
    steps = [Step(1, "stand"), Step(2, "walk right", "carry"), Step(1, "fall"), Step(1, "lie")]
    times = np.arange(-15, 80) / 15
    motion = act(steps, 0, times, np.random.default_rng(0))
    assert np.abs(np.diff(motion.poses, axis=0)).max() < 0.8
    np.testing.assert_allclose(
        np.diff(motion.walked)[(times[:-1] > 1) & (times[1:] < 3)], WALKING_SPEED / 15, rtol=1e-3
    )
    assert motion.walked[0] == 0 and motion.walked[-1] == pytest.approx(2 * WALKING_SPEED)
    early, middle, late = 15 + 6, 15 + 30, 15 + 69  # frames at 0.4, 2.0 and 4.6 seconds
    assert motion.holding[middle] == 1 and motion.holding[late] == 0
    height = -extent(joints(motion.poses), 1.0)[:, 1]
    assert height[early] > 0.9 and height[late] < 0.3
