"""Heads: from feature maps to class scores of clips, or of boxes (AVA)."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.blocks import Endpoints, Make, Triple
from slowfast_jax.ops.backend import as_one_operation
from slowfast_jax.ops.pool import adaptive_avg_pool, avg_pool
from slowfast_jax.ops.precision import widen
from slowfast_jax.ops.roi_align import roi_align

TIME_POOLS = ("mean", "max")
ROI_VARIANTS = ("detectron2", "mindspore")
ACTIVATIONS = {
    "softmax": partial(as_one_operation, "softmax", nn.softmax),
    "sigmoid": nn.sigmoid,
    "none": lambda x: x,
}


def check_boxes(boxes: jax.Array | None, detection: bool) -> None:
    """ValueError if a network that classifies boxes got none, or one that does not got some."""
    if (boxes is not None) != detection:
        raise ValueError(
            "this network classifies boxes: pass boxes (N, B, 4) in pixels" if detection
            else "this network classifies clips and takes no boxes; to classify boxes, create it "
            "with detection=True"
        )


def project(
    x: jax.Array,
    *,
    train: bool,
    num_classes: int,
    dropout: float = 0.5,
    activation: str = "softmax",
    average: str = "probs",
    kernel_init: Callable,
    bias_init: Callable = nn.initializers.zeros,
) -> tuple[jax.Array, Endpoints]:
    """Dropout and the linear classifier, applied at every position of `x (N, T', H', W', C)`.

    Args:
      x: features; `T' = H' = W' = 1` unless the clip is larger than a training clip.
      train: applies dropout.
      num_classes: K; 0 returns the features themselves, averaged over positions.
      dropout: probability that a feature is set to zero.
      activation: a name of `ACTIVATIONS`.
      average: what is averaged over positions: "probs", as in the original, or "logits", as in
        PyTorchVideo's hub models. They differ if there are several positions.
      kernel_init, bias_init: initializers of the linear layer.

    Returns:
      `(logits (N, K), endpoints)`. The logits are averaged over positions. Endpoints: "features",
      "logits" at every position, and "probs" `(N, K)`.
    """
    out = {"features": x}
    if num_classes == 0:
        x = x.mean((1, 2, 3))
        return x, out | {"logits": x, "probs": x}
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation is {activation!r}, expected one of {', '.join(ACTIVATIONS)}"
        )
    x = nn.Dropout(dropout, deterministic=not train)(x)
    x = nn.Dense(
        num_classes, kernel_init=kernel_init, bias_init=bias_init, dtype=x.dtype,
        name="projection",
    )(x)
    x = out["logits"] = widen(x)
    activate, positions = ACTIVATIONS[activation], (1, 2, 3)
    if average == "probs":
        out["probs"] = activate(x).mean(positions)
    elif average == "logits":
        out["probs"] = activate(x.mean(positions))
    else:
        raise ValueError(f"average is {average!r}, expected 'probs' or 'logits'")
    return x.mean(positions), out


class BasicHead(nn.Module):
    """Average pooling of each pathway, concatenation, classifier (SlowFast paper, section 3.4).

    Attributes:
      projection: `project` with its options.
      windows: the pooling window (T, H, W) of each pathway, which is the size of its map for a
        training clip. It moves with stride 1, so a larger clip has several positions. None: the
        whole map.
    """

    projection: Callable
    windows: tuple[Triple | None, ...]

    @nn.compact
    def __call__(
        self, pathways: list[jax.Array], train: bool
    ) -> tuple[jax.Array, Endpoints]:
        pooled = [
            avg_pool(x, window or x.shape[1:4])
            for x, window in zip(pathways, self.windows, strict=True)
        ]
        out = {f"pool{i}": x for i, x in enumerate(pooled)}
        logits, more = self.projection(jnp.concatenate(pooled, -1), train=train)
        return logits, out | more


class RoIHead(nn.Module):
    """Pooling over time, ROIAlign, maximum over the bins, classifier (SlowFast paper, section 5).

    Returns `(logits (N, B, K), endpoints)`. Padding boxes get scores as well, which the
    caller has to mask.

    Attributes:
      projection: `project` with its options.
      resolution, scale, aligned: see `ops.roi_align`.
      variant: of ROIAlign, "detectron2" or "mindspore". MindSpore's port of PySlowFast has 2 x 2
        samples per bin, boxes that end a pixel later, and no shift, whatever `aligned` is.
      time_pool: "mean", or "max" as in some heads of MMAction2.
      context: boxes also get features of the whole frame: its map is averaged over
        `resolution x resolution` bins, of which the maximum is taken as of a box's bins.
      hidden: whether there is a hidden layer, with ReLU, before the classifier.
      dropout: probability that an input of the hidden layer is set to zero.
    """

    projection: Callable
    resolution: int = 7
    scale: float = 1 / 16
    aligned: bool = True
    variant: str = "detectron2"
    time_pool: str = "mean"
    context: bool = False
    hidden: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self, pathways: list[jax.Array], boxes: jax.Array, train: bool
    ) -> tuple[jax.Array, Endpoints]:
        if self.time_pool not in TIME_POOLS:
            raise ValueError(
                f"roi_time_pool is {self.time_pool!r}, expected one of {', '.join(TIME_POOLS)}"
            )
        aligned, samples = self.aligned, 0
        if self.variant == "mindspore":
            # Half a position further, which `aligned` takes back: without it, small boxes grow.
            boxes = boxes + jnp.array([0.0, 0.0, 1.0, 1.0]) + 0.5 / self.scale
            aligned, samples = True, 2
        elif self.variant != "detectron2":
            raise ValueError(
                f"roi_variant is {self.variant!r}, expected one of {', '.join(ROI_VARIANTS)}"
            )
        out, pooled, context = {}, [], []
        for i, x in enumerate(pathways):
            x = out[f"time_pool{i}"] = x.max(1) if self.time_pool == "max" else x.mean(1)
            bins = out[f"roi{i}"] = roi_align(
                x, boxes, resolution=self.resolution, scale=self.scale, aligned=aligned,
                sampling_ratio=samples,
            )
            pooled.append(bins.max((2, 3)))  # (N, B, C)
            out[f"roi_pool{i}"] = pooled[-1]
            if self.context:
                whole = adaptive_avg_pool(x, self.resolution).max((1, 2), keepdims=True)[:, 0]
                context.append(jnp.broadcast_to(whole, pooled[-1].shape))
        x = jnp.concatenate([*pooled, *context], -1)
        n, b, c = x.shape
        x = x.reshape(n * b, 1, 1, 1, c)
        if self.hidden:
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
            init = nn.initializers.glorot_normal()
            x = nn.relu(nn.Dense(c, kernel_init=init, dtype=x.dtype, name="hidden")(x))
            logits, more = self.projection(x, train=train, dropout=0.0)
        else:
            logits, more = self.projection(x, train=train)
        more = {k: v.reshape(n, b, -1) for k, v in more.items()}
        return logits.reshape(n, b, -1), out | more


class TokenHead(nn.Module):
    """The classifier on one feature vector `(N, C)` of each clip."""

    projection: Callable

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, Endpoints]:
        logits, out = self.projection(x[:, None, None, None], train=train)
        return logits, {key: value.reshape(x.shape[0], -1) for key, value in out.items()}


class X3DHead(nn.Module):
    """1x1x1 convolution, pooling, 1x1x1 convolution, classifier (X3D paper, table 1).

    Attributes:
      projection: `project` with its options.
      conv, norm: constructors, see `blocks`.
      inner, features: widths of the two convolutions.
      window: see `BasicHead`.
      norm_lin_5: batch norm after the second convolution.
    """

    projection: Callable
    conv: Make
    norm: Make
    inner: int
    features: int
    window: Triple | None
    norm_lin_5: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, Endpoints]:
        out = {}
        x = self.norm(name="conv_5_bn")(self.conv(self.inner, name="conv_5")(x))
        x = out["conv_5"] = nn.relu(x)
        x = out["pool"] = avg_pool(x, self.window or x.shape[1:4])
        x = out["lin_5"] = _lin_5(x, self)
        logits, more = self.projection(x, train=train)
        return logits, out | more


class X3DRoIHead(nn.Module):
    """`X3DHead` for boxes: its layers with the pooling of `RoIHead`. The original has none.

    Returns `(logits (N, B, K), endpoints)`, as `RoIHead`.
    """

    projection: Callable
    conv: Make
    norm: Make
    inner: int
    features: int
    resolution: int
    scale: float
    aligned: bool
    norm_lin_5: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, boxes: jax.Array, train: bool
    ) -> tuple[jax.Array, Endpoints]:
        out = {}
        x = self.norm(name="conv_5_bn")(self.conv(self.inner, name="conv_5")(x))
        x = out["conv_5"] = nn.relu(x)
        x = out["time_pool"] = x.mean(1)  # (N, H, W, C)
        x = out["roi"] = roi_align(
            x, boxes, resolution=self.resolution, scale=self.scale, aligned=self.aligned
        )
        x = out["roi_pool"] = x.max((2, 3))  # (N, B, C)
        n, b, c = x.shape
        x = out["lin_5"] = _lin_5(x.reshape(n * b, 1, 1, 1, c), self)
        logits, more = self.projection(x, train=train)
        more = {k: v.reshape(n, b, -1) for k, v in more.items()}
        return logits.reshape(n, b, -1), out | more


def _lin_5(x: jax.Array, head: X3DHead | X3DRoIHead) -> jax.Array:
    """The second convolution of X3D's heads, and ReLU."""
    if not head.norm_lin_5:
        return nn.relu(head.conv(head.features, use_bias=False, name="lin_5")(x))
    x = head.conv(head.features, name="lin_5")(x)
    return nn.relu(head.norm(name="lin_5_bn")(x))


def head_endpoints(out: Endpoints) -> Endpoints:
    """A head's endpoints by their names in a network's endpoints."""
    named = {f"head/{key}": value for key, value in out.items()}
    return named | {key: out[key] for key in ("features", "logits", "probs")}
