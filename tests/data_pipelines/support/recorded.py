"""Inputs of the cases recorded from PySlowFast: its random draws, and pictures made by a rule."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


class Replay:
    """Replays recorded draws of PySlowFast's generators through the methods of a NumPy Generator.

    `draws` are [function, arguments, value]. Each kind of draw has its own queue, because
    PySlowFast also draws numbers that it does not use.
    """

    def __init__(self, draws: list):
        self.ranges, self.integers_, self.units = [], [], []
        self.permutations, self.normals = [], []
        for function, arguments, value in draws:
            if function.endswith("randint"):
                inclusive = function == "random.randint"
                self.integers_.append((arguments[0], arguments[1] + inclusive, value))
            elif function == "np.random.permutation":
                self.permutations.append(value)
            elif function == "np.random.normal":
                self.normals.append((*arguments, value))
            elif arguments:
                self.ranges.append((*arguments, value))
            else:
                self.units.append(value)

    def uniform(self, low: float, high: float) -> float:
        recorded_low, recorded_high, value = self.ranges.pop(0)
        assert (low, high) == (recorded_low, recorded_high)
        return value

    def integers(self, low: int, high: int | None = None) -> int:
        low, high = (0, low) if high is None else (low, high)
        recorded_low, recorded_high, value = self.integers_.pop(0)
        assert (low, high) == (recorded_low, recorded_high)
        return value

    def random(self, size: int | None = None) -> float | np.ndarray:
        if size is None:
            return self.units.pop()  # PySlowFast draws the flip last
        # Numbers in [0, 1) that map to the integers that PySlowFast drew first.
        drawn, self.integers_ = self.integers_[:size], self.integers_[size:]
        return np.array([(value - low + 0.5) / (high - low) for low, high, value in drawn])

    def permutation(self, count: int) -> list[int]:
        assert sorted(self.permutations[0]) == list(range(count))
        return self.permutations.pop(0)

    def normal(self, mean: float, deviation: float, size: int) -> list[float]:
        recorded_mean, recorded_deviation, value = self.normals.pop(0)
        assert (mean, deviation) == (recorded_mean, recorded_deviation) and size == len(value[0])
        return value[0]


class InOrder:
    """Replays recorded draws in their original order, for several steps in a row.

    Draws of np.random.uniform() that PySlowFast does not use are skipped.
    """

    def __init__(self, draws: list):
        self.draws, self.patches = list(draws), 0

    def _next(self, *functions: str, unit: bool = False) -> tuple[str, list, Any]:
        while True:
            function, arguments, value = self.draws.pop(0)
            if function in functions and bool(arguments) != unit:
                return function, arguments, value
            assert (function, arguments) == ("np.random.uniform", []), (function, functions)

    def random(self) -> float:
        return self._next("random.random", "np.random.uniform", unit=True)[2]

    def uniform(self, low: float, high: float) -> float:
        _, arguments, value = self._next("random.uniform", "np.random.uniform")
        assert arguments == [low, high]
        return value

    def normal(self, mean: float, deviation: float) -> float:
        _, arguments, value = self._next("random.gauss")
        assert arguments == [mean, deviation]
        return value

    def integers(self, low: int, high: int | None = None) -> int:
        low, high = (0, low) if high is None else (low, high)
        function, arguments, value = self._next(
            "random.randint", "np.random.randint", "random.choice"
        )
        if function == "random.choice":
            (choices,) = arguments
            assert (low, high) == (0, len(choices))
            return choices.index(value)
        assert arguments == [low, high - (function == "random.randint")]
        return value

    def standard_normal(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """The noise that replaced PySlowFast's in the recording, made by a rule per frame."""
        frames = []
        for _ in range(shape[0]):
            self.patches += 1
            random = np.random.RandomState(zlib.crc32(f"pix{self.patches}".encode()))
            frames.append(random.standard_normal((3, *shape[1:3])).transpose(1, 2, 0))
        return np.stack(frames).astype(dtype)

    def choice(self, count: int, size: int, *, replace: bool, p: np.ndarray | None) -> list[int]:
        _, (names, found), value = self._next("np.random.choice")
        assert (count, size) == (len(names), found) and replace == (p is None)
        return [names.index(name) for name in value]


def smooth(name: str, height: int, width: int) -> np.ndarray:
    """A smooth picture determined by `name`, uint8 (H,W,3), in PySlowFast's order of channels."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    y, x = np.mgrid[:height, :width]
    channels = []
    for _ in range(3):
        a, p = random.uniform(0.05, 0.35, 4), random.uniform(0, 6.28, 2)
        wave = np.sin(a[0] * x + a[1] * y + p[0])
        channels.append(127.5 + 80 * wave + 45 * np.cos(a[2] * x - a[3] * y + p[1]))
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


def write_rolling(
    folder: Path,
    name: str,
    height: int,
    width: int,
    count: int,
    *,
    turns: tuple[int, int],
    template: str = "{video}/{video}_{number:06d}.png",
) -> None:
    """Writes frames of a video: the picture of its name, rolled by the frame number modulo `turns`.

    PySlowFast reads them as BGR.
    """
    picture = smooth(name, height, width)[:, :, ::-1]
    for number in range(count):
        frame = np.roll(picture, (number % turns[0], number % turns[1]), (0, 1))
        path = folder / template.format(video=name.split("/")[-1], number=number + 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame).save(path)


def gray_levels(clip: np.ndarray) -> np.ndarray:
    """A recorded clip (3,T,H,W), normalized by 0.45 and 0.225, as levels (T,H,W,3) of 0..255."""
    return np.clip((clip.transpose(1, 2, 3, 0) * 0.225 + 0.45) * 255, 0, 255)
