"""Optimizers with PyTorch's rules, parameter groups and gradient clipping.

An optimizer here is an `optax.GradientTransformation` without the learning rate and the sign: the
training step does `params - lr * updates`. So the momentum holds gradients and not steps, as in
PyTorch: a rate that changes does not rescale what has been gathered.
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
    """The optimizer of a recipe; its updates are multiplied by the learning rate and subtracted.

    Args:
      name: "sgd": `buffer = momentum * buffer + (1 - dampening) * gradient`, the first buffer being
        the gradient itself, undampened; `nesterov` looks one step ahead. "adam"
        (https://arxiv.org/abs/1412.6980) and "adamw" (https://arxiv.org/abs/1711.05101) take
        `betas`.
      weight_decay: added to the gradient as `weight_decay * parameter` before anything else
        ("adamw": to the update, after everything else).
      norm_weight_decay: the same for scale and bias of batch norms. The original takes
        `weight_decay` there, too, where its batch norm is split (sub-BN).
      zero_wd_1d: no decay for other one-dimensional parameters and biases.
      no_decay: regular expressions over whole paths of parameters that have no decay, whatever else
        they are; see `without_decay`.
      layer_decay: the learning rate of a layer by that of the next one, at most 1; the last layer
        has the whole rate (discriminative fine-tuning, https://arxiv.org/abs/1801.06146).
      layer_of: maps a parameter's path to the index of its layer; the network's `layer_of`. Needed
        only for `layer_decay`.
      is_norm: whether the parameter at a path belongs to a batch norm; the network's `is_norm`. By
        default none does.
      lars: scales the gradient of every kernel by the ratio of parameter to gradient norm
        (https://arxiv.org/abs/1708.03888) before the momentum. As in the original, parameters
        with one dimension are not scaled and then, batch norms aside, not decayed either.

    Raises ValueError for an unknown name and for numbers that PyTorch refuses; at the first update
    for an entry of `no_decay` that matches nothing.
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
            f"optimizer.layer_decay is {layer_decay}, but this network has no `layer_of`, that is, "
            "it defines no layers; set it to 1"
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
        raise ValueError("optimizer.lars goes with sgd and adam; adamw decays after scaling")
    first = optax.stateless(decay_and_trust if lars else decay)
    rule = _momentum(momentum, nesterov, dampening) if name == "sgd" else _adam(*betas)
    parts = [rule, first] if name == "adamw" else [first, rule]
    return optax.chain(*parts, *([optax.stateless(by_layer)] if layer_decay < 1 else []))


def clip_gradients(
    gradients: Tree, *, norm: float = 0.0, value: float = 0.0
) -> tuple[Tree, jax.Array]:
    """Gradients limited in size, and the norm of all of them together as the original reports it.

    Args:
      norm: the largest Euclidean norm of all gradients together; 0: no limit. All are multiplied by
        `min(1, norm / (their norm + 1e-6))`; the norm before that is returned.
      value: the largest absolute value of an entry; 0: no limit. It takes precedence over `norm`;
        the norm after clipping is returned.
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
    """A tree of bools: which parameters a regular expression of `no_decay` matches as a whole.

    Raises ValueError for one that matches none of them.
    """
    names = paths(params)
    for pattern in no_decay:
        try:
            matched = any(re.fullmatch(pattern, path) for path in jax.tree.leaves(names))
        except re.error as error:
            raise ValueError(
                f"optimizer.no_decay has {pattern!r}, which is no regular expression: {error}"
            ) from error
        if not matched:
            raise ValueError(
                f"optimizer.no_decay has {pattern!r}, which matches no parameter; their paths are "
                f"{', '.join(jax.tree.leaves(names)[:3])}, ..."
            )
    return jax.tree.map(lambda path: any(re.fullmatch(p, path) for p in no_decay), names)


def paths(tree: Tree) -> Tree:
    """A tree of the same form with each leaf's path, "head/projection/kernel"."""
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
    """optax.scale_by_adam, but for the bias corrections.

    It takes `1 - beta ** step` in float32, where 0.999 ** 1 has lost all but five digits of the
    difference: the first steps would come out up to 2e-5 shorter or longer.
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
