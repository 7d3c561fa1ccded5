"""Grad-CAM (https://arxiv.org/abs/1610.02391): which parts of a clip speak for a class.

    explain = make_grad_cam(recognizer.model)
    found = explain(recognizer.variables, clips)
    found.maps["res5"]                             # (N, T, H, W), 0 to 1

For networks that classify boxes, the score is that of one box of each clip. Gradients averaged over
the picture would light up everybody who does the same; and in a vision transformer, each token has
weights of its own in the attention. In both, each position gets the sum of its own gradients times
outputs (HiResCAM, https://arxiv.org/abs/2011.08891).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from slowfast_jax.config import ConfigError
from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.visualize.layers import apply, as_map, check_layers, layer_shapes

SCORES = ("logits", "probs")
Center = tuple[float, float, float]
EPSILON = 1e-6  # of the range of a map, which it is divided by


class GradCam(NamedTuple):
    """What speaks for the chosen classes of N clips, or of a box in each of them.

    Attributes:
      maps: layer -> float32 (N, T, H, W), 0 to 1: for the T frames that the layer's pathway sees,
        in the size of the clip.
      labels: (N,), the chosen classes.
      probs: (N, K), the probabilities of all classes.
    """

    maps: dict[str, jax.Array]
    labels: jax.Array
    probs: jax.Array


def make_grad_cam(
    model: VideoNetwork, layers: Sequence[str] = (), score: str = "logits"
) -> Callable[..., GradCam]:
    """Makes the jitted function `explain(variables, clip, labels=None, boxes=None)`.

    As in the original (visualization/gradcam_utils.py), the gradients are averaged over space but
    not over time (with boxes and for tokens, not at all), and each map is stretched to the range 0
    to 1.

    Args:
      model: a network that classifies clips, or boxes within them.
      layers: paths of modules whose outputs are maps or tokens, for example one for each pathway.
        Default: those of `model.last_maps()`.
      score: what the gradients are of: "logits", the chosen class before the softmax, as in the
        paper; or "probs", its probability, as in the original. The gradients of a probability that
        is close to 1 vanish, and the map with them.

    The arguments of the function are the network's variables, clips `(N, T, H, W, 3)`, the classes
    `(N,)` that are explained, by default those with the highest probability, and for networks that
    classify boxes one box `(N, 4)` of each clip, in pixels. It raises ConfigError if there is no
    such layer, or none was named.
    """
    if score not in SCORES:
        raise ConfigError(f"score is {score!r}, expected {' or '.join(SCORES)}")
    layers = tuple(layers) or model.last_maps()
    if not layers:
        raise ConfigError(f"{type(model).__name__} names no layers with maps: name one")

    @jax.jit
    def explain(
        variables: Mapping[str, Any], clip: jax.Array, labels: jax.Array | None = None,
        boxes: jax.Array | None = None,
    ) -> GradCam:
        boxes = None if boxes is None else boxes[:, None]
        shapes, grids = layer_shapes(model, variables, clip, boxes)
        check_layers(layers, list(shapes))
        shifts = {name: jnp.zeros(shapes[name].shape, shapes[name].dtype) for name in layers}

        def total(shifts: dict[str, jax.Array]):
            applied = apply(model, variables, clip, boxes, shifts)
            logits, probs = applied.logits, applied.endpoints["probs"]
            if boxes is not None:
                logits, probs = logits[:, 0], probs[:, 0]
            chosen = probs.argmax(-1) if labels is None else labels
            values = probs if score == "probs" else logits
            value = jnp.take_along_axis(values, chosen[:, None], -1).sum()
            return value, (probs, chosen, {name: applied.outputs[name] for name in layers})

        gradients, (probs, chosen, outputs) = jax.grad(total, has_aux=True)(shifts)
        frames = model.pathways(clip.shape[1])
        maps = {
            name: localization_map(
                as_map(outputs[name], grids.get(name)).astype(jnp.float32),
                as_map(gradients[name], grids.get(name)).astype(jnp.float32),
                (len(frames[pathway_of(model, name)]), *clip.shape[2:4]),
                averaged=boxes is None and name not in grids,
                center=model.first_center() if name in grids else None,
            ) for name in layers
        }
        return GradCam(maps, chosen, probs)

    return explain


def localization_map(
    outputs: jax.Array, gradients: jax.Array, size: tuple[int, int, int], averaged: bool = True,
    center: Center | None = None,
) -> jax.Array:
    """The map `(N, *size)` of outputs `(N, T', H', W', C)` and the gradients of the score.

    averaged: gradients are averaged over height and width.
    center: see `upsampled`.
    """
    weights = gradients.mean((2, 3), keepdims=True) if averaged else gradients
    return stretched(upsampled(jax.nn.relu((weights * outputs).sum(-1)), size, center))


def upsampled(
    maps: jax.Array, size: tuple[int, int, int], center: Center | None = None
) -> jax.Array:
    """Maps `(N, T', H', W')`, interpolated to `(N, *size)` linearly along each axis.

    center: of the first position, in frames and pixels. Default: positions are parts of the clip
      side by side, as in the original. Kernels that overlap lie around its first pixel instead.
    """
    if center is None:
        return jax.image.resize(maps, (len(maps), *size), "linear", antialias=False)
    scale = np.array(size) / maps.shape[1:]
    framed = jnp.pad(maps, ((0, 0), *[(1, 1)] * 3), "edge")  # outside of it, there are zeros
    return jax.image.scale_and_translate(
        framed, (len(maps), *size), (1, 2, 3), jnp.array(scale, maps.dtype),
        jnp.array(np.array(center) + 0.5 - 1.5 * scale, maps.dtype), "linear", antialias=False,
    )


def stretched(maps: jax.Array) -> jax.Array:
    """Maps `(N, T, H, W)`, each stretched to the range 0 to 1; one that is constant becomes 0."""
    low, high = (reduce(maps, (1, 2, 3), keepdims=True) for reduce in (jnp.min, jnp.max))
    return (maps - low) / (high - low + EPSILON)


def pathway_of(model: VideoNetwork, layer: str) -> str:
    """The pathway that a layer belongs to; one after the pathways are joined, to the first."""
    pathways = list(model.pathways(model.num_frames))
    return next((name for name in pathways if layer.startswith(f"{name}_")), pathways[0])


def shown_frames(model: VideoNetwork, layer: str, frames: int) -> np.ndarray:
    """Indices of the frames of a clip that the pathway of a layer sees."""
    return model.pathways(frames)[pathway_of(model, layer)]
