import subprocess
import sys

import flax.linen as nn
import pytest
from ml_collections import ConfigDict

from slowfast_jax.config import ConfigError, build_model, check_values, load_config
from slowfast_jax.models import zoo
from tests.support.paths import ROOT
from tests.support.tiny_models import norm_entry

RECIPES = ROOT / "configs"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def recipe(**fields) -> str:
    return (
        "from ml_collections import ConfigDict\n"
        f"def get_config(variant=''):\n    return ConfigDict({fields!r})\n"
    )


@pytest.mark.parametrize("name", sorted(zoo.ZOO))
def test_every_published_model_has_a_complete_config(name):
    config = load_config(name)
    assert config.is_locked
    assert set(config.protocol) == set(zoo.PROTOCOL)
    assert config.model.name == name
    model = build_model(config)
    boxes = name.startswith(("ava/", "mmaction2/ava_", "paddlevideo/ava_", "mindspore/ava_"))
    assert config.task == ("detection" if boxes else "classification")
    assert model.num_frames == config.protocol.num_frames
    assert model.crop_size == config.protocol.train_crop
    assert model.mean == config.protocol.mean
    assert model == zoo.create(name)


def test_a_recipe_is_completed_from_the_zoo():
    config = load_config(f"{RECIPES / 'kinetics.py'}:x3d_xs")
    assert config.name == "kinetics/x3d_xs" and config.is_locked
    assert dict(config.protocol) == dict(load_config("kinetics/x3d_xs").protocol)
    assert config.model.num_classes == 400 and config.class_names == "kinetics400"
    assert config.model.dropout == 0.5  # keywords that neither recipe nor zoo mentions, too
    assert config.data.jitter == (182, 228)
    assert build_model(config) == zoo.create("kinetics/x3d_xs")


def test_published_models_are_tested_by_the_rules_of_their_data_set():
    for name in ("ssv2/slowfast_16x8_r50", "charades/slowfast_16x8_r50"):
        of_zoo = load_config(name)
        of_recipe = load_config(f"{RECIPES / name.split('/')[0]}.py")
        assert of_zoo.data.sampling == of_recipe.data.sampling == name.split("/")[0]
        assert dict(of_zoo.protocol) == dict(of_recipe.protocol)
    assert load_config("imagenet/res_r50").data.jitter[0] == 256
    assert load_config("kinetics/x3d_xs").data.sampling == "kinetics"


def test_a_recipes_own_values_win(tmp_path):
    path = write(tmp_path / "mine.py", recipe(
        model={"name": "kinetics/mini", "dropout": 0.1}, protocol={"clips": 7},
    ))
    config = load_config(path)
    assert config.model.dropout == 0.1 and config.protocol.clips == 7
    assert config.test.batch_size > 0 and config.data.separator == " "
    assert build_model(config).dropout == 0.1


def test_a_recipe_with_a_train_section_is_completed_for_training(tmp_path):
    path = write(tmp_path / "mine.py", recipe(
        model={"name": "kinetics/mini"}, data={"format": "boxes", "jitter": (64, 80)},
        train={"epochs": 3}, schedule={"base_lr": 1},
    ))
    config = load_config(path)
    assert config.train.epochs == 3 and config.train.batch_size == 64
    assert config.schedule.base_lr == 1.0 and isinstance(config.schedule.base_lr, float)
    assert config.data.jitter == (64, 80) and config.data.max_boxes == 16
    assert config.published.top1 is None and config.augment.num_clips == 1
    with pytest.raises(TypeError):
        config.train.epochs = "many"
    config.published.top1 = 50.0  # no other config sees it
    assert load_config(path).published.top1 is None


def test_a_recipe_without_a_train_section_is_for_testing(tmp_path):
    path = write(tmp_path / "mine.py", recipe(model={"name": "kinetics/mini"}))
    zoo_config = load_config("kinetics/mini").to_dict()
    assert load_config(path).to_dict() == zoo_config | {"name": "", "class_names": ""}


