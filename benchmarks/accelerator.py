"""Training and testing on an accelerator: ours beside PyTorch's, for models, batches and dtypes.

    python -m benchmarks.accelerator --models slowfast_8x8_r50,x3d_m --batches 8,16,32,64
    python -m benchmarks.accelerator --dtypes tf32 --steps test --sides ours,channels_last

Each side has a process of its own on the first device; they run in turn, `--rounds` times, and one
batch lies on the device from the start, so that reading is left out. Weights are random. A training
step is whole: normalised clips in, cross entropy, SGD with Nesterov momentum. Testing is the
forward pass in evaluation mode. "bfloat16" is `model.dtype` here and autocast there, with
parameters in float32 on both; "tf32" is float32 with tensor-core products where the device has
them. PyTorch runs in its channels-last layout, as it comes, or compiled (`compile`: channels last,
too), on its first GPU, or on the CPU where it finds none.

MFU counts the convolutions' multiply-adds, three times for training, against the peak that the
maker states of the device (slowfast_jax/chips.py; half of it for tf32). Memory is the most that a
side's allocator held. What does not fit is "out of memory".
"""

import argparse
import multiprocessing
import os
import statistics
from collections.abc import Callable
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import jobs, layers, measure
from slowfast_jax.chips import find_chip
from slowfast_jax.models import zoo

MODELS = ("slowfast_4x16_r50", "slowfast_8x8_r50", "i3d_8x8_r50", "x3d_s", "x3d_m")
SIDES = ("ours", "eager", "channels_last", "compile")
DTYPES = ("bfloat16", "tf32")
STEPS = ("train", "test")
PEAK = {"bfloat16": 1.0, "tf32": 0.5}  # of the device's bfloat16 FLOP/s
Side = tuple[Callable[[], object], Callable[[], int | None]]  # a step, and the most bytes held


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, allowed, default in (
        ("models", MODELS, MODELS), ("sides", SIDES, ("ours", "channels_last", "compile")),
        ("dtypes", DTYPES, DTYPES), ("steps", STEPS, STEPS),
    ):
        parser.add_argument(f"--{name}", type=measure.names(allowed), default=",".join(default),
                            help=f"some of {', '.join(allowed)} [%(default)s]")
    parser.add_argument("--batches", default="8,16,32,64",
                        type=batch_sizes,
                        help="clips at a time [%(default)s]")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds [%(default)s]")
    parser.add_argument("--json", metavar="FILE", help="write the raw figures here")
    options = parser.parse_args()
    # A process takes what it needs, not most of the device at once.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    results = []
    for name in options.models:
        for step in options.steps:
            for dtype in options.dtypes:
                for batch in options.batches:
                    results += compare(name, step, dtype, batch, options)
                    if options.json:
                        measure.write_json(options.json, results)


