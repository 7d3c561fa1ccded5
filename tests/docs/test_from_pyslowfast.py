"""docs/from_pyslowfast.md is what the tables of keys say, and names fields that configs have."""

import re

import pytest

from slowfast_jax.config import load_config
from slowfast_jax.config.pyslowfast.document import text
from slowfast_jax.config.pyslowfast.tables import KEYS
from slowfast_jax.demo.arguments import parse
from tests.support.paths import ROOT

TEXT = (ROOT / "docs/from_pyslowfast.md").read_text(encoding="utf-8")
SECTIONS = "augment|data|model|multigrid|norm|optimizer|protocol|schedule|test|train"
FIELDS = sorted(set(re.findall(rf"`((?:{SECTIONS})\.[\w.]+)", TEXT)))


@pytest.fixture(scope="module")
def configs():
    recipes = (
        "kinetics.py:slowfast_8x8_r50", "ava.py:slow_8x8_r50_short", "kinetics.py:x3d_xs",
    )
    return [load_config(f"{ROOT}/configs/{recipe}") for recipe in recipes]


@pytest.mark.parametrize("field", FIELDS)
def test_fields_exist(configs, field):
    *sections, name = field.split(".")
    for config in configs:
        for section in sections:
            config = config.get(section, {})
        if name in config:
            return
    pytest.fail(f"no recipe has config.{field}")


def test_the_tables_are_read():
    assert len(FIELDS) > 100


def test_the_tables_are_up_to_date():
    assert text(TEXT) == TEXT, (
        "write it anew: python -m slowfast_jax.config.pyslowfast.document docs/from_pyslowfast.md"
    )


def test_options_of_the_demo_exist(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    entries = {key: entry.here for key, entry in KEYS.items() if key.startswith("DEMO.")}
    named = {option for here in entries.values() for option in re.findall(r"--[a-z-]+", here)}
    assert len(entries) == 26 and len(named) > 12 and named <= known
