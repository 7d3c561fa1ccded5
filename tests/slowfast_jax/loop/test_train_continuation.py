"""Resuming a training of PySlowFast: step and optimizer state of its checkpoint."""

import jax
import numpy as np
import pytest
import yaml

from convert import ForeignCheckpoint, fit, pyslowfast_tensors, write_pyth
from convert.layouts import from_torch
from convert.training.pyslowfast import Progress
from slowfast_jax.config import ConfigError, build_model, load_config
from slowfast_jax.loop import continuation
from slowfast_jax.loop.build import optimizer_of, read_start
from slowfast_jax.loop.continuation import with_progress
from slowfast_jax.loop.step_schedule import StepSchedule
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.training.plan import Phase, Plan, Shape
from slowfast_jax.training.state import create_state
from slowfast_jax.training.writers import read_metrics
from slowfast_jax.weights import describe, initial_variables, read_any, variable_shapes
from tests.support.paths import ROOT
from tests.support.pyslowfast_runs import groups, write_run
from tests.support.tiny_models import training_config

RNG = np.random.default_rng(5)


def mini(**fields):
    """configs/kinetics.py:mini with fields such as optimizer__name."""
    config = load_config(f"{ROOT}/configs/kinetics.py:mini")
    with config.unlocked():
        config.train.init_from.resume = True
        for path, value in fields.items():
            *sections, key = path.split("__")
            section = config
            for name in sections:
                section = section[name]
            section[key] = value
    return config.lock()


def state_of(config):
    """A state of random weights, and its PySlowFast names."""
    model = build_model(config)
    variables = jax.tree.map(
        lambda leaf: RNG.normal(size=leaf.shape).astype(np.float32), variable_shapes(model)
    )
    optimizer = optimizer_of(config, model)
    state = create_state(jax.tree.map(jax.numpy.asarray, variables), optimizer)
    return jax.device_put(state), optimizer, pyslowfast_tensors(variables)


def noise(tensors):
    return {
        name: np.abs(RNG.normal(size=tensors[name].shape)).astype(np.float32)
        for group in groups(tensors) for name in group
    }


def schedule_of(epochs=10, size=40, batch=8):
    shape = Shape(batch, 8, 64, 8, (64, 80), (4, 4))
    plan = Plan(
        shape=shape, phases=(Phase(0, epochs, (shape,)),), epochs=epochs, schedule={},
        evaluations=frozenset(), checkpoints=frozenset(),
    )
    return StepSchedule(plan, size, seed=0)


def leaf_of(tree, path):
    for key in path.split("/"):
        tree = tree[key]
    return np.asarray(tree)


KERNEL = ("slow_stem/conv/kernel", "s1.pathway0_stem.conv.weight")


def assert_restored(tree, moments, kernel=KERNEL):
    ours, theirs = kernel
    leaf = leaf_of(tree, ours)
    np.testing.assert_array_equal(leaf, from_torch(moments[theirs], leaf.shape))


def test_momentum_and_step(tmp_path):
    config = mini(train__init_from__path=str(tmp_path / "a.pyth"))
    state, _, tensors = state_of(config)
    moments = noise(tensors)
    write_run(tmp_path / "a.pyth", tensors, {"momentum_buffer": moments})
    resumed = with_progress(config, state, schedule_of())
    assert int(resumed.step) == 25  # 5 epochs of 40 / 8 steps
    trace = resumed.opt_state[1].trace
    assert jax.tree.structure(trace) == jax.tree.structure(state.params)
    assert_restored(trace, moments)
    assert_restored(trace, moments, ("head/projection/kernel", "head.projection.weight"))
    assert jax.tree.structure(resumed) == jax.tree.structure(state)


def test_moments_of_adamw(tmp_path):
    config = mini(train__init_from__path=str(tmp_path / "a.pyth"), optimizer__name="adamw")
    state, _, tensors = state_of(config)
    first, second = noise(tensors), noise(tensors)
    write_run(tmp_path / "a.pyth", tensors, {"exp_avg": first, "exp_avg_sq": second})
    adam = with_progress(config, state, schedule_of()).opt_state[0]
    assert int(adam.count) == 25
    assert_restored(adam.mu, first)
    assert_restored(adam.nu, second)


def test_a_file_of_weights_alone_starts_at_the_first_step(tmp_path, caplog):
    config = mini(train__init_from__path=str(tmp_path / "a.pyth"))
    state, _, tensors = state_of(config)
    write_pyth(tmp_path / "a.pyth", tensors)
    caplog.set_level("INFO", "absl")
    assert with_progress(config, state, schedule_of()) is state
    assert "has no epoch and optimizer state: training starts at epoch 0" in caplog.text


