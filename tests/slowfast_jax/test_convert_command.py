"""The convert command, from file to file."""

import jax
import numpy as np
import pytest

from convert import export_pyth, pyslowfast_tensors, write_pyth
from convert.verify import describe_outputs
from slowfast_jax.convert_command import cli
from slowfast_jax.training.checkpoint import load_checkpoint
from slowfast_jax.weights import read_checkpoint_folder
from tests.convert.cases import assert_same, mini_shapes, random_variables
from tests.support.paths import REAL, needs_real

MINI = ["--config", "kinetics/mini"]


@pytest.fixture(scope="module")
def sane_variables():
    """Variables of the small network with which activations stay finite."""
    random = random_variables(mini_shapes())
    scaled = jax.tree.map(lambda a: a * np.float32(0.1), random)
    return scaled | {"batch_stats": jax.tree.map(np.ones_like, random["batch_stats"])}


@pytest.fixture
def pyth(tmp_path, sane_variables):
    export_pyth(tmp_path / "w.pyth", sane_variables, cfg="A: 1")
    return str(tmp_path / "w.pyth")


def test_round_trip(tmp_path, pyth, sane_variables, capsys):
    ours, back = str(tmp_path / "ours"), str(tmp_path / "back.pyth")
    assert cli([pyth, ours, *MINI, "--verify"]) == 0
    out = capsys.readouterr().out
    assert "torch zip, PySlowFast names" in out
    assert "ignored   62: batch norm step counter, not used" in out
    assert "reading it again gives the same arrays" in out
    assert "converting back gives the same bytes for 312 tensors" in out
    assert "probabilities: finite, sum 1.000000" in out
    assert "slow_res5" in out

    variables, metadata = load_checkpoint(ours)
    assert_same(variables, sane_variables)
    assert metadata["model"]["name"] == "kinetics/mini"
    assert metadata["converted_from"] == {
        "file": "w.pyth", "format": "torch zip", "cfg": "A: 1"
    }

    assert cli([ours, back, *MINI]) == 0
    assert open(back, "rb").read() == open(pyth, "rb").read()


def test_output_is_not_replaced_without_force(tmp_path, pyth, capsys):
    before = open(pyth, "rb").read()
    assert cli([pyth, pyth, *MINI]) == 1
    assert "exists; choose another name, or pass --force" in capsys.readouterr().err
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").touch()
    assert cli([pyth, str(tmp_path / "folder"), *MINI, "--force"]) == 1
    assert "replaces only checkpoints" in capsys.readouterr().err
    assert cli([pyth, str(tmp_path / "folder"), *MINI, "--force", "--to", "pyth"]) == 1
    assert cli([pyth, str(tmp_path / "no" / "such"), *MINI]) == 1
    assert f"the folder {tmp_path / 'no'} does not exist" in capsys.readouterr().err
    assert (tmp_path / "folder" / "thesis.tex").exists()
    assert open(pyth, "rb").read() == before
    for _ in range(2):
        assert cli([pyth, str(tmp_path / "ours"), *MINI, "--force"]) == 0


def test_a_different_number_of_classes(tmp_path, capsys):
    variables = random_variables(mini_shapes(num_classes=7))
    pyth, ours = str(tmp_path / "seven.pyth"), str(tmp_path / "ours")
    export_pyth(pyth, variables)
    assert cli([pyth, ours, *MINI]) == 1
    error = capsys.readouterr().err
    assert "the file has 7 classes, the model has 4" in error
    assert "--num-classes" in error
    assert not (tmp_path / "ours").exists()

    assert cli([pyth, ours, *MINI, "--num-classes", "7"]) == 0
    found, metadata = load_checkpoint(ours)
    assert_same(found, variables)
    assert metadata["model"]["num_classes"] == 7
    assert metadata["class_names"] == []

    assert cli([pyth, ours, *MINI, "--skip", "head/.*", "--force"]) == 0
    assert "skipped   head/projection/kernel" in capsys.readouterr().out
    kernel = load_checkpoint(ours)[0]["params"]["head"]["projection"]["kernel"]
    assert kernel.shape == (320, 4)
    assert 0.001 < kernel.std() < 0.1


def test_a_prefix_is_stripped(tmp_path, sane_variables, capsys):
    tensors = {f"encoder_q.{n}": a for n, a in pyslowfast_tensors(sane_variables).items()}
    wrapped, ours = str(tmp_path / "wrapped.pyth"), str(tmp_path / "ours")
    write_pyth(wrapped, tensors)
    assert cli([wrapped, ours, *MINI]) == 1
    error = capsys.readouterr().err
    assert "PySlowFast's with the prefix 'encoder_q.'" in error
    assert "--strip" in error
    assert cli([wrapped, ours, *MINI, "--strip", "encoder_q.", "--verify"]) == 0
    assert "converting back gives the same bytes for 312 tensors" in capsys.readouterr().out
    assert_same(load_checkpoint(ours)[0], sane_variables)


def test_unreadable_input_is_reported(tmp_path, capsys):
    (tmp_path / "w.pyth").write_bytes(b"")
    for name, word in (("w.pyth", "0 bytes"), ("nowhere", "does not exist")):
        assert cli([str(tmp_path / name), str(tmp_path / "out"), *MINI]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error:")
        assert word in error
    assert cli([str(tmp_path / "w.pyth"), str(tmp_path / "out"), "--config", "nothing"]) == 1


def test_outputs_that_are_not_finite_are_reported():
    lines = describe_outputs(np.array([[np.nan, 1.0]]), {"stem": np.ones(3), "stem/a": np.ones(3)})
    assert lines[0].startswith("probabilities: NOT FINITE")
    assert sum("stem" in line for line in lines) == 1


@needs_real
@pytest.mark.parametrize("program", ["pyslowfast", "pytorchvideo"])
def test_real_weights(tmp_path, program, capsys):
    source = str(REAL / "weights" / f"X3D_XS_k400_{program}.pyth")
    target = str(tmp_path / "x3d_xs")
    assert cli([source, target, "--config", "kinetics/x3d_xs", "--verify"]) == 0
    out = capsys.readouterr().out
    assert "3,794,322 in params" in out
    assert "probabilities: finite" in out
    assert len(read_checkpoint_folder(target).tensors) == 484
