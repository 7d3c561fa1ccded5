"""A run's checkpoints are restored exactly as saved, and are always complete."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from slowfast_jax.training.checkpoint import latest_checkpoint, load_checkpoint
from slowfast_jax.training.checkpoint_manager import Checkpoints
from slowfast_jax.training.optim import make_optimizer
from slowfast_jax.training.sharding import make_mesh, replicated
from slowfast_jax.training.state import TrainState, create_state
from tests.support.paths import ROOT


def state_of(seed: int, optimizer: str = "adam") -> TrainState:
    keys = jax.random.split(jax.random.key(seed), 3)
    params = {"a": {"kernel": jax.random.normal(keys[0], (3, 5))}, "b": jax.random.normal(keys[1])}
    variables = {"params": params, "batch_stats": {"a_bn": {"mean": jax.random.normal(keys[2])}}}
    state = create_state(variables, make_optimizer(optimizer, weight_decay=0.1))
    opt_state = jax.tree.map(lambda leaf: leaf + seed, state.opt_state)
    return state.replace(step=jnp.asarray(seed, jnp.int32), opt_state=opt_state)


def assert_same(actual: TrainState, expected: TrainState) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)


def save_all(workdir, steps, noted=None, **options) -> Checkpoints:
    checkpoints = Checkpoints(workdir, **options)
    for step in steps:
        checkpoints.save(step, state_of(step), {"step": step})
        if noted and step in noted:
            checkpoints.scores[step] = noted[step]
    checkpoints.wait()
    return checkpoints


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_restored_state_equals_saved_state(tmp_path, optimizer):
    state = state_of(7, optimizer)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(7, state, {"model": {"name": "x"}, "class_names": ["a", "b"]})
    checkpoints.close()
    again = Checkpoints(tmp_path)
    assert again.steps() == [7] and again.metadata(7)["class_names"] == ["a", "b"]
    assert_same(again.restore(7, state_of(1, optimizer)), state)
    again.close()


def test_shapes_and_shardings_are_enough_to_restore(tmp_path):
    save_all(tmp_path, [3]).close()
    sharding = replicated(make_mesh())
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state_of(1)
    )
    checkpoints = Checkpoints(tmp_path)
    restored = checkpoints.restore(3, shapes)
    assert_same(restored, state_of(3))
    assert all(leaf.sharding == sharding for leaf in jax.tree.leaves(restored))
    checkpoints.close()


def test_a_checkpoint_of_earlier_versions_is_restored(tmp_path):
    """Earlier versions saved JAX arrays, compressed."""
    state = state_of(3)
    items = {
        name: ocp.args.StandardSave(getattr(state, name))
        for name in ("params", "batch_stats", "opt_state")
    }
    with ocp.CheckpointManager(tmp_path / "checkpoints") as manager:
        manager.save(3, args=ocp.args.Composite(metadata=ocp.args.JsonSave({"step": 3}), **items))
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == [3] and checkpoints.metadata(3) == {"step": 3}
    assert_same(checkpoints.restore(3, state_of(1)), state)
    checkpoints.close()


def test_dtypes_are_preserved(tmp_path):
    params = {
        "a": jnp.asarray([1.5, -2.25], jnp.bfloat16), "b": jnp.arange(3), "c": jnp.asarray(True)
    }
    state = TrainState(jnp.asarray(2, jnp.int32), params, {}, ())
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, state, {})
    checkpoints.wait()
    assert_same(checkpoints.restore(2, state), state)
    checkpoints.close()


def test_a_state_may_change_while_it_is_written(tmp_path):
    change = jax.jit(lambda s: jax.tree.map(lambda a: a * 3 + 1, s), donate_argnums=0)
    state = change(TrainState(
        jnp.zeros((), jnp.int32), {"a": jax.random.normal(jax.random.key(0), (8, 256, 256))}, {}, ()
    ))
    expected = np.array(state.params["a"])
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state, {})
    for _ in range(20):
        state = change(state)
    jax.block_until_ready(state)
    checkpoints.close()
    variables, _ = load_checkpoint(latest_checkpoint(tmp_path))
    assert np.array_equal(variables["params"]["a"], expected)


def test_checkpoints_of_a_run_load_like_any_other(tmp_path):
    save_all(tmp_path, [1, 2]).close()
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoints/2"
    variables, metadata = load_checkpoint(latest_checkpoint(tmp_path))
    assert metadata == {"step": 2} and set(variables) == {"params", "batch_stats"}
    expected = state_of(2).variables
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, expected))


def test_the_last_and_the_best_are_kept(tmp_path):
    scores = {1: 0.1, 2: 0.9, 3: 0.2, 4: 0.9}  # the log names the first of equal ones
    checkpoints = save_all(tmp_path, range(1, 7), scores, keep_last=2, keep_best=1)
    assert checkpoints.steps() == [2, 5, 6]
    checkpoints.close()
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["2", "5", "6"]


def test_the_best_is_kept_when_a_run_resumes(tmp_path):
    save_all(tmp_path, [1, 2, 3], {1: 0.9, 2: 0.3}, keep_last=1, keep_best=1).close()
    checkpoints = save_all(
        tmp_path, [4, 5], {5: 0.5}, keep_last=1, keep_best=1, scores={1: 0.9, 2: 0.3}
    )
    assert checkpoints.steps() == [1, 5]
    checkpoints.close()


@pytest.mark.parametrize(("keep_last", "keep_best", "left"), [
    (1, 0, [4]), (1, 5, [1, 2, 3, 4]), (2, 2, [1, 2, 3, 4]), (3, 1, [2, 3, 4]), (9, 0, [1, 2, 3, 4])
])
def test_number_of_checkpoints_kept(tmp_path, keep_last, keep_best, left):
    scores = {1: 0.5, 2: 0.6, 3: 0.1}
    checkpoints = save_all(
        tmp_path, range(1, 5), scores, keep_last=keep_last, keep_best=keep_best
    )
    assert checkpoints.steps() == left
    checkpoints.close()


def test_partial_checkpoints_are_ignored(tmp_path):
    save_all(tmp_path, [1, 2]).close()
    folder = tmp_path / "checkpoints"
    half = folder / "3.orbax-checkpoint-tmp"
    shutil.copytree(folder / "2", half)
    shutil.rmtree(half / "params")
    shutil.copytree(half, folder / "4")  # this project never leaves such a folder
    (folder / "5").write_text("a file")
    assert latest_checkpoint(tmp_path) == folder / "2"
    checkpoints = save_all(tmp_path, [3])
    assert checkpoints.steps() == [2, 3]
    assert_same(checkpoints.restore(3, state_of(0)), state_of(3))
    checkpoints.close()
    assert not half.exists() and latest_checkpoint(tmp_path) == folder / "3"


def test_leftovers_of_a_removal_do_not_block_new_checkpoints(tmp_path):
    checkpoints = save_all(tmp_path, [1, 2], keep_last=2, keep_best=0)
    checkpoints.close()
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "1", folder / "deleted/1")  # killed while removing it
    checkpoints = save_all(tmp_path, [3], keep_last=2, keep_best=0)
    assert sorted(os.listdir(folder)) == ["2", "3"]
    checkpoints.close()


def test_no_checkpoint(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    checkpoints = Checkpoints(tmp_path / "new")
    assert checkpoints.steps() == [] and latest_checkpoint(tmp_path / "new") is None
    checkpoints.close()


@contextmanager
def file_size_limit(size: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_write_errors_name_the_last_complete_checkpoint(tmp_path, caplog):
    checkpoints = save_all(tmp_path, [1, 2], keep_last=1, keep_best=0)
    large = state_of(3).replace(params={"a": jax.random.normal(jax.random.key(3), (256, 256))})
    with file_size_limit(20_000):
        with pytest.raises(OSError, match=r"File too large.*last complete one is .*checkpoints/2"):
            checkpoints.save(3, large, {})
            checkpoints.wait()
        checkpoints.save(4, large, {})
        checkpoints.close()  # only logged: the error that made the caller close matters more
    assert "last complete one is" in caplog.text and latest_checkpoint(tmp_path).name == "2"
    checkpoints = save_all(tmp_path, [4], keep_last=2)
    assert checkpoints.steps() == [2, 4]
    checkpoints.close()
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["2", "4"]


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(OSError, match="checkpoints"):
        Checkpoints(tmp_path)


WRITER = """
import sys
from tests.slowfast_jax.training.test_checkpoint_manager import Checkpoints, state_of
checkpoints = Checkpoints(sys.argv[1], keep_last=1, keep_best=0)
for step in range(1, 1000):
    checkpoints.save(step, state_of(step), {"step": step})
