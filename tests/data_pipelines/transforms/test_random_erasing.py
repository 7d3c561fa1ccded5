"""Random erasing against the recorded draws and results of the original."""

import zlib

import numpy as np
import pytest

from data_pipelines.transforms import random_erasing
from tests.data_pipelines.support.recorded import InOrder
from tests.support.paths import needs_parity


@needs_parity
def test_erased_clips_equal_those_of_the_original(recorded, arrays):
    recorded = recorded["random_erasing"]
    random = np.random.RandomState(zlib.crc32(b"erase"))
    frames = random.standard_normal((4, 3, 16, 18)).astype(np.float32).transpose(0, 2, 3, 1)
    before = frames.copy()
    for case in recorded["cases"]:
        rng = InOrder(case["draws"])
        patches = random_erasing.draw(
            rng, 4, 16, 18, probability=case["prob"], mode=case["mode"], count=case["max_count"],
            splits=case["num_splits"], cube=case["cube"],
        )
        assert not rng.draws and sum(patch.frames for patch in patches) == case["pixel_calls"]
        found = random_erasing.apply(frames, patches).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(found, arrays[case["key"]], err_msg=case["key"])
    np.testing.assert_array_equal(frames, before)
    assert len(recorded["cases"]) >= 60


def test_erased_levels_normalize_to_the_noise():
    mean, std = np.array([0.45, 0.4, 0.5]), np.array([0.225, 0.2, 0.25])
    frames = np.zeros((2, 32, 40, 3), np.uint8)
    patches = random_erasing.draw(np.random.default_rng(3), 2, 32, 40, probability=1.0)
    found = random_erasing.apply(frames, patches, mean=mean, std=std)
    assert found.dtype == np.uint8
    (patch,) = patches
    rows, columns = patch.size
    filled = found[:, patch.top : patch.top + rows, patch.left : patch.left + columns]
    normalized = (filled / 255 - mean) / std
    limited = np.clip(patch.noise, -mean / std, (1 - mean) / std)
    assert np.abs(normalized - limited).max() < 0.5 / 255 / 0.2 + 1e-5
    outside = np.ones((32, 40), bool)
    outside[patch.top : patch.top + rows, patch.left : patch.left + columns] = False
    assert not found[:, outside].any() and np.abs(patch.noise[0] - patch.noise[1]).min() < 1


def test_constant_erasing_fills_with_the_mean_color():
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    patches = random_erasing.draw(np.random.default_rng(0), 2, 8, 8, probability=1.0, mode="const")
    found = random_erasing.apply(frames, patches, mean=(0.2, 0.4, 0.6))
    assert set(map(tuple, found.reshape(-1, 3).tolist())) == {(0, 0, 0), (51, 102, 153)}


def test_distribution_of_draws():
    rng = np.random.default_rng(0)
    drawn = [random_erasing.draw(rng, 4, 56, 56, splits=2, count=3) for _ in range(400)]
    erased = [patches for patches in drawn if patches]
    assert 70 < len(erased) < 130 and {len(patches) for patches in erased} == {1, 2, 3}
    assert all(patch.first == 2 and patch.frames == 2 for patches in erased for patch in patches)
    shares = [patch.size[0] * patch.size[1] * len(patches) / 56**2
              for patches in erased for patch in patches]
    assert 0.015 < min(shares) < 0.08 and 0.28 < max(shares) < 0.35
    rng = np.random.default_rng(0)
    assert not any(random_erasing.draw(rng, 4, 56, 56, probability=0.0) for _ in range(50))


def test_unknown_mode():
    with pytest.raises(ValueError, match="erasing is 'noise'; expected one of pixel, rand, const"):
        random_erasing.draw(np.random.default_rng(0), 2, 8, 8, mode="noise")
