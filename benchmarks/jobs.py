"""Our side of a training comparison: gradients alone, or whole training steps."""

from collections.abc import Callable

import flax.linen as nn
import jax
import numpy as np

from slowfast_jax.tasks.base import supervised
from slowfast_jax.training.losses import cross_entropy
from slowfast_jax.training.optim import make_optimizer
from slowfast_jax.training.state import create_state
from slowfast_jax.training.step import make_train_step

SGD = dict(momentum=0.9, nesterov=True, weight_decay=1e-4)
LR = 1e-3
Job = tuple[Callable[[], object], Callable[[], dict]]  # (function to time, function for its result)


def forward_backward(
    model: nn.Module, variables: dict, clip: np.ndarray, labels: np.ndarray
) -> Job:
    """A forward and a backward pass; the result is the gradient of all parameters."""

    def loss(params, statistics, clip, labels):
        variables = {"params": params, **statistics}
        (logits, _), updated = model.apply(variables, clip, train=True, mutable=["batch_stats"])
        return cross_entropy(logits, labels), updated

    step = jax.jit(jax.grad(loss, has_aux=True))
    statistics = {name: part for name, part in variables.items() if name != "params"}
    arguments = jax.device_put((variables["params"], statistics, clip, labels))
    return lambda: jax.block_until_ready(step(*arguments)), lambda: step(*arguments)[0]


def whole_step(model: nn.Module, variables: dict, clip: np.ndarray, labels: np.ndarray) -> Job:
    """A training step; the result is the change of all parameters since the first one."""
    optimizer = make_optimizer("sgd", norm_weight_decay=SGD["weight_decay"], **SGD)
    step = jax.jit(
        make_train_step(
            model, optimizer,
            supervised(lambda logits, _, batch: (cross_entropy(logits, batch["label"]), {})),
        ),
        donate_argnums=0,
    )
    start = jax.tree.map(np.array, variables["params"])
    state = create_state(jax.device_put(variables), optimizer)
    batch, key = jax.device_put({"clip": clip, "label": labels}), jax.random.key(0)

    def run():
        nonlocal state
        state, metrics = jax.block_until_ready(step(state, batch, np.float32(LR), key))

    return run, lambda: jax.tree.map(lambda new, old: np.asarray(new) - old, state.params, start)
