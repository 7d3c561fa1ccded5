"""Before a run, everything that it reads is checked, and all problems are reported together."""

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from slowfast_jax.config import ConfigError, build_model
from slowfast_jax.data import video_lists
from slowfast_jax.loop import preflight
from slowfast_jax.loop.preflight import (
    Problems,
    prepare_test,
    prepare_training,
    weights_to_test,
)
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import describe, initial_variables
from tests.support.formats import FORMATS
from tests.support.preflight import LISTS, misspell, problems_of
from tests.support.tiny_models import training_config

pytestmark = pytest.mark.usefixtures("tiny_norm")


@pytest.mark.parametrize("name", FORMATS)
def test_every_list_of_every_format_is_checked(made, quiet, tmp_path, name):
    config = made(name)
    ready = prepare_training(config, tmp_path / "run", then_test=True)
    assert set(ready.found) == {"train", "val", "test"} and ready.schedule.steps > 0
    assert not (tmp_path / "run").exists()
    train, val, test = LISTS[name]
    wrong = [misspell(config, field) for field in dict.fromkeys((train, val))]
    found = problems_of(prepare_training, config, tmp_path, then_test=False)
    for text in wrong:
        assert any(text.split(":")[-1] in line for line in found), (text, found)
    config = made(name)
    wrong = misspell(config, test)
    if name not in ("ava", "boxes"):  # these validate on the test set
        prepare_training(config, tmp_path)
    for function, arguments, options in (
        (prepare_training, (config, tmp_path), {"then_test": True}),
        (prepare_test, (config, tmp_path, "random"), {}),
    ):
        (line,) = problems_of(function, *arguments, **options)
        assert wrong.split(":")[-1] in line


@pytest.mark.parametrize("name", FORMATS)
def test_a_wrong_number_of_classes_is_found_in_every_format(made, quiet, tmp_path, name):
    config = made(name)
    with config.unlocked():
        config.model.num_classes = 3
    text = " ".join(problems_of(prepare_training, config, tmp_path, then_test=True))
    assert "classes" in text or "label 3" in text or "class within 0..2" in text


@pytest.mark.parametrize("name", FORMATS)
def test_wrong_names_are_found_in_every_format(made, quiet, tmp_path, name):
    config = made(name)
    config.class_names = str(tmp_path / "names.txt")
    (line,) = problems_of(prepare_training, config, tmp_path, then_test=True)
    assert "names.txt': neither a file nor a set that ships" in line
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    for line in problems_of(prepare_training, config, tmp_path, then_test=True):
        assert "names.txt" in line or "expected one of 2" in line


def test_a_wrong_label_map_is_found(made, quiet, tmp_path):
    config = made("ava")
    config.data.label_map = "nothing.pbtxt"
    for function, arguments in (
        (prepare_training, (config, tmp_path)), (prepare_test, (config, tmp_path, "random")),
    ):
        (line,) = problems_of(function, *arguments)
        assert "nothing.pbtxt: no such label map" in line


def test_names_beside_the_lists_are_the_class_names(made, tmp_path):
    folder = shutil.copytree(made("kinetics").data.root, tmp_path / "data")
    (folder / "classes.txt").write_text("red\ngreen\nblue\nyellow\n")
    config = training_config(folder)
    names = ["red", "green", "blue", "yellow"]
    assert prepare_training(config, tmp_path).class_names == names
    config.class_names = str(tmp_path / "own.txt")
    (tmp_path / "own.txt").write_text("r\ng\nb\ny\n")
    assert prepare_training(config, tmp_path).class_names == ["r", "g", "b", "y"]
    config.class_names = ""
    (folder / "classes.txt").write_text("red\ngreen\nblue\n")
    (line,) = problems_of(prepare_training, config, tmp_path)
    assert "classes.txt has 3 names, but config.model.num_classes is 4" in line
    assert "set config.model.num_classes=3" in line


def test_all_problems_are_in_one_list(made, quiet, tmp_path):
    config = made("kinetics")
    config.data.val_list, config.data.test_list = "no_val.csv", "no_test.csv"
    config.train.init_from.path = "gone.pyth"
    config.train.batch_size = 32
    config.optimizer.name = "sdg"
    (tmp_path / "file").write_text("")
    found = problems_of(prepare_training, config, tmp_path / "file/run", then_test=True)
    for text in (
        "no_val.csv: no such list", "no_test.csv: no such list", "weights gone.pyth: no such file",
        "4 examples do not fill one batch of 32: set --config.train.batch_size=4", "sdg",
        "--workdir=", "Not a directory",
    ):
        assert sum(text in line for line in found) == 1, (text, found)
    assert len(found) == 6


