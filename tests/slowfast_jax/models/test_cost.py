"""Costs of networks: small ones against counts by hand, those of the zoo against the docs."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.models.cost import count, table, totals
from slowfast_jax.models.norm import BatchNorm
from slowfast_jax.ops.conv import conv3d
from slowfast_jax.ops.roi_align import roi_align
from tests.support.paths import ROOT

ROW = re.compile(r"\| `([\w/]+)` \| \d+ x \d+ \| (\d+) \| ([\d.]+) \| ([\d.]+) \|")
QUICK = (
    "kinetics/c2d_nln_8x8_r50", "kinetics/i3d_8x8_r50", "kinetics/slow_8x8_r50",
    "kinetics/slowfast_8x8_r50", "kinetics/x3d_m", "ava/slow_8x8_r50", "kinetics/mini",
)


class Attention(nn.Module):
    """Self-attention with one head of width 8 over tokens `(L, C)`."""

    @nn.compact
    def __call__(self, x, _=None):
        query, key, value = jnp.split(nn.Dense(24, name="qkv")(x), 3, -1)
        weights = nn.softmax(jnp.einsum("qc,kc->qk", query, key))
        return nn.Dense(x.shape[-1], name="out")(weights @ value), None


class Classifier(nn.Module):
    """A method other than `__call__` computes, as in networks written with `setup`."""

    def setup(self):
        self.dense = nn.Dense(5)

    def classify(self, x):
        return self.dense(x)


class Transformer(nn.Module):
    """A class token, then attention written out, repeated by a scan, rematerialized and mapped."""

    @nn.compact
    def __call__(self, clip, boxes=None):
        n, t, h, w, c = clip.shape
        x = jnp.concatenate([
            self.param("class_token", nn.initializers.zeros, (1, c)), clip.reshape(n * t * h * w, c)
        ])
        x = Attention(name="attention")(x)[0]
        scanned = nn.scan(
            Attention, variable_axes={"params": 0}, split_rngs={"params": True}, length=3
        )
        x = scanned(name="scanned")(x, None)[0]
        x = nn.remat(Attention)(name="rematerialized")(x)[0]
        mapped = nn.vmap(Attention, variable_axes={"params": None}, split_rngs={"params": False})
        x = mapped(name="mapped")(jnp.stack([x, x]))[0][0]
        return Classifier(name="head").classify(x[0] * (x @ x.T).sum())


def test_attention_by_hand():
    frames, crop = 2, 4
    length = frames * crop * crop + 1  # tokens, of 3 channels
    dense = length * (3 * 24 + 8 * 3)
    attention = {
        "params": 3 * 24 + 24 + 8 * 3 + 3,
        "macs": dense + 2 * length * length * 8,
        "activations": length * (24 + 3) + length * length + length * 8,
    }

    def times(factor, params=1):
        return {key: value * (params if key == "params" else factor)
                for key, value in attention.items()}

    rows = count(Transformer(), frames, crop)
    assert rows == {
        "attention": attention,
        "scanned": times(3, params=3),
        "rematerialized": attention,
        "mapped": times(2),
        "Transformer": {"params": 0, "macs": length * length * 3, "activations": length * length},
        "head": {"params": 3 * 5 + 5, "macs": 3 * 5, "activations": 5},
        "class_token": {"params": 3, "macs": 0, "activations": 0},
    }
    assert list(rows)[:4] == ["attention", "scanned", "rematerialized", "mapped"]


class Calls(nn.Module):
    """`operation`, a function of a matrix, on a 4 x 4 matrix."""

    operation: object

    @nn.compact
    def __call__(self, clip, boxes=None):
        return self.operation(clip[0, 0, :, :, 0])


@pytest.mark.parametrize("operation, products", [
    (lambda a: a @ a, 1),
    (jax.jit(lambda a: a @ a), 1),
    (jax.checkpoint(lambda a: a @ a), 1),
    (lambda a: jax.lax.fori_loop(0, 5, lambda _, b: b @ a @ a, a), 10),
    (lambda a: jax.lax.while_loop(lambda b: b.sum() < 1, lambda b: b @ a, a), 1),
    (lambda a: jax.lax.cond(a.sum() < 1, lambda b: b @ a @ a, lambda b: b @ a, a), 2),
    (lambda a: nn.relu(a) + nn.softmax(a) * a.mean(), 0),
])
def test_called_programs(operation, products):
    macs = {"macs": products * 4**3, "activations": products * 4**2, "params": 0}
    assert totals(count(Calls(operation), 1, 4)) == macs


class Convolutions(nn.Module):
    """Convolutions that CPUs and TPUs compute in other ways than as written."""

    @nn.compact
    def __call__(self, clip, boxes=None, train=False):
        for name, (kernel, groups) in {
            "stem": ((5, 7, 7, 3, 8), 1),
            "wide": ((1, 3, 3, 8, 64), 1),
            "winograd": ((1, 3, 3, 64, 64), 1),
            "depthwise": ((3, 3, 3, 1, 64), 64),
            "temporal": ((3, 1, 1, 64, 8), 1),
        }.items():
            clip = conv3d(clip, self.param(name, nn.initializers.ones, kernel), groups=groups)
        return clip


def test_convolutions_count_as_written():
    rows = count(Convolutions(), 4, 6)
    positions = 4 * 6 * 6
    per_position = 245 * 3 * 8 + 9 * 8 * 64 + 9 * 64 * 64 + 27 * 64 + 3 * 64 * 8
    assert totals(rows)["macs"] == positions * per_position
    assert totals(rows)["activations"] == positions * (8 + 64 + 64 + 64 + 8)


class Boxes(nn.Module):
    detection = True

    @nn.compact
    def __call__(self, clip, boxes):
        x = BatchNorm(name="norm")(clip, False)
        return roi_align(x.mean(1), boxes, scale=1.0)


def test_batch_norm_costs_two_and_roi_align_nothing():
    assert count(Boxes(), 2, 4) == {
        "norm": {"params": 6, "macs": 2 * (2 * 4 * 4 * 3), "activations": 0}
    }


def documented_costs():
    """{name: (test crop, millions of parameters, GMACs)} of docs/model_zoo.md."""
    text = (ROOT / "docs/model_zoo.md").read_text(encoding="utf-8")
    return {name: row for name, *row in ROW.findall(text)}


@pytest.mark.parametrize("name", [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in documented_costs()
])
def test_documented_costs_of_the_zoo(name):
    crop, params, gmacs = documented_costs()[name]
    cost = totals(count(zoo.create(name), zoo.find(name)["protocol"]["num_frames"], int(crop)))
    assert f"{cost['params'] / 1e6:.2f}" == params
    assert f"{cost['macs'] / 1e9:.2f}" == gmacs


def test_every_network_of_the_zoo_is_documented():
    assert set(documented_costs()) == {name for name in zoo.ZOO if not name.startswith("test/")}


def test_table_has_both_crops():
    text = table(zoo.create("kinetics/mini"), 8, 64, 96)
    header, *_, total = text.splitlines()
    assert "GMACs @64" in header and "Mact @96" in header
    assert total.split()[0] == "total" and len(total.split()) == 6
