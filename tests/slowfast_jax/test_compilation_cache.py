"""Where compiled programs are kept, and that the next start uses them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast_jax.compilation_cache import cache_folder, keep_compiled
from tests.support.paths import ROOT

PROGRAM = """
import sys, jax
from slowfast_jax.compilation_cache import keep_compiled
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
print(keep_compiled(*sys.argv[1:]))
print(jax.jit(lambda x: x * 2)(21), hits.count("/jax/compilation_cache/cache_hits"))
"""


@pytest.fixture
def environment():
    """The environment without the cache that the tests share; every program is worth a file."""
    ours = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    return ours | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def start(environment, *arguments, errors: str = "") -> tuple[str, str]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], cwd=ROOT, env=environment,
        capture_output=True, text=True, check=True,
    )
    assert errors in result.stderr and "persistent" not in result.stderr
    place, computed = result.stdout.splitlines()
    return place, computed


def test_the_second_start_compiles_nothing(tmp_path, environment):
    environment["SLOWFAST_JAX_CACHE"] = str(tmp_path)
    place, first = start(environment)
    assert Path(place).parent == tmp_path / "compiled"  # in it, a folder for this type of CPU
    assert first == "42 0" and start(environment) == (place, "42 1")


def test_a_damaged_file_is_replaced(tmp_path, environment):
    folder = str(tmp_path)
    start(environment, folder)
    whole = {file: file.read_bytes() for file in tmp_path.glob("jit__lambda*-cache")}
    for file, content in whole.items():
        file.write_bytes(content[: len(content) // 2])
    assert start(environment, folder, errors="had a damaged file, which was rem")[1] == "42 0"
    assert whole and start(environment, folder)[1] == "42 1"


def test_a_folder_that_is_named_comes_first(tmp_path, environment):
    environment |= {"SLOWFAST_JAX_CACHE": "off", "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "a")}
    assert start(environment, str(tmp_path / "b")) == (str(tmp_path / "b"), "42 0")
    assert list((tmp_path / "b").iterdir()) and not (tmp_path / "a").exists()


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("SLOWFAST_JAX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == tmp_path / ".cache/slowfast_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/cache")
    assert cache_folder() == Path("/var/tmp/cache/slowfast_jax")
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", "off")
    assert cache_folder() is None


@pytest.mark.parametrize("chosen", ["off", "/proc/nowhere"])
def test_without_a_place_nothing_is_kept(monkeypatch, chosen):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", chosen)
    assert keep_compiled() is None