def test_all_bad_rows_of_a_list_are_problems(made, quiet, tmp_path, caplog):
    config = made("kinetics")
    path = Path(config.data.root, "wrong.csv")
    path.write_text("a.mp4 0\nb.mp4 x\nc.mp4 1\nd.mp4 99\n")
    config.data.val_list = path.name
    *found, missing = problems_of(prepare_training, config, tmp_path)
    assert [line.split(f"{path}:")[1][0] for line in found] == ["2", "4"]
    assert "none of its 2 videos exists (the first: " in missing
    path.write_text("videos/val_00.mp4 0\nnope.mp4 1\nvideos/val_01.mp4 9\n")
    (line,) = problems_of(prepare_training, config, tmp_path)
    assert line.startswith(f"{path}:3: label 9; ")
    assert "1 of the 2 files of " in caplog.text and "nope.mp4" in caplog.text


def test_a_training_list_of_one_class_is_refused(made, tmp_path):
    config = made("kinetics")
    path = Path(config.data.root, "one_class.csv")
    rows = Path(config.data.root, config.data.train_list).read_text().splitlines()
    path.write_text("".join(row.split()[0] + " 1\n" for row in rows))
    config.data.train_list = path.name
    with pytest.raises(ConfigError, match="all 4 examples of .*one_class.csv have the label 1"):
        prepare_training(config, tmp_path)


def test_a_single_problem_keeps_its_type(made, tmp_path):
    config = made("kinetics")
    config.data.val_list = "no_val.csv"
    with pytest.raises(FileNotFoundError, match="no_val.csv: no such list"):
        prepare_training(config, tmp_path)


def test_equal_problems_are_listed_once():
    problems = Problems()
    for text in ("a is wrong", "b is wrong\n  in two lines", "a is wrong"):
        with problems.noted():
            raise ValueError(text)
    with pytest.raises(ConfigError, match="^2 problems:\n  - a is wrong\n  - b is wrong in two"):
        problems.report()


def test_test_weights_are_checked_with_the_lists(made, quiet, tmp_path):
    config = made("kinetics")
    variables = initial_variables(build_model(config), 1)
    save_checkpoint(tmp_path / "weights", variables, describe(config, list("abcd")))
    with config.unlocked():
        config.model.num_classes = 6
    config.data.test_list = "nothing.csv"
    for weights, text in (
        ("gone.pyth", "weights gone.pyth: no such file or folder"), (None, "no weights to test"),
        (tmp_path / "weights", "4"),
    ):
        found = problems_of(prepare_test, config, tmp_path, weights)
        assert len(found) == 2 and "nothing.csv" in found[0] and text in found[1]


@pytest.mark.parametrize("name", ["kinetics", "ava"])
def test_initial_weights_that_do_not_fit_are_found(made, quiet, tmp_path, name):
    config = made(name)
    variables = initial_variables(build_model(config), 1)
    variables["params"]["b"]["kernel"] = np.zeros((3, 1, 1, 8, 9), np.float32)
    save_checkpoint(tmp_path / "weights", variables, describe(config, []))
    config.train.init_from.path = str(tmp_path / "weights")
    text = "\n".join(problems_of(prepare_training, config, tmp_path / "run"))
    assert "b/kernel" in text or "another shape" in text
    config.data.root = "nowhere"
    found = problems_of(prepare_training, config, tmp_path / "run")
    assert any("1 have another shape" in line for line in found) and len(found) >= 2


def test_a_list_without_any_file_names_the_prefix(made, tmp_path, caplog):
    config = made("kinetics")
    config.data.path_prefix = str(tmp_path)
    found = problems_of(prepare_training, config, tmp_path / "run", then_test=True)
    assert len(found) == 3
    for line in found:
        assert "none of its 4 videos exists (the first: " in line
        assert "set --config.data.path_prefix" in line and str(tmp_path) in line
    folder = shutil.copytree(made("kinetics").data.root, tmp_path / "data")
    (folder / "videos/val_02.mp4").unlink()
    prepare_training(training_config(folder), tmp_path / "run")
    assert "1 of the 4 files of " in caplog.text and "val_02.mp4" in caplog.text


