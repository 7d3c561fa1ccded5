"""Multigrid training compared with plain training on generated videos: accuracy and time.

    python -m benchmarks.multigrid --data DIR --cache DIR2
    python -m benchmarks.multigrid --data DIR --on held_out --only multigrid \\
        --multigrid multigrid.epoch_factor=1.25 schedule.base_lr=0.0007
    python -m benchmarks.multigrid --data DIR --shapes

Both sides train the network of configs/kinetics.py:mini_multigrid with `train`, one after the
other, on the same videos and from the same seed. `--plain` and `--multigrid` change config fields
of one side, `--both` of both sides. The videos are generated in --data once. Choose settings with
`--on held_out`, which validates on videos that are not in the test set, and use the test set for
the final comparison only.

Columns:

    last, best      accuracy of the last and of the best validation
    training s      without validation, saving and startup, from metrics.jsonl
    compiling s     tracing, lowering and compiling training steps, as reported by JAX; part of the
                    training seconds. With `--cache`, programs are compiled once and kept in a
                    folder, so a second run shows the time without compilation
    rest s          training seconds without compilation
    processor s     CPU seconds of the whole run, validation included

`--shapes` trains nothing; it prints the time to load a clip of each shape and to train on it.
"""

import argparse
import ast
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import measure
from data_pipelines.mini import datasets
from slowfast_jax import malloc
from slowfast_jax.config import build_model, load_config, training_plan
from slowfast_jax.loop.build import (
    initial_state,
    mesh_of,
    network_of,
    optimizer_of,
    state_shapes,
    training_step,
)
from slowfast_jax.loop.step_schedule import StepSchedule
from slowfast_jax.tasks import make_task
from slowfast_jax.train import train
from slowfast_jax.training.sharding import put_batch
from slowfast_jax.training.writers import read_metrics

RECIPE = "configs/kinetics.py:mini_multigrid"
SIDES: dict[str, dict[str, Any]] = {"plain": {"multigrid.long_cycle": False}, "multigrid": {}}
HELD_OUT = "held_out"


