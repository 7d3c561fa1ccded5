"""The cost of saving a checkpoint during training: steps with and without a save in progress.

    python -m benchmarks.checkpoint
    python -m benchmarks.checkpoint --size 112 --every 14

Training runs as in slowfast_jax/train.py, with one batch that stays on the device: `save` returns
once the state is copied, and the files are written during the following steps. A step that starts
before the files are complete counts as "beside a save", even if it ends long after. The printed
ratio is the mean of these steps divided by the median of the other ones. It is valid for steps of
the printed duration; shorter steps are slowed down more. The total cost of a save is the time for
which `save` blocks the loop plus the additional time of these steps; it does not depend on the
duration of a step.

The first save is not counted, because it also initializes the checkpoint manager. Each save deletes
the previous checkpoint, as in training. "processor time of a save" is measured without concurrent
steps, from start to end.
"""

import statistics
import tempfile
import time
from functools import partial

import jax
import numpy as np

from benchmarks import measure
from slowfast_jax import malloc
from slowfast_jax.models import zoo
from slowfast_jax.tasks.base import supervised
from slowfast_jax.training.checkpoint_manager import Checkpoints
from slowfast_jax.training.losses import cross_entropy
from slowfast_jax.training.optim import make_optimizer
from slowfast_jax.training.state import create_state
from slowfast_jax.training.step import make_train_step


def main() -> None:
    parser = measure.options(__doc__)
    parser.set_defaults(rounds=3)
    parser.add_argument("--model", default="slowfast_8x8_r50",
                        help="model of the zoo [%(default)s]")
    parser.add_argument("--size", type=int, default=224, help="crop in pixels [%(default)s]")
    parser.add_argument("--every", type=int, default=6,
                        help="steps between saves [%(default)s]")
    options = parser.parse_args()
    malloc.restart_with_settings()
    measure.pin(options.threads)
    model = zoo.create(f"kinetics/{options.model}", crop_size=options.size, group_size=8)
    optimizer = make_optimizer(weight_decay=1e-4, is_norm=model.is_norm)
    rng = np.random.default_rng(0)
    shape = (options.batch, model.num_frames, options.size, options.size, 3)
    batch = jax.device_put({
        "clip": rng.integers(0, 256, shape, np.uint8), "label": np.zeros(options.batch, np.int32),
    })
    init = jax.jit(partial(model.init, jax.random.key(0)))
    state = create_state(init(batch["clip"]), optimizer)
    step = jax.jit(
        make_train_step(
            model, optimizer,
            supervised(lambda logits, _, batch: (cross_entropy(logits, batch["label"]), {})),
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
    blocked, beside, alone, processor = [], [], [], []
    with tempfile.TemporaryDirectory() as folder, measure.Others() as others:
        checkpoints = Checkpoints(folder, keep_last=1, keep_best=0)
        checkpoints.save(0, state, {})
        checkpoints.wait()
        done = 1
        for _ in range(options.rounds):
            start = time.perf_counter()
            checkpoints.save(done, state, {})
            blocked.append(time.perf_counter() - start)
            written = checkpoints.path(done)
            for _ in range(options.every):
                writing = not written.exists()
                (beside if writing else alone).append(one())
                done += 1
            start = time.process_time()
            checkpoints.save(done, state, {})
            checkpoints.wait()
            processor.append(time.process_time() - start)
            done += 1
        checkpoints.close()
    rows = [
        [name, 1e3 * statistics.median(times), 1e3 * statistics.mean(times), 1e3 * max(times),
         len(times)]
        for name, times in (
            ("steps alone", alone), ("steps beside a save", beside), ("save itself", blocked),
            ("processor time of a save", processor),
        ) if times
    ]
    print(f"{options.model}, {size / 1e6:.0f} MB of state")
    print(measure.table(["", "median ms", "mean ms", "max ms", "number"], rows))
    if alone:
        usual = statistics.median(alone)
        longer = sum(times - usual for times in beside) / options.rounds
        if beside:
            print(f"steps beside a save take {statistics.mean(beside) / usual:.2f}x as long")
        cost = statistics.mean(blocked) + longer
        print(f"a save costs {cost:.2f} s of training, {longer:.2f} s of it in the steps beside it")
    if others.share > measure.DISTURBED:
        print(f"other programs took {others.share:.0%} of the cores")
    if options.json:
        figures = dict(beside=beside, alone=alone, blocked=blocked, processor=processor)
        measure.write_json(options.json, figures)


if __name__ == "__main__":
    main()
