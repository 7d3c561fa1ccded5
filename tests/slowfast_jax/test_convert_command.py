"""The convert command, from file to file."""

import pickle
from argparse import Namespace
from pathlib import Path

import jax
import numpy as np
import pytest

import slowfast_jax
from convert import export_pyth, load_variables, pyslowfast_tensors, write_pyth
from convert.verify import describe_outputs
from slowfast_jax.config import load_config
from slowfast_jax.convert_command import cli
from slowfast_jax.training.checkpoint import load_checkpoint, save_checkpoint
from slowfast_jax.weights import describe, read_checkpoint_folder
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
        "file": "w.pyth", "format": "torch zip", "program": "PySlowFast", "cfg": "A: 1"
    }

    assert cli([ours, back, *MINI]) == 0
    assert open(back, "rb").read() == open(pyth, "rb").read()


def test_output_is_not_replaced_without_force(tmp_path, pyth, capsys):
    before = open(pyth, "rb").read()
    assert cli([pyth, pyth, *MINI]) == 2
    assert "exists; choose another name, or pass --force" in capsys.readouterr().err
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").touch()
    assert cli([pyth, str(tmp_path / "folder"), *MINI, "--force"]) == 2
    assert "replaces only checkpoints" in capsys.readouterr().err
    assert cli([pyth, str(tmp_path / "folder"), *MINI, "--force", "--to", "pyth"]) == 2
    assert cli([pyth, str(tmp_path / "no" / "such"), *MINI]) == 2
    assert f"the folder {tmp_path / 'no'} does not exist" in capsys.readouterr().err
    assert (tmp_path / "folder" / "thesis.tex").exists()
    assert open(pyth, "rb").read() == before
    for _ in range(2):
        assert cli([pyth, str(tmp_path / "ours"), *MINI, "--force"]) == 0


@pytest.mark.parametrize("name", ["out.pkl", "out.PTH", "out.pt", "out.npz", "a.safetensors"])
def test_suffixes_of_other_formats_are_refused(tmp_path, capsys, name):
    (tmp_path / "w.pyth").touch()
    assert cli([str(tmp_path / "w.pyth"), str(tmp_path / name), *MINI]) == 2
    error = capsys.readouterr().err
    assert "is not a format that is written here; choose a name that ends in .pyth" in error
    assert "folder" in error and error.count("\n") == 1 and not (tmp_path / name).exists()


@pytest.mark.slow
def test_a_different_number_of_classes(tmp_path, capsys):
    variables = random_variables(mini_shapes(num_classes=7))
    pyth, ours = str(tmp_path / "seven.pyth"), str(tmp_path / "ours")
    export_pyth(pyth, variables)
    assert cli([pyth, ours, *MINI]) == 2
    error = capsys.readouterr().err
    assert "the file has 7 classes, the model has 4" in error
    assert "set --num-classes 7" in error
    assert '--skip "head/.*"' in error
    assert not (tmp_path / "ours").exists()

    assert cli([pyth, ours, *MINI, "--num-classes", "7"]) == 0
    found, metadata = load_checkpoint(ours)
    assert_same(found, variables)
    assert metadata["model"]["num_classes"] == 7
    assert metadata["class_names"] == [f"class {i}" for i in range(7)]

    assert cli([pyth, ours, *MINI, "--skip", "head/.*", "--force"]) == 0
    assert "skipped   head/projection/kernel" in capsys.readouterr().out
    kernel = load_checkpoint(ours)[0]["params"]["head"]["projection"]["kernel"]
    assert kernel.shape == (320, 4)
    assert 0.001 < kernel.std() < 0.1


def test_a_prefix_is_stripped(tmp_path, sane_variables, capsys):
    tensors = {f"encoder_q.{n}": a for n, a in pyslowfast_tensors(sane_variables).items()}
    tensors["head.projection.bias"] = tensors.pop("encoder_q.head.projection.bias")
    wrapped, ours = str(tmp_path / "wrapped.pyth"), str(tmp_path / "ours")
    write_pyth(wrapped, tensors)
    assert cli([wrapped, ours, *MINI]) == 2
    error = capsys.readouterr().err
    assert "PySlowFast's with the prefix 'encoder_q.'" in error
    assert "--strip 'encoder_q.'" in error or '--strip "encoder_q."' in error
    assert cli([wrapped, ours, *MINI, "--strip", "encoder_q.", "--verify"]) == 0
    assert "converting back gives the same bytes for 312 tensors" in capsys.readouterr().out
    assert_same(load_checkpoint(ours)[0], sane_variables)