def batch_sizes(text: str) -> list[int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers like 8,16,32")
    return sizes


def compare(
    name: str, step: str, dtype: str, batch: int, options: argparse.Namespace
) -> list[dict]:
    """A row for each side."""
    shape = layers.clip_shape(f"kinetics/{name}", batch, f"{step}_crop")
    found = layers.find(zoo.create(f"kinetics/{name}"), (1, *shape[1:]))
    flops = 2 * batch * sum(layer.macs * n for layer, n in found.items())
    flops *= 3 if step == "train" else 1  # forward, both gradients
    with _processes(options.sides, (f"kinetics/{name}", step, dtype, shape)) as asks:
        alive = {side: ask for side, ask in asks.items() if ask("start") is None}
        seconds = {}
        if alive:
            contestants = {side: lambda ask=ask: ask("run") for side, ask in alive.items()}
            seconds = measure.in_turn(contestants, options.rounds)
        held = {side: ask("held") for side, ask in alive.items()}
        device = next((ask("device") for side, ask in alive.items() if side == "ours"), None)
    chip = find_chip(device or "")
    rows = []
    for side in options.sides:
        median = statistics.median(seconds[side]) if side in seconds else None
        ours = statistics.median(seconds["ours"]) if "ours" in seconds else None
        rows.append(dict(
            model=name, step=step, dtype=dtype, batch=batch, side=side,
            **{
                "step ms": 1e3 * median if median else "out of memory",
                "clips/s": batch / median if median else None,
                "MFU": flops / median / chip.flops / PEAK[dtype] if chip and median else None,
                "GB held": held[side] / 1e9 if held.get(side) else None,
                "ours faster": median / ours if median and ours else None,
            },
            seconds=seconds.get(side), device=device,
        ))
    columns = [key for key in rows[0] if key not in ("seconds", "device")]
    cells = [["" if row[key] is None else row[key] for key in columns] for row in rows]
    print(measure.table(columns, cells), flush=True)
    return rows


@contextmanager
def _processes(sides: list[str], arguments: tuple):
    """{side: a function that asks the side's process}; they end with the context."""
    context = multiprocessing.get_context("spawn")
    processes, asks = [], {}
    for side in sides:
        pipe, theirs = context.Pipe()
        processes.append(context.Process(target=_serve, args=(theirs, side, *arguments)))
        processes[-1].start()
        theirs.close()

        def ask(what, pipe=pipe, side=side):
            pipe.send(what)
            try:
                return pipe.recv()
            except EOFError:
                raise SystemExit(f"the process of {side} ended; what it printed says why") from None

        asks[side] = ask
    try:
        yield asks
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _serve(pipe, side: str, *arguments) -> None:
    """A side's process: answers None or what was asked for, for "start" what went wrong."""
    run = held = None
    while True:
        try:
            what = pipe.recv()
        except EOFError:
            return
        answer = None
        if what == "start":
            try:
                run, held = (ours if side == "ours" else pytorch)(*arguments, side)
                run()  # compiles
            except (RuntimeError, MemoryError) as error:
                if not any(words in str(error) for words in ("RESOURCE_EXHAUSTED", "out of mem")):
                    raise
                answer = "out of memory"
        elif what == "run":
            run()
        elif what == "held":
            answer = held()
        elif what == "device":
            answer = jax.devices()[0].device_kind
        pipe.send(answer)


def ours(name: str, step: str, dtype: str, shape: tuple[int, ...], _: str) -> Side:
    """Our network on clips of `shape (N, T, H, W, 3)`."""
    kind = jnp.bfloat16 if dtype == "bfloat16" else jnp.float32
    jax.config.update("jax_default_matmul_precision",
                      "tensorfloat32" if dtype == "tf32" else "default")
    model = zoo.create(name, dtype=kind)
    clip = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    variables = jax.jit(model.init)(jax.random.key(0), clip[:1])
    if step == "train":
        run, _ = jobs.whole_step(model, variables, clip, np.arange(shape[0]))
    else:
        forward = jax.jit(lambda v, x: model.apply(v, x)[1]["probs"])
        placed = jax.device_put((variables, clip))

        def run():
            forward(*placed).block_until_ready()

    return run, lambda: (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def pytorch(name: str, step: str, dtype: str, shape: tuple[int, ...], form: str) -> Side:
    """PyTorch's network in one of its forms on as many clips, in its layout."""
    import torch

    from benchmarks import torch_models

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    layout = torch.contiguous_format if form == "eager" else torch.channels_last_3d
    model = torch_models.create(name).to(device, memory_format=layout).train(step == "train")
    clip = torch.randn((shape[0], 3, *shape[1:4]), device=device).to(memory_format=layout)
    labels = torch.arange(shape[0], device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=jobs.LR, **jobs.SGD)
    called = torch.compile(model) if form == "compile" else model

    def run():
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            if step == "test":
                with torch.no_grad():
                    called(clip)
            else:
                loss = torch.nn.functional.cross_entropy(called(clip), labels)
        if step == "train":
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run, lambda: torch.cuda.max_memory_allocated() if device == "cuda" else None


if __name__ == "__main__":
    main()
