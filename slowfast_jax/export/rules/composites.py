"""Operations that the networks name as a whole, see `ops.backend.as_one_operation`."""

import numpy as np

from slowfast_jax.export.flat_program import Operation
from slowfast_jax.export.orders import Order, identity
from slowfast_jax.export.rules.elementwise import emit
from slowfast_jax.export.translation import Translation


def _layer_norm(t: Translation, operation: Operation) -> None:
    x, scale, bias = operation.inputs
    tensor = t.full(x)
    order, name = _last_axis_last(t, tensor)
    parameters = [t.graph.constant(np.broadcast_to(p, x.shape[-1:])) for p in (scale, bias)]
    name = t.graph.node(
        "LayerNormalization", [name, *parameters], axis=-1,
        epsilon=float(operation.params["epsilon"]),
    )
    t.set_stored(operation.output, order, name)


def _softmax(t: Translation, operation: Operation) -> None:
    tensor = t.full(operation.inputs[0])
    order, name = _last_axis_last(t, tensor)
    t.set_stored(operation.output, order, t.graph.node("Softmax", [name], axis=-1))


def _last_axis_last(t: Translation, tensor) -> tuple[Order, str]:
    """A stored form of a tensor in which its last axis is the last, if possible one there is."""
    last = len(tensor.shape) - 1
    names = t.graph.names(tensor)
    for order, name in names.items():
        if order[-1] == last:
            return order, name
    first = next(iter(names))
    order = (*(axis for axis in first if axis != last), last)
    return order, t.graph.stored(tensor, order)


def _gelu(t: Translation, operation: Operation) -> None:
    emit(t, operation, "Gelu", operation.inputs)


def _roi_align(t: Translation, operation: Operation) -> None:
    features, boxes = operation.inputs
    n, b, resolution, _, channels = operation.output.shape
    maps = t.graph.stored(t.full(features), (0, 3, 1, 2))
    rows = t.graph.reshaped(t.full(boxes), (n * b, 4))
    image = t.graph.integers(np.repeat(np.arange(n), b))
    params = operation.params
    name = t.graph.node(
        "RoiAlign", [maps, t.graph.stored(rows, identity(2)), image], mode="avg",
        output_height=resolution, output_width=resolution,
        sampling_ratio=params["sampling_ratio"], spatial_scale=float(params["scale"]),
        coordinate_transformation_mode="half_pixel" if params["aligned"] else "output_half_pixel",
    )
    sizes = (n * b, channels, resolution, resolution)
    name = t.graph.reshape(name, sizes, (n, b, *sizes[1:]))
    t.set_stored(operation.output, (0, 1, 4, 2, 3), name)


RULES = {
    "gelu": _gelu, "layer_norm": _layer_norm, "roi_align": _roi_align, "softmax": _softmax,
}
NAMES = set(RULES)
