"""Patch masks: equal to the original's for the same draws; how many patches; tubes over time."""

import hashlib
import random

import numpy as np
import pytest

from data_pipelines.transforms import patch_masks

# Masks of the original's MaskingGenerator (blocks) and MaskingGenerator3D (cubes) with Python's
# random numbers of a seed: kind, shape, ratio, most, seed, number masked, hash of the bytes.
RECORDED = [
    ("blocks", (14, 14), 0.4, None, 0, 78, "d193f4aaa53d"),
    ("blocks", (7, 7), 0.75, None, 0, 37, "a78285497335"),
    ("blocks", (14, 14), 0.9, None, 0, 174, "f9530bf33d7c"),
    ("cubes", (8, 7, 7), 0.4, None, 0, 156, "00b895067781"),
    ("cubes", (8, 14, 14), 0.9, None, 0, 1410, "f62419867822"),
    ("cubes", (4, 7, 7), 0.75, None, 0, 146, "bbc3f4050ae4"),
    ("blocks", (14, 14), 0.4, 75, 1, 78, "a11c7a122256"),
    ("blocks", (7, 7), 0.75, None, 1, 35, "daa31c16ee59"),
    ("blocks", (14, 14), 0.9, None, 1, 176, "314b55c76192"),
    ("cubes", (8, 7, 7), 0.4, None, 1, 154, "5ba60083c07f"),
    ("cubes", (8, 14, 14), 0.9, None, 1, 1411, "f79551e44b2f"),
    ("cubes", (4, 7, 7), 0.75, None, 1, 146, "3136e78b17d9"),
    ("blocks", (14, 14), 0.4, 75, 2, 78, "5e19241debb1"),
    ("blocks", (14, 14), 0.9, None, 2, 171, "9a7d989c2066"),
    ("cubes", (8, 7, 7), 0.4, None, 2, 155, "e6fb67d549af"),
    ("cubes", (4, 7, 7), 0.75, None, 2, 146, "fed8df6b9280"),
]
SEEDS = range(20)

DRAWS = (
    patch_masks.draw_tube, patch_masks.draw_cubes, patch_masks.draw_frames, patch_masks.draw_random
)


class Original:
    """The generator of the original, Python's, with the methods of a NumPy Generator."""

    def __init__(self, seed: int):
        self.source = random.Random(seed)

    def random(self) -> float:
        return self.source.random()

    def integers(self, low: int, high: int) -> int:
        return self.source.randint(low, high - 1)


def rngs():
    return map(np.random.default_rng, SEEDS)


@pytest.mark.parametrize("kind, shape, ratio, most, seed, count, digest", RECORDED)
def test_masks_equal_those_of_the_original(kind, shape, ratio, most, seed, count, digest):
    limit = {"most": most} if kind == "blocks" else {}
    draw = patch_masks.draw_blocks if kind == "blocks" else patch_masks.draw_cubes
    mask = draw(Original(seed), *shape, ratio=ratio, **limit)
    assert mask.dtype == bool and mask.shape == shape and mask.sum() == count
    assert hashlib.sha256(mask.tobytes()).hexdigest()[:12] == digest


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.4, 0.75, 0.9])
def test_the_number_of_masked_patches(ratio):
    for rng in rngs():
        blocks = patch_masks.draw_blocks(rng, 14, 14, ratio=ratio)
        assert 0.85 * ratio * 196 <= blocks.sum() <= round(ratio * 196)
        cubes = patch_masks.draw_cubes(rng, 8, 14, 14, ratio=ratio)
        assert 0.85 * ratio * 1568 <= cubes.sum() <= round(ratio * 1568)
        assert patch_masks.draw_frames(rng, 8, 7, 7, ratio=ratio).sum() == 49 * round(8 * ratio)
        kept = ~patch_masks.draw_random(rng, 8, 14, 14, ratio=ratio)
        assert kept.sum() == int(1568 * (1 - ratio))


def test_tubes_are_alike_in_all_frames():
    for rng in rngs():
        for mask in (
            patch_masks.draw_tube(rng, 8, 14, 14, ratio=0.4),
            patch_masks.draw_random(rng, 8, 14, 14, ratio=0.9, tube=True),
        ):
            assert mask.shape == (8, 14, 14) and (mask == mask[:1]).all()
        assert (~mask[0]).sum() == int(196 * 0.1)
    assert np.array_equal(
        patch_masks.draw_tube(np.random.default_rng(3), 2, 14, 14, ratio=0.4)[1],
        patch_masks.draw_blocks(np.random.default_rng(3), 14, 14, ratio=0.4),
    )


def test_whole_frames():
    for rng in rngs():
        mask = patch_masks.draw_frames(rng, 8, 7, 7, ratio=0.4)
        assert sorted(mask.sum((1, 2))) == [0] * 5 + [49] * 3


def test_block_masks_are_contiguous():
    """Most neighbors of a masked patch are masked in block masks, few in random masks."""
    def together(mask):
        return (mask[:, 1:] & mask[:, :-1]).sum() / mask.sum()

    blocks = np.mean([together(patch_masks.draw_blocks(rng, 14, 14, ratio=0.4)) for rng in rngs()])
    single = np.mean([
        together(patch_masks.draw_random(rng, 1, 14, 14, ratio=0.4)[0]) for rng in rngs()
    ])
    assert blocks > 0.75 and single < 0.5
    limited = patch_masks.draw_blocks(np.random.default_rng(0), 14, 14, ratio=0.4, most=20)
    assert limited.sum() <= 78


def test_the_same_generator_gives_the_same_mask():
    for draw in DRAWS:
        first, again, other = (
            draw(np.random.default_rng(seed), 8, 14, 14, ratio=0.4) for seed in (1, 1, 2)
        )
        assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, 40])
def test_invalid_ratios(ratio):
    for draw in DRAWS:
        with pytest.raises(ValueError, match="ratio is"):
            draw(np.random.default_rng(0), 8, 7, 7, ratio=ratio)


def test_random_masks_cover_every_patch_alike():
    mean = np.mean([patch_masks.draw_random(rng, 2, 4, 4, ratio=0.75) for rng in rngs()], 0)
    assert mean.min() > 0.4 and mean.mean() == pytest.approx(0.75)
