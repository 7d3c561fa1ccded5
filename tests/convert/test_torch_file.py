"""PyTorch and PySlowFast read exported files bit for bit."""

import collections

import jax.numpy as jnp
import numpy as np
import pytest

from convert import export_pyth, load_variables, pyslowfast_tensors, read_checkpoint, write_pyth
from tests.convert.cases import assert_same, mini_shapes, random_variables, shapes_of
from tests.convert.torch_pickles import TENSORS, assert_tensors


@pytest.mark.parametrize("weights_only", [True, False])
def test_torch_reads_what_we_write(tmp_path, weights_only):
    torch = pytest.importorskip("torch")
    cfg = "MODEL:\n  NAME: größer\n"
    write_pyth(tmp_path / "w.pyth", TENSORS, cfg=cfg)
    found = torch.load(tmp_path / "w.pyth", map_location="cpu", weights_only=weights_only)
    # If there were an "epoch", PySlowFast would expect an optimizer state when fine-tuning.
    assert list(found) == ["model_state", "cfg"]
    assert found["cfg"] == cfg
    assert type(found["model_state"]) is collections.OrderedDict
    assert_tensors({name: t.numpy() for name, t in found["model_state"].items()})
    assert not any(t.requires_grad for t in found["model_state"].values())
    assert all(t.is_contiguous() for t in found["model_state"].values())


@pytest.mark.parametrize("legacy", [True, False])
def test_we_read_what_torch_writes(tmp_path, legacy):
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array.copy()) for name, array in TENSORS.items()}
    state["turned"] = torch.arange(6.0).reshape(2, 3).T
    state["row"] = torch.arange(6.0).reshape(2, 3)[1]
    state["brain"] = torch.tensor([1.0, -3.0], dtype=torch.bfloat16)
    state["parameter"] = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([state["parameter"]], 0.1, momentum=0.9)
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()
    content = {"epoch": 1, "state_dict": state, "optimizer_state": optimizer.state_dict()}
    path = tmp_path / "w.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == ("torch legacy" if legacy else "torch zip")
    expected = {name: t.detach().float() if name == "brain" else t.detach()
                for name, t in state.items()}
    expected = {name: np.asarray(t.numpy(), order="C") for name, t in expected.items()}
    assert_tensors(checkpoint.tensors, expected)


def test_bfloat16_is_written_as_bfloat16(tmp_path):
    values = jnp.array([1, -3, 0.1], jnp.bfloat16)
    write_pyth(tmp_path / "w.pyth", {"x": np.asarray(values)})
    read = read_checkpoint(tmp_path / "w.pyth").tensors["x"]
    assert np.array_equal(read, np.asarray(values, np.float32))
    torch = pytest.importorskip("torch")
    theirs = torch.load(tmp_path / "w.pyth", weights_only=True)["model_state"]["x"]
    assert theirs.dtype == torch.bfloat16
    assert np.array_equal(theirs.float().numpy(), read)


def test_unknown_element_types_are_refused(tmp_path):
    with pytest.raises(ValueError, match="tensor x has element type uint32"):
        write_pyth(tmp_path / "w.pyth", {"x": np.zeros(2, np.uint32)})
    assert not list(tmp_path.iterdir())


def test_export_and_back_is_exact(tmp_path):
    variables = random_variables(mini_shapes())
    written = export_pyth(tmp_path / "w.pyth", variables, cfg="A: 1")
    checkpoint = read_checkpoint(tmp_path / "w.pyth")
    assert_tensors(checkpoint.tensors, written)
    assert checkpoint.metadata["cfg"] == "A: 1"
    assert_same(load_variables(tmp_path / "w.pyth", shapes_of(variables)), variables)
    assert written["head.projection.weight"].shape == (4, 320)
    assert written["s1.pathway1_stem.conv.weight"].shape == (2, 3, 5, 7, 7)
    assert written["s1_fuse.bn.num_batches_tracked"].dtype == np.int64


def test_the_same_variables_give_the_same_file(tmp_path):
    variables = random_variables(mini_shapes())
    for name in ("a.pyth", "b.pyth"):
        export_pyth(tmp_path / name, variables)
    assert (tmp_path / "a.pyth").read_bytes() == (tmp_path / "b.pyth").read_bytes()


def test_parameters_without_a_pyslowfast_name_are_refused():
    variables = random_variables(mini_shapes())
    with pytest.raises(ValueError, match="folded"):
        pyslowfast_tensors({"params": variables["params"]})
    variables["params"]["novel"] = {"kernel": np.zeros(2)}
    with pytest.raises(ValueError, match="no names for 1 of .* novel/kernel"):
        pyslowfast_tensors(variables)
