"""Compiles the steps of a config ahead of time, also for absent hardware, and estimates their cost.

    python -m slowfast_jax.main --config configs/kinetics.py:slowfast_8x8_r50 --mode compile \
        --config.target=v5e:4x4 --config.train.batch_size=128 --config.model.dtype=bfloat16

A target is a TPU topology, which needs the extra `tpu` but no TPU, or cpu:N for N CPU
devices. All figures are the compiler's estimates for one device and one step.
"""

import importlib.util
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging
from jax.experimental import topologies
from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_pipelines.command import install
from slowfast_jax.config import ConfigError, build_model, check_training, clips_of_example
from slowfast_jax.distributed.chips import find_chip
from slowfast_jax.distributed.connect import require_devices
from slowfast_jax.inference.predict_step import make_predict_step
from slowfast_jax.loop.build import mesh_of, optimizer_of, state_shapes, training_step
from slowfast_jax.ops.backend import written_for
from slowfast_jax.tasks import make_task
from slowfast_jax.training.sharding import over_batch, replicated, row_shards
from slowfast_jax.weights import variable_shapes

COLLECTIVES = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"
)
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "f32": 4, "s32": 4,
         "u32": 4, "f64": 8, "s64": 8, "u64": 8}


def target_devices(target: str) -> list[Any]:
    """Descriptions of the devices of a target such as "v5e:4x4" or "cpu:8".

    Raises:
      ConfigError: the target is malformed or unavailable.
      DeviceError: JAX_PLATFORMS asks for a device that is missing.
    """
    kind, _, size = target.partition(":")
    if kind == "cpu":
        count = int(size) if size.isdecimal() else 0
        if count < 1:
            raise ConfigError(f"config.target is {target!r}, expected cpu:N, for example cpu:8")
        try:
            jax.config.update("jax_num_cpu_devices", count)
        except RuntimeError:
            pass  # JAX is already initialized
        require_devices()
        if len(jax.devices("cpu")) < count:
            raise ConfigError(
                f"config.target={target}: JAX has only {len(jax.devices('cpu'))} CPU devices and "
                f"is initialized already; set JAX_NUM_CPU_DEVICES={count} in the environment"
            )
        return jax.devices("cpu")[:count]
    if not re.fullmatch(r"v\d+\w*:\d+(x\d+)+", target):
        raise ConfigError(
            f"config.target is {target!r}, expected a TPU topology (v5e:4x4, v5e:16x16, v4:2x2x4) "
            "or cpu:8"
        )
    if importlib.util.find_spec("libtpu") is None:
        raise ConfigError(f"compiling for TPUs needs their compiler; {install('tpu')}")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no metadata requests for a real TPU
    try:
        return list(topologies.get_topology_desc(
            platform="tpu", topology_name=target,
            # The two cores of a v4 chip form one device; by default each core is a device.
            chip_config_name="megacore" if target.startswith("v4:") else "default",
        ).devices)
    except Exception as error:
        hint = " (only one program can use the compiler)" if "lockfile" in str(error) else ""
        raise ConfigError(f"config.target={target}: {error}{hint}") from error


def compile_steps(config: ConfigDict, devices: Sequence[Any]) -> list[dict[str, Any]]:
    """Compiles the training and the evaluation step for `devices`; returns a record of each.

    Raises:
      ConfigError: the config cannot be trained, or a batch cannot be split evenly.
    """
    check_training(config)
    mesh = mesh_of(config, devices)
    shards = row_shards(mesh)
    for name, size in (("train", config.train.batch_size), ("test", config.test.batch_size)):
        if size % shards:
            raise ConfigError(
                f"config.{name}.batch_size is {size}, expected a multiple of {shards}, the number "
                f"of parts into which {mesh.size} devices split a batch"
            )
    with written_for(devices[0].platform):
        records = [
            _record("train", config.train.batch_size * clips_of_example(config), devices[0],
                    lambda: _lower_training(config, mesh), mesh),
            _record("eval", config.test.batch_size, devices[0],
                    lambda: _lower_evaluation(config, mesh), mesh),
        ]
    return [{"config": config.name} | record for record in records]


def _lower_training(config: ConfigDict, mesh: Mesh) -> jax.stages.Lowered:
    model = build_model(config, group_size=config.norm.group_size)
    optimizer = optimizer_of(config, model)
    task = make_task(config)
    state = state_shapes(config, task, model, optimizer, mesh)
    rows = config.train.batch_size * clips_of_example(config)
    batch = _batch_shapes(config, rows, config.protocol.train_crop, mesh)
    step = training_step(config, task, model, optimizer, mesh, state)
    return step.lower(
        state, batch, _whole((), jnp.float32, mesh), _whole((), jax.random.key(0).dtype, mesh)
    )


