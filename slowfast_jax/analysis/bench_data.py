"""Measures the speed of a config's input pipeline, stage by stage, and names the bottleneck.

Each stage is timed alone: reading files; decoding and transforming clips, by the CPU time of one
thread; assembling batches; transferring them to the devices. Then the whole pipeline is timed as it
runs in training.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.cores import available_cores
from data_pipelines.loading.batches import Examples, batches, stack
from data_pipelines.loading.order import Order
from data_pipelines.video.decoding import VideoError
from slowfast_jax import distributed
from slowfast_jax.config import training_plan
from slowfast_jax.loop.build import check_batches
from slowfast_jax.loop.prefetch import prefetched
from slowfast_jax.progress import track
from slowfast_jax.tasks import make_task
from slowfast_jax.training.sharding import make_mesh, put_batch

SPEEDS = (10.0, 100.0, 1000.0)  # clips per second of training, if none is given
SECONDS = 20.0  # duration of the timing of the whole pipeline
SMALL = 8  # pixels; transforming clips to this crop takes next to no time


class Measured(NamedTuple):
    """Speed of an input pipeline."""

    seconds: dict[str, float]  # per clip, for each stage
    megabytes: float  # per clip
    together: float  # clips per second of the whole pipeline
    loaders: int  # threads that load clips, over all worker processes
    cores: int
    broken: list[str]  # error messages of examples that cannot be read


def measure(
    config: ConfigDict, workdir: str | os.PathLike | None, *, clips: int = 32,
    seconds: float = SECONDS,
) -> Measured:
    """Times each stage on random examples, and then the whole pipeline.

    Args:
      config: a training config.
      workdir: folder of generated data sets, see `data.video_lists.data_root`.
      clips: number of examples on which the stages are timed.
      seconds: how long to run the whole pipeline.

    Returns:
      The time of each stage and the speed of the whole pipeline.

    Raises:
      ConfigError: the examples do not fill a batch.
      RuntimeError: none of the examples can be read.
    """
    mesh = make_mesh(**config.mesh)
    task = make_task(config)
    found = task.find("train", workdir)
    examples, _ = task.training_examples(found)
    check_batches(config, training_plan(config), examples, mesh, distributed.count())
    decoding, _ = make_task(_decoding_only(config)).training_examples(found)
    chosen = np.random.default_rng(0).permutation(examples.size)[:clips]
    elements, broken = [], []
    reading = decode = load = 0.0
    size = 0
    for index in track(map(int, chosen), len(chosen), "timing the loading of examples"):
        try:
            _timed(decoding.load, index)  # fills the page cache; fails if the file is broken
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
        raise RuntimeError(
            f"none of {len(broken)} examples can be read; the first error: {broken[0]}"
        )
    loaded = len(elements) * examples.clips
    rows = config.train.batch_size
    batch = [dict(elements[i % len(elements)]) for i in range(rows)]
    begin = time.perf_counter()
    stacked = stack(batch, examples.clips)
    batching = time.perf_counter() - begin
    arrays = {k: v for k, v in stacked.items() if k not in ("index", "broken")}
    transfers = [_transfer(arrays, mesh) for _ in range(4)]
    logging.info("timing the whole pipeline (%.0f s)", seconds)
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
        config.train.threads * max(config.train.workers, 1), available_cores(), broken,
    )


def table(config: ConfigDict, measured: Measured, wanted: float | None = None) -> str:
    """The measurements as text; `wanted` is the speed of the training step in clips per second."""
    lines = [f"{config.name}: clips of {config.protocol.num_frames} frames, "
             f"{config.protocol.train_crop} pixels; batches of {config.train.batch_size}", ""]
    lines += [f"{'':10}  {'ms/clip':>10}  {'clips/s':>10}"]
    notes = {
        "read": f"one thread, {measured.megabytes:.2f} MB per clip, files in the page cache"
        if measured.megabytes else "included in decode: clips are not separate files",
        "decode": "one thread", "transform": "one thread",
        "batch": "one thread", "transfer": f"to {jax.device_count()} {jax.default_backend()}",
    }
    for name, seconds in measured.seconds.items():
        speed = f"{1 / seconds:10.1f}" if seconds else f"{'-':>10}"
        lines.append(f"{name:10}  {1e3 * seconds:10.2f}  {speed}  {notes[name]}")
    lines.append(
        f"{'together':10}  {1e3 / measured.together:10.2f}  {measured.together:10.1f}  "
        f"{measured.loaders} loading threads, {measured.cores} cores"
    )
    slowest = max(measured.seconds, key=measured.seconds.__getitem__)
    core = measured.seconds["decode"] + measured.seconds["transform"]
    lines += ["", f"The bottleneck is {slowest}. One core loads {1 / core:.1f} clips/s."]
    for speed in [wanted] if wanted else SPEEDS:
        lines.append(f"Training at {speed:g} clips/s needs {speed * core:.1f} cores for loading.")
    if wanted:
        waits = measured.together < wanted
        lines.append(
            f"On this machine it would wait for data {1 - measured.together / wanted:.0%} of the "
            "time: use more cores, set config.train.workers, or resize the videos (docs/data.md)."
            if waits else "On this machine it would not wait for data."
        )
    if measured.broken:
        number, first = len(measured.broken), measured.broken[0]
        lines.append(f"Examples that cannot be read: {number}; the first error: {first}")
    return "\n".join(lines)


def _decoding_only(config: ConfigDict) -> ConfigDict:
    """The config with the augmentations off and a tiny crop, so that loading is mostly decoding."""
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
    """CPU seconds of loading an example, and the example."""
    generator = np.random.default_rng(index)
    begin = time.thread_time()
    element = load(index, generator)
    return time.thread_time() - begin, element


def _read(path: str) -> tuple[float, int]:
    """Seconds and bytes of reading a file; 0 if the example is not a separate file."""
    if not os.path.isfile(path):
        return 0.0, 0
    begin = time.perf_counter()
    with open(path, "rb") as file:
        size = len(file.read())
    return time.perf_counter() - begin, size


def _transfer(arrays: dict[str, np.ndarray], mesh: jax.sharding.Mesh) -> float:
    """Seconds of transferring a batch to the devices."""
    begin = time.perf_counter()
    jax.block_until_ready(put_batch(arrays, mesh))
    return time.perf_counter() - begin


def _together(
    config: ConfigDict, examples: Examples, mesh: jax.sharding.Mesh, seconds: float
) -> float:
    """Clips per second of the pipeline as it runs in training, with no training step."""
    order = Order(examples.size, batch_size=config.train.batch_size, seed=config.train.seed)

    def put(batch: dict[str, Any]) -> dict[str, jax.Array]:
        return put_batch({k: v for k, v in batch.items() if k not in ("index", "broken")}, mesh)

    source: Iterator = batches(
        order, examples.load, clips=examples.clips, threads=config.train.threads,
        workers=config.train.workers,
    )
    with closing(prefetched(source, put)) as stream:
        for _ in range(3):  # batches that were prefetched before the clock starts
            next(stream)
        begin, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - begin) < seconds or not count:
            jax.block_until_ready(next(stream))
            count += config.train.batch_size * examples.clips
    return count / passed
