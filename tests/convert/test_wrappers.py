"""What wrappers of modules add to names is removed, and the log says so."""

import pickle

import numpy as np
import pytest

from convert import read_checkpoint
from convert.load import strip_names
from convert.names import canonical_names, scheme_of
from convert.names.wrappers import PARTS, bare, describe_wrappers
from convert.readers import describe_source
from tests.convert.test_entries import NAMES, weights

COMPILED = (
    "s2._orig_mod.pathway0_res0.branch2.a.weight", "s2.pathway0_res0.branch2.a.weight"
)


@pytest.mark.parametrize("theirs, ours", [
    COMPILED,
    ("module._orig_mod.head.projection.bias", "head.projection.bias"),
    ("_fsdp_wrapped_module.s2._fsdp_wrapped_module.x", "s2.x"),
    ("blocks.0._checkpoint_wrapped_module.attn.qkv.weight", "blocks.0.attn.qkv.weight"),
    ("s2.module.x", "s2.module.x"),
    ("modules.model_x", "modules.model_x"),
])
def test_names(theirs, ours):
    assert bare(theirs) == ours


@pytest.mark.parametrize("scheme", ["PySlowFast", "PyTorchVideo", "MMAction2"])
@pytest.mark.parametrize("prefix", [
    *(f"{part}." for part in PARTS), "module._orig_mod.", "_orig_mod.module.", "model.module.",
])
def test_each_wrapper_is_removed_and_described(tmp_path, scheme, prefix):
    content = {"state_dict": weights(scheme, prefix), "epoch": 3}
    (tmp_path / "w.ckpt").write_bytes(pickle.dumps(content))
    checkpoint = strip_names(read_checkpoint(tmp_path / "w.ckpt"))
    assert scheme_of(checkpoint.tensors) == scheme
    found = list(canonical_names(checkpoint.tensors, scheme).values())
    assert found == list(canonical_names(NAMES[scheme], scheme).values())
    lines = describe_source(checkpoint)
    for part in prefix.strip(".").split("."):
        assert f"all names have {part!r}, which {PARTS[part]} adds; it is removed" in lines


def test_some_modules_may_be_wrapped():
    names = [COMPILED[0], "head.projection.weight"]
    assert describe_wrappers(names) == [
        "1 names have '_orig_mod', which torch.compile adds; it is removed"
    ]
    assert list(canonical_names(names, "PySlowFast").values()) == [COMPILED[1], names[1]]
    assert describe_wrappers(["head.projection.weight"]) == []


def test_the_prefix_of_lightning(tmp_path):
    """A module of PyTorch Lightning has the network in any attribute."""
    optimizer = {"state": {0: {"exp_avg": np.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    content = {
        "epoch": 1, "state_dict": weights(prefix="net._orig_mod."), "lr_schedulers": [],
        "optimizer_states": [optimizer], "hyper_parameters": {"lr": 0.1},
    }
    (tmp_path / "w.ckpt").write_bytes(pickle.dumps(content))
    checkpoint = strip_names(read_checkpoint(tmp_path / "w.ckpt"))
    assert list(checkpoint.tensors) == list(NAMES["PySlowFast"])
    found, *more = describe_source(checkpoint)
    assert "without the prefix 'net.' of all names" in found
    assert "optimizer_states (state of the optimizer), hyper_parameters" in found
    assert more == ["all names have '_orig_mod', which torch.compile adds; it is removed"]