"""


def test_a_process_killed_at_any_moment_leaves_whole_checkpoints(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path], cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    while latest_checkpoint(tmp_path) is None:
        assert process.poll() is None
        time.sleep(0.01)
    seen = 0
    random = np.random.default_rng(0)
    try:
        for _ in range(12):  # a stop leaves on disk what a kill would
            time.sleep(random.uniform(0.02, 0.12))
            process.send_signal(signal.SIGSTOP)
            folders = [p for p in (tmp_path / "checkpoints").iterdir() if p.name.isdecimal()]
            assert folders
            for folder in folders:
                variables, metadata = load_checkpoint(folder)
                assert metadata == {"step": int(folder.name)}
                expected = state_of(int(folder.name)).variables
                assert jax.tree.all(jax.tree.map(np.array_equal, variables, expected))
                seen += 1
            process.send_signal(signal.SIGCONT)
    finally:
        process.kill()
        process.wait()
    last = int(latest_checkpoint(tmp_path).name)
    checkpoints = Checkpoints(tmp_path, keep_last=1, keep_best=0)
    assert checkpoints.steps()[-1] == last and seen >= 12
    assert_same(checkpoints.restore(last, state_of(0)), state_of(last))
    checkpoints.close()


def test_metadata_is_plain_json_on_disk(tmp_path):
    save_all(tmp_path, [1]).close()
    assert json.loads((tmp_path / "checkpoints/1/metadata/metadata").read_text()) == {"step": 1}
