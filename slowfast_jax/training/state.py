"""What training carries from step to step."""

from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
    """A pytree. step: how many steps were taken, int32; the rest as flax and optax make them.

    average: the exponential moving average of the parameters, {} where none is kept.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    average: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` and `save_checkpoint` take: the averaged parameters, if there are."""
        return {"params": self.average or self.params, "batch_stats": self.batch_stats}


def create_state(
    variables: Mapping, optimizer: optax.GradientTransformation, *, averaged: bool = False
) -> TrainState:
    """The state before the first step, from a model's variables."""
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
        # Another array, not another name: a step gives up the memory of each for itself.
        average=jax.tree.map(jnp.copy, params) if averaged else {},
    )
