"""Times every lowering (algorithm) of `ops.conv.conv3d` on the layers of published models.

    python -m benchmarks.conv_lowerings
    python -m benchmarks.conv_lowerings --models x3d_m --kinds depthwise --directions gradient

`choose_lowering` is based on these tables: `*` marks its choice on this backend, `<` a lowering
that is at least 10 % faster. "gradient" is the gradient of the input and the kernel, without the
forward pass; where the input is the clip, of the kernel alone. On CPU the direct lowering takes
seconds for some layers; use `--lowerings` to leave it out.
"""

import argparse
import statistics
from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks import layers, measure
from slowfast_jax.models import zoo
from slowfast_jax.ops import conv

KINDS = ("stem", "1x1x1", "1x3x3", "3x1x1", "depthwise", "lateral")
MODELS = [name.removeprefix("kinetics/") for name in zoo.ZOO if name.startswith("kinetics/")]
DIRECTIONS = ("forward", "gradient")
MARGIN = 1.1


def main() -> None:
    parser = measure.options(__doc__)
    parser.add_argument("--models", type=measure.names(MODELS),
                        default="slowfast_8x8_r50,x3d_m,i3d_8x8_r50",
                        help="models of the zoo, joined by commas [%(default)s]")
    parser.add_argument("--kinds", type=measure.names(KINDS), default=",".join(KINDS),
                        help="kinds of layers, joined by commas [%(default)s]")
    parser.add_argument("--directions", type=measure.names(DIRECTIONS),
                        default=",".join(DIRECTIONS), help="joined by commas [%(default)s]")
    parser.add_argument("--lowerings", type=measure.names(tuple(conv.LOWERINGS)),
                        default=",".join(conv.LOWERINGS),
                        help="joined by commas [%(default)s]")
    parser.add_argument("--size", type=int,
                        help="crop in pixels (default: the zoo's training crop)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32",
                        help="of input and kernel [%(default)s]")
    parser.set_defaults(rounds=5)
    options = parser.parse_args()
    measure.pin(options.threads)
    results = []
    for name in options.models:
        rows = compare(f"kinetics/{name}", options)
        report(name, rows, options)
        results.append(dict(name=name, layers=rows))
        if options.json:
            measure.write_json(options.json, dict(options=vars(options), models=results))


def compare(name: str, options: argparse.Namespace) -> list[dict]:
    """Times each layer of a model; a row per layer, seconds as {direction: {lowering: [..]}}."""
    shape = layers.clip_shape(name, options.batch, options.size or "train_crop")
    found = layers.find(zoo.create(name), shape)
    rows = []
    for layer, count in found.items():
        if layer.kind not in options.kinds:
            continue
        chosen = conv.choose_lowering(
            layer.shape, layer.kernel, layer.strides, layer.dilation, layer.groups,
            jax.default_backend(),
        )
        with measure.Others() as others:
            seconds = {
                direction: measure.in_turn(
                    contestants(layer, options.lowerings, direction, options.dtype),
                    options.rounds, pause=0,
                )
                for direction in options.directions
            }
        rows.append(dict(kind=layer.kind, label=layer.label, count=count, macs=layer.macs,
                         chosen=chosen, seconds=seconds, others=others.share))
    return rows


def contestants(
    layer: layers.Conv, lowerings: list[str], direction: str, dtype: str
) -> dict[str, Callable]:
    """{lowering: function to time} for the lowerings that can compute the layer."""
    x, kernel = (a.astype(dtype) for a in layer.operands())
    runs = {}
    for lowering in lowerings:

        def forward(x, kernel, lowering=lowering):
            return layer.compute(x, kernel, lowering)

        try:
            output = jax.eval_shape(forward, x, kernel)
        except ValueError:  # this lowering does not take kernels of this shape
            continue
        if direction == "forward":
            run, arguments = jax.jit(forward), (x, kernel)
        else:
            run = jax.jit(gradient(forward, of_input=x.shape[-1] > 3))
            arguments = (x, kernel, jnp.ones(output.shape, output.dtype))
        runs[lowering] = lambda run=run, arguments=arguments: jax.block_until_ready(
            run(*arguments)
        )
    return runs


def gradient(forward: Callable, of_input: bool) -> Callable:
    """(x, kernel, cotangent) -> gradients; XLA removes what they don't need of the forward pass."""

    def pull_back(x, kernel, cotangent):
        if of_input:
            return jax.vjp(forward, x, kernel)[1](cotangent)
        return jax.vjp(lambda k: forward(x, k), kernel)[1](cotangent)

    return pull_back


def report(name: str, rows: list[dict], options: argparse.Namespace) -> None:
    """Prints a table per direction, and the totals of the chosen, fastest and direct lowerings."""
    for direction in options.directions:
        cells, totals = [], dict.fromkeys(("chosen", "fastest", "direct"), 0.0)
        for row in rows:
            median = {
                lowering: statistics.median(times)
                for lowering, times in row["seconds"][direction].items()
            }
            chosen, fastest = median.get(row["chosen"]), min(median.values())
            cells.append([f"{row['count']} {row['kind']}: {row['label']}"] + [
                _cell(median.get(low), low == row["chosen"], chosen) for low in options.lowerings
            ] + [f"{row['others']:.0%}"])
            for key, value in (("chosen", chosen), ("fastest", fastest),
                               ("direct", median.get("direct"))):
                totals[key] += row["count"] * (value or float("nan"))
        backend = jax.default_backend()
        print(f"\n{name}, {direction}, {backend}, {options.dtype}: milliseconds per layer")
        print(measure.table(["", *options.lowerings, "others"], cells))
        print("all layers: " + ", ".join(f"{k} {1e3 * v:.1f} ms" for k, v in totals.items()),
              flush=True)


def _cell(seconds: float | None, is_chosen: bool, chosen: float | None) -> str:
    if seconds is None:
        return ""
    faster = chosen is not None and seconds * MARGIN < chosen
    return f"{'*' if is_chosen else '<' if faster else ''}{1e3 * seconds:.3g}"


if __name__ == "__main__":
    main()
