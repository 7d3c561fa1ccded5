"""Training and test geometry against the recorded draws and results of the original."""


import numpy as np
import pytest

from data_pipelines.transforms import geometry
from data_pipelines.transforms.geometry import Geometry
from tests.data_pipelines.support.recorded import InOrder, Replay
from tests.support.paths import needs_parity

RELATIVE = {"jitter_scales_relative": (0.08, 1.0), "jitter_aspect_relative": (0.75, 1.3333)}


@needs_parity
def test_short_sides_are_drawn_as_the_original_draws_them(recorded):
    cases = recorded["short_side_jitter(60x80, 256..320)"]
    for case in cases:
        rng = Replay([*case["draws"], ["np.random.uniform", [], 0.9]])
        rng.integers = lambda limit: 0
        drawn = geometry.draw(rng, 60, 80, crop=224, inverse_uniform=case["inverse"])
        assert drawn.size == tuple(case["shape"]) and min(drawn.size) == case["short_side"]
    assert len(cases) > 10


@needs_parity
def test_training_clips_equal_those_of_the_original(recorded, arrays):
    frames = arrays["normalized_clip0"].transpose(1, 2, 3, 0)
    cases = recorded["spatial_train(min 36,max 48,crop 32,flip)"]
    for case in cases:
        drawn = geometry.draw(
            Replay(case["draws"]), 40, 60, crop=32, jitter=(36, 48),
            inverse_uniform=case["inverse"],
        )
        expected = arrays[f"spatial_train_{case['seed']}_{case['inverse']:d}"]
        result = geometry.apply(frames, drawn, dtype=np.float32).transpose(3, 0, 1, 2)
        np.testing.assert_allclose(result, expected, atol=1e-6)
    assert {geometry.draw(Replay(case["draws"]), 40, 60, crop=32, jitter=(36, 48),
                         inverse_uniform=case["inverse"]).flip for case in cases} == {False, True}


@needs_parity
def test_random_resized_crops_equal_those_of_the_original(recorded, arrays):
    frames = arrays["normalized_clip0"].transpose(1, 2, 3, 0)
    cases = recorded["random_resized_crop(scale .08..1, ratio .75..1.3333, out 32)"]
    moving = 0
    for case in cases:
        rng = InOrder(case["draws"])
        drawn = geometry.draw(
            rng, 40, 60, crop=32, **RELATIVE, motion_shift=case["motion_shift"]
        )
        assert not rng.draws
        expected = arrays[f"rrc_{case['seed'] - 100}_{case['motion_shift']:d}"]
        result = geometry.apply(frames, drawn, dtype=np.float32).transpose(3, 0, 1, 2)
        np.testing.assert_allclose(result, expected, atol=1e-6)
        moving += drawn.last_area is not None
    assert (len(cases), moving) == (10, 5)


@needs_parity
def test_areas_of_odd_frames_equal_those_of_the_original(recorded):
    tested = 0
    for case in recorded["get_param_spatial_crop"]:
        if not case["log_scale"] or case["switch_hw"]:
            continue  # variants that no recipe uses
        rng = Replay([*case["draws"], ["np.random.uniform", [], 0.9]])
        drawn = geometry.draw(
            rng, case["height"], case["width"], crop=8,
            jitter_scales_relative=case["scale"], jitter_aspect_relative=case["ratio"],
        )
        top, left, height, width = case["i_j_h_w"]
        assert drawn.area == (top, left, height, width)
        tested += 1
    assert tested >= 2


def test_extreme_frames_fall_back_to_their_middle():
    rng = np.random.default_rng(0)
    long = geometry.draw(rng, 10, 1000, crop=8, **RELATIVE).area
    tall = geometry.draw(rng, 1000, 10, crop=8, **RELATIVE).area
    assert long == (0, (1000 - 13) // 2, 10, 13) and tall == ((1000 - 13) // 2, 0, 13, 10)


def test_boxes_stay_on_what_they_enclose():
    """A bright patch is where its box says, after any geometry."""
    frames = np.zeros((1, 60, 90, 3), np.uint8)
    frames[:, 24:36, 40:56] = 200
    box = np.array([[40.0, 24, 56, 36]])
    rng = np.random.default_rng(1)
    drawn = [geometry.draw(rng, 60, 90, crop=64, jitter=(64, 90)) for _ in range(15)]
    drawn += [geometry.draw(rng, 60, 90, crop=64, **RELATIVE) for _ in range(15)]
    drawn += [geometry.center(60, 90, short_side=64, crop=64),
              geometry.whole(60, 90, short_side=80, flip=True)]
    seen = 0
    for one in drawn:
        picture = geometry.apply(frames, one)[0, :, :, 0]
        assert picture.shape == one.window[2:]
        rows, columns = np.nonzero(picture > 100)
        if not len(rows):
            continue
        seen += 1
        x1, y1, x2, y2 = geometry.apply_boxes(box, one)[0]
        np.testing.assert_allclose(
            [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], [x1, y1, x2, y2],
            atol=2.2,
        )
    assert seen > 20


def test_center_and_whole():
    assert geometry.whole(40, 60, short_side=32) == Geometry(
        (40, 60), None, (32, 48), (0, 0, 32, 48), False
    )
    assert geometry.center(40, 60, short_side=32, crop=32).window == (0, 8, 32, 32)
    assert geometry.center(60, 40, short_side=32, crop=32).window == (8, 0, 32, 32)


def test_a_flip_can_be_forbidden():
    rng = np.random.default_rng(0)
    assert not any(
        geometry.draw(rng, 40, 60, crop=32, jitter=(32, 40), flip=False).flip for _ in range(20)
    )


def test_errors_of_motion_shift():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="set data.jitter_scales_relative"):
        geometry.draw(rng, 40, 60, crop=32, jitter=(32, 40), motion_shift=True)
    moving = geometry.draw(rng, 40, 60, crop=32, **RELATIVE, motion_shift=True)
    with pytest.raises(ValueError, match="boxes cannot follow an area that moves"):
        geometry.apply_boxes(np.zeros((1, 4)), moving)


def test_wrong_ranges_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"224x224 crop does not fit a short side of 200"):
        geometry.draw(rng, 40, 60, crop=224, jitter=(200, 300))
    with pytest.raises(ValueError, match=r"data.jitter is \(320, 256\)"):
        geometry.draw(rng, 40, 60, crop=224, jitter=(320, 256))
    with pytest.raises(ValueError, match=r"data.jitter_aspect_relative is \(\)"):
        geometry.draw(rng, 40, 60, crop=224, jitter_scales_relative=(0.08, 1.0))
    with pytest.raises(ValueError, match=r"the geometry is for \(40, 60\)"):
        geometry.apply(np.zeros((1, 40, 61, 3), np.uint8), geometry.whole(40, 60, short_side=32))


def test_stretched_frames_are_whole_ones_where_the_aspect_ratio_is_kept():
    kept = geometry.whole(720, 1280, short_side=256)
    assert geometry.stretched(720, 1280, size=(256, 455)) == kept
    wide = geometry.stretched(700, 1280, size=(256, 455))
    assert wide.size == (256, 455) and wide.window == (0, 0, 256, 455)
    box = geometry.apply_boxes(np.array([[0.0, 70.0, 640.0, 350.0]]), wide)
    np.testing.assert_allclose(box, [[0, 25.6, 227.5, 128]])
