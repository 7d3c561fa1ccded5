"""A device that is out of memory is one line, with the batch and the flags that help."""

import sys

import jax
import pytest

from slowfast_jax import main, train
from slowfast_jax.loop.memory import out_of_memory
from tests.support.tiny_models import training_config

pytestmark = pytest.mark.usefixtures("tiny_norm")
JAX_TEXT = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 137438953472 bytes.\nmore"


@pytest.fixture
def config(tmp_path):
    return training_config(tmp_path)


def test_the_line_in_training(config):
    text = out_of_memory(jax.errors.JaxRuntimeError(JAX_TEXT), config, "train")
    assert text.startswith("out of memory: a batch of 4 clips of 4 x 16 x 16 does not fit on ")
    for flag in ("train.batch_size", "train.accumulate=2", "model.remat", "test.batch_size"):
        assert f"--config.{flag}" in text
    assert "137438953472 bytes" in text and "\n" not in text


@pytest.mark.parametrize("mode", ["eval", "report"])
def test_the_line_in_other_modes(config, mode):
    text = out_of_memory(MemoryError(), config, mode)
    assert text.startswith("out of memory: a batch of 4 views of 4 x 16 x 16 does not fit on ")
    assert "--config.test.batch_size" in text and "train" not in text


@pytest.mark.parametrize("error", [
    jax.errors.JaxRuntimeError("INTERNAL: something else"), RuntimeError("RESOURCE_EXHAUSTED"),
    ValueError("out of memory"),
])
def test_other_errors_are_not_about_memory(config, error):
    assert out_of_memory(error, config, "train") == ""


def test_the_command_prints_it(colors, tmp_path, monkeypatch, capsys, caplog):
    caplog.set_level("INFO", "absl")

    def fails(*arguments, **keywords):
        raise jax.errors.JaxRuntimeError(JAX_TEXT)

    monkeypatch.setattr(train, "training_step", lambda *_: fails)
    monkeypatch.setattr(main, "FLAGS", _flags(tmp_path / "run"))
    assert main.run(training_config(colors)) == 1
    error = capsys.readouterr().err.splitlines()
    assert [line for line in error if line.startswith("error")] == error[-1:]
    assert error[-1].startswith("error: out of memory: a batch of 4 clips")
    assert "error: out of memory" in (tmp_path / "run/log.txt").read_text()


def _flags(workdir):
    values = main.flags.FlagValues()
    main.define_flags(values)
    values([sys.argv[0], f"--workdir={workdir}"])
    return values
