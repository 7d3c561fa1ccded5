"""The training state: everything that is carried from one step to the next."""

from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
    """The state of a training run, a pytree.

    Attributes:
      step: number of steps taken, int32.
      params, batch_stats: the network's variables; `batch_stats` is {} without batch norm.
      opt_state: the optimizer's state.
      average: exponential moving average of the parameters; {} if none is kept.
      extra: arrays that the task keeps between steps, such as a momentum encoder or a queue of
        features; {} for supervised training. They are sharded, saved and restored like the rest.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    average: Any = flax.struct.field(default_factory=dict)
    extra: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """Variables for evaluation; the parameters are the moving average if one is kept."""
        return {"params": self.average or self.params, "batch_stats": self.batch_stats}


def create_state(
    variables: Mapping,
    optimizer: optax.GradientTransformation,
    *,
    averaged: bool = False,
    extra: Any = None,
) -> TrainState:
    """The state before the first step, from a model's variables.

    Args:
      variables: the model's "params" and, with batch norm, "batch_stats".
      optimizer: the optimizer whose state to initialize.
      averaged: whether to keep a moving average of the parameters.
      extra: see `TrainState.extra`. It is copied, so it may share arrays with the parameters.
    """
    params = variables["params"]
    # Arrays must not be shared within the state: the training step donates each one's memory.
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        average=jax.tree.map(jnp.copy, params) if averaged else {},
        extra=jax.tree.map(jnp.copy, extra or {}),
    )
