"""The entry with the weights is found by its tensors and its name; the user can name another."""

import pickle

import numpy as np
import pytest

from convert import CheckpointError, read_checkpoint
from convert.entries import USUAL
from convert.load import strip_names
from convert.names import canonical_names, scheme_of
from convert.readers import describe_source

NAMES = {
    "PySlowFast": ("s1.pathway0_stem.conv.weight", "head.projection.weight"),
    "PyTorchVideo": ("blocks.0.conv.weight", "blocks.5.proj.weight"),
    "MMAction2": ("backbone.conv1.conv.weight", "cls_head.fc_cls.weight"),
    "unknown": ("a.weight", "b.weight"),
}


def weights(scheme="PySlowFast", prefix="", value=1.0):
    return {prefix + name: np.full(2, value) for name in NAMES[scheme]}


def read(tmp_path, content, entry=""):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(content))
    return read_checkpoint(tmp_path / "w.pth", entry)


@pytest.mark.parametrize("scheme", NAMES)
@pytest.mark.parametrize("name", [*USUAL, "ema", "state_dict_ema", "teacher", "some_name"])
def test_one_entry(tmp_path, name, scheme):
    optimizer = {"state": {0: {"exp_avg": np.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    content = {"epoch": 3, "optimizer": optimizer, name: weights(scheme)}
    for nested in (content, content | {name: {"state_dict": weights(scheme), "epoch": 1}}):
        checkpoint = read(tmp_path, nested)
        assert list(checkpoint.tensors) == list(NAMES[scheme])
        assert checkpoint.metadata["container"].startswith(name)
    assert list(read(tmp_path, weights(scheme)).tensors) == list(NAMES[scheme])
    deep = {"state": {"run": {name: {"module": weights(scheme)}, "optimizer": optimizer}}}
    assert read(tmp_path, deep).metadata["container"] == f"state.run.{name}.module"


@pytest.mark.parametrize("content, found", [
    ({"ema": weights(), "model": weights()}, "model"),
    ({"state_dict_ema": weights(), "state_dict": weights()}, "state_dict"),
    ({"teacher": weights(), "student": weights()}, "student"),
    ({"model_ema": {"state_dict": weights()}, "net": {"state_dict": weights()}}, "net.state_dict"),
    ({"model": weights("unknown"), "my_model": weights()}, "my_model"),
    ({"model": weights("unknown"), "rng": np.ones(2)}, "model"),
])
def test_several_entries(tmp_path, content, found):
    assert read(tmp_path, content).metadata["container"] == found


def test_an_entry_can_be_named(tmp_path):
    content = {"model": weights(), "ema": {"state_dict": weights(value=2.0)}, "epoch": 1}
    checkpoint = read(tmp_path, content)
    assert checkpoint.metadata["also"] == {"ema.state_dict": 2}
    named = read(tmp_path, content, "ema.state_dict")
    assert {array[0] for array in named.tensors.values()} == {2.0}
    expected = r"no entry 'x' with .* has model \(2 tensors\), ema.state_dict \(2 tensors\)"
    with pytest.raises(CheckpointError, match=expected):
        read(tmp_path, content, "x")
    expected = r"several entries .*one \(2 .*two \(2 .* such as entry=\"one\""
    with pytest.raises(CheckpointError, match=expected):
        read(tmp_path, {"one": weights(), "two": weights()})


@pytest.mark.parametrize("scheme", ["PySlowFast", "PyTorchVideo", "MMAction2"])
@pytest.mark.parametrize("prefix", [
    "module.", "model.", "_orig_mod.", "net.", "encoder.", "module._orig_mod.", "model.net.",
    "net._orig_mod.", "a.b.module.",
])
def test_prefixes_that_all_names_share(tmp_path, scheme, prefix):
    checkpoint = strip_names(read(tmp_path, {"state_dict": weights(scheme, prefix)}))
    assert scheme_of(checkpoint.tensors) == scheme
    ours = list(canonical_names(checkpoint.tensors, scheme).values())
    assert ours == list(canonical_names(NAMES[scheme], scheme).values())


def test_a_prefix_of_some_names_stays(tmp_path):
    content = weights(prefix="net.") | {"loss.weight": np.ones(2)}
    assert set(strip_names(read(tmp_path, content)).tensors) == set(content)


SLOTS = {"exp_avg": np.ones(2), "exp_avg_sq": np.ones(2), "step": np.ones(())}


@pytest.mark.parametrize("name", ["optimizer_state", "optimizer", "anything", "model"])
def test_states_of_optimizers_are_no_weights(tmp_path, name):
    """By their form, whatever their name: also those that name the parameters, as with FSDP."""
    by_name = {n: SLOTS for n in NAMES["PySlowFast"]}
    for state in ({0: SLOTS}, by_name, weights()):
        content = {name: {"state": state, "param_groups": [{"lr": 0.1}]}, "some": weights()}
        checkpoint = read(tmp_path, content)
        assert checkpoint.metadata["container"] == "some"
        assert checkpoint.metadata["optimizers"] == [name] and "also" not in checkpoint.metadata
        assert f"not read: {name} (state of the optimizer)" in describe_source(checkpoint)[0]
    # The same without the names of all optimizers: a table of states for each parameter.
    checkpoint = read(tmp_path, {"optim": {"state": by_name}, "w": weights("unknown")})
    assert checkpoint.metadata["container"] == "w"


def test_a_file_with_the_state_of_an_optimizer_alone(tmp_path):
    with pytest.raises(CheckpointError, match="the state of an optimizer and no weights"):
        read(tmp_path, {"state": {0: SLOTS}, "param_groups": [{"lr": 0.1, "params": [0]}]})
