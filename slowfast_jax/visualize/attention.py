"""Where the attention of a vision transformer looks, for a query.

    attend = make_attention(recognizer.model, "block3/attn")
    found = attend(recognizer.variables, clips)
    found.maps                                     # (N, heads, T', H', W')
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from slowfast_jax.config import ConfigError, closest
from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.models.transformer.attention import PoolingAttention
from slowfast_jax.ops.transformer.attention import attention_weights

Point = tuple[float, float, float]


class Attention(NamedTuple):
    """The weights of the keys for a query.

    Attributes:
      maps: float32 (N, heads, T', H', W'), the weights of the patches, on the grid of the keys.
      class_token: float32 (N, heads), the weight of the class token, 0 in networks without one.
        The weights of a head, this one included, sum up to 1.
    """

    maps: jax.Array
    class_token: jax.Array


def attention_layers(
    model: VideoNetwork, variables: Mapping[str, Any], clip: Any, boxes: Any = None
) -> list[str]:
    """The paths of the attention modules of a network, from the first to the last."""
    found: list[str] = []

    def note(call, arguments, keywords, context):
        if isinstance(context.module, PoolingAttention) and context.method_name == "__call__":
            found.append("/".join(context.module.path))
        return call(*arguments, **keywords)

    def run():
        with nn.intercept_methods(note):
            return model.apply(variables, clip, boxes)

    jax.eval_shape(run)
    return found


def make_attention(
    model: VideoNetwork, layer: str = "", query: Point | None = None
) -> Callable[[Mapping[str, Any], Any], Attention]:
    """Makes the jitted function `attend(variables, clip, boxes=None)`.

    Its arguments are the network's variables, clips `(N, T, H, W, 3)`, and for networks that
    classify boxes one box `(N, 4)` of each clip, in pixels.

    Args:
      model: a vision transformer.
      layer: the path of an attention module, such as "block3/attn". Default: see `default_layer`.
      query: the point of the clip whose query is taken, as fractions (t, y, x) of its length,
        height and width. Default: with boxes, the mean of the queries within the box; otherwise
        the class token, or in networks without one the mean of all queries.

    Raises ConfigError for a point outside of the clip; the function raises it if the network has no
    attention, or no such layer.
    """
    if query is not None and not all(0 <= part <= 1 for part in query):
        raise ConfigError(
            f"the query is {query}, expected fractions of the clip's length, height and width, "
            "from 0 to 1"
        )
    plain = model.clone(remat=())  # of which no trace outlives its block

    @jax.jit
    def attend(
        variables: Mapping[str, Any], clip: jax.Array, boxes: jax.Array | None = None
    ) -> Attention:
        within = None
        if boxes is not None:  # as fractions of the picture
            within, boxes = boxes / jnp.array([*clip.shape[3:1:-1]] * 2), boxes[:, None]
        layers = attention_layers(model, variables, clip, boxes)
        wanted = _chosen(layer or default_layer(model), layers, type(model).__name__)
        found: list[Attention] = []

        def read(call, arguments, keywords, context):
            result = call(*arguments, **keywords)
            module = context.module
            if context.method_name == "operands" and "/".join(module.path) == wanted:
                found.append(_weights(module, *result, query, within))
            return result

        with nn.intercept_methods(read):
            plain.apply(variables, clip, boxes)
        return found[0]

    return attend


def default_layer(model: VideoNetwork) -> str:
    """The attention of the block whose input is the network's last map before queries are pooled;
    "" for the last of all, in networks that have no such block.

    The tokens of later layers mix what is far apart; see `MViT.last_maps`.
    """
    block = next(iter(model.last_maps()), "").partition("/")[0]
    return f"{block}/attn" if block.startswith("block") else ""


def _chosen(layer: str, layers: Sequence[str], network: str) -> str:
    """The layer, by default the last; ConfigError if it does not exist."""
    if not layers:
        raise ConfigError(f"{network} has no attention; name a vision transformer")
    if layer and layer not in layers:
        raise ConfigError(
            f"the network has no attention {layer}{closest(layer, layers)} (attention: "
            f"{', '.join(layers)})"
        )
    return layer or layers[-1]


def _weights(
    module: PoolingAttention, q, k, v, positions, query: Point | None, boxes: jax.Array | None
) -> Attention:
    """The weights for a query, from the operands of an attention."""
    grid, first = module.q_pooling.size(module.grid), int(module.class_token)
    if query is not None:
        place = [min(int(part * n), n - 1) for part, n in zip(query, grid, strict=True)]
        rows = slice(row := first + int(np.ravel_multi_index(place, grid)), row + 1)
    elif boxes is not None:
        rows = slice(first, None)
    else:
        rows = slice(0, 1) if first else slice(None)
    if positions is not None:
        positions = positions._replace(products=positions.products[:, rows])
    weights = attention_weights(q[:, rows], k, positions)  # (N, heads, queries, keys)
    if query is None and boxes is not None:
        weights = jnp.einsum("nhqk,nq->nhk", weights, shares_within(boxes, grid))
    else:
        weights = weights.mean(2)
    shape = (*weights.shape[:2], *module.kv_pooling.size(module.grid))
    token = weights[:, :, 0] if first else 0 * weights[:, :, 0]
    return Attention(
        weights[:, :, first:].reshape(shape).astype("float32"), token.astype("float32")
    )


def shares_within(boxes: jax.Array, grid: tuple[int, int, int]) -> jax.Array:
    """The shares of the points of a grid in the mean over a box: (N, T' * H' * W'), rows sum to 1.

    Points count that lie in the box, at all times; or if it lies between the points, the nearest.

    Args:
      boxes: (N, 4) x1, y1, x2, y2 as fractions of the picture.
      grid: (T', H', W').
    """
    time, height, width = grid

    def inside(low: jax.Array, high: jax.Array, count: int) -> jax.Array:
        points = (jnp.arange(count) + 0.5) / count
        within = (points >= low[:, None]) & (points <= high[:, None])
        distance = jnp.abs(points - (low + high)[:, None] / 2)
        nearest = distance == distance.min(1, keepdims=True)
        return jnp.where(within.any(1, keepdims=True), within, nearest).astype(jnp.float32)

    rows = inside(boxes[:, 1], boxes[:, 3], height)
    columns = inside(boxes[:, 0], boxes[:, 2], width)
    shares = (rows[:, :, None] * columns[:, None]).reshape(len(boxes), -1)
    return jnp.tile(shares / shares.sum(1, keepdims=True) / time, (1, time))