def test_a_recipe_for_a_custom_task_may_have_fields_of_its_own(tmp_path):
    path = write(tmp_path / "mine.py", recipe(
        model={"name": "kinetics/mini"}, task="regression", train={}, regression={"targets": 2},
        data={"target_list": "t.csv"}, augment={"noise": 0.1},
    ))
    config = load_config(path)
    assert config.regression.targets == 2 and config.data.target_list == "t.csv"
    assert config.augment.to_dict() == {"noise": 0.1} and config.train.epochs == 196


def test_class_names_of_a_recipe_decide_the_number_of_classes(tmp_path):
    names = write(tmp_path / "names.txt", "run\njump\nfall\n")
    path = write(tmp_path / "mine.py", recipe(
        model={"name": "kinetics/x3d_xs"}, class_names=names
    ))
    assert load_config(path).model.num_classes == 3


def test_another_number_of_classes_drops_the_names_of_the_zoo_entry(tmp_path):
    path = write(tmp_path / "mine.py", recipe(
        model={"name": "kinetics/x3d_xs", "num_classes": 5}, class_names="kinetics400"
    ))
    config = load_config(path)
    assert config.model.num_classes == 5 and config.class_names == ""


def test_loads_from_any_directory_and_leaves_no_trace(tmp_path):
    """Even if the user has another package named `configs`."""
    write(tmp_path / "configs/__init__.py", "MINE = True\n")
    code = (
        "import sys, configs\n"
        "before = list(sys.path)\n"
        f"from slowfast_jax.config import load_config\n"
        f"print(load_config({str(RECIPES / 'kinetics.py') + ':x3d_s'!r}).name)\n"
        "assert sys.path == before and sys.modules['configs'].MINE\n"
        "assert 'configs.common' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "JAX_PLATFORMS": "cpu"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "kinetics/x3d_s"


def test_two_checkouts_do_not_mix(tmp_path):
    for name, clips in (("a", 1), ("b", 2)):
        write(tmp_path / name / "configs/__init__.py", "")
        write(tmp_path / name / "configs/common.py", f"CLIPS = {clips}\n")
        write(tmp_path / name / "configs/mine.py", (
            "from ml_collections import ConfigDict\n"
            "def get_config():\n"
            "    from configs import common  # late\n"
            "    return ConfigDict({'model': {'name': 'kinetics/mini'},"
            " 'protocol': {'clips': common.CLIPS}})\n"
        ))
    assert load_config(str(tmp_path / "a/configs/mine.py")).protocol.clips == 1
    assert load_config(str(tmp_path / "b/configs/mine.py")).protocol.clips == 2


@pytest.mark.parametrize(("spec", "message"), [
    ("kinetics/x3d_xx", r"did you mean kinetics/x3d_xs.*--mode=config --config=kinetics lists"),
    ("mmaction2/slowonly_4x16", "did you mean mmaction2/slowonly_4x16_r50"),
    ("nonsense", "neither a recipe .* nor a published model"),
    (f"{RECIPES}/kinetic.py:x3d_xs", r"does not exist; did you mean kinetics\.py"),
    (f"{RECIPES}/kinetics.py:x3d_sx", r"no variant 'x3d_sx'.*x3d_xs"),
    ("no/such/folder/kinetics.py:x3d_xs", "recipe .* that is installed is kinetics/x3d_xs"),
    ("no/such/folder/a.py", "does not exist: no folder no/such/folder in /"),
])
def test_unknown_specs_name_what_is_close(spec, message):
    with pytest.raises(ConfigError, match=message):
        load_config(spec)


@pytest.mark.parametrize(("text", "message"), [
    (recipe(model={"name": "kinetics/mini", "dropuot": 0}), "model.dropuot.*did you mean dropout"),
    (recipe(model={"name": "kinetics/mini"}, protocol={"clip": 1}), "protocol.clip.*mean clips"),
    (recipe(model={"name": "kinetics/mimi"}), r"config\.model\.name.*kinetics/mini"),
    (recipe(model={"depth": 50}), r"no config\.model\.name"),
    (recipe(model={"name": "kinetics/mini"}, optimiser={}), "config.optimiser .*mean optimizer"),
    (recipe(model={"name": "kinetics/mini"}, schedule={"base_rate": 0.1}),
     r"config\.schedule\.base_rate does not exist; did you mean base_lr"),
    (recipe(model={"name": "kinetics/mini"}, schedule={"scale_lr_by_hosts": True}),
     r"scale_lr_by_hosts no longer exists: .*config\.schedule\.reference_batch"),
    (recipe(model={"name": "kinetics/mini"}, train={"init_from": {"pth": ""}}),
     r"config\.train\.init_from\.pth does not exist; did you mean path"),
    (recipe(model={"name": "kinetics/mini"}, train={"epochs": "many"}),
     r"config\.train\.epochs is 'many', expected something like 196"),
    (recipe(model={"name": "kinetics/mini"}, train={"epochs": 1.5}), r"epochs is 1\.5, expected"),
    (recipe(model={"name": "kinetics/mini"}, train={}, published={"top1": "high"}),
     r"config\.published\.top1 is 'high', expected float"),
    (recipe(model={"name": "kinetics/mini"}, train={}, mesh=4),
     r"config\.mesh is 4, expected a section with data, fsdp, spatial"),
    ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ("x = 1", "is not a recipe: it has no function get_config"),
    ("def get_config():\n    return {}", "returned a dict, expected an ml_collections.ConfigDict"),
    ("def get_config(variant):\n    return {}", r"needs a variant: bad\.py:VARIANT"),
])
def test_a_broken_recipe_says_what_is_wrong(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path / "bad.py", text))


