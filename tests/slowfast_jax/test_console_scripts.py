"""The installed commands, started through scripts like those that pip writes."""

import configparser
import importlib
import os
import re
import subprocess
import sys

import pytest

import slowfast_jax
from slowfast_jax import console_scripts, interrupts, malloc
from tests.support.paths import ROOT

# What pip writes for an entry point MODULE:FUNCTION.
SCRIPT = """#!{python}
import sys
from {module} import {function}
if __name__ == "__main__":
    sys.exit({function}())
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """A folder with the project's console scripts, as its setup.py declares them."""
    folder = tmp_path_factory.mktemp("bin")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )
    found = configparser.ConfigParser()
    found.read(folder / "slowfast_jax.egg-info/entry_points.txt")
    for name, target in found["console_scripts"].items():
        module, function = target.split(":")
        path = folder / name
        path.write_text(SCRIPT.format(python=sys.executable, module=module, function=function))
        path.chmod(0o755)
    return folder


def run(script, *arguments, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    environment |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | variables
    return subprocess.run(
        [script, *arguments], env=environment, capture_output=True, text=True, cwd=script.parent
    )


def test_version_and_usage(scripts):
    result = run(scripts / "slowfast-jax", "--version")
    assert result.stdout == f"slowfast_jax {slowfast_jax.__version__}\n", result.stderr
    result = run(scripts / "slowfast-jax", "--help")
    assert result.stdout.startswith("usage: slowfast-jax --config CONFIG"), result.stderr


def test_every_script_calls_its_command_by_its_name(scripts, monkeypatch, capsys):
    monkeypatch.setattr(console_scripts, "_begin", lambda: None)
    monkeypatch.setattr(interrupts, "end_at_once", lambda: None)
    names = [path.name for path in scripts.glob("slowfast-jax-*")]
    assert len(names) == 8
    for name in names:
        monkeypatch.setattr(sys, "argv", [str(scripts / name), "--help"])
        text = (scripts / name).read_text()
        module, function = re.search(r"from (\S+) import (\S+)", text).groups()
        with pytest.raises(SystemExit) as ended:
            getattr(importlib.import_module(module), function)()
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: {name} [-h]")


@pytest.mark.parametrize("name", ["slowfast-jax", "slowfast-jax-predict", "slowfast-jax-convert"])
def test_scripts_restart_with_malloc_settings(scripts, name, tmp_path):
    """`sitecustomize` notes each start of the interpreter, and the settings that it has."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nopen(os.environ['STARTS'], 'a').write("
        "os.environ.get('GLIBC_TUNABLES', 'none') + '\\n')\n"
    )
    starts = tmp_path / "starts"
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    result = run(scripts / name, "--help", PYTHONPATH=path, STARTS=str(starts))
    assert result.returncode == 0, result.stderr
    expected = ["none", malloc.SETTINGS] if malloc._help() else ["none"]
    assert starts.read_text().splitlines() == expected


@pytest.mark.parametrize("arguments", [
    ["slowfast_jax.main", "--mode", "config", "--config", "kinetics"],
    pytest.param(
        ["slowfast_jax.main", "--config", "kinetics/x3d_xs", "--help"], marks=pytest.mark.slow
    ),
    pytest.param(["configs.kinetics"], marks=pytest.mark.slow),
])
def test_a_reader_may_leave_before_the_output_ends(arguments):
    """As `| head` does."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(60) == 1