@pytest.mark.parametrize(("fields", "processes", "size"), [
    ({"train__batch_size": 16}, 1, 12),
    ({"train__batch_size": 13, "norm__group_size": 8}, 1, 8),
    ({"train__batch_size": 5, "norm__group_size": 1}, 2, 4),
    ({"train__batch_size": 1, "norm__group_size": 1}, 2, 2),
    ({"train__batch_size": 4, "train__accumulate": 3}, 1, 6),
    ({"train__batch_size": 40, "train__accumulate": 2}, 3, 12),
    ({"train__batch_size": 40, "augment__num_clips": 2, "norm__group_size": 4}, 1, 12),
])
def test_a_batch_size_that_fits_is_named(colors, tmp_path, monkeypatch, fields, processes, size):
    monkeypatch.setattr("slowfast_jax.distributed.count", lambda: processes)
    config = training_config(colors, **fields)
    found = problems_of(prepare_training, config, tmp_path)
    assert any(line.endswith(f": set --config.train.batch_size={size}") for line in found), found
    config.train.batch_size = size
    prepare_training(config, tmp_path)


def test_multigrid_batches_get_a_size_that_fits(colors, tmp_path):
    config = training_config(
        colors, train__batch_size=4, model__head_pool="global", norm__group_size=1,
        multigrid__short_cycle=True, multigrid__norm_group_size=1,
    )
    (line,) = problems_of(prepare_training, config, tmp_path)
    assert line == "12 examples do not fill one batch of 16: set --config.train.batch_size=3"


def test_too_few_examples_for_the_processes(colors, tmp_path, monkeypatch):
    monkeypatch.setattr("slowfast_jax.distributed.count", lambda: 16)
    found = problems_of(prepare_training, training_config(colors), tmp_path)
    assert any("no batch size fits this data set" in line for line in found)


def test_disk_space(colors, tmp_path, monkeypatch):
    config = training_config(colors, train__checkpoint_steps=1)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage(5000))
    (line,) = problems_of(prepare_training, config, tmp_path / "run")
    assert "has 0.00 GB of free space, but 4 more checkpoints of 0.00 GB" in line
    assert "--config.train.keep_last" in line
    (tmp_path / "run/checkpoints/3").mkdir(parents=True)  # a checkpoint that is already there
    (line,) = problems_of(prepare_training, config, tmp_path / "run")
    assert "but 3 more checkpoints" in line
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: usage(10**6))
    prepare_training(config, tmp_path / "run")


def test_train_only_that_matches_nothing_is_found(colors, tmp_path):
    config = training_config(colors, train__train_only="haed/.*")
    (line,) = problems_of(prepare_training, config, tmp_path)
    assert "train_only is 'haed/.*', which matches no parameter" in line


def test_generated_data_is_announced_and_only_made_for_a_valid_run(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "absl")
    made = []
    monkeypatch.setitem(
        video_lists.GENERATORS, "kinetics_mini", (lambda folder, seed: made.append(folder), {})
    )
    config = training_config(tmp_path, data__generate="kinetics_mini", optimizer__name="sgd")
    config.train.batch_size = 0
    problems_of(prepare_training, config, tmp_path)
    assert not made
    config.train.batch_size = 4
    problems_of(prepare_training, config, tmp_path)  # the generator writes nothing
    assert made[0] == tmp_path / "kinetics_mini"
    assert "generating the data set kinetics_mini in " in caplog.text


def test_order_of_weights(made, tmp_path, monkeypatch):
    config = made("kinetics")
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="no weights to test.*--weights.*--workdir.*=random"):
        weights_to_test(config, run)
    with pytest.raises(ConfigError, match="no weights to test"):
        weights_to_test(config, None)
    config.train.init_from.path = "start.pyth"
    assert weights_to_test(config, run) == "start.pyth"
    variables = initial_variables(build_model(config), 1)
    save_checkpoint(run / "checkpoints/12", variables, describe(config, list("abcd")))
    assert weights_to_test(config, run) == run / "checkpoints/12"
    config.test.checkpoint = "recipe.pyth"
    assert weights_to_test(config, run) == "recipe.pyth"
    assert weights_to_test(config, run, "given.pyth") == "given.pyth"
    assert weights_to_test(config, None, run) == run / "checkpoints/12"
    assert weights_to_test(config, run, "random") == ""


def test_initial_weights_are_tested_as_training_reads_them(made, tmp_path):
    config = made("kinetics")
    other = made("kinetics")
    with other.unlocked():
        other.model.num_classes = 7
    variables = initial_variables(build_model(other), 1)
    save_checkpoint(tmp_path / "weights", variables, describe(other, []))
    config.train.init_from.path = str(tmp_path / "weights")
    config.train.init_from.skip = ("head/.*",)
    recognizer, _ = prepare_test(config, tmp_path / "run", None)
    np.testing.assert_array_equal(
        recognizer.variables["params"]["b"]["kernel"].shape, (3, 1, 1, 8, 8)
    )
    assert recognizer.config.test.checkpoint == str(tmp_path / "weights")