def test_a_variant_of_a_recipe_that_has_none(tmp_path):
    path = write(tmp_path / "one.py", "def get_config():\n    return {}")
    with pytest.raises(ConfigError, match="has no variants: leave out ':a'"):
        load_config(f"{path}:a")


def test_build_model_takes_keywords_and_refuses_unknown_ones():
    config = load_config("kinetics/mini")
    assert build_model(config, num_classes=7, dtype="bfloat16").num_classes == 7
    with pytest.raises(ConfigError, match="model.widht.*did you mean width"):
        build_model(config, widht=3)


def test_build_model_passes_what_the_network_declares(monkeypatch):
    class Plain(nn.Module):
        """Neither batch norm nor normalization of its own."""

        num_classes: int
        num_frames: int = 0

    entry = zoo.entry(Plain, {"num_classes": 3}, "", num_frames=5)
    monkeypatch.setitem(zoo.ZOO, "test/plain", entry)
    config = load_config("test/plain")
    assert config.task == "classification" and not config.data.multi_label
    assert build_model(config, group_size=8, crop_size=64) == Plain(3, num_frames=5)
    with config.model.unlocked():
        config.model.group_size = 8
    with pytest.raises(ConfigError, match=r"config\.model\.group_size does not exist"):
        build_model(config)
    monkeypatch.setitem(zoo.ZOO, "test/norm", norm_entry())
    assert build_model(load_config("test/norm"), group_size=2).group_size == 2


@pytest.mark.parametrize(("field", "value"), [
    ("protocol.clips", 0), ("protocol.crops", 5), ("protocol.ensemble", "mean"),
    ("protocol.mean", (0.5,)), ("test.batch_size", 0),
])
def test_impossible_values(field, value):
    config = load_config("kinetics/mini")
    config.update_from_flattened_dict({field: value})
    with pytest.raises(ConfigError, match=rf"config\.{field} is .*expected"):
        check_values(config)


def test_tiny_entry_is_a_zoo_entry(tiny):
    assert isinstance(load_config("test/tiny"), ConfigDict)
