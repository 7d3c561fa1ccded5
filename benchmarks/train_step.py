"""Training: ours against PyTorch, in turn, on the same weights.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --models x3d_m --against eager,channels_last
    python -m benchmarks.train_step --whole --models slowfast_8x8_r50

Forward and backward: cross entropy, batch norm with the statistics of the batch (running ones
updated), gradients of all parameters; no dropout. With --whole the step of the training program,
batch in, parameters out: the norm of the gradient, weight decay, SGD with Nesterov momentum; what
it takes beyond the gradients shows beside our "gradients alone". The difference is
|ours - theirs| / |theirs| over the whole gradient, or the whole change of the parameters: about
1e-4 between PyTorch's own forms, too, as rounding turns a ReLU near zero.
"""

import argparse

import jax
import numpy as np

from benchmarks import layers, measure, sides
from benchmarks.jobs import LR, SGD, forward_backward, whole_step
from benchmarks.torch_process import TorchProcess
from slowfast_jax import malloc


def main() -> None:
    parser = measure.comparison_options(__doc__, sides.MODELS, "slowfast_8x8_r50,x3d_m,i3d_8x8_r50")
    parser.add_argument("--whole", action="store_true", help="whole steps, with the optimiser")
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
    sgd = dict(SGD, lr=LR) if options.whole else None
    with TorchProcess(
        name, clip, options.against, options.threads, labels=labels, sgd=sgd, settings=settings
    ) as theirs:
        model, variables = sides.our_side(name, theirs.weights(), dropout=0.0)
        start = jax.tree.map(np.array, variables["params"])
        job = whole_step if options.whole else forward_backward
        run, result = job(model, variables, clip, labels)
        contestants = {"ours": run}
        if options.whole:
            alone = forward_backward(model, jax.tree.map(np.array, variables), clip, labels)
            contestants["ours, gradients alone"] = alone[0]
        contestants |= theirs.contestants() | {"matmul, XLA": measure.jax_matmul()}
        first_call = measure.once(contestants)
        ours = result()
        difference = {}
        for form in theirs.forms:
            other = sides.to_variables(model, theirs.result(form), name)["params"]
            if options.whole:
                other = jax.tree.map(np.subtract, other, start)
            difference[form] = relative_difference(ours, other)
        with measure.Others(theirs.pid) as others:
            seconds = measure.in_turn(contestants, options.rounds)
    found = layers.find(model, shape)
    macs = 3 * sum(layer.macs * n for layer, n in found.items())  # forward, both gradients
    return dict(
        name=name, shape=shape, macs=macs, seconds=seconds, others=others.share,
        first_call=first_call, difference=difference,
        difference_of="changes" if options.whole else "gradients",
    )


def relative_difference(ours: dict, theirs: dict) -> float:
    """|ours - theirs| / |theirs| over all parameters together."""
    pairs = list(zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))
    apart = sum(float(np.square(a - b).sum()) for a, b in pairs)
    return (apart / sum(float(np.square(b).sum()) for _, b in pairs)) ** 0.5


if __name__ == "__main__":
    main()
