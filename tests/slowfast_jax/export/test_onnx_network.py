"""Single operations, as parts of a network that consists of nothing else, in onnxruntime."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.ops.conv import conv3d
from slowfast_jax.ops.pool import adaptive_avg_pool, avg_pool, max_pool
from slowfast_jax.ops.roi_align import roi_align
from tests.slowfast_jax.export.runtimes import convolutions_after_transposes, kinds, run

pytest.importorskip("onnx")

from slowfast_jax.export.onnx_network import to_onnx
from slowfast_jax.export.translation import ExportError

SHAPE = (2, 4, 6, 5, 3)  # of the clips
RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.standard_normal((3, 3, 3, 3, 3), np.float32) / 5
BIAS = RANDOM.standard_normal(3, np.float32)
MATRIX = RANDOM.standard_normal((3, 7), np.float32)


class Network(VideoNetwork):
    """Has the result of a function of the clip, and of the boxes if there are any, as its scores.
    """

    num_classes: int = 1
    function: Callable = None

    def __call__(self, clip, boxes=None, train=False):
        inputs = [clip.astype(jnp.float32)] + ([] if boxes is None else [boxes])
        return None, {"probs": self.function(*inputs)}


def exported(function, clip, boxes=None):
    number = 0 if boxes is None else boxes.shape[1]
    return to_onnx(
        Network(function=function), {}, clip.shape, boxes=number, dtype=clip.dtype
    )


FUNCTIONS = {
    "arithmetic": lambda x: (x - 1) ** 3 / (x**2 + 1) + jnp.abs(-x) * jnp.exp(-x),
    "clip": lambda x: jnp.clip(x, -0.5, 0.5) + jnp.minimum(x, 0) + jnp.sign(x),
    "error function": lambda x: jax.lax.erfc(x) + jax.nn.gelu(x, approximate=False),
    "inverse root": lambda x: jax.lax.rsqrt(jnp.square(x) + 1),
    "comparison": lambda x: jnp.where((x > 0) & ~(x >= 1), x, 2 * x) + (x < 0.5),
    "mask": lambda x: jnp.where(np.arange(5)[:, None] > 1, x, 0),
    "rounding": lambda x: jnp.floor(x) + jnp.ceil(x) + jnp.tanh(x),
    "activations": lambda x: jax.nn.swish(x) + jax.nn.relu(x) + jax.nn.sigmoid(x),
    "reductions": lambda x: x.max((1, 2)) + x.sum((1, 3)).mean(1)[:, None] - x.min((1, 2)),
    "means": lambda x: x.mean((1, 2, 3), keepdims=True) * x + x.mean(-1, keepdims=True),
    "no reduction": lambda x: x.mean(()) + x.sum((1, 2, 3)).max(()).reshape(2, 1, 1, 1, 3),
    "softmax": lambda x: jax.nn.softmax(x, -1) + jax.nn.softmax(x, 2),
    "slices": lambda x: x[:, 1:3, ::2] + x[:, -2:, 1::2],
    "frames": lambda x: x[:, np.array([0, 3, 3, 1])],
    "split": lambda x: jnp.concatenate(jnp.split(x, 3, 2)[::-1], 1),
    "padding": lambda x: jnp.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0), (0, 0)), constant_values=2),
    "axes": lambda x: jnp.moveaxis(x, -1, 1)[:, :, None].squeeze(2) + x.sum((1, 4))[:, None, None],
    "broadcast axes": lambda x: jnp.concatenate([x, jnp.broadcast_to(x[:, :1], x.shape)], 1),
    "matrix": lambda x: x @ MATRIX,
    "matrix from the left": lambda x: jnp.einsum("kf,nthwc->nkhwc", np.ones((9, 4)), x),
    "matrices": lambda x: jnp.einsum("nthwc,hck->nthwk", x, np.ones((6, 3, 2))),
    "matrices of columns": lambda x: jnp.einsum("nthwc,wkc->nthwk", x, np.ones((5, 2, 3))),
    "attention": lambda x: jnp.einsum("nthwc,nshwc->nhwts", x, x[:, :2]),
    "two summed axes": lambda x: jnp.einsum("nthwc,hck->ntwk", x, np.ones((6, 3, 2))),
    "bins": lambda x: adaptive_avg_pool(x[:, 0], 4),
    "convolution": lambda x: conv3d(x, KERNEL, strides=(1, 2, 1)),
    "depthwise": lambda x: conv3d(x, KERNEL[..., :1, :], groups=3, dilation=(1, 2, 1)),
    "convolutions": lambda x: conv3d(jax.nn.relu(conv3d(x, KERNEL) + BIAS), KERNEL) + x,
    "tokens": lambda x: conv3d(x, KERNEL).reshape(len(x), 120, 3) * np.float32(2) + 1,
    "class token": lambda x: jnp.concatenate(
        [jnp.broadcast_to(jnp.asarray(BIAS), (len(x), 1, 3)), x.reshape(len(x), -1, 3)], 1
    ),
    "average": lambda x: avg_pool(x, (2, 3, 3), (1, 2, 2), (0, 1, 1)),
    "maximum": lambda x: max_pool(x, (1, 3, 3), (1, 2, 2), (0, 1, 1)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations(name):
    clip = np.random.default_rng(1).standard_normal(SHAPE, np.float32)
    expected = FUNCTIONS[name](jnp.asarray(clip))
    result = run("onnxruntime", exported(FUNCTIONS[name], clip), clip)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, 1e-5, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("aligned, samples", [(True, 0), (False, 0), (True, 2)])
def test_roi_align(aligned, samples):
    def function(x, boxes):
        options = dict(resolution=3, scale=0.5, aligned=aligned, sampling_ratio=samples)
        return roi_align(x.mean(1), boxes, **options).max((2, 3))

    clip = RANDOM.standard_normal((2, 3, 6, 8, 3), np.float32)
    boxes = np.array([
        [[1, 2, 9, 8], [0, 0, 16, 12]], [[-1, 3, 4.5, 13], [5, 5, 5.5, 5.25]]
    ], np.float32)
    model = exported(function, clip, boxes)
    expected = function(jnp.asarray(clip), jnp.asarray(boxes))
    np.testing.assert_allclose(run("onnxruntime", model, clip, boxes), expected, 1e-5, 1e-5)
    assert kinds(model)["RoiAlign"] == 1


def test_maps_stay_channels_first_between_convolutions():
    clip = RANDOM.integers(0, 256, SHAPE, np.uint8)
    model = exported(FUNCTIONS["convolutions"], clip)
    assert kinds(model) == {"Transpose": 2, "Cast": 1, "Conv": 2, "Relu": 1, "Add": 1}
    assert not convolutions_after_transposes(model)
    convolution = next(node for node in model.graph.node if node.op_type == "Conv")
    assert len(convolution.input) == 3  # the bias is part of it


@pytest.mark.parametrize("function, message", [
    (lambda x: jnp.sort(x, 1), "does not know: sort, in "),
    (lambda x: jax.lax.map(jnp.sin, x), "does not know: scan, in "),
    (lambda x: conv3d(x, x[:, :3, :3, :3].mean(0)[..., None, :].repeat(3, -2)), "kernel depends"),
])
def test_what_cannot_be_exported(function, message):
    with pytest.raises(ExportError, match=message):
        exported(function, np.zeros(SHAPE, np.float32))


ANY_BATCH = ("tokens", "attention", "matrices", "means", "class token", "convolutions")


@pytest.mark.slow
@pytest.mark.parametrize("name", ANY_BATCH)
def test_batches_of_any_size(name):
    function = FUNCTIONS[name]
    model = to_onnx(Network(function=function), {}, SHAPE, any_batch=True, dtype=np.float32)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    for batch in (1, 3):
        clip = RANDOM.standard_normal((batch, *SHAPE[1:]), np.float32)
        expected = function(jnp.asarray(clip))
        result = run("onnxruntime", model, clip)
        np.testing.assert_allclose(result, expected, 1e-5, 1e-5)


def test_boxes_need_a_fixed_batch():
    with pytest.raises(ExportError, match="classifies boxes is exported for a fixed batch size"):
        to_onnx(Network(function=lambda x, boxes: x), {}, SHAPE, boxes=1, any_batch=True)