def test_values_that_are_not_finite_are_warned_about(tmp_path, sane_variables, capsys):
    tensors = dict(pyslowfast_tensors(sane_variables))
    bias = tensors["head.projection.bias"]
    write_pyth(tmp_path / "w.pyth", tensors | {"head.projection.bias": bias * np.nan})
    assert cli([str(tmp_path / "w.pyth"), str(tmp_path / "out.pyth"), *MINI]) == 0
    error = capsys.readouterr().err
    assert error.startswith("warning: 1 parameters have values that are NaN or infinite, and will")
    assert error.endswith("loaded: head/projection/bias\n")


def test_a_run_folder_needs_no_config(tmp_path, sane_variables, capsys):
    config = load_config("kinetics/mini")
    for step in (2, 10):
        scaled = jax.tree.map(lambda a, step=step: a * np.float32(step), sane_variables)
        metadata = describe(config, list("abcd"))
        save_checkpoint(tmp_path / f"RUN/checkpoints/{step}", scaled, metadata)
    last = tmp_path / "RUN/checkpoints/10"
    for number, source in enumerate(("RUN", "RUN/checkpoints", "RUN/checkpoints/10")):
        back = str(tmp_path / f"{number}.pyth")
        assert cli([str(tmp_path / source), back]) == 0
        assert_same(load_variables(back, mini_shapes()), load_checkpoint(last)[0])
    assert cli([str(tmp_path / "RUN"), str(tmp_path / "ours")]) == 0
    assert load_checkpoint(tmp_path / "ours")[1]["class_names"] == list("abcd")
    assert cli([str(tmp_path / "RUN"), str(tmp_path / "x"), "--entry", "ema"]) == 2
    assert "no entries to choose from" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli([str(tmp_path / "0.pyth"), str(tmp_path / "x")])
    assert "--config is required" in capsys.readouterr().err


def test_entries_and_objects_are_reported(tmp_path, sane_variables, capsys):
    tensors = pyslowfast_tensors(sane_variables)
    content = {
        "model": {f"net.{n}": a for n, a in tensors.items()}, "ema": tensors, "args": Namespace(a=1)
    }
    (tmp_path / "w.pth").write_bytes(pickle.dumps(content))
    for number, entry in enumerate(([], ["--entry", "ema"])):
        assert cli([str(tmp_path / "w.pth"), str(tmp_path / f"{number}"), *MINI, *entry]) == 0
        assert_same(load_checkpoint(tmp_path / f"{number}")[0], sane_variables)
    first, second = capsys.readouterr().out.split("wrote", 1)
    assert "374 tensors from the entry 'model', without the prefix 'net.' of all names" in first
    assert "not read: ema, args" in first
    assert "more weights are in other entries, which can be named instead: ema (374)" in first
    assert "nothing was run: argparse.Namespace" in first
    assert "374 tensors from the entry 'ema'; not read: model, args" in second
    assert cli([str(tmp_path / "w.pth"), str(tmp_path / "x"), *MINI, "--entry", "nothing"]) == 2
    error = capsys.readouterr().err
    assert "no entry 'nothing'" in error and "model (374 tensors), ema (374 tensors)" in error


def test_what_a_file_holds(tmp_path, capsys):
    tensors = {"s1.x.weight": np.ones((2, 3), np.float16), "head.projection.bias": np.ones(2)}
    content = {"state_dict": {f"module.{n}": a for n, a in tensors.items()}, "epoch": 1}
    (tmp_path / "w.pth").write_bytes(pickle.dumps(content))
    assert cli(["--list", str(tmp_path / "w.pth")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'w.pth'}: pickle, PySlowFast names",
        "  read      2 tensors from the entry 'state_dict'",
        "  note      all names have 'module', which DataParallel or DistributedDataParallel adds; "
        "it is removed",
        "  note      1 tensors are float16; they are widened exactly",
        "  module.s1.x.weight           float16  (2, 3)",
        "  module.head.projection.bias  float64  (2,)",
        "  8 numbers",
    ]
    assert cli(["--list", str(tmp_path / "nothing.pth")]) == 2
    with pytest.raises(SystemExit):
        cli([str(tmp_path / "w.pth"), *MINI])
    assert "the following arguments are required: OUTPUT" in capsys.readouterr().err


