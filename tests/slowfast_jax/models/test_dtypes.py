"""Parts of a network that compute in their own dtype."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slowfast_jax.config import ConfigError, build_model, load_config
from slowfast_jax.models import zoo
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.recognizer import load
from slowfast_jax.weights import initial_variables, variable_shapes
from tests.support.compiling import FAST
from tests.support.paths import ROOT

FULL, HALF = jnp.dtype("float32"), jnp.dtype("bfloat16")
FAMILIES = {
    "SlowFast": dict(name="kinetics/mini", depth=(1, 1, 1, 1)),
    "I3D": dict(
        name="kinetics/i3d_nln_8x8_r50", depth=(1, 1, 1, 1), width=8, crop_size=64,
        nonlocal_blocks=((), (0,), (), ()),
    ),
    "boxes": dict(name="ava/slow_8x8_r50", depth=(1, 1, 1, 1), width=8, crop_size=64),
    "X3D": dict(
        name="kinetics/x3d_xs", depth_factor=0.2, width_factor=1.0, head_width=32, crop_size=64
    ),
}
SMALL = dict(
    depth=(1, 1, 1, 1), width=4, num_frames=2, crop_size=32, group_size=1
)


@pytest.fixture(params=FAMILIES)
def model(request):
    options = FAMILIES[request.param] | {"num_classes": 4, "dtype": HALF, "group_size": 1}
    return zoo.create(options.pop("name"), **options)


def inputs_of(model, side=64):
    values = np.random.default_rng(0).integers(0, 256, (2, model.num_frames, side, side, 3))
    clip = jnp.asarray(values, jnp.uint8)
    boxes = jnp.tile(jnp.array([3.3, 5.7, 40.1, 61.9]), (2, 3, 1))
    return clip, boxes if model.detection else None


def computed_in(model, train):
    """{part: dtypes of the arrays that its modules return}."""
    found = {}

    def note(call, args, kwargs, context):
        y = call(*args, **kwargs)
        path = context.module.path
        if path and isinstance(y, jax.Array) and not isinstance(context.module, nn.Dropout):
            found.setdefault(path[0], set()).add(y.dtype)
        return y

    clip, boxes = inputs_of(model)
    with nn.intercept_methods(note):
        jax.eval_shape(
            lambda v: model.apply(
                v, clip, boxes, train=train, rngs={"dropout": jax.random.key(0)},
                mutable=["batch_stats"],
            ), variable_shapes(model),
        )
    return found


@pytest.mark.parametrize("train", [pytest.param(False, marks=pytest.mark.slow), True])
def test_each_part_computes_in_its_dtype(model, train):
    assert set(model.parts) == set(variable_shapes(model)["params"])
    assert computed_in(model, train) == {part: {HALF} for part in model.parts}
    first, last = model.parts[0], [part for part in model.parts if part.endswith("res5")][0]
    exact = ("head", first, last)
    mixed = model.clone(dtypes=[f"{part}:float32" for part in exact])
    expected = {part: {FULL if part in exact else HALF} for part in model.parts}
    assert computed_in(mixed, train) == expected
    assert computed_in(mixed.clone(remat=(last,)), train) == expected
    assert {leaf.dtype for leaf in jax.tree.leaves(variable_shapes(mixed))} == {FULL}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [FULL, HALF])
def test_all_parts_in_one_dtype_equal_a_network_of_that_dtype(dtype):
    """The result does not depend on how the dtype was requested; boxes are not cast."""
    whole = ResNet3D(4, detection=True, dtype=dtype, **SMALL)
    other = {FULL: HALF, HALF: FULL}[dtype]
    parts = whole.clone(dtype=other, dtypes=[f"{part}:{dtype.name}" for part in whole.parts])
    variables = initial_variables(whole, 0)
    clip, boxes = inputs_of(whole, 32)
    found, expected = (
        jax.jit(lambda v, m=m: m.apply(v, clip, boxes)[0], compiler_options=FAST)(variables)
        for m in (parts, whole)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_gradients_pass_the_casts():
    model = ResNet3D(4, dropout=0.0, zero_init_final_bn=False, **SMALL)
    mixed = model.clone(dtype=HALF, dtypes=("head:float32", "res3:float32"))
    variables = initial_variables(model, 0)
    clip, _ = inputs_of(model, 32)

    def loss(params):
        (logits, _), _ = mixed.apply(
            variables | {"params": params}, clip, train=True, mutable=["batch_stats"]
        )
        return jnp.square(logits - jnp.arange(4)).mean()

    slope = jax.jit(jax.grad(loss), compiler_options=FAST)(variables["params"])
    for leaf in jax.tree.leaves(slope):
        assert leaf.dtype == FULL and np.isfinite(leaf).all() and leaf.any()


WRONG = [
    ("hed:float32", r"'hed:float32', expected PART:DTYPE.*'hed' is not a part.*mean head\? \("),
    ("head:float23", r"'float23' is not a dtype .*mean float32\? \(float32, bfloat16"),
    ("head", "'' is not a dtype"),
    ("zzz:float32", r"'zzz' is not a part of this network \(slow_stem, fast_stem, "),
]


@pytest.mark.parametrize(("entry", "message"), WRONG)
def test_unknown_parts_and_dtypes(entry, message):
    model = zoo.create("kinetics/mini", dtypes=(entry,))
    with pytest.raises(ValueError, match=message):
        variable_shapes(model)
    config = load_config(f"{ROOT}/configs/kinetics.py:mini")
    config.model.dtypes = (entry,)
    with pytest.raises(ConfigError, match=f"config.model.dtypes has .*{message}"):
        build_model(config)


@pytest.mark.slow
def test_load_takes_dtypes():
    recognizer = load(
        "kinetics/mini", dtype="bfloat16", dtypes=("head:float32",), depth=(1, 1, 1, 1)
    )
    assert recognizer.model.folded and recognizer.config.model.dtypes == ("head:float32",)
    found = computed_in(recognizer.model, train=False)
    assert found.pop("head") == {FULL} and set.union(*found.values()) == {HALF}
