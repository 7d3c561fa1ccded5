"""Color augmentation for self-supervised training, against recorded draws and pixels."""

import json

import numpy as np
import pytest

from data_pipelines.transforms import ssl_color
from data_pipelines.transforms.ssl_color import STEPS, SslColor
from tests.data_pipelines.support.recorded import smooth
from tests.support.paths import PARITY, needs_parity

NAMES = ("brightness", "contrast", "saturation", "hue")


class Captured:
    """Replays the captured draws of a case: which steps, their order, and their values."""

    def __init__(self, case: dict):
        # PyTorch draws whether to jitter (if that is optional), then to gray, then to blur.
        units = [value for (value,) in case["captured"]["torch_rand"]]
        if case["moco_v2_aug"]:
            units = [units[1], units[0], units[2]]
        self.units = [1.0, *units]
        self.order, self.values, self.ranges = [0, 1, 2, 3], [1.0, 1.0, 1.0, 0.0], []
        if "jitter" in case["captured"]:  # absent if no jitter was applied
            self.order, self.values = case["captured"]["jitter"].values()
        self.values = [*self.values, *(value for _, _, value in case["python_draws"])]

    def random(self) -> float:
        return self.units.pop(0)

    def uniform(self, low: float, high: float) -> float:
        self.ranges.append((low, high))
        return self.values.pop(0)

    def permutation(self, count: int) -> list[int]:
        assert count == len(self.order)
        return self.order


@pytest.fixture(scope="module")
def arrays():
    return np.load(PARITY / "data" / "ssl_color.npz")


@needs_parity
def test_colors_equal_those_of_the_original(arrays):
    recorded = json.loads((PARITY / "data" / "ssl_color.json").read_text())
    frames = np.stack([smooth(f"cj{i}", 20, 24) for i in range(3)])
    done = set()
    for case in recorded["cases"]:
        rng = Captured(case)
        drawn = ssl_color.draw(
            rng, jitter=(0.6, 0.6, 0.6), hue=0.15, gray=0.2, moco_v2=case["moco_v2_aug"]
        )
        assert rng.ranges[:4] == [(0.4, 1.6)] * 3 + [(-0.15, 0.15)] and not rng.units
        found = ssl_color.apply(frames, drawn)
        np.testing.assert_array_equal(found, arrays[case["key"]], err_msg=case["key"])
        done |= {name for name, _ in drawn.steps}
    assert len(recorded["cases"]) == 12 and done == set(STEPS)


@needs_parity
def test_single_steps_equal_those_of_the_original(arrays):
    tested = 0
    for key in arrays:
        name, _, value = key.removeprefix("pil_").replace("gray", "gray_0").partition("_")
        if name not in STEPS:
            continue
        found = ssl_color.apply(arrays["pil_input"][None], SslColor(((name, float(value)),)))
        np.testing.assert_array_equal(found[0], arrays[key], err_msg=key)
        tested += 1
    assert tested == 14


def test_differences_in_time():
    frames = np.zeros((3, 2, 2, 3), np.uint8)
    frames[1] = 100
    frames[2] = 40, 100, 100
    exact = ssl_color.time_difference(frames, dtype=np.float32)
    # Red has the smallest weight: the original treats RGB as BGR.
    values = (255 - 100) / 2, (255 + 0.114 * 60) / 2
    for frame, value in zip(exact, (values[0], values[1], values[1]), strict=True):
        np.testing.assert_allclose(frame, value, atol=1e-4)
    np.testing.assert_array_equal(ssl_color.time_difference(frames), np.floor(exact))
    still = ssl_color.time_difference(frames[:1], dtype=np.float32)
    assert still.shape == (1, 2, 2, 3) and (still == 127.5).all()
    found = ssl_color.apply(frames, SslColor((("brightness", 2.0),), difference=True))
    assert (found[0] == 154).all()


def test_distribution_of_draws():
    rng = np.random.default_rng(0)
    drawn = [
        ssl_color.draw(rng, jitter=(0.4, 0.0, 1.5), gray=0.2, moco_v2=True, difference=0.3)
        for _ in range(400)
    ]
    values = {name: [v for d in drawn for n, v in d.steps if n == name] for name in STEPS}
    for name, probability in {"hue": 0.8, "gray": 0.2, "blur": 0.5}.items():
        assert abs(len(values[name]) / 400 - probability) < 0.07
    assert 0.6 <= min(values["brightness"]) < 0.63 and 1.37 < max(values["brightness"]) <= 1.4
    assert set(values["contrast"]) == {1.0} and 0 <= min(values["saturation"]) < 0.1
    assert abs(sum(d.difference for d in drawn) / 400 - 0.3) < 0.07
    orders = {tuple(n for n, _ in d.steps if n in NAMES) for d in drawn}
    assert len(orders) == 25
