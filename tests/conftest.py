"""Fixtures for all tests, and the compilation cache that they share."""

import ctypes
import os
import platform
import signal
import tempfile
from functools import cache

import numpy as np
import pytest

from slowfast_jax.models import zoo
from tests.support.hub_server import serve_hub
from tests.support.tiny_models import entry, norm_entry, traces, write_colors

CACHE = pytest.StashKey[tempfile.TemporaryDirectory]()
CACHE_DIR, LEAST_SECONDS = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def pytest_configure(config):
    """Compiles each program once per test run, for all workers and the processes that they start.

    The cache lives only as long as the run, so that no run depends on an earlier one.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in background jobs of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)  # processes of tests inherit this
    if CACHE_DIR not in os.environ:
        config.stash[CACHE] = tempfile.TemporaryDirectory(prefix="slowfast_jax_tests_")
        os.environ |= {CACHE_DIR: config.stash[CACHE].name, LEAST_SECONDS: "0.2"}


def pytest_unconfigure(config):
    if CACHE in config.stash:
        config.stash[CACHE].cleanup()
        del os.environ[CACHE_DIR]


@cache
def _first_states(module):
    """Generator of random numbers of a module -> its state when the module was imported."""
    found = [value for value in vars(module).values() if isinstance(value, np.random.Generator)]
    return [(random, random.bit_generator.state) for random in found]


@pytest.fixture(autouse=True)
def same_random_numbers(request):
    """Each test draws the same numbers, whichever tests ran before it."""
    for random, state in _first_states(request.module):
        random.bit_generator.state = state


@pytest.fixture(autouse=True, scope="module")
def freed_memory():
    """Returns freed memory to the system after the tests of a module.

    glibc would keep it, so that two workers held 18 GB before the tests of the largest networks.
    """
    yield
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="module", autouse=True)
def zoo_as_before():
    """Removes what a module's tests add to the zoo, as tests/recipes/tiny.py does."""
    before = dict(zoo.ZOO)
    yield
    zoo.ZOO.clear()
    zoo.ZOO.update(before)


@pytest.fixture
def tiny(monkeypatch):
    """Adds test/tiny and test/tiny_boxes to the zoo; returns the list of traces, emptied."""
    monkeypatch.setitem(zoo.ZOO, "test/tiny", entry())
    monkeypatch.setitem(zoo.ZOO, "test/tiny_boxes", entry(detection=True, activation="sigmoid"))
    traces.clear()
    return traces


@pytest.fixture(scope="module")
def tiny_norm():
    """Adds test/tiny_norm to the zoo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.ZOO, "test/tiny_norm", norm_entry())
        yield


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    """A folder of videos whose class is their color; see tiny_models.write_colors."""
    folder = tmp_path_factory.mktemp("data") / "colors"
    write_colors(folder)
    return folder


@pytest.fixture
def hub_server(monkeypatch, tmp_path):
    """A stand-in of the Hugging Face hub that huggingface_hub asks, with an empty cache folder."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with serve_hub() as server:
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server