def _lower_evaluation(config: ConfigDict, mesh: Mesh) -> jax.stages.Lowered:
    """The step that `--mode eval` runs: batch norm folded into the convolutions."""
    model = build_model(config)
    if model.foldable:
        model = model.clone(folded=True)
    variables = jax.tree.map(
        lambda leaf: _whole(leaf.shape, leaf.dtype, mesh), variable_shapes(model)
    )
    batch = _batch_shapes(config, config.test.batch_size, config.protocol.test_crop, mesh)
    inputs = {name: batch[name] for name in ("clip", "boxes") if name in batch}
    return make_predict_step(model, mesh).lower(variables, inputs)


def _batch_shapes(config: ConfigDict, rows: int, crop: int, mesh: Mesh) -> dict[str, Any]:
    shapes = make_task(config).batch_shapes(rows, crop)
    return {
        name: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=over_batch(mesh, s.shape))
        for name, s in shapes.items()
    }


def _whole(shape: tuple[int, ...], dtype: Any, mesh: Mesh) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=replicated(mesh))


def _record(step: str, clips: int, device: Any, lower: Any, mesh: Mesh) -> dict[str, Any]:
    logging.info("compiling the %s step (about a minute, on TPUs two)", step)
    start = time.perf_counter()
    compiled = lower().compile()
    seconds = time.perf_counter() - start
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, (list, tuple)) else cost
    record = {
        "step": step, "device": device.device_kind, "devices": mesh.size,
        "mesh": dict(mesh.shape), "clips": clips, "compile_seconds": seconds,
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "flops": cost["flops"], "bytes_accessed": cost["bytes accessed"],
        "collective_bytes": collective_bytes(compiled.as_text()),
    }
    return record | roofline(record)


def collective_bytes(text: str) -> dict[str, int]:
    """Bytes that each kind of collective delivers to one device, from the text of a program.

    A collective within a loop counts once.
    """
    found = dict.fromkeys(COLLECTIVES, 0)
    pattern = re.compile(rf"= (.*?) ({'|'.join(COLLECTIVES)})(-start)?\(")
    for line in text.splitlines():
        match = pattern.search(line)
        if not match:
            continue
        shapes = re.findall(r"(\w+)\[([\d,]*)\]", match[1])
        sizes = [
            BYTES.get(kind, 4) * math.prod(int(n) for n in side.split(",") if n)
            for kind, side in shapes
        ]
        if match[3] and match[2] != "all-reduce":  # the operands are listed before the results
            sizes = sizes[len(sizes) // 2 :]
        found[match[2]] += sum(sizes)
    return {kind: size for kind, size in found.items() if size}


def roofline(record: Mapping[str, Any]) -> dict[str, float]:
    """Lower bounds on the duration of a step, from the stated peaks of the chip.

    Args:
      record: a record of `compile_steps`.

    Returns:
      Seconds for arithmetic, memory access and communication, their maximum as seconds of the step
      (everything overlaps), clips per second, and whether the step fits into memory; {} if the
      chip is unknown.
    """
    chip = find_chip(record["device"])
    if chip is None:
        return {}
    # On a ring, summing takes two passes over the array, and gathering takes one.
    moved = sum(
        size * (2 if kind == "all-reduce" else 1)
        for kind, size in record["collective_bytes"].items()
    )
    parts = {
        "arithmetic_seconds": record["flops"] / chip.flops,
        "memory_seconds": record["bytes_accessed"] / chip.bandwidth,
        "links_seconds": moved / chip.links,
    }
    step = max(parts.values())
    return parts | {
        "step_seconds": step,
        "clips_per_second": record["clips"] / step,
        "fits": record["argument_bytes"] + record["temporary_bytes"] < chip.memory,
    }


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """The records of `compile_steps` as text."""
    first = records[0]
    mesh = " x ".join(f"{name} {size}" for name, size in first["mesh"].items() if size > 1)
    lines = [f"{first['devices']} x {first['device']}" + (f" as {mesh}" if mesh else ""),
             "the compiler's estimates per device and step:"]
    for r in records:
        lines += [
            "",
            f"{r['step']}, {r['clips']} clips ({r['clips'] / r['devices']:g} per device), compiled "
            f"in {r['compile_seconds']:.0f} s",
            f"  memory used     {_size(r['argument_bytes'])} arguments, "
            f"{_size(r['temporary_bytes'])} temporary"
            + ("" if r.get("fits", True) else ": MORE THAN THE CHIP HAS"),
            f"  arithmetic      {r['flops'] / 1e9:,.4g} GFLOP",
            f"  memory traffic  {_size(r['bytes_accessed'])}",
            "  communication   " + (", ".join(
                f"{kind} {_size(size)}" for kind, size in r["collective_bytes"].items()
            ) or "none"),
        ]
        if "step_seconds" in r:
            lines.append(
                f"  at the stated peaks: arithmetic {1e3 * r['arithmetic_seconds']:.1f} ms, memory "
                f"{1e3 * r['memory_seconds']:.1f} ms, links {1e3 * r['links_seconds']:.1f} ms; at "
                f"best {1e3 * r['step_seconds']:.1f} ms per step, "
                f"{r['clips_per_second']:,.0f} clips/s"
            )
    return "\n".join(lines)


def _size(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
