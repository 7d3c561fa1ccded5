"""What the layers of a network compute for a clip, as maps in time and space.

A layer is named by the path of its module, such as "slow_res5/block0/c". Its output is read, and
shifted for a gradient, from outside of the network, which knows nothing about it: the intercepted
calls compute the same numbers as the others.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from slowfast_jax.config import ConfigError, closest
from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.models.transformer.attention import PoolingAttention
from slowfast_jax.models.transformer.layers import PatchEmbed
from slowfast_jax.ops.backend import backend, written_for

Grid = tuple[int, int, int]
Shifts = Mapping[str, jax.Array]  # layer -> what is added to its output


class Applied(NamedTuple):
    """What a network computes for clips.

    Attributes:
      logits: `(N, K)`, or of boxes `(N, B, K)`.
      endpoints: those of the network.
      outputs: layer -> its output, of all that are maps `(N, T, H, W, C)` or tokens `(N, L, C)`.
      grids: layer -> size of the grid of its tokens.
    """

    logits: jax.Array
    endpoints: dict[str, jax.Array]
    outputs: dict[str, jax.Array]
    grids: dict[str, Grid]


def apply(
    model: VideoNetwork, variables: Mapping[str, Any], clip: jax.Array,
    boxes: jax.Array | None = None, shifts: Shifts | None = None,
) -> Applied:
    """Runs a network in evaluation mode. To be called within a jitted function.

    Args:
      model, variables: the network.
      clip: `(N, T, H, W, 3)`.
      boxes: `(N, B, 4)` in pixels, for networks that classify boxes.
      shifts: what is added to the outputs of layers.
    """
    if "remat" in model.__dataclass_fields__:  # whose traces would not outlive the block
        model = model.clone(remat=())
    target = "cpu" if backend() == "tpu" else backend()  # on a TPU, maps are packed
    with written_for(target), _intercepted(shifts or {}) as (outputs, grids):
        logits, endpoints = model.apply(variables, clip, boxes)
    return Applied(logits, endpoints, outputs, grids)


def layer_shapes(
    model: VideoNetwork, variables: Mapping[str, Any], clip: Any, boxes: Any = None
) -> tuple[dict[str, jax.ShapeDtypeStruct], dict[str, Grid]]:
    """The outputs and grids of `apply`, with shapes in place of arrays."""
    grids: dict[str, Grid] = {}

    def outputs() -> dict[str, jax.Array]:
        applied = apply(model, variables, clip, boxes)
        grids.update(applied.grids)
        return applied.outputs

    return jax.eval_shape(outputs), grids


@contextmanager
def _intercepted(shifts: Shifts) -> Iterator[tuple[dict[str, jax.Array], dict[str, Grid]]]:
    outputs: dict[str, jax.Array] = {}
    grids: dict[str, Grid] = {}
    sizes: list[Grid] = []  # of the grids so far

    def intercept(call, arguments, keywords, context):
        result = call(*arguments, **keywords)
        if context.method_name != "__call__":
            return result
        module, layer = context.module, "/".join(context.module.path)
        if isinstance(module, PatchEmbed):
            sizes.append(result.shape[1:4])
        elif isinstance(module, PoolingAttention):
            sizes.append(module.q_pooling.size(module.grid))
        value, *rest = result if isinstance(result, tuple) else (result,)
        if rest and not (len(rest) == 1 and isinstance(rest[0], dict)):
            return result  # several maps
        if getattr(value, "ndim", 0) == 3:
            length = value.shape[1]
            size = next((s for s in sizes[::-1] if length - math.prod(s) in (0, 1)), None)
            if size is None:
                return result
            grids[layer] = size
        elif getattr(value, "ndim", 0) != 5:
            return result
        if layer in shifts:
            value = value + shifts[layer]
        outputs[layer] = value
        return (value, *rest) if rest else value

    with nn.intercept_methods(intercept):
        yield outputs, grids


def as_map(value: jax.Array, grid: Grid | None) -> jax.Array:
    """Tokens `(N, L, C)` as a map `(N, T, H, W, C)`, without the class token; maps as they are."""
    if grid is None:
        return value
    return value[:, value.shape[1] - math.prod(grid):].reshape(len(value), *grid, -1)


def check_layers(names: Sequence[str], known: Sequence[str]) -> None:
    """ConfigError if a layer does not exist."""
    for name in names:
        if name not in known:
            parts = [layer for layer in known if "/" not in layer]
            inner = [layer for layer in known if "/" in layer]
            more = f" and {len(inner)} within these, such as {inner[-1]}" if inner else ""
            raise ConfigError(
                f"the network has no layer {name} with a map{closest(name, known)} (layers: "
                f"{', '.join(parts)}{more})"
            )


def make_layer_maps(
    model: VideoNetwork, names: Sequence[str]
) -> Callable[..., dict[str, jax.Array]]:
    """Makes the jitted function `read(variables, clip, boxes=None)`.

    It returns the maps `(N, T, H, W, C)` of the layers or endpoints `names`, in float32. Endpoints
    without positions are maps of one position. It raises ConfigError if one does not exist.
    """

    @jax.jit
    def read(
        variables: Mapping[str, Any], clip: jax.Array, boxes: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        applied = apply(model, variables, clip, boxes)
        usable = {name: x for name, x in applied.endpoints.items() if x.ndim in (2, 5)}
        usable |= applied.outputs
        check_layers(names, list(usable))
        found = {name: as_map(usable[name], applied.grids.get(name)) for name in names}
        return {
            name: (x if x.ndim == 5 else x[:, None, None, None]).astype("float32")
            for name, x in found.items()
        }

    return read
