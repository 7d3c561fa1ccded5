"""Flags, help texts, and the config of an earlier run."""

import json

import pytest
from absl import flags
from ml_collections import ConfigDict

from slowfast_jax import command_line
from slowfast_jax.command_line import answer, as_flags
from slowfast_jax.config import ConfigError, load_config, recipe_names
from slowfast_jax.models import zoo
from slowfast_jax.weights import stored_config
from tests.slowfast_jax.config.test_wrong_values import fields_of


def parse(*arguments):
    values = flags.FlagValues()
    command_line.define_flags(values)
    return command_line.parse(["main", *map(str, arguments)], values)[0]


RECIPES = recipe_names()
WRONG_FLAGS = ("nonsense", "", "-1", "1" + 30 * "0", "nan", "inf", "None", "(1,", "[3]", "{'a':1}")


@pytest.mark.parametrize("part", [
    pytest.param(part, marks=[pytest.mark.slow] if part else []) for part in range(6)
])
def test_a_wrong_flag_of_every_field_is_one_line_that_names_it(part):
    fields = [path for *_, path in fields_of(load_config("kinetics/mini", train=True))][part::6]
    accepted = 0
    for turn, path in enumerate(fields, part):
        value = WRONG_FLAGS[turn % len(WRONG_FLAGS)]
        try:
            parse("--config=kinetics/mini", f"--config.{path}={value}")
            accepted += 1
        except ConfigError as error:
            assert "\n" not in str(error)
            assert f"config.{path}" in str(error) or path == "class_names", (path, value)
    assert accepted < len(fields) / 2  # texts, which may be anything


@pytest.mark.parametrize(("argument", "message"), [
    ("--config.model.dtype=float17", r"dtype is float17, expected float32 or bfloat16 or float16"),
    ("--config.schedule.base_lr=nan", r"base_lr is nan, expected a number, above 0"),
    ("--config.data.random_flip=1.5", r"random_flip is 1.5, expected True or False"),
    ("--config.data.jitter=64", r"config\.data\.jitter is \(64,\), expected two whole numbers"),
    ("--config.data.jitter[7]=64", r"data\.jitter\[7\]=64: tuple index"),
    ("--config.model={'a':1}", r"--config\.model is a section: set one of its fields \(activation"),
    ("--config.optimizer.name=adan", r"expected sgd or adam or adamw; did you mean adam"),
    ("--config.train.class_weights=(1,-2)", r"class_weights is \(1, -2\), expected one number"),
    ("--backend=auto", "--backend is for the modes eval, reproduce, extract, not for --mode=train"),
])
def test_wrong_flags(argument, message):
    with pytest.raises(ConfigError, match=message):
        parse("--config=kinetics/mini", argument)


def test_all_wrong_flags_are_in_one_list():
    with pytest.raises(ConfigError) as error:
        parse(
            "--config=kinetics/mini", "--config.train.epoch=3", "--config.train.epochs=three",
            "--config.trian.batch_size=4", "--config.schedule.base_lr=-1", "--wrokdir=a",
        )
    lines = str(error.value).splitlines()
    assert lines[0] == "5 problems:" and len(lines) == 6
    for part, line in zip((
        "--config.train.epoch does not exist; did you mean epochs", "train.epochs is three, expect",
        "--config.trian does not exist; did you mean train", "base_lr is -1", "wrokdir",
    ), lines[1:], strict=True):
        assert part in line


def test_fields_that_follow_from_flags(tmp_path):
    config = parse("--config=kinetics/mini", "--config.data.multi_label=True")
    assert (config.train.loss, config.model.activation) == ("bce_logits", "sigmoid")
    config = parse(
        "--config=kinetics/mini", "--config.data.multi_label=True", "--config.train.loss=bce"
    )
    assert (config.train.loss, config.model.activation) == ("bce", "sigmoid")
    config = parse("--config=kinetics/x3d_xs", "--mode=eval", "--config.model.num_classes=2")
    assert config.class_names == ""
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    config = parse("--config=kinetics/x3d_xs_finetune", f"--config.data.root={tmp_path}")
    assert config.model.num_classes == 3 and config.class_names.endswith("classes.txt")
    assert parse("--config=kinetics/mini", "--config.train.class_weights=balanced"
                 ).train.class_weights == ("balanced",)


@pytest.mark.parametrize("name", sorted(zoo.ZOO))
def test_a_zoo_name_is_the_recipe_of_that_name_for_training_alone(name):
    tested = parse(f"--config={name}", "--mode=eval")
    assert tested.name == name and "optimizer" not in tested
    config = parse(f"--config={name}")
    recipes = [r for r in (name, name.replace("/", "/c2_")) if r in RECIPES]
    assert config.name == (recipes[0] if recipes else name)
    assert config.model.name == name and ("optimizer" in config) == bool(recipes)


@pytest.mark.parametrize("mode", ["train", "bench_data", "compile"])
def test_the_modes_that_need_a_recipe(mode):
    assert parse("--config=kinetics/x3d_xs", f"--mode={mode}").train.epochs == 300


def run_folder(tmp_path, name="kinetics/mini", **changes):
    config = load_config(name, train=True)
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    (tmp_path / "config.json").write_text(config.to_json(indent=1))
    return config


@pytest.mark.parametrize("name", ["kinetics/mini_multigrid", "own/mini", "kinetics/x3d_xs"])
def test_a_run_folder_knows_its_config(tmp_path, name):
    before = run_folder(tmp_path, name, **{"train.epochs": 77, "schedule.warmup_epochs": 0.5})
    for mode in ("train", "eval", "report", "config"):
        config = parse(f"--workdir={tmp_path}", "--mode", mode)
        assert config.to_dict() == before.to_dict() and config.is_locked
        assert hash(tuple(config.data.jitter)) and isinstance(config.published.note, str)
    config = parse("--workdir", tmp_path, "--config.train.epochs=3")
    assert config.train.epochs == 3
    assert parse(f"--workdir={tmp_path}", "--config=kinetics/mini").train.epochs == 2


