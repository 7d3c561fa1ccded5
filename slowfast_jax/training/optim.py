"""Optimizers with PyTorch's rules, parameter groups and gradient clipping.

An optimizer here is an `optax.GradientTransformation` that applies neither the learning rate nor
the sign: the training step computes `params - lr * updates`. So, as in PyTorch, the momentum buffer
accumulates gradients rather than steps, and is not rescaled when the learning rate changes.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

NAMES = ("sgd", "adam", "adamw")
ADAM_EPSILON = 1e-8
CLIP_EPSILON = 1e-6  # torch.nn.utils.clip_grad_norm_
TRUST_COEFFICIENT = 0.001
TRUST_EPSILON = 1e-8

Tree = Any


def make_optimizer(
    name: str = "sgd",
    *,
    weight_decay: float,
    norm_weight_decay: float = 0.0,
    zero_wd_1d: bool = False,
    no_decay: Sequence[str] = (),
    layer_decay: float = 1.0,
    layer_of: Callable[[str], int] | None = None,
    is_norm: Callable[[str], bool] = lambda path: False,
    momentum: float = 0.9,
    nesterov: bool = True,
    dampening: float = 0.0,
    betas: Sequence[float] = (0.9, 0.999),
    lars: bool = False,
) -> optax.GradientTransformation:
    """Makes an optimizer whose updates are to be multiplied by the learning rate and subtracted.

    Args:
      name: "sgd", "adam" (https://arxiv.org/abs/1412.6980) or "adamw"
        (https://arxiv.org/abs/1711.05101).
      weight_decay: `weight_decay * parameter` is added to the gradient before anything else, or
        with "adamw" to the update after everything else.
      norm_weight_decay: weight decay of the scales and biases of batch norms. (The original uses
        `weight_decay` for them if its batch norm is split, sub-BN.)
      zero_wd_1d: whether other biases and one-dimensional parameters have no weight decay.
      no_decay: regular expressions; parameters whose whole path matches one have no weight decay,
        regardless of the options above. See `without_decay`.
      layer_decay: ratio of a layer's learning rate to that of the next layer, at most 1; the last
        layer has the full rate (discriminative fine-tuning, https://arxiv.org/abs/1801.06146).
      layer_of: maps a parameter's path to the number of its layer; the network's `layer_of`. Only
        needed for `layer_decay`.
      is_norm: whether the parameter at a path belongs to a batch norm; the network's `is_norm`. By
        default none does.
      momentum, nesterov, dampening: for "sgd". `buffer = momentum * buffer + (1 - dampening) *
        gradient`; the first buffer is the undampened gradient.
      betas: decay rates of the moments, for "adam" and "adamw".
      lars: whether to scale each kernel's gradient by the ratio of the parameter's norm to the
        gradient's (https://arxiv.org/abs/1708.03888), before the momentum. As in the original,
        one-dimensional parameters are not scaled and, except in batch norms, not decayed either.

    Raises:
      ValueError: an unknown name, or a number that PyTorch refuses, too; at the first update, an
        entry of `no_decay` that matches no parameter.
    """
    if name not in NAMES:
        raise ValueError(f"optimizer.name is {name!r}, expected {', '.join(NAMES)}")
    if nesterov and name == "sgd" and (momentum <= 0 or dampening):
        raise ValueError(
            f"optimizer.nesterov needs momentum above 0 and no dampening; momentum is {momentum} "
            f"and dampening {dampening}"
        )
    if not all(0 < beta < 1 for beta in betas):
        raise ValueError(f"optimizer.betas is {tuple(betas)}, expected two numbers in (0, 1)")
    if not 0 < layer_decay <= 1:
        raise ValueError(f"optimizer.layer_decay is {layer_decay}, expected above 0, at most 1")
    if layer_decay < 1 and layer_of is None:
        raise ValueError(
            f"optimizer.layer_decay is {layer_decay}, but this network defines no layers (it "
            "has no `layer_of`); set layer_decay to 1"
        )

    def decays(params: Tree) -> Tree:
        """Each parameter's weight decay."""

        def of(path: str, parameter: jax.Array, without: bool) -> float:
            if without:
                return 0.0
            if is_norm(path):
                return norm_weight_decay
            flat = parameter.ndim == 1 or path.endswith("bias")
            return 0.0 if zero_wd_1d and flat else weight_decay

        return jax.tree.map(of, paths(params), params, without_decay(params, no_decay))

    def decay(updates: Tree, params: Tree) -> Tree:
        return jax.tree.map(lambda u, p, d: u + d * p, updates, params, decays(params))

    def decay_and_trust(gradients: Tree, params: Tree) -> Tree:
        def of(path: str, gradient: jax.Array, parameter: jax.Array, decay: float) -> jax.Array:
            if is_norm(path):
                return gradient + decay * parameter
            if parameter.ndim == 1:
                return gradient
            return _scale_by_trust(gradient, parameter, decay)

        return jax.tree.map(of, paths(params), gradients, params, decays(params))

    def by_layer(updates: Tree, params: Tree) -> Tree:
        layers = jax.tree.map(layer_of, paths(updates))
        last = max(jax.tree.leaves(layers))
        return jax.tree.map(lambda u, layer: u * layer_decay ** (last - layer), updates, layers)

    if name == "adamw" and lars:
        raise ValueError(
            "optimizer.lars cannot be combined with adamw, which decays weights after scaling; "
            "set optimizer.name to sgd or adam"
        )
    first = optax.stateless(decay_and_trust if lars else decay)
    rule = _momentum(momentum, nesterov, dampening) if name == "sgd" else _adam(*betas)
    parts = [rule, first] if name == "adamw" else [first, rule]
    return optax.chain(*parts, *([optax.stateless(by_layer)] if layer_decay < 1 else []))


def clip_gradients(
    gradients: Tree, *, norm: float = 0.0, value: float = 0.0
) -> tuple[Tree, jax.Array]:
    """Clips gradients by global norm or by value, as the original does.

    Args:
      gradients: any tree of arrays.
      norm: limit on the Euclidean norm of all gradients together; 0: no limit. All gradients are
        multiplied by `min(1, norm / (their norm + 1e-6))`.
      value: limit on the absolute value of each entry; 0: no limit. If set, `norm` is ignored.

    Returns:
      The clipped gradients, and their global norm: before clipping by norm, but after clipping by
      value.
    """
    if value:
        gradients = jax.tree.map(lambda g: jnp.clip(g, -value, value), gradients)
        return gradients, optax.global_norm(gradients)
    total = optax.global_norm(gradients)
    if norm:
        factor = jnp.minimum(1.0, norm / (total + CLIP_EPSILON))
        gradients = jax.tree.map(lambda g: g * factor.astype(g.dtype), gradients)
    return gradients, total


def without_decay(params: Tree, no_decay: Sequence[str]) -> Tree:
    """A tree of bools: whether a parameter's whole path matches a regular expression of `no_decay`.

    Raises ValueError for an invalid expression, or one that matches no parameter.
    """
    names = paths(params)
    for pattern in no_decay:
        try:
            matched = any(re.fullmatch(pattern, path) for path in jax.tree.leaves(names))
        except re.error as error:
            raise ValueError(
                f"optimizer.no_decay has {pattern!r}, which is not a regular expression: {error}"
            ) from error
        if not matched:
            raise ValueError(
                f"optimizer.no_decay has {pattern!r}, which matches no parameter; their paths are "
                f"{', '.join(jax.tree.leaves(names)[:3])}, ..."
            )
    return jax.tree.map(lambda path: any(re.fullmatch(p, path) for p in no_decay), names)


def paths(tree: Tree) -> Tree:
    """A tree of the same structure with each leaf's path, such as "head/projection/kernel"."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator="/"), tree
    )


def _momentum(momentum: float, nesterov: bool, dampening: float) -> optax.GradientTransformation:
    if not momentum:
        return optax.identity()
    trace = optax.trace(momentum, nesterov)
    if not dampening:
        return trace
    after_first = optax.scale_by_schedule(
        lambda step: jnp.where(step == 0, 1.0, 1.0 - dampening)
    )
    return optax.chain(after_first, trace)


def _adam(beta1: float, beta2: float) -> optax.GradientTransformation:
    """optax.scale_by_adam with more precise bias corrections.

    optax computes `1 - beta ** step` in float32, which for beta 0.999 cancels to about five correct
    digits at first, so that the first steps would be wrong by up to 2e-5 of their length.
    """

    def init(params: Tree) -> optax.ScaleByAdamState:
        return optax.scale_by_adam().init(params)

    def update(
        gradients: Tree, state: optax.ScaleByAdamState, params: Tree = None
    ) -> tuple[Tree, optax.ScaleByAdamState]:
        step = optax.safe_increment(state.count)
        mu = optax.tree.update_moment(gradients, state.mu, beta1, 1)
        nu = optax.tree.update_moment(gradients, state.nu, beta2, 2)
        share1, share2 = (-jnp.expm1(step * math.log(beta)) for beta in (beta1, beta2))
        updates = jax.tree.map(
            lambda m, v: m / share1 / (jnp.sqrt(v / share2) + ADAM_EPSILON), mu, nu
        )
        return updates, optax.ScaleByAdamState(step, mu, nu)

    return optax.GradientTransformation(init, update)


def _scale_by_trust(gradient: jax.Array, parameter: jax.Array, decay: float) -> jax.Array:
    size, slope = jnp.linalg.norm(parameter), jnp.linalg.norm(gradient)
    trust = TRUST_COEFFICIENT * size / (slope + size * decay + TRUST_EPSILON)
    scaled = trust * (gradient + decay * parameter)
    return jnp.where((size > 0) & (slope > 0), scaled, gradient)
