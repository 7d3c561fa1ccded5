"""Color jitter and lighting against the recorded draws and results of the original."""

import zlib

import numpy as np
import pytest

from data_pipelines.transforms import color
from data_pipelines.transforms.color import Color
from tests.data_pipelines.support.recorded import Replay
from tests.support.paths import needs_parity


@pytest.fixture(scope="module")
def frames():
    """RGB; the original's frames are BGR."""
    random = np.random.RandomState(zlib.crc32(b"clip0"))
    clip = random.randint(0, 256, (4, 40, 60, 3)).astype(np.uint8)
    return clip[:3, :12, :14, ::-1]


@needs_parity
def test_colors_equal_those_of_the_original(recorded, arrays, frames):
    assert recorded["pca"]["eigval"] == color.EIGENVALUES.tolist()
    assert recorded["pca"]["eigvec"] == color.EIGENVECTORS.tolist()
    for case in recorded["colour"]:
        kind = case["key"].removeprefix("cv2_")[:-2]
        if kind == "color_jitter":
            drawn = color.draw(Replay(case["draws"]), lighting=0)
        elif kind == "lighting":
            drawn = color.draw(Replay(case["draws"]), jitter=0)
        else:
            drawn = Color(((kind, case["alpha"]),))
        found = color.apply(frames, drawn, dtype=np.float32) / 255
        expected = arrays[case["key"]].transpose(0, 2, 3, 1)[..., ::-1]
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=case["key"])
    assert len(recorded["colour"]) == 21


def test_levels_are_rounded_and_clipped(frames):
    drawn = Color((("brightness", 1.4), ("contrast", 1.3)), (0.02, 0.0, -0.02))
    exact = color.apply(frames, drawn, dtype=np.float32)
    assert exact.min() < 0 and exact.max() > 255
    levels = color.apply(frames, drawn)
    assert levels.dtype == np.uint8
    np.testing.assert_array_equal(levels, np.clip(np.rint(exact), 0, 255))


def test_an_empty_change_is_the_identity(frames):
    drawn = color.draw(np.random.default_rng(0), jitter=0, lighting=0)
    assert drawn == Color()
    np.testing.assert_array_equal(color.apply(frames, drawn), frames)


def test_distribution_of_draws():
    rng = np.random.default_rng(0)
    drawn = [color.draw(rng) for _ in range(300)]
    factors = np.array([[factor for _, factor in sorted(d.steps)] for d in drawn])
    assert 0.6 <= factors.min() < 0.62 and 1.38 < factors.max() <= 1.4
    assert len({tuple(name for name, _ in d.steps) for d in drawn}) == 6
    assert np.allclose(np.cov(np.array([d.shift for d in drawn]).T), 0.01 * (
        color.EIGENVECTORS * color.EIGENVALUES**2) @ color.EIGENVECTORS.T, atol=1.5e-4)