@pytest.mark.parametrize(("fields", "epoch", "message"), [
    ({"optimizer__name": "adam"}, 4, r"optimizer\.name is adam, but .* has momentum_buffer, expec"),
    ({"train__epochs": 3}, 9, r"train\.epochs is 3, but .*a\.pyth is of epoch 10: increase it"),
])
def test_runs_that_cannot_go_on(tmp_path, fields, epoch, message):
    config = mini(train__init_from__path=str(tmp_path / "a.pyth"), **fields)
    state, _, tensors = state_of(config)
    write_run(tmp_path / "a.pyth", tensors, {"momentum_buffer": noise(tensors)}, epoch=epoch)
    with pytest.raises(ConfigError, match=message):
        with_progress(config, state, schedule_of(epochs=config.train.epochs))


def torch_network(torch, tensors):
    """A network of PyTorch with these names, and its parameters."""
    network, parameters = torch.nn.Module(), {}
    trained = {name for group in groups(tensors) for name in group}
    for name, array in tensors.items():
        parent = network
        *modules, leaf = name.split(".")
        for module in modules:
            if not hasattr(parent, module):
                parent.add_module(module, torch.nn.Module())
            parent = getattr(parent, module)
        if name in trained:
            parameters[name] = torch.nn.Parameter(torch.tensor(array))
            parent.register_parameter(leaf, parameters[name])
        else:
            parent.register_buffer(leaf, torch.tensor(array))
    return network, parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_next_update_is_that_of_pytorch(tmp_path, name):
    """PyTorch trains two steps and saves; the third step is the same in both programs."""
    torch = pytest.importorskip("torch")
    config = mini(
        train__init_from__path=str(tmp_path / "a.pyth"), optimizer__name=name,
        optimizer__weight_decay=0.1,
    )
    state, optimizer, tensors = state_of(config)
    network, parameters = torch_network(torch, tensors)
    split = groups({key: value.numpy() for key, value in network.state_dict().items()})
    rows = [
        {"params": [parameters[n] for n in group], "weight_decay": decay}
        for group, decay in zip(split, (0.0, 0.1), strict=True)
    ]
    theirs = (
        torch.optim.SGD(rows, lr=0.1, momentum=0.9, nesterov=True) if name == "sgd"
        else torch.optim.AdamW(rows, lr=0.1, betas=(0.9, 0.999))
    )

    def step():
        gradients = noise(tensors)
        for key, parameter in parameters.items():
            parameter.grad = torch.tensor(gradients[key])
        theirs.step()
        return gradients

    step(), step()
    torch.save({
        "epoch": 1, "model_state": network.state_dict(), "optimizer_state": theirs.state_dict(),
        "cfg": yaml.safe_dump({"SOLVER": {"OPTIMIZING_METHOD": name}}),
    }, tmp_path / "a.pyth")

    shapes = {"params": state.params, "batch_stats": state.batch_stats}
    trained = read_start(config, shapes, shapes)
    state = state.replace(params=jax.tree.map(jax.numpy.asarray, trained["params"]))
    resumed = with_progress(config, state, schedule_of(size=8))  # one step per epoch
    assert int(resumed.step) == 2
    gradients = step()

    def ours(arrays):
        return fit(
            ForeignCheckpoint("torch zip", dict(arrays), {}), {"params": state.params}
        )[0]["params"]

    updates, _ = optimizer.update(ours(gradients), resumed.opt_state, resumed.params)
    after = jax.tree.map(lambda p, u: p - 0.1 * u, resumed.params, updates)
    expected = ours({key: p.detach().numpy() for key, p in parameters.items()})
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), after, expected
    )


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_norm")
def test_training_goes_on_at_the_epoch_of_the_file(colors, tmp_path, monkeypatch):
    config = training_config(
        colors, train__init_from__path=str(tmp_path / "weights"), train__init_from__resume=True,
        train__epochs=3, norm__precise=False,
    )
    variables = initial_variables(build_model(config), 99)
    save_checkpoint(tmp_path / "weights", variables, describe(config, list("abcd")))
    progress = Progress(2, read_any(tmp_path / "weights"), {})
    monkeypatch.setattr(continuation, "find_progress", lambda config: progress)
    train(config, tmp_path / "run")
    epochs = [row["epoch"] for row in read_metrics(tmp_path / "run") if row["split"] == "train"]
    assert epochs and min(epochs) > 2 and max(epochs) == 3
