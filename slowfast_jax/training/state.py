"""What training carries from step to step."""

from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class TrainState:
    """A pytree. step: how many steps were taken, int32; the rest as flax and optax make them."""

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState

    @property
    def variables(self) -> dict[str, Any]:
        """What `model.apply` and `save_checkpoint` take."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def create_state(variables: Mapping, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, from a model's variables."""
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
    )
