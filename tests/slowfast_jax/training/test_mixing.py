"""Mixup, cutmix and soft targets: the original's recorded cases, and statistics of the draws."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.training import mixing
from tests.slowfast_jax.models import cases
from tests.support.compiling import FAST
from tests.support.paths import PARITY, needs_parity
from tests.support.tiny_models import Tiny

LABELS, CLASSES, SMOOTHING, SHAPE = np.array([0, 3, 1, 3]), 5, 0.1, (4, 3, 2, 12, 16)
MANIFEST = cases.manifest("data", "spatial_aug") if PARITY.is_dir() else {}
MIXED = {case["key"]: case for case in MANIFEST.get("mixup", {}).get("cases", [])}


@pytest.fixture(scope="module")
def recorded():
    return cases.outputs("data", "spatial_aug")


def clips():
    """The clips that the recorded cases mix, as (N,T,H,W,C); recorded as (N,C,T,H,W)."""
    random = np.random.RandomState(zlib.crc32(b"mix"))
    return random.standard_normal(SHAPE).astype(np.float32).transpose(0, 2, 3, 4, 1)


def drawn(case):
    """The recorded draws of a case as a Mix."""
    values = {name: value for name, _, value in case["draws"]}
    places = [value for name, _, value in case["draws"] if name.endswith("randint")]
    height, width = SHAPE[-2:]
    share = jnp.float32(values.get("np.random.beta", 1.0))
    if places and share < 1:
        return mixing.pasting(share, *places, height, width)
    return mixing.blending(share, height, width)


@needs_parity
@pytest.mark.parametrize("name", MIXED)
def test_mixed_clips_equal_those_of_the_original(recorded, name):
    targets = mixing.soft_targets(jnp.array(LABELS), CLASSES, SMOOTHING)
    mixed, soft = mixing.apply(jnp.array(clips()), targets, drawn(MIXED[name]))
    expected = recorded[name].transpose(0, 2, 3, 4, 1)
    np.testing.assert_allclose(mixed, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(soft, recorded[f"{name}_target"], rtol=0, atol=1e-6)


@needs_parity
def test_targets_that_are_not_mixed():
    targets = mixing.soft_targets(jnp.array(LABELS), CLASSES, SMOOTHING)
    np.testing.assert_allclose(targets, MANIFEST["mixup_target_no_mix"], atol=1e-7)


@needs_parity
@pytest.mark.parametrize("number", range(len(MANIFEST.get("cutmix_bbox", ()))))
def test_cutmix_boxes_equal_those_of_the_original(number):
    case = MANIFEST["cutmix_bbox"][number]
    height, width = case["shape_hw"]
    (_, _, row), (_, _, column) = case["draws"]
    mix = mixing.pasting(jnp.float32(case["lam"]), row, column, height, width)
    top, bottom, left, right = case["yl_yh_xl_xh"]
    expected = np.ones((height, width))
    expected[top:bottom, left:right] = 0
    np.testing.assert_array_equal(mix.weights, expected)
    np.testing.assert_allclose(mix.share, case["lam_corrected"], rtol=0, atol=1e-6)


def draws(count, **options):
    """The shares of many draws, and whether each pastes a box."""
    keys = jax.random.split(jax.random.key(0), count)
    draw = jax.vmap(lambda key: mixing.draw(key, 8, 8, **options))
    mixes = jax.jit(draw, compiler_options=FAST)(keys)
    pasted = ((mixes.weights == 0) | (mixes.weights == 1)).all((1, 2)) & (mixes.share < 1)
    return np.asarray(mixes.share), np.asarray(pasted)


def test_frequency_of_mixup_and_cutmix():
    share, pasted = draws(2000, mixup_alpha=0.8, cutmix_alpha=1.0, prob=0.7, switch_prob=0.25)
    untouched = share == 1
    assert 0.3 <= untouched.mean() < 0.34  # a box of no pixels changes nothing either
    assert pasted.mean() / (1 - untouched.mean()) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(("alpha", "spread"), [(0.2, 0.423), (1.0, 0.289), (8.0, 0.121)])
def test_shares_follow_a_beta_distribution(alpha, spread):
    share, _ = draws(2000, mixup_alpha=alpha, cutmix_alpha=0.0)
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.std() == pytest.approx(spread, abs=0.02)  # 1 / (2 sqrt(2 alpha + 1))


def test_groups_are_mixed_within_themselves():
    model = Tiny(num_classes=3)
    mix_batch = jax.jit(mixing.make_mixer(model, group_size=2, mixup_alpha=1.0, cutmix_alpha=0.0))
    clip = np.repeat(np.array([0, 255, 0, 0], np.uint8), 3 * 4 * 4 * 3).reshape(4, 3, 4, 4, 3)
    batch = {"clip": clip, "label": np.array([0, 1, 2, 2]), "other": np.arange(4)}
    mixed = mix_batch(jax.random.key(1), batch)
    share = mixed["label"][0, 0]
    assert 0 < share < 1
    np.testing.assert_allclose(mixed["label"][:2, :2], [[share, 1 - share], [1 - share, share]])
    np.testing.assert_allclose(mixed["label"][2:], [[0, 0, 1], [0, 0, 1]])
    low, high = (0 - 0.45) / 0.225, (1 - 0.45) / 0.225
    np.testing.assert_allclose(mixed["clip"][0], share * low + (1 - share) * high, rtol=1e-5)
    np.testing.assert_allclose(mixed["clip"][2:], low, rtol=1e-5)
    np.testing.assert_array_equal(mixed["other"], batch["other"])


def test_a_clip_alone_cannot_be_mixed():
    mix_batch = mixing.make_mixer(
        Tiny(num_classes=3), group_size=1, mixup_alpha=1.0, cutmix_alpha=0.0
    )
    batch = {"clip": jnp.zeros((2, 3, 4, 4, 3), jnp.uint8), "label": jnp.zeros(2, jnp.int32)}
    with pytest.raises(ValueError, match="groups of at least two clips"):
        mix_batch(jax.random.key(0), batch)