def test_the_map_of_names(tmp_path, pyth, capsys):
    assert cli([pyth, *MINI, "--report"]) == 0
    out = capsys.readouterr().out
    assert "  head.projection.bias (4,) " in out and "  ->  head/projection/bias (4,)\n" in out
    assert "num_batches_tracked ()  " in out.replace("()   ", "()  ")
    assert "  ->  not used: batch norm step counter, not used\n" in out
    assert out.endswith(
        "  312 of 374 tensors are used once, 62 are not used, 0 are used more than once\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["w.pyth"]


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("kind", ["ours", "w.pyth"])
def test_ctrl_c(tmp_path, pyth, sane_variables, kind, existing, monkeypatch, capsys):
    """Nothing is left of the output, and what was to be replaced stays."""
    (tmp_path / "out").mkdir()
    output, force = tmp_path / "out" / kind, ["--force"] if existing else []
    if existing:
        assert cli([pyth, str(output), *MINI]) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    rename = Path.rename

    def rename_until_the_last(path, target):
        return interrupted() if path.name == "complete" else rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.rename", rename_until_the_last)
        patched.setattr("zipfile.ZipFile.writestr", interrupted)
        assert cli([pyth, str(output), *MINI, *force]) == 130
    assert capsys.readouterr().err == "interrupted; nothing was written\n"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    monkeypatch.setattr("slowfast_jax.convert_command._verify", interrupted)
    assert cli([pyth, str(output), *MINI, *force, "--verify"]) == 130
    assert capsys.readouterr().err == f"interrupted; {output} is written but not verified\n"
    assert output.exists()


@pytest.mark.parametrize("called, name", [
    ("/usr/bin/slowfast-jax-convert", "slowfast-jax-convert"),
    ("/x/convert/__main__.py", "python -m convert"),
])
def test_usage_has_the_name_of_the_command(called, name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [called])
    for arguments in (["--help"], ["--version"], []):
        with pytest.raises(SystemExit):
            cli(arguments)
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: {name} ") and f"  {name} SLOWFAST_8x8_R50.pkl" in out
    assert f"slowfast_jax {slowfast_jax.__version__}" in out
    assert err.startswith("error: ") and f"see {name} --help" in err


def test_unreadable_input_is_reported(tmp_path, capsys):
    (tmp_path / "w.pyth").write_bytes(b"")
    for name, word in (("w.pyth", "0 bytes"), ("nowhere", "does not exist")):
        assert cli([str(tmp_path / name), str(tmp_path / "out"), *MINI]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error:")
        assert word in error
    assert cli([str(tmp_path / "w.pyth"), str(tmp_path / "out"), "--config", "nothing"]) == 2


def test_an_invalid_pattern_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli(["in.pyth", "out", *MINI, "--skip", "head/("])
    assert "argument --skip: 'head/(' is not a regular expression (" in capsys.readouterr().err


def test_outputs_that_are_not_finite_are_reported():
    lines = describe_outputs(np.array([[np.nan, 1.0]]), {"stem": np.ones(3), "stem/a": np.ones(3)})
    assert lines[0].startswith("probabilities: NOT FINITE")
    assert sum("stem" in line for line in lines) == 1


@needs_real
@pytest.mark.slow
@pytest.mark.parametrize("program", ["pyslowfast", "pytorchvideo"])
def test_real_weights(tmp_path, program, capsys):
    source = str(REAL / "weights" / f"X3D_XS_k400_{program}.pyth")
    target = str(tmp_path / "x3d_xs")
    assert cli([source, target, "--config", "kinetics/x3d_xs", "--verify"]) == 0
    out = capsys.readouterr().out
    assert "3,794,322 in params" in out
    assert "probabilities: finite" in out
    assert len(read_checkpoint_folder(target).tensors) == 484


@pytest.mark.parametrize("program, name", [
    ("caffe2", "w.pkl"), pytest.param("pytorchvideo", "w.pth", marks=pytest.mark.slow),
])
def test_files_for_other_programs_are_written_and_verified(program, name, tmp_path, pyth, capsys):
    output = str(tmp_path / name)
    assert cli([pyth, output, *MINI, "--to", program, "--verify"]) == 0
    out = capsys.readouterr().out
    assert f"wrote {output} ({program})" in out
    assert "reading it again gives the same arrays" in out


def test_a_file_for_another_program_needs_its_name(tmp_path, pyth, capsys):
    args = [pyth, str(tmp_path / "w.pkl"), *MINI]
    assert cli(args) == 2
    expected = "--to and the program that the file is for: pyth, torchvision, pytorchvideo, "
    assert expected in capsys.readouterr().err
    assert cli([*args, "--to", "mmaction2"]) == 2
    assert "slow_frames of this network is 'linspace'" in capsys.readouterr().err
    assert not (tmp_path / "w.pkl").exists()
