"""What a save takes from training: steps while a checkpoint is being written, beside steps without.

    python -m benchmarks.checkpoint
    python -m benchmarks.checkpoint --model slowfast_8x8_r50 --size 224 --batch 2

Training goes on as slowfast_jax/train.py does it: `save` returns once the state is copied, and the
files are written beside the steps that follow. A step that began before they were complete counts
as one beside a save; `--every` leaves enough steps without. The time that `save` itself holds the
loop up is told apart.
"""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np

from benchmarks import measure
from slowfast_jax.models import zoo
from slowfast_jax.training.losses import cross_entropy
from slowfast_jax.training.manager import Checkpoints
from slowfast_jax.training.optim import make_optimizer
from slowfast_jax.training.state import create_state
from slowfast_jax.training.step import make_train_step


def main() -> None:
    parser = measure.options(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--model", default="slowfast_8x8_r50", help="of the zoo [%(default)s]")
    parser.add_argument("--size", type=int, default=112, help="pixels [%(default)s]")
    parser.add_argument("--every", type=int, default=12, help="steps from save to save")
    options = parser.parse_args()
    measure.pin(options.threads)
    model = zoo.create(f"kinetics/{options.model}", crop_size=options.size, group_size=8)
    optimizer = make_optimizer(weight_decay=1e-4)
    rng = np.random.default_rng(0)
    shape = (options.batch, model.num_frames, options.size, options.size, 3)
    batch = jax.device_put({
        "clip": rng.integers(0, 256, shape, np.uint8), "label": np.zeros(options.batch, np.int32),
    })
    init = jax.jit(partial(model.init, jax.random.key(0)))
    state = create_state(init(batch["clip"]), optimizer)
    step = jax.jit(
        make_train_step(
            model, optimizer, lambda logits, _, b: (cross_entropy(logits, b["label"]), {})
        ),
        donate_argnums=0,
    )

    def one() -> float:
        nonlocal state
        start = time.perf_counter()
        state, metrics = step(state, batch, np.float32(1e-3), jax.random.key(0))
        jax.block_until_ready(metrics)
        return time.perf_counter() - start

    one()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    held_up, beside, alone = [], [], []
    with tempfile.TemporaryDirectory() as folder, measure.Others() as others:
        checkpoints = Checkpoints(folder, keep_last=1, keep_best=0)
        done = 0
        for _ in range(options.rounds):
            start = time.perf_counter()
            checkpoints.save(done, state, {})
            held_up.append(time.perf_counter() - start)
            written = Path(folder) / "checkpoints" / str(done)
            for _ in range(options.every):
                writing = not written.exists()
                (beside if writing else alone).append(one())
                done += 1
        checkpoints.close()
    rows = [
        [name, 1e3 * statistics.median(times), 1e3 * max(times), len(times)]
        for name, times in (("steps alone", alone), ("steps beside a save", beside),
                            ("save itself", held_up)) if times
    ]
    print(f"{options.model}, {size / 1e6:.0f} MB of state")
    print(measure.table(["", "median ms", "most ms", "times"], rows))
    if beside and alone:
        ratio = statistics.median(beside) / statistics.median(alone)
        print(f"a step beside a save takes {ratio:.2f}x the time")
    if others.share > measure.DISTURBED:
        print(f"other programs took {others.share:.0%} of the cores")
    if options.json:
        measure.write_json(options.json, dict(beside=beside, alone=alone, held_up=held_up))


if __name__ == "__main__":
    main()
