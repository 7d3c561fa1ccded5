"""How fast a config's training data comes, stage by stage, and which stage is the slowest.

Stages are timed alone: reading the file's bytes; decoding and the rest of loading, by the processor
time of one thread; batches and their way to the devices. Then all run together, as in training.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from data_pipelines.loading.batches import Examples, batches, stack
from data_pipelines.loading.order import Order
from data_pipelines.video.decoding import VideoError
from slowfast_jax.tasks import make_task
from slowfast_jax.training.prefetch import prefetched
from slowfast_jax.training.sharding import make_mesh, put_batch

SPEEDS = (10.0, 100.0, 1000.0)  # clips a second of a training step, where none is told
SECONDS = 20.0  # that the whole pipeline runs
SMALL = 8  # pixels of a crop whose making costs next to nothing


class Measured(NamedTuple):
    """seconds: of a clip in each stage. together: clips a second of the whole pipeline, with so
    many `loaders` (threads of all processes)."""

    seconds: dict[str, float]
    megabytes: float
    together: float
    loaders: int
    cores: int
    broken: list[str]


def measure(
    config: ConfigDict, workdir: str | os.PathLike | None, *, clips: int = 32,
    seconds: float = SECONDS,
) -> Measured:
    """Times the stages on `clips` examples, and the whole for so many seconds.

    Raises:
      RuntimeError: none of the examples can be read.
    """
    mesh = make_mesh(**config.mesh)
    examples, _ = make_task(config).training_examples(workdir)
    decoding = make_task(_decoding_only(config)).training_examples(workdir)[0]
    chosen = np.random.default_rng(0).permutation(examples.size)[:clips]
    elements, broken = [], []
    reading = decode = load = 0.0
    size = 0
    for index in map(int, chosen):
        try:
            _timed(decoding.load, index)  # brings the file into memory, and finds out
        except VideoError as error:
            broken.append(str(error))
            continue
        seconds_of_read, bytes_of_read = _read(examples.name(index))
        reading += seconds_of_read
        size += bytes_of_read
        decode += _timed(decoding.load, index)[0]
        seconds_of_load, element = _timed(examples.load, index)
        load += seconds_of_load
        elements.append({**element, "index": index, "broken": []})
    if not elements:
        raise RuntimeError(f"none of {len(broken)} examples can be read; the first: {broken[0]}")
    loaded = len(elements) * examples.clips
    rows = config.train.batch_size
    batch = [dict(elements[i % len(elements)]) for i in range(rows)]
    begin = time.perf_counter()
    stacked = stack(batch, examples.clips)
    batching = time.perf_counter() - begin
    arrays = {k: v for k, v in stacked.items() if k not in ("index", "broken")}
    transfers = [_transfer(arrays, mesh) for _ in range(4)]
    together = _together(config, examples, mesh, seconds)
    stages = {
        "read": reading / loaded,
        "decode": decode / loaded,
        "transform": max(load - decode, 0.0) / loaded,
        "batch": batching / (rows * examples.clips),
        "transfer": float(np.median(transfers)) / (rows * examples.clips),
    }
    return Measured(
        stages, size / 1e6 / loaded, together,
        config.train.threads * max(config.train.workers, 1), os.cpu_count() or 1, broken,
    )


def table(config: ConfigDict, measured: Measured, wanted: float | None = None) -> str:
    """What was measured, for people; `wanted` clips a second is the speed of the training step."""
    lines = [f"{config.name}: clips of {config.protocol.num_frames} frames, "
             f"{config.protocol.train_crop} pixels; batches of {config.train.batch_size}", ""]
    lines += [f"{'':10}  {'ms a clip':>10}  {'clips/s':>10}"]
    notes = {
        "read": f"one thread, {measured.megabytes:.2f} MB a clip, files in memory"
        if measured.megabytes else "clips are no files of their own: see decode",
        "decode": "one thread", "transform": "one thread",
        "batch": "once a batch", "transfer": f"to {jax.device_count()} {jax.default_backend()}",
    }
    for name, seconds in measured.seconds.items():
        speed = f"{1 / seconds:10.1f}" if seconds else f"{'-':>10}"
        lines.append(f"{name:10}  {1e3 * seconds:10.2f}  {speed}  {notes[name]}")
    lines.append(
        f"{'together':10}  {1e3 / measured.together:10.2f}  {measured.together:10.1f}  "
        f"{measured.loaders} threads that load, {measured.cores} cores"
    )
    slowest = max(measured.seconds, key=measured.seconds.__getitem__)
    core = measured.seconds["decode"] + measured.seconds["transform"]
    lines += ["", f"The bottleneck is {slowest}. One core loads {1 / core:.1f} clips/s."]
    for speed in [wanted] if wanted else SPEEDS:
        lines.append(f"A step of {speed:g} clips/s needs {speed * core:.1f} cores to load.")
    if wanted:
        waits = measured.together < wanted
        lines.append(
            f"It would wait for data {1 - measured.together / wanted:.0%} of the time here: more "
            "cores, config.train.workers, or videos prepared smaller (docs/data.md)." if waits
            else "Here it does not wait for data."
        )
    if measured.broken:
        lines.append(f"{len(measured.broken)} examples cannot be read; {measured.broken[0]}")
    return "\n".join(lines)


def _decoding_only(config: ConfigDict) -> ConfigDict:
    """The config whose clips are decoded as this one's and hardly transformed."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.data.jitter = (SMALL, SMALL)
        config.data.jitter_scales_relative = config.data.jitter_aspect_relative = ()
        config.data.pca_jitter = 0.0
        config.data.color_augmentation = False
        config.protocol.train_crop = SMALL
        for name, value in (("rand_augment", ""), ("motion_shift", False),
                            ("erasing_probability", 0.0), ("num_samples", 1), ("moco_v2", False),
                            ("color_jitter", (0.0, 0.0, 0.0)), ("hue", 0.0),
                            ("grey_probability", 0.0), ("difference_probability", 0.0)):
            if name in config.augment:
                config.augment[name] = value
    return config


def _timed(load: Callable, index: int) -> tuple[float, dict[str, Any]]:
    generator = np.random.default_rng(index)
    begin = time.thread_time()
    element = load(index, generator)
    return time.thread_time() - begin, element


def _read(path: str) -> tuple[float, int]:
    """Seconds and bytes of reading a file; 0 where the example is no file of its own."""
    if not os.path.isfile(path):
        return 0.0, 0
    begin = time.perf_counter()
    with open(path, "rb") as file:
        size = len(file.read())
    return time.perf_counter() - begin, size


def _transfer(arrays: dict[str, np.ndarray], mesh: jax.sharding.Mesh) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(put_batch(arrays, mesh))
    return time.perf_counter() - begin


def _together(
    config: ConfigDict, examples: Examples, mesh: jax.sharding.Mesh, seconds: float
) -> float:
    """Clips a second of the pipeline as training runs it, with no step that waits for it."""
    order = Order(examples.size, batch_size=config.train.batch_size, seed=config.train.seed)

    def put(batch: dict[str, Any]) -> dict[str, jax.Array]:
        return put_batch({k: v for k, v in batch.items() if k not in ("index", "broken")}, mesh)

    source: Iterator = batches(
        order, examples.load, clips=examples.clips, threads=config.train.threads,
        workers=config.train.workers,
    )
    with closing(prefetched(source, put)) as stream:
        for _ in range(3):  # what was read ahead before
            next(stream)
        begin, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - begin) < seconds or not count:
            jax.block_until_ready(next(stream))
            count += config.train.batch_size * examples.clips
    return count / passed
