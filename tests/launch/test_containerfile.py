"""The container file: what it copies, installs and starts exists."""

import re

import pytest

from slowfast_jax.serve.__main__ import cli
from tests.support.paths import ROOT

TEXT = (ROOT / "launch/Containerfile").read_text()


def test_what_is_copied_is_all_that_is_installed():
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", TEXT, re.M) for name in line.split()}
    assert all((ROOT / name).exists() for name in copied)
    setup = (ROOT / "setup.py").read_text()
    packages = re.search(r"include=\[(.*?)\]", setup, re.S)[1]
    names = re.findall(r'"(\w+)\*"', packages)
    assert len(names) == 3 and {*names, "configs"} <= copied


def test_its_extras_and_options_exist(capsys):
    setup = (ROOT / "setup.py").read_text()
    for extra in re.search(r"/source\[(.*)\]", TEXT)[1].split(","):
        assert f'"{extra}": ' in setup
    with pytest.raises(SystemExit):
        cli(["--help"])
    assert "--host" in TEXT and "--host" in capsys.readouterr().out
