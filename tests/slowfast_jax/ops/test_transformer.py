"""Attention, relative positions, and the interpolation of position tables."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models.transformer.positions import sincos_table
from slowfast_jax.ops.backend import written_for
from slowfast_jax.ops.pool import avg_pool
from slowfast_jax.ops.transformer.attention import (
    Positions,
    RelativePositions,
    attention,
    relative_positions,
)
from slowfast_jax.ops.transformer.grid_pool import pool_patches, pooled_size
from slowfast_jax.ops.transformer.interpolate import resize_linear
from slowfast_jax.ops.transformer.layer_norm import layer_norm

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def test_tables_are_resized_as_in_pytorch():
    """The numbers are those of torch.nn.functional.interpolate(mode="linear")."""
    table = jnp.arange(4.0)[:, None]
    np.testing.assert_allclose(
        resize_linear(table, 6)[:, 0], [0, 0.5, 7 / 6, 11 / 6, 2.5, 3], rtol=1e-6
    )
    np.testing.assert_allclose(resize_linear(table, 2)[:, 0], [0.5, 2.5])
    np.testing.assert_allclose(resize_linear(table, 3)[:, 0], [1 / 6, 1.5, 17 / 6], rtol=1e-6)
    assert resize_linear(table, 4) is table
    maps = normal(2, 3, 5)
    np.testing.assert_allclose(
        resize_linear(maps, 7, 1), np.moveaxis(resize_linear(np.moveaxis(maps, 1, 0), 7), 0, 1),
        rtol=1e-6,
    )


@pytest.mark.parametrize("class_token", [False, True])
def test_relative_positions_one_by_one(class_token):
    """Queries on a grid that is half as wide as that of the keys."""
    q_grid, k_grid, heads, c = (2, 2, 2), (2, 2, 4), 3, 5
    first = int(class_token)
    q = normal(2, first + 8, heads, c)
    tables = RelativePositions(normal(3, c), normal(3, c), normal(7, c))
    positions = relative_positions(jnp.asarray(q), tables, q_grid, k_grid, class_token)
    found = np.einsum("nqhc,nkhc->nhqk", *positions)
    expected = np.zeros((2, heads, first + 8, first + 16), np.float32)
    for i, (t, h, w) in enumerate(np.ndindex(*q_grid)):
        for j, (s, y, x) in enumerate(np.ndindex(*k_grid)):
            vector = tables.time[t - s + 1] + tables.height[h - y + 1]
            vector = vector + tables.width[2 * w - x + 3]
            expected[:, :, first + i, first + j] += q[:, first + i] @ vector
    np.testing.assert_allclose(found, expected, atol=1e-5)


def attention_with(q, k, v, *positions):
    return attention(q, k, v, Positions(*positions))


def plain_attention(q, k, v, *positions):
    with written_for("gpu"):
        return attention_with(q, k, v, *positions)


def test_attention_weighs_values_by_scaled_products():
    q, k, v = normal(2, 3, 2, 4), normal(2, 5, 2, 4), normal(2, 5, 2, 4)
    products, places = normal(2, 3, 2, 3), normal(2, 5, 2, 3)
    found = plain_attention(*map(jnp.asarray, (q, k, v, products, places)))
    for n in range(2):
        for h in range(2):
            weights = q[n, :, h] @ k[n, :, h].T / 2 + products[n, :, h] @ places[n, :, h].T
            weights = np.exp(weights)
            weights /= weights.sum(-1, keepdims=True)
            np.testing.assert_allclose(found[n, :, h], weights @ v[n, :, h], atol=1e-5)


def plain_layer_norm(x, scale, bias):
    centered = x - x.mean(-1, keepdims=True)
    return centered / jnp.sqrt((centered**2).mean(-1, keepdims=True) + 1e-6) * scale + bias


@pytest.mark.parametrize(("function", "plain", "shapes"), [
    (attention_with, plain_attention,
     [(2, 3, 2, 4), (2, 5, 2, 4), (2, 5, 2, 4), (2, 3, 2, 3), (2, 5, 2, 3)]),
    (layer_norm, plain_layer_norm, [(2, 3, 8), (8,), (8,)]),
])
def test_results_and_gradients(function, plain, shapes):
    halves = [jnp.asarray(normal(*shape), jnp.bfloat16) for shape in shapes]
    arguments = [x.astype(jnp.float32) for x in halves]
    gradient = jnp.asarray(normal(*shapes[0]), jnp.bfloat16)

    @partial(jax.jit, static_argnums=0)
    def with_gradients(function, *inputs):
        result, pull = jax.vjp(function, *inputs)
        return result, *pull(gradient.astype(result.dtype))

    expected = with_gradients(plain, *arguments)
    for inputs, error in ((arguments, 5e-6), (halves, 0.02)):
        found = with_gradients(function, *inputs)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == inputs[0].dtype
            np.testing.assert_allclose(
                ours.astype(jnp.float32), theirs, atol=error * abs(theirs).max()
            )


def test_pooling_leaves_the_class_token():
    x = normal(2, 1 + 2 * 4 * 4, 3)
    y = pool_patches(
        jnp.asarray(x), (2, 4, 4), True, lambda m: avg_pool(m, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    )
    np.testing.assert_array_equal(y[:, 0], x[:, 0])
    maps = np.pad(x[:, 1:].reshape(2, 2, 4, 4, 3), ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    expected = [maps[:, :, i:i + 3, j:j + 3].sum((2, 3)) / 9 for i in (0, 2) for j in (0, 2)]
    expected = np.stack(expected, 2).reshape(2, -1, 3)  # padding counts
    np.testing.assert_allclose(y[:, 1:], expected, atol=1e-6)
    assert pooled_size((2, 5, 4), (1, 3, 3), (1, 2, 2)) == (2, 3, 2)


def test_sines_and_cosines():
    """Channels: 4 of the time, 6 of the column, 6 of the row; in each sines, then cosines."""
    table = sincos_table((2, 3, 3), 16).reshape(2, 3, 3, 16)
    t, row, column = 1, 2, 1
    found = table[t, row, column]
    rates = {4: 10000.0 ** -np.array([0, 0.5]), 6: 10000.0 ** -np.array([0, 1 / 3, 2 / 3])}
    expected = [
        wave(place * rates[size])
        for place, size in ((t, 4), (column, 6), (row, 6)) for wave in (np.sin, np.cos)
    ]
    np.testing.assert_allclose(found, np.concatenate(expected))
    with pytest.raises(ValueError, match="needs a multiple of 16"):
        sincos_table((1, 2, 2), 24)
