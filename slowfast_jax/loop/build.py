"""Builds what runs on the devices from a config: mesh, optimizer, state and training step."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import optax
from absl import logging
from jax.sharding import Mesh
from ml_collections import ConfigDict

from convert.training.adapt import NOT_OF_IMAGES
from data_pipelines.loading.batches import Examples
from slowfast_jax.config import ConfigError, build_model, training_plan
from slowfast_jax.distributed.chips import find_chip
from slowfast_jax.loop.prefetch import on_devices
from slowfast_jax.models.cost import count, totals
from slowfast_jax.models.folded_norms import are_folded, restored
from slowfast_jax.published.hub import is_address
from slowfast_jax.tasks.base import Task
from slowfast_jax.training.optim import make_optimizer, without_decay
from slowfast_jax.training.plan import Plan, Shape
from slowfast_jax.training.precise_bn import make_moments_step, precise_batch_stats
from slowfast_jax.training.sharding import (
    make_mesh,
    replicated,
    row_shards,
    state_shardings,
)
from slowfast_jax.training.state import TrainState, create_state
from slowfast_jax.training.step import TrainStep, make_train_step
from slowfast_jax.weights import initial_variables, read_weights, variable_shapes


def mesh_of(config: ConfigDict, devices: Sequence[Any] | None = None) -> Mesh:
    """The config's mesh over `devices` (default: all devices)."""
    try:
        return make_mesh(**config.mesh, devices=devices)
    except ValueError as error:
        raise ConfigError(f"config.{error}") from error


def optimizer_of(
    config: ConfigDict, model: nn.Module, shape: Shape | None = None
) -> optax.GradientTransformation:
    """The config's optimizer for the model; ConfigError if a field of config.optimizer is invalid.

    The optimizer's state has the same structure for every `shape` of a multigrid run, but with
    config.multigrid.split_norm_decay the weight decay of the norms depends on the shape.
    """
    options = {k: v for k, v in config.optimizer.items() if not k.startswith("clip_")}
    if shape is not None and shape.norm_splits and config.multigrid.split_norm_decay:
        options["norm_weight_decay"] = config.optimizer.weight_decay
    try:
        if config.optimizer.no_decay:
            without_decay(variable_shapes(model)["params"], config.optimizer.no_decay)
        options["no_decay"] = (*config.optimizer.no_decay, *model.no_decay)
        return make_optimizer(**options, layer_of=model.layer_of, is_norm=model.is_norm)
    except ValueError as error:
        raise ConfigError(f"config.{error}") from error


def check_batches(
    config: ConfigDict, plan: Plan, examples: Examples, mesh: Mesh, processes: int = 1
) -> None:
    """Checks that the examples fill the batches of the run, and that each batch can be split over
    `processes`, devices and parts.

    Checked before training starts, because with multigrid such a batch may only come late.

    Raises:
      ConfigError: a batch does not fit; the message names a batch size that does.
    """
    for shape in plan.shapes:
        if shape.crop % mesh.shape["spatial"]:
            raise ConfigError(
                f"config.mesh.spatial is {mesh.shape['spatial']}, expected a divisor of the crop "
                f"size, {shape.crop}"
            )
    place = examples, row_shards(mesh), processes, config.train.accumulate
    problem = _misfit(plan, *place)
    if problem:
        raise ConfigError(f"{problem}: {_fitting_size(config, *place)}")


def _misfit(plan: Plan, examples: Examples, shards: int, processes: int, parts: int) -> str:
    """Why a batch of the plan does not fit; "" if all do. See `check_batches`."""
    for shape in plan.shapes:
        clips = shape.batch_size * examples.clips
        group = min(shape.group_size, clips)
        if shape.batch_size > examples.size:
            return f"{examples.size} examples do not fill one batch of {shape.batch_size}"
        if shape.batch_size % processes:
            return f"a batch of {shape.batch_size} cannot be split over {processes} processes"
        if clips % shards:
            return f"a batch of {clips} clips cannot be split over {shards} devices"
        if parts > 1 and clips % (group * parts):
            return (
                f"config.train.accumulate is {parts}, but a batch of {clips} clips cannot be "
                f"split into {parts} parts of whole batch-norm groups of {group} clips"
            )
    return ""


def _fitting_size(
    config: ConfigDict, examples: Examples, shards: int, processes: int, parts: int
) -> str:
    """What to do about a batch that does not fit: the flag with the closest batch size that does,
    if possible a smaller one."""
    wanted, most = config.train.batch_size, examples.size
    config = config.copy_and_resolve_references()
    for size in (*range(min(wanted, most), 0, -1), *range(wanted + 1, min(most, 2 * wanted) + 1)):
        config.train.batch_size = size
        try:
            plan = training_plan(config)
        except ConfigError:  # in multigrid training, a size may not suit the cycles
            continue
        whole_groups = all(
            (clips := shape.batch_size * examples.clips) % min(shape.group_size, clips) == 0
            for shape in plan.shapes
        )
        if whole_groups and not _misfit(plan, examples, shards, processes, parts):
            return f"set --config.train.batch_size={size}"
    return "no batch size fits this data set; use fewer devices or processes, or more examples"


def network_of(config: ConfigDict, shape: Shape) -> nn.Module:
    """The network for a shape; its variables have the same tree structure for every shape."""
    return build_model(
        config, num_frames=shape.num_frames, crop_size=shape.crop, group_size=shape.group_size,
        norm_splits=shape.norm_splits,
    )


