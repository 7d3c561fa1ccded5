"""Figures of tests in TensorBoard's files."""

import json

import pytest

from data_pipelines.mini import datasets
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.jobs import modes
from slowfast_jax.visualize import tensorboard
from slowfast_jax.visualize.tensorboard import check_figures
from tests.slowfast_jax.report.test_report_mode import options


@pytest.fixture
def config(tiny_norm, tmp_path):
    datasets.write_videos(tmp_path, count=5, seed=0, frames=12, height=40, width=48)
    config = load_config("test/tiny_norm")
    config.data.root = config.data.path_prefix = str(tmp_path)
    return config


@pytest.fixture
def added(monkeypatch):
    """[(folder, step, pictures)] of the calls that would write them."""
    calls = []
    monkeypatch.setattr(tensorboard, "add_pictures", lambda *arguments: calls.append(arguments))
    return calls


def test_figures_of_a_test(config, added, tmp_path):
    config.test.figures = ("confusion", "histograms", "mistakes", "inputs", "maps", "gradcam")
    config.test.figure_layers, config.test.figure_videos = ("b",), 2
    names = datasets.CLASS_NAMES
    (tmp_path / "some.txt").write_text("\n".join(names[:2]))
    (tmp_path / "parents.json").write_text(json.dumps({"first": names[:2], "last": names[2:]}))
    config.test.figure_classes = str(tmp_path / "some.txt")
    config.test.figure_parents = str(tmp_path / "parents.json")
    modes.test(config, options(tmp_path, weights="random"))
    (folder, step, pictures), = added
    assert (folder, step) == (str(tmp_path), 0)
    assert list(pictures) == [
        "test/confusion", "test/confusion_parents", "test/confusion_first", "test/confusion_last",
        "test/histograms", "mistakes/0", "inputs/0", "maps/0", "gradcam/0", "mistakes/1",
        "inputs/1", "maps/1", "gradcam/1",
    ]
    for picture in pictures.values():
        assert picture.dtype == "uint8" and picture.ndim == 3 and picture.shape[2] == 3


def test_the_confusion_matrix_is_written_unless_told_otherwise(config, tmp_path):
    modes.test(config, options(tmp_path / "a", weights="random"))
    (file,) = (tmp_path / "a/tensorboard").iterdir()
    assert file.name.endswith(".figures") and file.stat().st_size > 1000
    config.test.figures = ()
    modes.test(config, options(tmp_path / "b", weights="random"))
    assert not (tmp_path / "b/tensorboard").exists()


def test_wrong_fields_are_found_before_the_test(config, tmp_path):
    config.test.figures = ("maps",)
    with pytest.raises(ConfigError, match="figure_layers is empty"):
        check_figures(config)
    config.test.figures, config.test.figure_classes = ("confusion",), "gone.txt"
    with pytest.raises(ConfigError, match="config.test.figure_classes is gone.txt, and there"):
        check_figures(config)
    (tmp_path / "some.txt").write_text("class 9")
    config.test.figure_classes = str(tmp_path / "some.txt")
    check_figures(config)  # the names of the classes are not known yet
