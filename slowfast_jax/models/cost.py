"""Parameters, multiply-adds and activations of a network, counted from its jaxpr.

The network's forward pass on one clip is traced, without computing anything, and every convolution
and matrix product in the traced program is counted, whichever module or function it comes from.

What counts, as in the published tables (fvcore's conventions):

- A convolution or matrix product costs one multiply-add per product, padding included, and writes
  its output as activations.
- Batch norm costs two per element: one for the scale, one for the shift. Layer norm costs five.
- Everything else is free: biases, activation functions, sums, pooling, softmax, ROIAlign, whose
  matrix products only interpolate, and the one that only adds relative positions to logits.

A `lax.scan` counts once per iteration, a `lax.cond` as its most expensive branch. A `while` loop,
whose number of iterations is unknown, counts as one iteration.
"""

import math
import re
from collections import Counter
from collections.abc import Collection

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from slowfast_jax.ops.backend import PLAIN_BACKEND, written_for

# Operations within these named scopes (`jax.named_scope`) follow a rule of their own.
ELEMENTWISE_SCOPES = {  # each of these operations costs one per element
    "batch_norm": ("mul", "add"), "layer_norm": ("mul", "add", "sub"),
}
FREE_SCOPES = {"roi_align", "positions"}

# {(module, "macs" or "activations"): number}
Costs = Counter[tuple[str, str]]


def count(model: nn.Module, frames: int, crop: int) -> dict[str, dict[str, int]]:
    """Costs of the forward pass on one clip, for each top-level module of the network.

    Detection networks are counted with one box.

    Args:
      model: takes `(clip, boxes)`, and has the attribute `detection` if it needs boxes.
      frames: length of the clip.
      crop: height and width of the clip in pixels.

    Returns:
      `{module: {"params", "macs", "activations"}}` in the order of the forward pass. Parameters
      of the network itself, such as a class token, have rows of their own; operations of the
      network itself are in a row with the name of its class. Rows with nothing but zeros are
      left out.
    """

    def init(clip, boxes):
        return model.init(jax.random.key(0), clip, boxes)

    # A new function at each call: JAX would reuse a trace written for another backend.
    def forward(variables, clip, boxes):
        return model.apply(variables, clip, boxes)

    clip = jax.ShapeDtypeStruct((1, frames, crop, crop, 3), jnp.float32)
    boxes = None
    if getattr(model, "detection", False):
        boxes = jax.ShapeDtypeStruct((1, 1, 4), jnp.float32)
    with written_for(PLAIN_BACKEND):
        variables = jax.eval_shape(init, clip, boxes)
        program = jax.make_jaxpr(forward)(variables, clip, boxes)
    params = variables.get("params", {})
    costs = _costs(program.jaxpr, type(model).__name__, params)
    names = dict.fromkeys([*(module for module, _ in costs), *params])
    rows = {
        name: {
            "params": sum(leaf.size for leaf in jax.tree.leaves(params.get(name))),
            "macs": costs[name, "macs"],
            "activations": costs[name, "activations"],
        }
        for name in names
    }
    return {name: row for name, row in rows.items() if any(row.values())}


def totals(rows: dict[str, dict[str, int]]) -> dict[str, int]:
    """The sums of `count`'s rows over all modules."""
    keys = ("params", "macs", "activations")
    return {key: sum(row[key] for row in rows.values()) for key in keys}


def table(model: nn.Module, frames: int, train_crop: int, test_crop: int) -> str:
    """The counts at the training and the test crop as text, one line per module and the total."""
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


def _costs(
    jaxpr: Jaxpr, caller: str, modules: Collection[str], scopes: tuple[str, ...] = ()
) -> Costs:
    """Costs of a program per module; `caller` is the module of operations outside `modules`.

    `scopes` are the names of the modules and scopes that the program is called in, outermost first.
    """
    costs: Costs = Counter()
    for eqn in jaxpr.eqns:
        # "SlowFast/slow_res2/block0", "ViT/vmap(blocks)/attention", "ViT/head.classify"
        inner = (*scopes, *re.split(r"[/().]+", str(eqn.source_info.name_stack)))
        if FREE_SCOPES.intersection(inner):
            continue
        module = next((name for name in inner if name in modules), caller)
        elementwise = next((ELEMENTWISE_SCOPES[s] for s in inner if s in ELEMENTWISE_SCOPES), ())
        for kind, number in _cost(eqn, elementwise).items():
            costs[module, kind] += number
        programs = [_costs(program, caller, modules, inner) for program in _programs(eqn)]
        if eqn.primitive.name == "cond":
            programs = [max(programs, key=_macs)]
        for program in programs:
            for key, number in program.items():
                costs[key] += number * eqn.params.get("length", 1)  # iterations of a scan
    return costs


def _cost(eqn: JaxprEqn, elementwise: Collection[str]) -> dict[str, int]:
    """Costs of one operation, without the programs that it calls; {} if it is free.

    `elementwise` are the operations that cost one per element.
    """
    kind = eqn.primitive.name
    if kind == "conv_general_dilated":
        kernel = eqn.invars[1].aval.shape
        products = math.prod(kernel) // kernel[eqn.params["dimension_numbers"].rhs_spec[0]]
    elif kind == "dot_general":
        (contracted, _), _ = eqn.params["dimension_numbers"]
        products = math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
    elif kind in elementwise:
        return {"macs": eqn.outvars[0].aval.size}
    else:
        return {}
    size = eqn.outvars[0].aval.size
    return {"macs": size * products, "activations": size}


def _programs(eqn: JaxprEqn) -> list[Jaxpr]:
    """The programs that an operation calls: a loop's body, the branches of a condition, ..."""
    return [
        getattr(value, "jaxpr", value)
        for values in eqn.params.values()
        for value in (values if isinstance(values, (tuple, list)) else (values,))
        if isinstance(value, (Jaxpr, ClosedJaxpr))
    ]


def _macs(costs: Costs) -> int:
    return sum(number for (_, kind), number in costs.items() if kind == "macs")
