"""One step of training, as a pure function of state and batch."""

import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import flax.linen as nn
import jax
import optax
from jax.sharding import Mesh

from slowfast_jax.training.accumulation import in_parts
from slowfast_jax.training.optim import clip_gradients, paths
from slowfast_jax.training.sharding import gathered, spread_maps, state_shardings
from slowfast_jax.training.state import TrainState

Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]
# (logits, endpoints, batch) -> the loss, and what else to report of the batch
LossFunction = Callable[[jax.Array, dict[str, jax.Array], Batch], tuple[jax.Array, Metrics]]
Mixer = Callable[[jax.Array, Batch], Batch]  # (random key, batch) -> the batch that is learnt
TrainStep = Callable[[TrainState, Batch, jax.Array, jax.Array], tuple[TrainState, Metrics]]


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    loss: LossFunction,
    *,
    clip_norm: float = 0.0,
    clip_value: float = 0.0,
    train_only: str = "",
    mix: Mixer | None = None,
    accumulate: int = 1,
    average: float = 0.0,
    mesh: Mesh | None = None,
) -> TrainStep:
    """`step(state, batch, lr, key) -> (state, metrics)`, to be jitted by the caller.

    Gradients, batch statistics and metrics are those of the whole batch, on however many devices
    it lies. Parameters are updated in their own dtype (float32), whatever `model.dtype` is.

    Args:
      model: takes `(clip, boxes, train)` and gives `(logits, endpoints)`.
      optimizer: of `make_optimizer`: its updates are multiplied by `lr` and subtracted.
      loss: of the task. A batch has at least "clip", and "boxes" where the model takes them.
      clip_norm, clip_value: see `clip_gradients`; 0: no limit.
      train_only: a regular expression over whole paths of parameters ("head/projection/.*").
        Parameters it does not match keep their values, weight decay included, and need no
        gradient; running statistics go on (with the classifier alone: the original's
        DETACH_FINAL_FC). "": all are trained.
      mix: see `mixing.make_mixer`.
      accumulate: parts of the batch that are gone through one after the other, which takes the
        memory of one; see `accumulation.in_parts`.
      average: decay of the exponential moving average of the parameters in `state.average`, as of
        Polyak averaging in https://arxiv.org/abs/1703.01780; 0: none.
      mesh: over which maps and split parameters lie, see sharding.py; None: one device, or what the
        compiler makes of the arguments.

    The step's arguments are `lr`, a scalar, and `key`, the same random key for every step: the
    number of the step is folded in, for dropout and `mix`.

    The metrics are scalars: "loss", "grad_norm" (of all gradients together, see `clip_gradients`)
    and those of `loss`. Where the loss is not finite the state is worthless: stop.

    Raises ValueError, at the first call, where `train_only` matches nothing.
    """

    def gradients_of(
        params: Any, batch_stats: Any, batch: Batch, key: jax.Array
    ) -> tuple[Any, Any, Metrics]:
        """(gradients, new batch statistics, metrics with the loss among them)."""
        trained = _trained(params, train_only)

        def objective(params: Any) -> tuple[jax.Array, tuple[Any, Metrics]]:
            params = jax.tree.map(
                lambda p, train: p if train else jax.lax.stop_gradient(p), params, trained
            )
            with spread_maps(mesh) if mesh is not None else nullcontext():
                (logits, endpoints), updated = model.apply(
                    {"params": params, "batch_stats": batch_stats},
                    batch["clip"],
                    batch.get("boxes"),
                    train=True,
                    rngs={"dropout": key},
                    mutable=["batch_stats"],
                )
            value, metrics = loss(logits, endpoints, batch)
            return value, (updated.get("batch_stats", batch_stats), metrics)

        (value, (batch_stats, metrics)), gradients = jax.value_and_grad(objective, has_aux=True)(
            params
        )
        return gradients, batch_stats, metrics | {"loss": value}

    def step(state: TrainState, batch: Batch, lr: jax.Array, key: jax.Array):
        trained = _trained(state.params, train_only)
        key = jax.random.fold_in(key, state.step)
        if mix is not None:
            batch = mix(jax.random.fold_in(key, 1), batch)
        params = state.params if mesh is None else gathered(state.params, mesh)
        gradients, batch_stats, metrics = in_parts(
            gradients_of, accumulate, block=model.group_size if model.norm_groups else 1, mesh=mesh
        )(params, state.batch_stats, batch, key)
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
        state = TrainState(state.step + 1, params, batch_stats, opt_state, averaged)
        return state, metrics | {"grad_norm": norm}

    return step


def _trained(params: Any, train_only: str) -> Any:
    """A tree of bools: which parameters are trained."""
    if not train_only:
        return jax.tree.map(lambda _: True, params)
    trained = jax.tree.map(lambda path: bool(re.fullmatch(train_only, path)), paths(params))
    if not any(jax.tree.leaves(trained)):
        raise ValueError(
            f"train_only is {train_only!r}, which matches no parameter; their paths are "
            f"{', '.join(jax.tree.leaves(paths(params))[:3])}, ..."
        )
    return trained
