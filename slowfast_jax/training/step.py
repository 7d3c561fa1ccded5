"""One step of training, as a pure function of state and batch."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import optax

from slowfast_jax.training.optim import clip_gradients, paths
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

    The step's arguments are `lr`, a scalar, and `key`, the same random key for every step: the
    number of the step is folded in, for dropout and `mix`.

    The metrics are scalars: "loss", "grad_norm" (of all gradients together, see `clip_gradients`)
    and those of `loss`. Where the loss is not finite the state is worthless: stop.

    Raises ValueError, at the first call, where `train_only` matches nothing.
    """

    def step(state: TrainState, batch: Batch, lr: jax.Array, key: jax.Array):
        trained = _trained(state.params, train_only)
        key = jax.random.fold_in(key, state.step)
        if mix is not None:
            batch = mix(jax.random.fold_in(key, 1), batch)

        def objective(params: Any) -> tuple[jax.Array, tuple[Any, Metrics]]:
            params = jax.tree.map(
                lambda p, train: p if train else jax.lax.stop_gradient(p), params, trained
            )
            (logits, endpoints), updated = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                batch["clip"],
                batch.get("boxes"),
                train=True,
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
            value, metrics = loss(logits, endpoints, batch)
            return value, (updated.get("batch_stats", state.batch_stats), metrics)

        (value, (batch_stats, metrics)), gradients = jax.value_and_grad(objective, has_aux=True)(
            state.params
        )
        gradients, norm = clip_gradients(gradients, norm=clip_norm, value=clip_value)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = jax.tree.map(
            lambda p, u, train: (p - lr * u).astype(p.dtype) if train else p,
            state.params, updates, trained,
        )
        state = TrainState(state.step + 1, params, batch_stats, opt_state)
        return state, metrics | {"loss": value, "grad_norm": norm}

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
