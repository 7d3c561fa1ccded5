"""Recorded draws of the original's random generators, given out again as a numpy Generator would.

`draws` are [function, arguments, value]. Each kind has its own queue, because the original draws
numbers that are of no use between those that are.
"""


class Replay:
    """Answers `uniform`, `integers`, `random`, `permutation` and `normal` from recorded draws."""

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

    def random(self) -> float:
        return self.units.pop()  # a flip is what the original draws last

    def permutation(self, count: int) -> list[int]:
        assert sorted(self.permutations[0]) == list(range(count))
        return self.permutations.pop(0)

    def normal(self, mean: float, deviation: float, size: int) -> list[float]:
        recorded_mean, recorded_deviation, value = self.normals.pop(0)
        assert (mean, deviation) == (recorded_mean, recorded_deviation) and size == len(value[0])
        return value[0]
