"""Training steps compared with PyTorch, alternately, with the same weights.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --models x3d_m --against eager,channels_last
    python -m benchmarks.train_step --whole --models slowfast_8x8_r50

By default a run is a forward and a backward pass: cross entropy, batch norm with batch statistics
(running statistics are updated), gradients of all parameters, neither dropout nor stochastic depth.
With --whole it is a complete training step, with gradient norm, weight decay and SGD with Nesterov
momentum; our "gradients alone" are listed beside it to show the difference.

The "gradients" or "changes" column is |ours - theirs| / |theirs| over all gradients, or over the
changes of all parameters. It is about 1e-4 between PyTorch's own forms, too, because rounding
decides the sign of ReLU inputs near zero.
"""

import argparse

import jax
import numpy as np

from benchmarks import layers, measure, sides
from benchmarks.jobs import LR, SGD, forward_backward, whole_step
from benchmarks.torch_process import TorchProcess
from slowfast_jax import malloc
from slowfast_jax.models import zoo


def main() -> None:
    parser = measure.comparison_options(__doc__, sides.MODELS, "slowfast_8x8_r50,x3d_m,i3d_8x8_r50")
    parser.add_argument("--whole", action="store_true", help="time whole training steps")
    options = parser.parse_args()
    measure.start(options)
    results = []
    for name in options.models:
        results.append(compare(f"kinetics/{name}", options))
        measure.report(results[-1])
        if options.json:
            measure.write_json(options.json, dict(options=vars(options), models=results))


def compare(name: str, options: argparse.Namespace) -> dict:
    """Times all sides on one model; returns the fields for `measure.report`."""
    shape = layers.clip_shape(name, options.batch, options.size or "train_crop")
    clip, labels = sides.random_clip(shape), np.arange(options.batch)
    settings = malloc.SETTINGS if options.malloc == "both" else ""
    sgd = dict(SGD, lr=LR) if options.whole else None
    with TorchProcess(
        name, clip, options.against, options.threads, labels=labels, sgd=sgd, settings=settings
    ) as theirs:
        rates = dict.fromkeys({"dropout", "drop_path"} & set(vars(zoo.create(name))), 0.0)
        model, variables = sides.our_side(name, theirs.weights(), **rates)
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
    macs = 3 * layers.total_macs(model, shape)  # forward, gradients of the input and of the kernels
    return dict(
        name=name, shape=shape, macs=macs, seconds=seconds, others=others.share,
        first_call=first_call, difference=difference,
        difference_of="changes" if options.whole else "gradients",
    )


def relative_difference(ours: dict, theirs: dict) -> float:
    """|ours - theirs| / |theirs|, with norms over all parameters together."""
    pairs = list(zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))
    apart = sum(float(np.square(a - b).sum()) for a, b in pairs)
    return (apart / sum(float(np.square(b).sum()) for _, b in pairs)) ** 0.5


if __name__ == "__main__":
    main()
