"""The training state: everything that is carried from one step to the next."""

from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from slowfast_jax.ops.norm_statistics import zero_split_means


@flax.struct.dataclass
class TrainState:
    """The state of a training run, a pytree.

    Attributes:
      step: number of steps taken, int32.
      params, batch_stats: the network's variables; `batch_stats` is {} without batch norm.
      opt_state: the optimizer's state.
      split_means: running means of split batch norms, see `models.norm.BatchNorm`; {} if the run
        has none. `batch_stats` already contains the variance between them.
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
    split_means: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """Variables for evaluation; the parameters are the moving average if one is kept."""
        return {"params": self.average or self.params, "batch_stats": self.batch_stats}

    def with_statistics(self, batch_stats: Any) -> "TrainState":
        """The state with other running statistics, in which all splits have the same means."""
        return self.replace(
            batch_stats=batch_stats, split_means=jax.tree.map(jnp.zeros_like, self.split_means)
        )


def create_state(
    variables: Mapping,
    optimizer: optax.GradientTransformation,
    *,
    averaged: bool = False,
    extra: Any = None,
    norm_splits: int = 1,
) -> TrainState:
    """The state before the first step, from a model's variables.

    Args:
      variables: the model's "params" and, with batch norm, "batch_stats".
      optimizer: the optimizer whose state to initialize.
      averaged: whether to keep a moving average of the parameters.
      extra: see `TrainState.extra`. It is copied, so it may share arrays with the parameters.
      norm_splits: largest number of splits of batch norms in the run; 1: none are split.
    """
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    # Arrays must not be shared within the state: the training step donates each one's memory.
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=optimizer.init(params),
        average=jax.tree.map(jnp.copy, params) if averaged else {},
        extra=jax.tree.map(jnp.copy, extra or {}),
        split_means=zero_split_means(batch_stats, norm_splits) if norm_splits > 1 else {},
    )
