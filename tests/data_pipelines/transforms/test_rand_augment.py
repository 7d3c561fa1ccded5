"""RandAugment against the recorded draws and pixels of the original."""


import numpy as np
import pytest

from data_pipelines.transforms import rand_augment
from data_pipelines.transforms.rand_augment import FILTERS, OPERATIONS, Policy, Step, draw, parse
from tests.data_pipelines.support.recorded import InOrder, smooth
from tests.support.paths import needs_parity

# The original's operations in its order, without the suffix for the scale of magnitudes.
NAMES = dict(zip((
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd",
    "Color", "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY",
), OPERATIONS, strict=True))
SCALES = ("Increasing", "Original", "Rel")


class Always:
    """Always draws operation `name` and applies it, with its value negated if `negate`."""

    def __init__(self, name: str, negate: bool):
        self.index, self.negate, self.units = OPERATIONS.index(name), negate, [0.1, 0.1 + negate]

    def choice(self, count, size, *, replace, p):
        return [self.index]

    def random(self) -> float:
        return self.units.pop(0)


@needs_parity
def test_operations_equal_those_of_the_original(recorded, arrays):
    frames = arrays["ra_input"][None]
    for case in recorded["randaugment_ops"]["cases"]:
        scale = next((scale for scale in SCALES if case["op"].endswith(scale)), "")
        name = NAMES[case["op"].removesuffix(scale)]
        argument = case["args"][0] if case["args"] else 0
        if case["op"] in ("TranslateX", "TranslateY"):  # in pixels; no policy uses these
            argument /= frames.shape[2] if name == "translate_x" else frames.shape[1]
        elif scale != "Original":  # no policy uses these either
            policy = Policy(case["magnitude"], 1, increasing=scale == "Increasing")
            (drawn,) = draw(Always(name, case["negate"]), policy, 1)
            assert drawn.argument == argument, case["key"]
        found = rand_augment.apply(frames, [Step(name, argument, (FILTERS[case["interp"]],))])[0]
        np.testing.assert_array_equal(found, arrays[case["key"]], err_msg=case["key"])
    assert len(recorded["randaugment_ops"]["cases"]) == 139


@needs_parity
def test_whole_transforms_equal_those_of_the_original(recorded, arrays):
    frames = np.stack([smooth(f"rv{i}", 24, 32) for i in range(3)])
    applied = set()
    for case in recorded["rand_augment_transform"]["cases"]:
        rng = InOrder(case["draws"])
        steps = draw(rng, parse(case["config"], case["interpolation"]), 3)
        assert not rng.draws, case["key"]
        found = rand_augment.apply(frames, steps).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(found, arrays[case["key"]], err_msg=case["key"])
        applied |= {step.name for step in steps}
    assert len(recorded["rand_augment_transform"]["cases"]) == 20 and len(applied) > 8


def test_parsing_policies():
    assert parse("rand-m7-n4-mstd0.5-inc1") == Policy(7, 4, 0.5, increasing=True)
    assert parse("rand") == Policy(10, 2)
    assert parse("rand-w0-mstd1-n3", "random") == Policy(
        10, 3, 1.0, weighted=True, interpolation="random"
    )
    assert parse("rand-inc0").increasing


@pytest.mark.parametrize(("text", "message"), [
    ("augmix-m3", "'augmix-m3' must begin with rand"),
    ("", "'' must begin with rand"),
    ("rand-m7-k3", "has 'k3', expected parts like m7, n4"),
    ("rand-m7.5", "has 'm7.5', expected parts"),
    ("rand-m", "has 'm', expected parts"),
    ("rand-m7-m8", "has m twice"),
    ("rand-w1", "has w1; the only weights are w0"),
    ("rand-n14-w0", "has n14; with w0 no operation repeats: use at most 13"),
])
def test_invalid_policies(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_unknown_interpolation():
    with pytest.raises(ValueError, match="interpolation is 'lanczos', expected bilinear, bicubic"):
        parse("rand-m7", "lanczos")


def test_posterize_to_0_bits_is_black():
    """Magnitude 10 of the increasing list keeps 0 bits, which Pillow's function refuses."""
    frames = np.full((1, 4, 4, 3), 200, np.uint8)
    (step,) = draw(Always("posterize", False), Policy(10, 1, increasing=True), 1)
    assert step.argument == 0 and not rand_augment.apply(frames, [step]).any()


def test_distribution_of_draws():
    rng = np.random.default_rng(0)
    policy = parse("rand-m7-n4-mstd0.5-inc1", "random")
    drawn = [step for _ in range(500) for step in draw(rng, policy, 2)]
    assert 900 < len(drawn) < 1100 and {step.name for step in drawn} == set(OPERATIONS)
    turns = np.array([step.argument for step in drawn if step.name == "rotate"])
    assert 0.3 < np.mean(turns > 0) < 0.7 and abs(np.abs(turns).mean() - 21) < 1
    assert {step.filters for step in drawn if step.name == "rotate"} == {
        (a, b) for a in FILTERS.values() for b in FILTERS.values()
    }
    weighted = [
        [step.name for step in draw(rng, parse("rand-n13-w0"), 1)] for _ in range(20)
    ]
    assert all(len(set(names)) == len(names) for names in weighted)
    assert not {"invert", "posterize"} & set(sum(weighted, []))
