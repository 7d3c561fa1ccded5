"""Figures of tests in TensorBoard's files."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from data_pipelines.mini import datasets
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.config.schema import FIGURES
from slowfast_jax.jobs import modes
from slowfast_jax.training.writers import Film, add_pictures
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

    def add(folder, step, pictures):
        calls.append((folder, step, dict(pictures)))

    monkeypatch.setattr(tensorboard, "add_pictures", add)
    return calls


def test_figures_of_a_test(config, added, tmp_path):
    config.test.figures = FIGURES
    config.test.figure_layers, config.test.figure_videos = ("b",), 2
    names = datasets.CLASS_NAMES
    (tmp_path / "some.txt").write_text("\n".join(names[:2]))
    (tmp_path / "parents.json").write_text(json.dumps({"first": names[:2], "last": names[2:]}))
    config.test.figure_classes = str(tmp_path / "some.txt")
    config.test.figure_parents = str(tmp_path / "parents.json")
    modes.test(config, options(tmp_path, weights="random"))
    (folder, step, pictures), = added
    assert (folder, step) == (str(tmp_path), 0)
    of_tests = [
        "test/confusion", "test/confusion_chosen", "test/confusion_parents",
        "test/confusion_first", "test/confusion_last", "test/histograms", "weights",
    ]
    of_video = [
        "mistakes/0", "mistakes/0/film", "inputs/0", "inputs/0/clip", "maps/0", "gradcam/0",
        "gradcam/0/b",
    ]
    assert list(pictures)[:14] == of_tests + of_video
    films = {tag: shown for tag, shown in pictures.items() if isinstance(shown, Film)}
    assert all(tag.endswith(("/film", "/clip", "/b")) for tag in films)
    for tag, shown in pictures.items():
        picture = shown.frames[0] if tag in films else shown
        assert picture.dtype == "uint8" and picture.ndim == 3 and picture.shape[2] == 3
    assert len(films["mistakes/0/film"].frames) == 12  # all frames of the video
    assert films["inputs/0/clip"].fps == 15  # 4 frames, every 2nd at 30 fps


def test_films_are_pictures_that_move(tmp_path):
    frames = np.zeros((3, 20, 30, 3), np.uint8)
    frames[0, ..., 0] = frames[1, ..., 1] = frames[2, ..., 2] = 200
    add_pictures(tmp_path, 7, iter([("a/0", frames[0]), ("a/0/film", Film(frames, 4.0))]))
    (file,) = (tmp_path / "tensorboard").iterdir()
    content = file.read_bytes()
    assert b"a/0/film" in content and b"PNG" in content
    start = content.index(b"GIF8")
    with Image.open(io.BytesIO(content[start:])) as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"], gif.info["loop"]) == (
            3, (30, 20), 250, 0
        )
        gif.seek(1)
        assert np.asarray(gif.convert("RGB"))[5, 5].tolist() == [0, 200, 0]


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
    config.test.figures, config.task = ("confusion", "inputs", "gradcam"), "detection"
    with pytest.raises(ConfigError, match="figures has inputs, gradcam, which show videos"):
        check_figures(config)
    config.task = "classification"
    config.test.figures, config.test.figure_classes = ("confusion",), "gone.txt"
    with pytest.raises(ConfigError, match="config.test.figure_classes is gone.txt, and there"):
        check_figures(config)
    (tmp_path / "some.txt").write_text("class 9")
    config.test.figure_classes = str(tmp_path / "some.txt")
    check_figures(config)  # the names of the classes are not known yet
