"""Recipes are found from anywhere: in the current folder, a checkout or an installed package."""

import os
import shutil
import subprocess
import sys

import pytest

from slowfast_jax.config import ConfigError, load_config, recipe_names, variants_of
from slowfast_jax.config.recipe_files import recipe_files, split_name
from slowfast_jax.models import zoo
from tests.support.paths import ROOT


def test_the_recipes_of_the_checkout_are_found_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert recipe_files()["kinetics"] == ROOT / "configs/kinetics.py"
    assert "common" not in recipe_files() and "__init__" not in recipe_files()
    config = load_config("kinetics/c2_slow_8x8_r50")
    assert config.name == "kinetics/c2_slow_8x8_r50" and config.published.top1 == 74.8
    assert load_config("configs/kinetics.py:x3d_m").to_dict() == load_config(
        f"{ROOT}/configs/kinetics.py:x3d_m"
    ).to_dict()


def test_recipes_of_the_current_folder_come_first(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/kinetics.py").write_text(
        "from ml_collections import ConfigDict\nVARIANTS = {'a': (), 'b.c': ()}\n"
        "def get_config(variant):\n"
        "    return ConfigDict({'name': variant, 'model': {'name': 'kinetics/mini'}})\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load_config("kinetics/b.c").name == "b.c"
    assert variants_of(recipe_files()["kinetics"]) == ["a", "b.c"]
    with pytest.raises(ConfigError, match="kinetics/c is neither .* did you mean .*kinetics/a"):
        load_config("kinetics/c")
    assert split_name("ava/mini") == (ROOT / "configs/ava.py", "mini")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_by_its_name(name):
    if name not in zoo.ZOO:
        assert load_config(name).name == name
    assert load_config(name, train=True).name == name
    assert "train" in load_config(name, train=True)


@pytest.mark.parametrize(("spec", "message"), [
    ("kinetics", r"kinetics is a recipe with \d+ variants: name one, such as kinetics/c2d_8x8_r50"),
    ("kinetics/", r"--mode=config --config=kinetics lists them"),
    ("kinetics/x3d_xs_finetunes", "did you mean kinetics/x3d_xs_finetune"),
    ("kinetic/x3d_xs", r"'kinetic/x3d_xs' is neither .*did you mean kinetics/x3d_xs"),
    ("../kinetics/x3d_xs", "is neither a recipe"),
])
def test_names_that_do_not_exist(spec, message):
    with pytest.raises(ConfigError, match=message):
        load_config(spec)


def test_an_installed_package_has_its_recipes(tmp_path):
    """As setup.py lays it out: `configs` within the package, and no package `configs`."""
    for package in ("slowfast_jax", "data_pipelines", "convert"):
        shutil.copytree(ROOT / package, tmp_path / "site" / package)
    shutil.copytree(ROOT / "configs", tmp_path / "site/slowfast_jax/configs")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/mine.py").write_text(
        "from configs import common\n"
        "def get_config():\n"
        "    return common.recipe('mine', common.base(data={}), common.network('kinetics/mini'))\n"
    )
    code = (
        "import sys, data_pipelines\n"
        "from slowfast_jax.config import load_config, recipe_files\n"
        "for spec in ('kinetics/x3d_xs_finetune', 'configs/kinetics.py:x3d_s', 'mine.py'):\n"
        "    print(load_config(spec).name)\n"
        "print(load_config('mmaction2/ava_slowonly_4x16_r50').data.format, recipe_files()['ava'])\n"
        "assert not any(name.split('.')[0] == 'configs' for name in sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "empty", capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site"), "JAX_PLATFORMS": "cpu"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "kinetics/x3d_xs_finetune", "kinetics/x3d_s", "mine",
        f"ava {tmp_path / 'site/slowfast_jax/configs/ava.py'}",
    ]


def test_setup_installs_the_recipes(monkeypatch):
    setuptools = pytest.importorskip("setuptools")
    arguments = {}
    monkeypatch.setattr(setuptools, "setup", arguments.update)
    monkeypatch.chdir(ROOT)
    code = compile((ROOT / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec")
    exec(code, {"__file__": str(ROOT / "setup.py"), "__name__": "__main__"})
    assert arguments["package_dir"]["slowfast_jax.configs"] == "configs"
    assert "slowfast_jax.configs" in arguments["packages"]
    assert not {"configs", "tests"} & set(arguments["packages"])
