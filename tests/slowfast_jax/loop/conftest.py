"""Configs whose data exists, for tests of the checks before a run."""

import pytest

from tests.support.formats import FORMATS


@pytest.fixture(scope="module")
def made(tiny_norm, tmp_path_factory):
    """A function from the name of a format to a config whose data exists."""
    configs = {}

    def make(name):
        if name not in configs:
            configs[name] = FORMATS[name](tmp_path_factory.mktemp(name) / "data")
        return configs[name].copy_and_resolve_references()

    return make


@pytest.fixture
def quiet(monkeypatch):
    """Fails if a network is initialized: that takes long for a large one."""
    def refuse(*arguments):
        raise AssertionError("a network is initialized")

    monkeypatch.setattr("slowfast_jax.inference.load_options.initial_variables", refuse)