def main() -> None:
    options = _options()
    malloc.restart_with_settings()
    measure.pin(options.threads)
    if options.cache:
        jax.config.update("jax_compilation_cache_dir", str(Path(options.cache).absolute()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(options.data or folder) / "videos", options.videos, options.test)
        configs = {
            name: _config(options, data, fields | dict(getattr(options, name)))
            for name, fields in SIDES.items() if options.only in (None, name)
        }
        for name, config in configs.items():
            print(f"{name}:", "; ".join(training_plan(config).words()))
        if options.shapes:
            for config in configs.values():
                print(measure.table(*_costs_of_shapes(config, options.rounds)), flush=True)
            return
        results = {}
        with measure.Others() as others:
            for name, config in configs.items():
                results[name] = run(config, Path(folder) / name)
                jax.clear_caches()  # so that the other side compiles for itself
    print(f"{options.videos} videos, {options.test} of the {options.on} set, seed {options.seed}")
    columns = list(next(iter(results.values())))
    rows = [[name, *(result[column] for column in columns)] for name, result in results.items()]
    print(measure.table(["", *columns], rows))
    if len(results) == 2:
        plain, cycles = results["plain"], results["multigrid"]
        for column in columns[2:]:
            if cycles[column]:
                print(f"{column}: plain takes {plain[column] / cycles[column]:.2f}x as much")
    if others.share > measure.DISTURBED:
        print(f"other programs took {others.share:.0%} of the cores")
    if options.json:
        measure.write_json(options.json, results)


def _options() -> argparse.Namespace:
    parser = measure.options(__doc__)
    parser.set_defaults(rounds=5, batch=None)
    parser.add_argument("--data", help="folder for the videos (default: a temporary folder)")
    parser.add_argument("--cache", help="folder that keeps compiled programs for later runs")
    parser.add_argument("--videos", type=int, default=384,
                        help="number of training videos [%(default)s]")
    parser.add_argument("--test", type=int, default=96,
                        help="number of validation videos [%(default)s]")
    parser.add_argument("--on", choices=("test", HELD_OUT), default="test",
                        help="which videos to validate on [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training [%(default)s]")
    parser.add_argument("--only", choices=tuple(SIDES), help="run only this side")
    parser.add_argument("--shapes", action="store_true",
                        help="only print the cost of a clip of each shape")
    for name in (*SIDES, "both"):
        parser.add_argument(f"--{name}", nargs="*", type=_field, default=[], metavar="KEY=VALUE",
                            help="config fields to change for "
                            + ("both sides" if name == "both" else f"the {name} side"))
    return parser.parse_args()


def _field(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def _config(options: argparse.Namespace, data: Path, fields: dict[str, Any]) -> ConfigDict:
    config = load_config(RECIPE)
    changes = {
        "data.generate": "", "data.root": str(data), "data.path_prefix": str(data),
        "data.val_list": f"{options.on}.csv", "train.threads": options.threads,
        "train.seed": options.seed,
        **dict(options.both), **fields,
    }
    try:
        config.update_from_flattened_dict(changes)
    except (KeyError, TypeError) as error:
        raise SystemExit(f"error: {RECIPE}: {str(error.args[0]).split(' and cannot')[0]}") from None
    return config


def write_data(folder: Path, videos: int, test: int) -> Path:
    """Generates the videos, train.csv, test.csv and held_out.csv unless they exist.

    Returns:
      Their folder, which is specific to the two numbers.
    """
    folder = folder / f"{videos}_{test}"
    complete = folder / "complete"
    if not complete.exists():
        datasets.write_videos(folder, seed=0, count=test, train_count=videos)
        listed = datasets.write_videos(folder / HELD_OUT, seed=1, count=test, train_count=0)
        rows = listed.read_text().splitlines()
        (folder / f"{HELD_OUT}.csv").write_text("".join(f"{HELD_OUT}/{row}\n" for row in rows))
        complete.touch()
    return folder


def run(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """Trains one side; returns its row of the table."""
    began, processor = time.perf_counter(), time.process_time()
    with _compiling() as spans:
        train(config, workdir)
    total, processor = time.perf_counter() - began, time.process_time() - processor
    plan = training_plan(config)
    schedule = StepSchedule(plan, len(Path(config.data.root, "train.csv").read_text().splitlines()),
                    seed=config.train.seed)
    rows, seconds, before = read_metrics(workdir), 0.0, 0
    for row in rows:
        if row["split"] == "train":
            steps = range(before, row["step"])
            clips = sum(schedule.shape(step).batch_size for step in steps)
            seconds, before = seconds + clips / row["clips_per_second"], row["step"]
    headline = make_task(config).headline
    tops = [row[headline] for row in rows if row["split"] == "val"]
    compiling = _length(spans)
    return {
        "last": tops[-1], "best": max(tops), "total s": total, "training s": seconds,
        "compiling s": compiling, "rest s": seconds - compiling,
        "processor s": processor, "steps": schedule.steps,
    }


@contextmanager
def _compiling():
    """Collects the time spans in which JAX traces, lowers or compiles a training step."""
    spans = []

    def note(event: str, start: float, end: float, *, fun_name: str = "", **_: Any) -> None:
        if event.startswith("/jax/core/compile/") and fun_name.split("(")[-1].strip(")") == "step":
            spans.append((start, end))

    jax.monitoring.register_event_time_span_listener(note)
    try:
        yield spans
    finally:
        jax.monitoring.unregister_event_time_span_listener(note)


def _length(spans: list[tuple[float, float]]) -> float:
    """Seconds covered by spans, which may overlap."""
    covered, until = 0.0, 0.0
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered


def _costs_of_shapes(config: ConfigDict, rounds: int) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of a table with the milliseconds per clip of each shape."""
    model = build_model(config, group_size=config.norm.group_size)
    optimizer, mesh, plan = optimizer_of(config, model), mesh_of(config), training_plan(config)
    task = make_task(config)
    examples, _ = task.training_examples(None)
    schedule = StepSchedule(plan, examples.size, seed=0)
    places, key = state_shapes(config, task, model, optimizer, mesh), jax.random.key(0)
    rows = []
    for shape in plan.shapes:
        state = initial_state(config, task, model, optimizer, mesh, lambda: iter(()))
        step = training_step(config, task, network_of(config, shape), optimizer, mesh, places)
        loading = dict(threads=config.train.threads, workers=0)
        read = schedule.others(examples, shape, 0, max(64 // shape.batch_size, 1), **loading)
        begin = time.process_time()
        batches = list(read)
        reading = (time.process_time() - begin) / (len(batches) * shape.batch_size)
        batch = {name: batches[0][name] for name in batches[0] if name not in ("broken", "index")}
        batch, seconds, processor = put_batch(batch, mesh), [], []
        for _ in range(rounds + 1):
            begin, used = time.perf_counter(), time.process_time()
            state, metrics = step(state, batch, np.float32(0), key)
            jax.block_until_ready((state, metrics))
            seconds.append((time.perf_counter() - begin) / shape.batch_size)
            processor.append((time.process_time() - used) / shape.batch_size)
        rows.append([
            f"{shape.batch_size}x{shape.num_frames}x{shape.crop}", 1e3 * reading,
            1e3 * min(processor[1:]), 1e3 * min(seconds[1:]), seconds[0] * shape.batch_size,
        ])
    return ["ms per clip", "loading, CPU", "step, CPU", "step", "first step, s"], rows


if __name__ == "__main__":
    main()
