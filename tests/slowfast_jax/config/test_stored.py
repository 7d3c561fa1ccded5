"""A config that was written to a run's folder is read back as it was."""

import pytest

from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.config.stored import read_config, write_config
from tests.support.paths import ROOT


@pytest.mark.parametrize("recipe", [
    "configs/kinetics.py:slowfast_8x8_r50_stepwise_multigrid", "configs/ava.py:mini",
    "configs/own.py", "tests/recipes/tiny.py",
])
def test_a_config_is_read_back_with_all_types(recipe, tmp_path):
    config = load_config(f"{ROOT}/{recipe}")
    write_config(config, tmp_path / "run")
    stored = read_config(tmp_path / "run")
    assert stored.to_dict() == config.to_dict() and stored.is_locked
    assert [type(v) for v in stored.protocol.values()] == [
        type(config.protocol[k]) for k in stored.protocol
    ]


def test_a_folder_without_a_config(tmp_path):
    assert read_config(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "a", "model": 3}', "\xff\xfe"])
def test_a_file_that_is_no_config(text, tmp_path):
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match="config.json is not the config of a run"):
        read_config(tmp_path)
