"""Forward and backward: ours against PyTorch, in turn, on the same weights.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --models x3d_m --against eager,channels_last

Cross entropy, batch norm with the statistics of the batch (running ones updated), gradients of
all parameters; no dropout, no optimiser. The difference is |ours - theirs| / |theirs| over the
whole gradient: about 1e-4 between PyTorch's own forms, too, as rounding turns a ReLU near zero.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import layers, measure, sides


def main() -> None:
    parser = measure.options(__doc__)
    parser.add_argument("--models", type=measure.names(sides.MODELS), help="of the zoo",
                        default="slowfast_8x8_r50,x3d_m,i3d_8x8_r50")
    parser.add_argument("--against", type=measure.names(measure.FORMS),
                        default=",".join(measure.FORMS), help="ways to run PyTorch (default: all)")
    parser.add_argument("--size", type=int, help="pixels (default: the zoo's training crop)")
    options = parser.parse_args()
    measure.pin(options.threads)
    torch.set_num_threads(options.threads)
    results = []
    for name in options.models:
        results.append(compare(f"kinetics/{name}", options))
        measure.report(results[-1])
        if options.json:
            measure.write_json(options.json, dict(options=vars(options), models=results))


def compare(name: str, options: argparse.Namespace) -> dict:
    """Times every side on one model; what `measure.report` takes."""
    shape = layers.clip_shape(name, options.batch, options.size or "train_crop")
    clip, labels = sides.random_clip(shape), np.arange(options.batch)
    reference = sides.torch_side(name).train()
    model, variables = sides.our_side(name, reference, dropout=0.0)
    step = our_step(model)
    arguments = jax.device_put((variables["params"], variables["batch_stats"], clip, labels))

    begin = time.perf_counter()
    gradient, _ = jax.block_until_ready(step(*arguments))
    first_call, difference = {"ours": time.perf_counter() - begin}, {}
    contestants = {"ours": lambda: jax.block_until_ready(step(*arguments))}
    target = torch.from_numpy(labels)
    for form, (run, x) in sides.torch_forms(reference, clip, options.against, False).items():
        contestants[form] = torch_step(run, x, target)
        begin = time.perf_counter()
        contestants[form]()
        first_call[form] = time.perf_counter() - begin
        state = reference.state_dict()  # for names and buffers; a compiled model prefixes its own
        parameters = zip(reference.named_parameters(), run.parameters(), strict=True)
        state |= {key: theirs.grad for (key, _), theirs in parameters}
        difference[form] = relative_difference(
            gradient, sides.to_variables(model, state, name)["params"]
        )
    with measure.Others() as others:
        seconds = measure.in_turn(contestants | sides.matmuls(), options.rounds)
    found = layers.find(model, shape)
    macs = 3 * sum(layer.macs * n for layer, n in found.items())  # forward, both gradients
    return dict(
        name=name, shape=shape, macs=macs, seconds=seconds, others=others.share,
        first_call=first_call, difference_of="gradients", difference=difference,
    )


def our_step(model) -> Callable:
    """(params, batch_stats, clip, labels) -> (gradient of params, new batch_stats), jitted."""

    def loss(params, batch_stats, clip, labels):
        variables = {"params": params, "batch_stats": batch_stats}
        (logits, _), updated = model.apply(variables, clip, train=True, mutable=["batch_stats"])
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
        return -chosen.mean(), updated["batch_stats"]

    return jax.jit(jax.grad(loss, has_aux=True))


def torch_step(model: torch.nn.Module, clip: torch.Tensor, labels: torch.Tensor) -> Callable:
    """One such step of PyTorch; the gradients are left in the parameters."""

    def step():
        model.zero_grad(set_to_none=True)
        F.cross_entropy(model(clip), labels).backward()

    return step


def relative_difference(ours: dict, theirs: dict) -> float:
    """|ours - theirs| / |theirs| over all parameters together."""
    pairs = list(zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))
    apart = sum(float(np.square(a - b).sum()) for a, b in pairs)
    return (apart / sum(float(np.square(b).sum()) for _, b in pairs)) ** 0.5


if __name__ == "__main__":
    main()
