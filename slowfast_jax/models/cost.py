"""Parameters, multiply-adds and activations of a network, counted from its own modules."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from slowfast_jax.models.blocks import Conv3D, NonLocal
from slowfast_jax.models.norm import BatchNorm

# What one call of a module costs: (multiply-adds, activations written). Pooling, ReLU and sums are
# not counted; batch norm counts two per element. These are the conventions of the published tables.
Cost = tuple[int, int]


def conv_cost(module: Conv3D, x: Any, y: Any) -> Cost:
    per_output = math.prod(module.kernel_size) * (x.shape[-1] // module.groups)
    return y.size * per_output, y.size


def dense_cost(module: nn.Dense, x: Any, y: Any) -> Cost:
    return y.size * x.shape[-1], y.size


def norm_cost(module: BatchNorm, x: Any, y: Any) -> Cost:
    return 2 * y.size, 0


def nonlocal_cost(module: NonLocal, x: Any, y: Any) -> Cost:
    """The two products with the affinity; its convolutions count for themselves."""
    n, t, h, w, c = x.shape
    n, t = n * module.group, t // module.group
    queries = t * h * w
    keys = math.prod(s // p for s, p in zip((t, h, w), module.pool, strict=True))
    inner = c // 2
    return 2 * n * queries * keys * inner, n * queries * (keys + inner)


COSTS: dict[type, Callable[..., Cost]] = {
    Conv3D: conv_cost,
    nn.Dense: dense_cost,
    BatchNorm: norm_cost,
    NonLocal: nonlocal_cost,
}


def count(model: nn.Module, frames: int, crop: int) -> dict[str, dict[str, int]]:
    """Costs of one clip of `frames x crop x crop`, per top-level module of the network.

    A detection network is counted with one box. Nothing is computed: shapes suffice.

    Returns:
      {module: {"params", "macs", "activations"}} in the network's order.
    """
    rows: dict[str, dict[str, int]] = {}

    def note(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext):
        y = call(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            row = rows.setdefault(
                context.module.path[0], {"params": 0, "macs": 0, "activations": 0}
            )
            cost = COSTS.get(type(context.module))
            if cost is not None:
                macs, activations = cost(context.module, args[0], y)
                row["macs"] += macs
                row["activations"] += activations
        return y

    def init(clip, boxes):
        with nn.intercept_methods(note):
            return model.init(jax.random.key(0), clip, boxes)

    clip = jax.ShapeDtypeStruct((1, frames, crop, crop, 3), jnp.float32)
    boxes = None
    if getattr(model, "detection", False):
        boxes = jax.ShapeDtypeStruct((1, 1, 4), jnp.float32)
    variables = jax.eval_shape(init, clip, boxes)
    for name, tree in variables["params"].items():
        rows[name]["params"] = sum(leaf.size for leaf in jax.tree.leaves(tree))
    return {name: row for name, row in rows.items() if any(row.values())}


def totals(rows: dict[str, dict[str, int]]) -> dict[str, int]:
    """The sums over modules."""
    keys = ("params", "macs", "activations")
    return {key: sum(row[key] for row in rows.values()) for key in keys}


def table(model: nn.Module, frames: int, train_crop: int, test_crop: int) -> str:
    """The counts at the training and the test crop as text, a line per module and the sum."""
    crops = (train_crop,) if train_crop == test_crop else (train_crop, test_crop)
    counts = [count(model, frames, crop) for crop in crops]
    header = f"{'module':<12}{'parameters':>14}" + "".join(
        f"{f'GMACs @{crop}':>14}{f'Mact @{crop}':>13}" for crop in crops
    )

    def line(name: str, rows: list[dict[str, int]]) -> str:
        costs = "".join(
            f"{row['macs'] / 1e9:14.3f}{row['activations'] / 1e6:13.2f}" for row in rows
        )
        return f"{name:<12}{rows[0]['params']:>14,}{costs}"

    lines = [header, "-" * len(header)]
    lines += [line(name, [rows[name] for rows in counts]) for name in counts[0]]
    lines += ["-" * len(header), line("total", [totals(rows) for rows in counts])]
    return "\n".join(lines)
