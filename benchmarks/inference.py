"""Forward passes compared with PyTorch, alternately, with the same weights.

    python -m benchmarks.inference
    python -m benchmarks.inference --models x3d_m --against eager,channels_last --breakdown
    python -m benchmarks.inference --models x3d_m --backends openvino,jax --against openvino

Our forward pass is jitted, with batch norm folded; with --backends it also runs as an ONNX graph in
another program. PyTorch runs in its own process: in its default layout (eager), in its
channels-last layout, and through torch.compile with frozen weights, which needs a C++ compiler and
a minute or two per model. openvino, openvino_bf16 and onnxruntime run the graph of PyTorch's
network in that process. Both sides take a normalized float32 clip in their own layout and return
probabilities. PyTorch always runs on the CPU; on an accelerator, or without PyTorch, use
`--against ""` to time our side alone.
"""

import argparse
import statistics
from collections.abc import Callable
from contextlib import ExitStack

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import layers, measure, sides
from slowfast_jax import malloc
from slowfast_jax.backends.choice import choose_backend, predictor_maker
from slowfast_jax.models.fold import fold_batch_norm

BACKENDS = ("jax", "openvino", "openvino_bf16", "onnxruntime")
KINDS = ("stem", "1x1x1", "1x3x3", "3x1x1", "depthwise", "lateral", "pool")


def main() -> None:
    models = "slowfast_8x8_r50,x3d_m,i3d_8x8_r50,slow_8x8_r50"
    forms = (*measure.FORMS, *measure.GRAPH_FORMS)
    parser = measure.comparison_options(__doc__, sides.MODELS, models, forms)
    parser.add_argument("--backends", type=measure.names(BACKENDS), default="jax",
                        help=f"what runs our network, of {', '.join(BACKENDS)}, joined by commas; "
                        "the others are compared with the first [%(default)s]")
    parser.add_argument("--breakdown", action="store_true",
                        help="also print our time per kind of layer")
    options = parser.parse_args()
    measure.start(options)
    results = []
    for name in options.models:
        result = compare(f"kinetics/{name}", options)
        peak = measure.report(result)
        if options.breakdown:
            print_breakdown(result, peak)
        results.append(result)
        if options.json:
            measure.write_json(options.json, dict(options=vars(options), models=results))


def compare(name: str, options: argparse.Namespace) -> dict:
    """Times all sides on one model; returns the fields for `measure.report`."""
    shape = layers.clip_shape(name, options.batch, options.size or "test_crop")
    clip = sides.random_clip(shape)
    settings = malloc.SETTINGS if options.malloc == "both" else ""
    with ExitStack() as stack:
        theirs = None
        if options.against:
            from benchmarks.torch_process import TorchProcess

            theirs = stack.enter_context(
                TorchProcess(name, clip, options.against, options.threads, settings=settings)
            )
        side = sides.our_side(name, theirs.weights()) if theirs else sides.random_side(name)
        model, variables = fold_batch_norm(*side)
        ours = {
            "ours" if backend == "jax" else f"ours, {backend}": forward(
                backend, model, variables, clip
            ) for backend in options.backends
        }
        contestants = ours | (theirs.contestants() if theirs else {})
        contestants |= {"matmul, XLA": measure.jax_matmul()}
        first_call = measure.once(contestants)
        probs = {form: np.asarray(run()) for form, run in ours.items()}
        probs |= {form: theirs.result(form) for form in theirs.forms} if theirs else {}
        with measure.Others(*([theirs.pid] if theirs else [])) as others:
            seconds = measure.in_turn(contestants, options.rounds)
    first = next(iter(probs.values()))
    result = dict(
        name=name, shape=shape, macs=layers.total_macs(model, shape),
        seconds=seconds, others=others.share, first_call=first_call, difference_of="max |dp|",
        difference={form: float(abs(p - first).max()) for form, p in probs.items()},
        largest_probability=float(first.max()),
    )
    if options.breakdown:
        found = layers.find(model, shape)
        runs = {layer.label: layer.alone() for layer in found}
        alone = measure.in_turn(runs, options.rounds, pause=0)
        result["layers"] = [
            dict(kind=layer.kind, label=layer.label, count=count, macs=layer.macs,
                 seconds=alone[layer.label])
            for layer, count in found.items()
        ]
    return result


def forward(backend: str, model: object, variables: dict, clip: np.ndarray) -> Callable:
    """A function that runs our network on the clip, with one of `BACKENDS`."""
    if backend == "jax":
        run = jax.jit(lambda v, x: model.apply(v, x)[1]["probs"])
        variables, clip = jax.device_put((variables, clip))
        return lambda: run(variables, clip).block_until_ready()
    name, _, half = backend.partition("_")
    model = model.clone(dtype=jnp.bfloat16) if half else model
    predictor = predictor_maker(choose_backend(name, model), model)()
    return lambda: predictor(variables, clip)


def print_breakdown(result: dict, peak: float) -> None:
    """Prints our time per kind of layer, with each distinct layer timed alone; `peak` in GMAC/s.

    "rest" is the time of the whole model minus that of its layers: additions, activations, the
    classifier. It is negative if layers take longer alone than fused with their neighbors.
    """
    whole = statistics.median(next(iter(result["seconds"].values())))
    found = [
        row | dict(total=row["count"] * statistics.median(row["seconds"]))
        for row in result["layers"]
    ]

    def account(name, rows):
        total = sum(row["total"] for row in rows)
        speed = sum(row["count"] * row["macs"] for row in rows) / total / 1e9
        return [name, sum(row["count"] for row in rows), speed * total, 1e3 * total,
                f"{total / whole:.0%}", speed, f"{speed / peak:.0%}"]

    header = ["layers", "GMAC", "ms", "of model", "GMAC/s", "of peak"]
    by_kind = {kind: [row for row in found if row["kind"] == kind] for kind in KINDS}
    rows = [account(kind, chosen) for kind, chosen in by_kind.items() if chosen]
    rest = whole - sum(row["total"] for row in found)
    rows.append(["rest", "", "", 1e3 * rest, f"{rest / whole:.0%}", "", ""])
    print(measure.table(["kind", *header], rows))
    slowest = sorted(found, key=lambda row: -row["total"])[:8]
    rows = [account(f"{row['kind']}: {row['label']}", [row]) for row in slowest]
    print(measure.table(["slowest layers", *header], rows), flush=True)


if __name__ == "__main__":
    main()