def initial_state(
    config: ConfigDict, task: Task, model: nn.Module, optimizer: optax.GradientTransformation,
    mesh: Mesh, batches: Callable[[], Iterator[dict[str, Any]]], *, norm_splits: int = 1,
) -> TrainState:
    """The state before the first step: random, or read from config.train.init_from.

    With init_from, only parameters that match its `skip` may be missing or differ in shape; they
    keep their random initialization, and so does the classifier if only the number of classes
    differs. If the batch norms of the weights were folded into the kernels, they are restored from
    `batches()`, a few batches of training data. norm_splits: see `create_state`.
    """
    variables = initial_variables(model, config.train.seed)
    start = config.train.init_from
    if start.path:
        variables = read_start(config, variable_shapes(model), variables)
        if are_folded(variables) and not config.model.get("frozen_norm"):
            logging.info(
                "%s: the batch norms were folded into the kernels (their running means are 0, and "
                "they scale by 1): their statistics are measured before the first step", start.path,
            )
            variables = _with_restored_norms(variables, model, batches(), mesh)
    state = create_state(
        variables, optimizer, averaged=bool(config.train.average),
        extra=task.initial_extra(model, variables), norm_splits=norm_splits,
    )
    return jax.device_put(state, state_shardings(state, mesh))


def read_start(config: ConfigDict, shapes: Mapping, init: Mapping | None = None) -> dict[str, Any]:
    """The weights of config.train.init_from, for variables of these `shapes`.

    Tables of positions of another size are interpolated. With `images`, the file is of a network of
    images, see `convert.training.adapt`; what such a network lacks is taken from `init`.

    init: initial variables, for parameters that are not taken from the file. None: the weights are
    only checked, and nothing is logged.
    """
    check_start(config)
    start = config.train.init_from
    skip = (*start.skip, *NOT_OF_IMAGES) if start.images else start.skip
    variables, _ = read_weights(
        config, shapes, start.path, new_classes=True, skip=skip, strip=start.strip,
        entry=start.entry, init=init, adapt="images" if start.images else "positions",
        quiet=init is None,
    )
    return variables


def check_start(config: ConfigDict) -> None:
    """FileNotFoundError if there is nothing at config.train.init_from.path."""
    start = config.train.init_from
    if is_address(start.path) or os.path.exists(start.path):
        return
    if not start.url:
        raise FileNotFoundError(f"weights {start.path}: no such file or folder")
    raise FileNotFoundError(
        f"config.train.init_from.path is {start.path}, which does not exist: download "
        f"{start.url}, or set it to weights that you have"
    )


def _with_restored_norms(
    variables: Mapping[str, Any], model: nn.Module, batches: Iterator[dict[str, Any]], mesh: Mesh
) -> dict[str, Any]:
    params, stats = jax.device_put(
        (variables["params"], variables["batch_stats"]), replicated(mesh)
    )
    step = jax.jit(
        make_moments_step(model, variables["batch_stats"]), out_shardings=replicated(mesh)
    )
    with closing(on_devices(batches, mesh)) as stream:
        inputs = (
            {name: batch[name] for name in ("clip", "boxes") if name in batch}
            for batch, _, _ in stream
        )
        return restored(variables, jax.device_get(precise_batch_stats(step, params, stats, inputs)))


def state_shapes(
    config: ConfigDict, task: Task, model: nn.Module, optimizer: optax.GradientTransformation,
    mesh: Mesh, *, norm_splits: int = 1,
) -> TrainState:
    """Shapes, dtypes and shardings of the training state; nothing is computed."""

    def create(variables: Mapping[str, Any]) -> TrainState:
        return create_state(
            variables, optimizer, averaged=bool(config.train.average),
            extra=task.initial_extra(model, variables), norm_splits=norm_splits,
        )

    shapes = jax.eval_shape(create, variable_shapes(model))
    return jax.tree.map(
        lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where),
        shapes, state_shardings(shapes, mesh),
    )


def training_step(
    config: ConfigDict, task: Task, model: nn.Module, optimizer: optax.GradientTransformation,
    mesh: Mesh, state: TrainState,
) -> TrainStep:
    """The config's jitted training step (training/step.py), which donates its input state.

    `state` gives the shardings; it may be an actual state or its ShapeDtypeStructs.
    """
    step = make_train_step(
        model, optimizer, task.loss,
        clip_norm=config.optimizer.clip_norm, clip_value=config.optimizer.clip_value,
        train_only=config.train.train_only, augment=partial(task.augment, model),
        accumulate=config.train.accumulate, average=config.train.average, mesh=mesh,
    )
    return jax.jit(
        step, donate_argnums=0, out_shardings=(state_shardings(state, mesh), replicated(mesh))
    )


def peak_flops(mesh: Mesh) -> float:
    """Peak FLOP/s of all devices of the mesh; 0 if the device kind is not in chips.py."""
    chip = find_chip(mesh.devices.flat[0].device_kind)
    return chip.flops * mesh.size if chip else 0.0


def clip_flops(config: ConfigDict, shape: Shape) -> float:
    """FLOPs of training on one clip, from the multiply-adds that models/cost.py counts.

    A multiply-add is two FLOPs, and the backward pass costs twice the forward pass.
    """
    return 6.0 * totals(count(network_of(config, shape), shape.num_frames, shape.crop))["macs"]
