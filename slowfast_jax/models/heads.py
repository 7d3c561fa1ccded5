"""Heads: pooled features to class scores, and boxes to class scores (AVA)."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.blocks import ConvNorm, Endpoints, Triple
from slowfast_jax.ops.pool import avg_pool
from slowfast_jax.ops.precision import widen
from slowfast_jax.ops.roi_align import roi_align

ACTIVATIONS = {"softmax": nn.softmax, "sigmoid": nn.sigmoid, "none": lambda x: x}


def check_boxes(boxes: jax.Array | None, detection: bool) -> None:
    """ValueError where a network that classifies boxes got none, or another one got some."""
    if (boxes is not None) != detection:
        raise ValueError(
            "this network classifies boxes: pass boxes (N, B, 4) in pixels" if detection
            else "this network classifies clips: it takes no boxes (make it with detection=True)"
        )


def project(
    x: jax.Array,
    *,
    train: bool,
    num_classes: int,
    dropout: float = 0.5,
    activation: str = "softmax",
    average: str = "probs",
    init_std: float = 0.01,
) -> tuple[jax.Array, Endpoints]:
    """Dropout and the linear classifier, applied at every position of `(N, T', H', W', C)`.

    Returns `(logits (N, K), endpoints)`: the mean over positions, and under "logits" every
    position, under "probs" the probabilities `(N, K)`. The original applies the activation at
    each position and averages then (`average="probs"`); PyTorchVideo's hub models average the
    logits (`average="logits"`). The two differ where the test crop leaves several positions.
    `num_classes=0` gives the features themselves.
    """
    out = {"features": x}
    if num_classes == 0:
        x = x.mean((1, 2, 3))
        return x, out | {"logits": x, "probs": x}
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
    x = nn.Dropout(dropout, deterministic=not train)(x)
    init = nn.initializers.normal(init_std)
    x = nn.Dense(num_classes, kernel_init=init, dtype=x.dtype, name="projection")(x)
    x = out["logits"] = widen(x)
    activate, positions = ACTIVATIONS[activation], (1, 2, 3)
    if average == "probs":
        out["probs"] = activate(x).mean(positions)
    elif average == "logits":
        out["probs"] = activate(x.mean(positions))
    else:
        raise ValueError(f"average is 'probs' or 'logits', not {average!r}")
    return x.mean(positions), out


class BasicHead(nn.Module):
    """Pools each pathway, concatenates, projects (SlowFast paper, section 3.4).

    `windows` holds one (T, H, W) window per pathway, the size of the map at the training crop,
    moved at stride 1: a larger test crop leaves several positions. None pools everything.
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
    """Mean over time, ROIAlign, maximum over the bins, projection (SlowFast paper, section 5).

    Returns `(logits (N, B, K), endpoints)`. Rows of boxes that only pad a batch give numbers
    that the caller masks.
    """

    projection: Callable
    resolution: int = 7
    scale: float = 1 / 16
    aligned: bool = True

    @nn.compact
    def __call__(
        self, pathways: list[jax.Array], boxes: jax.Array, train: bool
    ) -> tuple[jax.Array, Endpoints]:
        out, pooled = {}, []
        for i, x in enumerate(pathways):
            x = out[f"time_pool{i}"] = x.mean(1)  # (N, H, W, C)
            x = out[f"roi{i}"] = roi_align(
                x, boxes, resolution=self.resolution, scale=self.scale, aligned=self.aligned
            )
            pooled.append(x.max((2, 3)))  # (N, B, C)
            out[f"roi_pool{i}"] = pooled[-1]
        x = jnp.concatenate(pooled, -1)
        n, b, c = x.shape
        logits, more = self.projection(x.reshape(n * b, 1, 1, 1, c), train=train)
        more = {k: v.reshape(n, b, -1) for k, v in more.items()}
        return logits.reshape(n, b, -1), out | more


class X3DHead(nn.Module):
    """1x1x1 convolution, pool, 1x1x1 convolution, projection (X3D paper, table 1)."""

    projection: Callable
    conv_norm: ConvNorm
    inner: int
    features: int
    window: Triple | None
    norm_lin_5: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, Endpoints]:
        out = {}
        x = out["conv_5"] = nn.relu(self.conv_norm(x, "conv_5", self.inner))
        x = out["pool"] = avg_pool(x, self.window or x.shape[1:4])
        x = self.conv_norm(x, "lin_5", self.features, norm=self.norm_lin_5)
        x = out["lin_5"] = nn.relu(x)
        logits, more = self.projection(x, train=train)
        return logits, out | more


class X3DRoIHead(nn.Module):
    """The layers of `X3DHead` on boxes: 1x1x1 convolution, the pooling of `RoIHead`, 1x1x1
    convolution, projection. The original has no such head.

    Returns `(logits (N, B, K), endpoints)`, as `RoIHead`.
    """

    projection: Callable
    conv_norm: ConvNorm
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
        x = out["conv_5"] = nn.relu(self.conv_norm(x, "conv_5", self.inner))
        x = out["time_pool"] = x.mean(1)  # (N, H, W, C)
        x = out["roi"] = roi_align(
            x, boxes, resolution=self.resolution, scale=self.scale, aligned=self.aligned
        )
        x = out["roi_pool"] = x.max((2, 3))  # (N, B, C)
        n, b, c = x.shape
        x = self.conv_norm(
            x.reshape(n * b, 1, 1, 1, c), "lin_5", self.features, norm=self.norm_lin_5
        )
        x = out["lin_5"] = nn.relu(x)
        logits, more = self.projection(x, train=train)
        more = {k: v.reshape(n, b, -1) for k, v in more.items()}
        return logits.reshape(n, b, -1), out | more
