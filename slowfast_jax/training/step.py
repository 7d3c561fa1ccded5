"""The training step, a pure function of state and batch."""

import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import flax.linen as nn
import jax
import optax
from jax.sharding import Mesh

from slowfast_jax.ops.norm_statistics import SPLIT_MEANS, aggregate, disaggregate
from slowfast_jax.training.accumulation import in_parts
from slowfast_jax.training.optim import clip_gradients, paths
from slowfast_jax.training.sharding import gathered, spread_maps, state_shardings
from slowfast_jax.training.state import TrainState

Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]
# (model, variables, extra, batch, rngs) -> (loss, metrics, updates); see `tasks.base.Task.loss`
Loss = Callable[
    [nn.Module, Mapping[str, Any], Any, Batch, Mapping[str, jax.Array]],
    tuple[jax.Array, Metrics, dict[str, Any]],
]
Augment = Callable[[jax.Array, Batch], Batch]  # (random key, batch) -> the batch trained on
TrainStep = Callable[[TrainState, Batch, jax.Array, jax.Array], tuple[TrainState, Metrics]]


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    *,
    clip_norm: float = 0.0,
    clip_value: float = 0.0,
    train_only: str = "",
    augment: Augment | None = None,
    accumulate: int = 1,
    average: float = 0.0,
    mesh: Mesh | None = None,
) -> TrainStep:
    """Makes `step(state, batch, lr, key) -> (state, metrics)`, which the caller jits.

    Gradients, batch statistics and metrics are those of the whole batch, on any number of devices.
    Parameters are updated in their own dtype (float32), whatever `model.dtype` is.

    Args:
      model: the network, passed to `loss`.
      optimizer: from `make_optimizer`; its updates are multiplied by `lr` and subtracted.
      loss: the task's forward pass and loss; see `tasks.base.Task.loss`.
      clip_norm, clip_value: limits of the gradients, see `clip_gradients`; 0: no limit.
      train_only: regular expression; only parameters whose whole path matches it are trained, such
        as "head/projection/.*" (the original's DETACH_FINAL_FC). The others keep their values
        without weight decay; all running statistics are still updated. "": train all parameters.
      augment: augments the batch on the devices, before it is split into parts.
      accumulate: number of parts of the batch that are processed one after the other, which needs
        the memory of a single part; see `accumulation.in_parts`.
      average: decay of the exponential moving average of the parameters in `state.average` (Polyak
        averaging, https://arxiv.org/abs/1703.01780); 0: no average is kept.
      mesh: devices over which feature maps and parameters are sharded, see sharding.py; None: a
        single device, or whatever the compiler derives from the arguments' shardings.

    Returns:
      The step. `lr` is a scalar. `key` is the same random key at every step; the step number is
      folded into it for dropout and `augment`. The metrics are scalars: "loss", "grad_norm" (over
      all gradients, see `clip_gradients`) and those of `loss`. If the loss is not finite, the
      returned state must not be used.

    Raises:
      ValueError: at the first call, if `train_only` matches no parameter or if the loss changes the
        structure, shapes or dtypes of `state.extra`.
    """

    def gradients_of(
        params: Any, stats: Mapping[str, Any], extra: Any, batch: Batch, key: jax.Array
    ) -> tuple[Any, Metrics, Any, Any]:
        trained = trained_leaves(params, train_only)

        def objective(params: Any) -> tuple[jax.Array, tuple[Metrics, dict[str, Any]]]:
            params = jax.tree.map(
                lambda p, train: p if train else jax.lax.stop_gradient(p), params, trained
            )
            variables = {"params": params, **stats}
            with spread_maps(mesh) if mesh is not None else nullcontext():
                value, metrics, updates = loss(model, variables, extra, batch, {"dropout": key})
            return value, (metrics, updates)

        (value, (metrics, updates)), gradients = jax.value_and_grad(objective, has_aux=True)(params)
        return (
            gradients, metrics | {"loss": value},
            {name: updates.get(name, old) for name, old in stats.items()},
            _same_shapes(updates.get("extra", extra), extra),
        )

    def step(state: TrainState, batch: Batch, lr: jax.Array, key: jax.Array):
        trained = trained_leaves(state.params, train_only)
        key = jax.random.fold_in(key, state.step)
        if augment is not None:
            batch = augment(jax.random.fold_in(key, 1), batch)
        params = state.params if mesh is None else gathered(state.params, mesh)
        stats = {"batch_stats": state.batch_stats}
        if state.split_means:
            stats = {
                "batch_stats": disaggregate(state.batch_stats, state.split_means),
                SPLIT_MEANS: state.split_means,
            }
        gradients, metrics, stats, extra = in_parts(
            gradients_of, accumulate, block=model.group_size if model.norm_groups else 1, mesh=mesh
        )(params, stats, state.extra, batch, key)
        batch_stats, split_means = stats["batch_stats"], stats.get(SPLIT_MEANS, {})
        if split_means:
            batch_stats = aggregate(batch_stats, split_means)
        if mesh is not None:
            parts = state_shardings(state.params, mesh)
            gradients = jax.lax.with_sharding_constraint(gradients, parts)
        gradients, norm = clip_gradients(gradients, norm=clip_norm, value=clip_value)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = jax.tree.map(
            lambda p, u, train: (p - lr * u).astype(p.dtype) if train else p,
            state.params, updates, trained,
        )
        averaged = jax.tree.map(
            lambda old, new: average * old + (1 - average) * new, state.average, params
        ) if average else state.average
        state = TrainState(
            state.step + 1, params, batch_stats, opt_state, averaged, extra, split_means
        )
        return state, metrics | {"grad_norm": norm}

    return step


def _same_shapes(extra: Any, before: Any) -> Any:
    found, expected = (
        jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree)
        for tree in (extra, before)
    )
    if found != expected:
        raise ValueError(
            f"the task's loss returned updates['extra'] with {found}, expected the structure, "
            f"shapes and dtypes of the state's extra, {expected}"
        )
    return extra


def trained_leaves(params: Any, train_only: str) -> Any:
    """A tree of bools: whether each parameter is trained, see `make_train_step`.

    Raises ValueError if `train_only` matches none.
    """
    if not train_only:
        return jax.tree.map(lambda _: True, params)
    trained = jax.tree.map(lambda path: bool(re.fullmatch(train_only, path)), paths(params))
    if not any(jax.tree.leaves(trained)):
        raise ValueError(
            f"train_only is {train_only!r}, which matches no parameter; their paths are "
            f"{', '.join(jax.tree.leaves(paths(params))[:3])}, ..."
        )
    return trained
