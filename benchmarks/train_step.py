"""Forward and backward: ours against PyTorch, in turn, on the same weights.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --models x3d_m --against eager,channels_last

Cross entropy, batch norm with the statistics of the batch (running ones updated), gradients of
all parameters; no dropout, no optimiser. The difference is |ours - theirs| / |theirs| over the
whole gradient: about 1e-4 between PyTorch's own forms, too, as rounding turns a ReLU near zero.
"""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import layers, measure, sides
from benchmarks.torch_process import TorchProcess
from slowfast_jax import malloc


def main() -> None:
    parser = measure.comparison_options(__doc__, sides.MODELS, "slowfast_8x8_r50,x3d_m,i3d_8x8_r50")
    options = parser.parse_args()
    if options.malloc != "none":
        malloc.restart_with_settings()
    measure.pin(options.threads)
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
    settings = malloc.SETTINGS if options.malloc == "both" else ""
    with TorchProcess(
        name, clip, options.against, options.threads, labels=labels, settings=settings
    ) as theirs:
        model, variables = sides.our_side(name, theirs.weights(), dropout=0.0)
        step = our_step(model)
        arguments = jax.device_put((variables["params"], variables["batch_stats"], clip, labels))
        contestants = {"ours": lambda: jax.block_until_ready(step(*arguments))}
        contestants |= theirs.contestants() | {"matmul, XLA": measure.jax_matmul()}
        first_call = measure.once(contestants)
        gradient = step(*arguments)[0]
        difference = {
            form: relative_difference(
                gradient, sides.to_variables(model, theirs.result(form), name)["params"]
            )
            for form in theirs.forms
        }
        with measure.Others(theirs.pid) as others:
            seconds = measure.in_turn(contestants, options.rounds)
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


def relative_difference(ours: dict, theirs: dict) -> float:
    """|ours - theirs| / |theirs| over all parameters together."""
    pairs = list(zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))
    apart = sum(float(np.square(a - b).sum()) for a, b in pairs)
    return (apart / sum(float(np.square(b).sum()) for _, b in pairs)) ** 0.5


if __name__ == "__main__":
    main()
