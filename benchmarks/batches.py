"""A batch of test clips on a CPU: all clips at once, and in parts as we run them.

    python -m benchmarks.batches
    python -m benchmarks.batches --models x3d_m --batch 10 --malloc none
    python -m benchmarks.batches --backend openvino --batch 8

Times are per clip. "one clip" is a batch of one. Parts are single clips with JAX, and as many clips
as there are cores with OpenVINO. With `--malloc none`, XLA's temporaries come from
an unchanged malloc, as in a program of a user that calls `slowfast_jax.load`.
"""

import statistics
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from benchmarks import layers, measure, sides
from slowfast_jax import malloc
from slowfast_jax.inference.predict_step import make_predict_step, probabilities
from slowfast_jax.models.fold import fold_batch_norm
from slowfast_jax.training.sharding import make_mesh

Run = Callable[[np.ndarray], np.ndarray]  # uint8 clips (N, T, H, W, 3) -> probabilities (N, K)


def main() -> None:
    parser = measure.options(__doc__)
    parser.set_defaults(batch=10)
    parser.add_argument("--models", type=measure.names(sides.MODELS),
                        default="x3d_xs,x3d_m,slowfast_8x8_r50,mvitv2_s_16x4",
                        help="models of the zoo, joined by commas [%(default)s]")
    parser.add_argument("--malloc", choices=("ours", "none"), default="ours",
                        help="settings of slowfast_jax/malloc.py, or none [%(default)s]")
    parser.add_argument("--backend", choices=("jax", "openvino"), default="jax")
    options = parser.parse_args()
    if options.malloc == "ours":
        malloc.restart_with_settings()
    measure.pin(options.threads)
    results = {}
    for name in options.models:
        shape = layers.clip_shape(f"kinetics/{name}", options.batch, "test_crop")
        results[name] = compare(
            f"kinetics/{name}", shape, options.rounds, options.backend
        )
    if options.json:
        measure.write_json(options.json, dict(options=vars(options), seconds=results))


def compare(
    name: str, shape: tuple[int, ...], rounds: int, backend: str
) -> measure.Seconds:
    """Prints and returns the seconds per clip of each way to run a batch of this shape."""
    model, variables = fold_batch_norm(*sides.random_side(name))
    clips = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    at_once, in_parts = (_jax if backend == "jax" else _openvino)(model, variables, shape)
    contestants = {
        "one clip": lambda: at_once(clips[:1]),
        "all at once": lambda: at_once(clips),
        "in parts": lambda: in_parts(clips),
    }
    difference = np.abs(contestants["all at once"]() - contestants["in parts"]()).max()
    with measure.Others() as others:
        seconds = measure.in_turn(contestants, rounds)
    per_clip = {
        form: [time / (1 if form == "one clip" else len(clips)) for time in times]
        for form, times in seconds.items()
    }
    ours = statistics.median(per_clip["in parts"])
    rows = [
        (form, 1e3 * statistics.median(times), 1e3 * min(times),
         f"{statistics.median(times) / ours:.2f}x")
        for form, times in per_clip.items()
    ]
    print(f"\n{name}  {'x'.join(map(str, shape))}  largest difference {difference:.1e}")
    print(measure.table(["", "median ms", "min ms", "ours faster"], rows))
    print(f"other programs took {others.share:.0%} of the cores", flush=True)
    return per_clip


def _jax(model: nn.Module, variables: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[Run, Run]:
    """What computes the probabilities of a batch at once, and clip by clip."""
    variables = jax.device_put(variables)
    at_once = jax.jit(lambda variables, clips: model.apply(variables, clips)[1]["probs"])
    step = make_predict_step(model, make_mesh(devices=jax.local_devices()[:1]))
    return (
        lambda clips: np.asarray(at_once(variables, clips)),
        lambda clips: np.asarray(step(variables, {"clip": clips})),
    )


def _openvino(
    model: nn.Module, variables: Mapping[str, Any], shape: tuple[int, ...]
) -> tuple[Run, Run]:
    """What computes the probabilities of a batch at once, and in parts of a clip for each core."""
    from slowfast_jax.backends.graph_predictor import GraphPredictor
    from slowfast_jax.backends.openvino_graph import compile_graph
    from slowfast_jax.export.onnx_network import to_onnx

    graphs = {
        count: compile_graph(
            to_onnx(model, variables, (count, *shape[1:]), dtype=np.dtype(np.uint8)), "float32"
        )
        for count in {1, shape[0]}
    }
    in_parts = GraphPredictor(model, probabilities, compile_graph)
    return (
        lambda clips: graphs[len(clips)]({"clip": clips}),
        lambda clips: in_parts(variables, clips),
    )


if __name__ == "__main__":
    main()