def test_a_run_folder_of_an_older_version(tmp_path):
    config = run_folder(tmp_path).to_dict()
    del config["train"]["class_weights"], config["test"]
    config["schedule"]["scale_lr_by_hosts"] = False
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert parse(f"--workdir={tmp_path}").train.class_weights == ()
    config["schedule"]["scale_lr_by_hosts"] = True
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="scale_lr_by_hosts no longer exists: .*reference_batch"):
        parse(f"--workdir={tmp_path}")


def test_a_run_folder_without_config_json(tmp_path, monkeypatch):
    (tmp_path / "checkpoints/7").mkdir(parents=True)
    config = ConfigDict(load_config("kinetics/mini", train=True).to_dict())
    monkeypatch.setattr(command_line, "latest_checkpoint", lambda folder: f"{folder}/7")
    monkeypatch.setattr(command_line, "stored_config", lambda folder: (config, []))
    assert parse(f"--workdir={tmp_path}", "--mode=eval").name == "kinetics/mini"
    assert stored_config  # what the command reads


def test_folders_that_are_not_runs(tmp_path):
    with pytest.raises(ConfigError, match="--config is missing, and .* is not the folder of an"):
        parse(f"--workdir={tmp_path}")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json is not the config of a run"):
        parse(f"--workdir={tmp_path}")
    with pytest.raises(ConfigError, match="--config is missing"):
        parse("--mode=eval")


def test_help_and_lists_of_variants():
    text = answer(["main", "--help"], "USAGE")
    assert text.startswith("USAGE") and "kinetics" in text
    for arguments in (["--config=kinetics", "--mode=config"], ["--config", "kinetics/", "--help"]):
        assert "kinetics/x3d_xs_finetune" in answer(["main", *arguments], "").splitlines()
    text = answer(["main", "--config=ava/mini", "--help"], "USAGE")
    assert "USAGE" not in text and "--config.train.batch_size=8\n    (default: 64;" in text
    assert answer(["main", "--config=kinetics/mini", "--mode=config"], "") is None


@pytest.mark.parametrize("name", ["kinetics/x3d_xs_finetune", "ava/slow_8x8_r50", "own/mini"])
def test_every_field_is_described(name):
    config = load_config(name, train=name != "ava/slow_8x8_r50")
    text = command_line.describe(config, {"data.root"})
    flags_shown = [line.split("=")[0] for line in text.splitlines() if line.startswith("--config")]
    assert flags_shown == [f"--config.{path}" for *_, path in fields_of(config)]
    assert "--config.data.root=\n    (set by a flag)\n    Folder of the lists." in text


@pytest.mark.parametrize(("message", "shown"), [
    ("config.train.epochs is 0", "--config.train.epochs is 0"),
    ("set --config.train.epochs", "set --config.train.epochs"),
    ("RUN/config.json and config.json", "RUN/config.json and config.json"),
    ("(config.class_names)", "(--config.class_names)"),
    ("my_config.train.epochs a/config.data", "my_config.train.epochs a/config.data"),
])
def test_messages_name_flags_as_they_are_typed(message, shown):
    assert as_flags(message) == shown


def test_a_file_of_pyslowfast_with_its_overrides(tmp_path):
    path = tmp_path / "MINE.yaml"
    path.write_text("TRAIN: {ENABLE: False}\nNUM_GPUS: 8\nOUTPUT_DIR: out", encoding="utf-8")
    values = flags.FlagValues()
    command_line.define_flags(values)
    config, left = command_line.parse([
        "main", "TEST.BATCH_SIZE", "4", f"--config={path}", "--weights", "C2D.pkl",
        "--config.train.enable", "DEMO.WEBCAM", "-1", "--config.data.root", "lists",
        "TEST.NUM_TEMPORAL_CLIPS", "[5,7]",
    ], values)
    assert left == ["main"] and config.name == "MINE"
    assert config.test.batch_size == 4 and config.data.root == "lists" and config.train.enable
    assert (values.mode, values.workdir, values.clips) == ("eval", "out", ["5", "7"])
    assert values.weights == "C2D.pkl"


def test_flags_win_over_what_a_file_of_pyslowfast_says(tmp_path):
    path = tmp_path / "MINE.yaml"
    path.write_text("TRAIN: {ENABLE: False}\nOUTPUT_DIR: out", encoding="utf-8")
    values = flags.FlagValues()
    command_line.define_flags(values)
    arguments = f"main --config {path} --mode=config --workdir mine"
    command_line.parse(arguments.split(), values)
    assert (values.mode, values.workdir) == ("config", "mine")


def test_pairs_belong_to_files_of_pyslowfast_alone():
    message = r"TRAIN\.BATCH_SIZE is not a flag: flags start with --; pairs KEY VALUE follow a YAML"
    with pytest.raises(ConfigError, match=message):
        parse("--config=kinetics/mini", "TRAIN.BATCH_SIZE", 8)


@pytest.mark.parametrize(("arguments", "message"), [
    (("--cfg", "A.yaml"), r"--cfg is a flag of PySlowFast; here it is --config FILE\.yaml"),
    (("--config=A.yaml", "--opts", "NUM_GPUS", "1"), r"--opts .* the pairs KEY VALUE alone, after"),
    (("--config=A.yaml", "--num_shards=2"), r"--num_shards .* here it is NUM_SHARDS N"),
])
def test_flags_of_pyslowfast_are_answered_by_those_here(arguments, message):
    with pytest.raises(ConfigError, match=message):
        parse(*arguments)
