"""Training and testing on an accelerator, compared with PyTorch, by model, batch and dtype.

    python -m benchmarks.accelerator --models slowfast_8x8_r50,x3d_m --batches 8,16,32,64
    python -m benchmarks.accelerator --dtypes tf32 --steps test --sides ours,channels_last

Each side runs in its own process on the first device. The sides run in turn, `--rounds` times, on
one batch that stays on the device, so data loading is not measured. Weights are random. A training
step is complete: normalized clips, cross entropy, SGD with Nesterov momentum. Testing is the
forward pass in evaluation mode. "bfloat16" is `model.dtype` here and autocast in PyTorch, both with
float32 parameters; "tf32" is float32 with products on tensor cores where the device has them.
PyTorch runs in its channels-last layout, in its default layout (eager), or compiled (`compile`,
also channels last), on its first GPU, or on the CPU if it finds no GPU.

MFU counts the multiply-adds of the convolutions, three times for training, against the peak stated
by the device's vendor (slowfast_jax/distributed/chips.py; half of it for tf32). "GB held" is the
peak of the side's allocator. A side that does not fit into memory is reported as "out of memory".
"""

import argparse
import os
import statistics
from collections.abc import Callable
from contextlib import ExitStack

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import jobs, layers, measure
from benchmarks.side_process import Handlers, SideProcess
from slowfast_jax.distributed.chips import find_chip
from slowfast_jax.models import zoo

MODELS = ("slowfast_4x16_r50", "slowfast_8x8_r50", "i3d_8x8_r50", "x3d_s", "x3d_m")
SIDES = ("ours", "eager", "channels_last", "compile")
DTYPES = ("bfloat16", "tf32")
STEPS = ("train", "test")
PEAK = {"bfloat16": 1.0, "tf32": 0.5}  # of the device's bfloat16 FLOP/s
# Runs a step; returns the peak of allocated bytes, or None if unknown.
Side = tuple[Callable[[], object], Callable[[], int | None]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, allowed, default in (
        ("models", MODELS, MODELS), ("sides", SIDES, ("ours", "channels_last", "compile")),
        ("dtypes", DTYPES, DTYPES), ("steps", STEPS, STEPS),
    ):
        parser.add_argument(f"--{name}", type=measure.names(allowed), default=",".join(default),
                            help=f"any of {', '.join(allowed)} [%(default)s]")
    parser.add_argument("--batches", default="8,16,32,64", type=batch_sizes,
                        help="batch sizes, in clips [%(default)s]")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds [%(default)s]")
    parser.add_argument("--json", metavar="FILE", help="write the raw figures to this file")
    options = parser.parse_args()
    # Otherwise the first process would reserve most of the device's memory.
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
    """Parses `--batches`."""
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"expected positive whole numbers such as 8,16,32, not {text!r}"
        )
    return sizes


def compare(
    name: str, step: str, dtype: str, batch: int, options: argparse.Namespace
) -> list[dict]:
    """Times all sides on one model, step, dtype and batch size; prints and returns their rows."""
    shape = layers.clip_shape(f"kinetics/{name}", batch, f"{step}_crop")
    flops = 2 * batch * layers.total_macs(zoo.create(f"kinetics/{name}"), (1, *shape[1:]))
    flops *= 3 if step == "train" else 1  # forward, gradients of the input and of the kernels
    with ExitStack() as stack:
        processes = {
            side: stack.enter_context(
                SideProcess(side, _handlers, side, f"kinetics/{name}", step, dtype, shape)
            )
            for side in options.sides
        }
        alive = {side: process for side, process in processes.items() if process.call("start")}
        seconds = {}
        if alive:
            contestants = {
                side: lambda process=process: process.call("run") for side, process in alive.items()
            }
            seconds = measure.in_turn(contestants, options.rounds)
        held = {side: process.call("held") for side, process in alive.items()}
        device = alive["ours"].call("device") if "ours" in alive else None
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


def _handlers(
    side: str, name: str, step: str, dtype: str, shape: tuple[int, ...]
) -> Handlers:
    """The functions that `compare` calls in a side's process; "start" must be the first."""
    run = held = None

    def start() -> bool:
        """Compiles the step; False if it does not fit into the device's memory."""
        nonlocal run, held
        try:
            run, held = (ours if side == "ours" else pytorch)(name, step, dtype, shape, side)
            run()
        except (RuntimeError, MemoryError) as error:
            if not any(words in str(error) for words in ("RESOURCE_EXHAUSTED", "out of mem")):
                raise
            return False
        return True

    return {
        "start": start,
        "run": lambda: run(),
        "held": lambda: held(),
        "device": lambda: jax.devices()[0].device_kind,
    }


def ours(name: str, step: str, dtype: str, shape: tuple[int, ...], _: str) -> Side:
    """Our network on random clips of `shape (N, T, H, W, 3)`."""
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
    """PyTorch's network in one of its forms, on random clips of the same shape in its layout."""
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
