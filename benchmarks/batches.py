"""A batch of test clips on a CPU: all clips at once, and one after the other as we run them.

    python -m benchmarks.batches
    python -m benchmarks.batches --models x3d_m --batch 10 --malloc none

Times are per clip. "one clip" is a batch of one. With `--malloc none`, XLA's temporaries come from
an unchanged malloc, as in a program of a user that calls `slowfast_jax.load`.
"""

import statistics

import jax
import numpy as np

from benchmarks import layers, measure, sides
from slowfast_jax import malloc
from slowfast_jax.inference.predict_step import make_predict_step
from slowfast_jax.models.fold import fold_batch_norm
from slowfast_jax.training.sharding import make_mesh


def main() -> None:
    parser = measure.options(__doc__)
    parser.set_defaults(batch=10)
    parser.add_argument("--models", type=measure.names(sides.MODELS),
                        default="x3d_xs,x3d_m,slowfast_8x8_r50,mvitv2_s_16x4",
                        help="models of the zoo, joined by commas [%(default)s]")
    parser.add_argument("--malloc", choices=("ours", "none"), default="ours",
                        help="settings of slowfast_jax/malloc.py, or none [%(default)s]")
    options = parser.parse_args()
    if options.malloc == "ours":
        malloc.restart_with_settings()
    measure.pin(options.threads)
    results = {}
    for name in options.models:
        shape = layers.clip_shape(f"kinetics/{name}", options.batch, "test_crop")
        results[name] = compare(f"kinetics/{name}", shape, options.rounds)
    if options.json:
        measure.write_json(options.json, dict(options=vars(options), seconds=results))


def compare(name: str, shape: tuple[int, ...], rounds: int) -> measure.Seconds:
    """Prints and returns the seconds per clip of each way to run a batch of this shape."""
    model, variables = fold_batch_norm(*sides.random_side(name))
    variables = jax.device_put(variables)
    clips = jax.device_put(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    at_once = jax.jit(lambda variables, clips: model.apply(variables, clips)[1]["probs"])
    step = make_predict_step(model, make_mesh(devices=jax.local_devices()[:1]))
    contestants = {
        "one clip": lambda: at_once(variables, clips[:1]).block_until_ready(),
        "all at once": lambda: at_once(variables, clips).block_until_ready(),
        "one after the other": lambda: step(variables, {"clip": clips}).block_until_ready(),
    }
    difference = np.abs(contestants["all at once"]() - contestants["one after the other"]()).max()
    with measure.Others() as others:
        seconds = measure.in_turn(contestants, rounds)
    per_clip = {
        form: [time / (1 if form == "one clip" else len(clips)) for time in times]
        for form, times in seconds.items()
    }
    ours = statistics.median(per_clip["one after the other"])
    rows = [
        (form, 1e3 * statistics.median(times), 1e3 * min(times),
         f"{statistics.median(times) / ours:.2f}x")
        for form, times in per_clip.items()
    ]
    print(f"\n{name}  {'x'.join(map(str, shape))}  largest difference {difference:.1e}")
    print(measure.table(["", "median ms", "min ms", "ours faster"], rows))
    print(f"other programs took {others.share:.0%} of the cores", flush=True)
    return per_clip


if __name__ == "__main__":
    main()
