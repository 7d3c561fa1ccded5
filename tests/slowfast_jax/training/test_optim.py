"""Optimizers and clipping against PyTorch's, on vectors and by parameter group."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.models.base import ConvNetwork
from slowfast_jax.training.optim import clip_gradients, make_optimizer, paths
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.models import cases
from tests.support.paths import needs_parity


def randn(name, *shape):
    values = np.random.RandomState(zlib.crc32(name.encode())).randn(*shape)
    return jnp.asarray(values, jnp.float32)


def run(optimizer, params, gradients, lr):
    """The parameters after each step."""

    @jax.jit
    def step(params, state, gradients):
        updates, state = optimizer.update(gradients, state, params)
        return jax.tree.map(lambda p, u: p - lr * u, params, updates), state

    state, seen = optimizer.init(params), []
    for gradient in gradients:
        params, state = step(params, state, gradient)
        seen.append(params)
    return seen


VECTORS = {
    "sgd_nesterov": dict(name="sgd", weight_decay=0.01),
    "sgd_dampening": dict(name="sgd", weight_decay=0.01, dampening=0.2, nesterov=False),
    "adam_l2": dict(name="adam", weight_decay=0.1),
    "adamw": dict(name="adamw", weight_decay=0.1, betas=(0.9, 0.95)),
}


@needs_parity
@pytest.mark.parametrize("name", VECTORS)
def test_four_steps_of_a_vector(name):
    gradients = [{"x": randn(f"opt/g{i}", 7)} for i in range(4)]
    ours = run(make_optimizer(**VECTORS[name]), {"x": randn("opt/p", 7)}, gradients, lr=0.1)
    recorded = cases.outputs("train", "losses_bn_opt")[f"opt_{name}"]
    np.testing.assert_allclose([p["x"] for p in ours], recorded, rtol=2e-6, atol=1e-7)


@needs_parity
def test_lars():
    params = {"head": {"kernel": randn("opt/pm", 4, 5), "bias": randn("opt/p", 7)}}
    gradients = [
        {"head": {"kernel": randn(f"opt/gm{i}", 4, 5), "bias": randn(f"opt/g{i}", 7)}}
        for i in range(4)
    ]
    ours = run(make_optimizer(weight_decay=0.1, lars=True), params, gradients, lr=0.5)
    recorded = cases.outputs("train", "losses_bn_opt")
    for leaf, name in (("kernel", "matrix"), ("bias", "vector")):
        values = [p["head"][leaf] for p in ours]
        np.testing.assert_allclose(values, recorded[f"opt_lars_{name}"], rtol=2e-6, atol=1e-7)


def tree(value):
    leaf = jnp.full
    return {
        "res2": {
            "a": {"kernel": leaf((1, 1, 1, 2, 3), value)},
            "a_bn": {"scale": leaf((3,), value), "bias": leaf((3,), value)},
        },
        "head": {"projection": {"kernel": leaf((3, 2), value), "bias": leaf((2,), value)}},
    }


@pytest.mark.parametrize("options, expected", [
    (dict(weight_decay=0.1), dict(kernel=0.1, scale=0, norm_bias=0, bias=0.1)),
    (dict(weight_decay=0.1, norm_weight_decay=0.2),
     dict(kernel=0.1, scale=0.2, norm_bias=0.2, bias=0.1)),
    (dict(weight_decay=0.1, norm_weight_decay=0.2, zero_wd_1d=True),
     dict(kernel=0.1, scale=0.2, norm_bias=0.2, bias=0)),
    # LARS leaves parameters with zero gradient unchanged, without decay
    (dict(weight_decay=0.1, norm_weight_decay=0.2, lars=True),
     dict(kernel=0, scale=0.2, norm_bias=0.2, bias=0)),
])
def test_decay_by_group(options, expected):
    params = tree(1.0)
    optimizer = make_optimizer(
        momentum=0.0, nesterov=False, is_norm=ConvNetwork.is_norm, **options
    )
    updates, _ = optimizer.update(tree(0.0), optimizer.init(params), params)
    found = {
        "kernel": updates["res2"]["a"]["kernel"], "scale": updates["res2"]["a_bn"]["scale"],
        "norm_bias": updates["res2"]["a_bn"]["bias"],
        "bias": updates["head"]["projection"]["bias"],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(
        updates["head"]["projection"]["kernel"][0, 0], found["kernel"].ravel()[0]
    )


RULES = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}


@pytest.mark.parametrize("name", RULES)
def test_layer_decay_and_no_decay_equal_pytorch_groups(name):
    torch = pytest.importorskip("torch")
    start = {  # path: (start, scale of the learning rate, weight decay)
        "stem/conv/kernel": (randn("p0", 3, 4), 0.5**5, 0.1),
        "lateral1/conv/kernel": (randn("p1", 2, 2), 0.5**5, 0.1),
        "fast_res2/block0/a/kernel": (randn("p2", 4, 4), 0.5**4, 0.0),
        "slow_res5/block1/a_bn/scale": (randn("p3", 4), 0.5, 0.2),
        "slow_res5/block1/a_bn/bias": (randn("p4", 4), 0.5, 0.0),
        "head/projection/kernel": (randn("p5", 4, 2), 1.0, 0.1),
        "head/projection/bias": (randn("p6", 2), 1.0, 0.1),
    }
    gradients = [
        {path: randn(f"{path}{i}", *p.shape) for path, (p, *_) in start.items()} for i in range(4)
    ]
    optimizer = make_optimizer(
        name, weight_decay=0.1, norm_weight_decay=0.2, layer_decay=0.5,
        layer_of=ConvNetwork.layer_of, is_norm=ConvNetwork.is_norm,
        no_decay=("fast_res2/.*", ".*a_bn/bias"),
    )
    ours = run(optimizer, {path: p for path, (p, *_) in start.items()}, gradients, lr=0.1)

    theirs = {path: torch.tensor(np.array(p)) for path, (p, *_) in start.items()}
    groups = [
        {"params": [theirs[path]], "lr": 0.1 * scale, "weight_decay": decay}
        for path, (_, scale, decay) in start.items()
    ]
    options = {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
    torch_optimizer = getattr(torch.optim, RULES[name])(groups, lr=9.0, **options)
    for found, gradient in zip(ours, gradients, strict=True):
        for path, value in theirs.items():
            value.grad = torch.tensor(np.array(gradient[path]))
        torch_optimizer.step()
        for path, value in theirs.items():
            np.testing.assert_allclose(
                found[path], value.numpy(), rtol=2e-6, atol=2e-7, err_msg=path
            )


@pytest.mark.parametrize(
    "name", ["kinetics/mini", "kinetics/i3d_nln_8x8_r50", "kinetics/x3d_xs", "ava/slow_8x8_r50"]
)
def test_networks_number_their_layers(name):
    model = zoo.create(name)
    names = jax.tree.leaves(paths(variable_shapes(model)["params"]))
    layers = {}
    for path in names:
        layers.setdefault(model.layer_of(path), set()).add(path.split("/")[0])
    assert sorted(layers) == [0, 1, 2, 3, 4, 5] and layers[5] == {"head"}
    if name == "kinetics/mini":
        assert layers[0] == {"slow_stem", "fast_stem", "lateral1"}
        assert layers[3] == {"slow_res4", "fast_res4", "lateral4"}


@pytest.mark.parametrize("pattern, message", [
    ("pos_embed", "no_decay has 'pos_embed', which matches no parameter; their paths are head/"),
    ("head", "no_decay has 'head', which matches no parameter"),  # must match the whole path
    ("(", r"no_decay has '\(', which is not a regular expression"),
])
def test_no_decay_that_matches_nothing_is_refused(pattern, message):
    optimizer = make_optimizer(weight_decay=0.1, no_decay=("head/.*", pattern))
    with pytest.raises(ValueError, match=message):
        optimizer.update(tree(0.0), optimizer.init(tree(1.0)), tree(1.0))


def test_clipping_by_norm_and_by_value():
    gradients = {"a": jnp.asarray([3.0, -4.0]), "b": jnp.asarray([12.0])}
    same, norm = clip_gradients(gradients)
    assert norm == 13.0 and same is gradients
    clipped, norm = clip_gradients(gradients, norm=6.5)
    assert norm == 13.0
    np.testing.assert_allclose(clipped["a"], np.asarray([3, -4]) * 6.5 / (13 + 1e-6), rtol=1e-6)
    below, _ = clip_gradients(gradients, norm=20.0)
    np.testing.assert_array_equal(below["b"], [12.0])
    clipped, norm = clip_gradients(gradients, norm=0.1, value=3.5)
    np.testing.assert_array_equal(clipped["a"], [3.0, -3.5])
    assert norm == pytest.approx(np.sqrt(9 + 2 * 3.5**2), rel=1e-6)


@pytest.mark.parametrize("options, message", [
    (dict(name="rmsprop"), "optimizer.name is 'rmsprop', expected sgd, adam, adamw"),
    (dict(momentum=0.0), "nesterov needs momentum above 0 and no dampening; momentum is 0.0"),
    (dict(dampening=0.1), "and dampening 0.1"),
    (dict(betas=(0.9, 1.0)), r"betas is \(0.9, 1.0\), expected two numbers in \(0, 1\)"),
    (dict(name="adamw", lars=True), "lars cannot be combined with adamw"),
    (dict(layer_decay=0.0), "layer_decay is 0.0, expected above 0, at most 1"),
    (dict(layer_decay=1.5), "layer_decay is 1.5, expected above 0, at most 1"),
    (dict(layer_decay=0.5), "layer_decay is 0.5, but this network defines no layers"),
])
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(weight_decay=0.0, **options)
