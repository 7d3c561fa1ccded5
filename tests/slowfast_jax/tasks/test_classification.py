"""The augmentation that a config sets reaches the training clips."""

import numpy as np
import pytest

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.transforms.rand_augment import parse
from slowfast_jax import main
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.data.video_lists import find_samples
from slowfast_jax.models import zoo
from slowfast_jax.tasks.classification import Classification
from tests.support.paths import ROOT
from tests.support.tiny_models import norm_entry, write_colors

RECIPE = f"{ROOT}/tests/recipes/tiny.py"
SAMPLING = Sampling(num_frames=4, sampling_rate=2, target_fps=30.0)


@pytest.fixture(autouse=True)
def tiny_norm(monkeypatch):
    monkeypatch.setitem(zoo.ZOO, "test/tiny_norm", norm_entry())


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors") / "data"
    write_colors(folder, train=2, val=2)
    return folder


def config_of(folder, *flags: str):
    values = main.flags.FlagValues()
    main.define_flags(values)
    data = (f"--config.data.root={folder}", f"--config.data.path_prefix={folder}")
    arguments = ["main", f"--config={RECIPE}", *data]
    return main.parse([*arguments, *(f"--config.{flag}" for flag in flags)], values)[0]


def loaded(config, generator):
    task = Classification(config)
    return task.training_examples(task.find("train", None))[0].load(0, generator)["clip"]


def test_config_augmentation_reaches_the_clips(videos):
    relative = {"jitter_scales_relative": (0.2, 0.9), "jitter_aspect_relative": (0.8, 1.2)}
    config = config_of(
        videos, "augment.rand_augment=rand-m9-n3-mstd0.5-inc1", "augment.interpolation=random",
        "augment.color_jitter=(0.4,0.4,0.2)", "augment.hue=0.1", "augment.grey_probability=0.5",
        "augment.moco_v2", "augment.motion_shift", "augment.erasing_probability=1.0",
        "augment.erasing_mode=rand", "augment.erasing_count=2",
        *(f"data.{name}={value}" for name, value in relative.items()),
    )
    expected = load_clip(
        find_samples(config, None, "train").samples[0], SAMPLING,
        Augmentation(
            crop=16, jitter=(18, 20), **relative, motion_shift=True,
            color={"jitter": (0.4, 0.4, 0.2), "hue": 0.1, "gray": 0.5, "moco_v2": True},
            policy=parse("rand-m9-n3-mstd0.5-inc1", "random"),
            erase={"probability": 1.0, "mode": "rand", "count": 2, "splits": 2},
        ),
        rng=np.random.default_rng(7),
    )["clip"]
    np.testing.assert_array_equal(loaded(config, np.random.default_rng(7)), expected)
    plain = config_of(videos)
    assert not np.array_equal(loaded(plain, np.random.default_rng(7)), expected)
    # Validation clips are not augmented.
    np.testing.assert_array_equal(loaded(config, None), loaded(plain, None))


def test_recipe_without_augmentation_has_neutral_fields():
    assert load_config(RECIPE).augment.to_dict() == {
        "num_clips": 1, "num_samples": 1, "jitter_fps": 0.0,
        "rand_augment": "", "interpolation": "bicubic", "motion_shift": False,
        "color_jitter": (0.0, 0.0, 0.0), "hue": 0.0, "grey_probability": 0.0, "moco_v2": False,
        "difference_probability": 0.0,
        "erasing_probability": 0.0, "erasing_mode": "pixel", "erasing_count": 1,
        "mixup_alpha": 0.0, "cutmix_alpha": 0.0, "mix_prob": 1.0, "switch_prob": 0.5,
        "label_smoothing": 0.0,
    }
    assert not load_config(f"{ROOT}/configs/ava.py").augment


@pytest.mark.parametrize(("flag", "message"), [
    ("augment.rand_augment=m7-n4", "rand_augment: RandAugment 'm7-n4' must begin with rand"),
    ("augment.erasing_probability=1.5", "augment.erasing_probability is 1.5, expected 0..1"),
    ("augment.erasing_mode=noise", "augment.erasing_mode is noise, expected pixel or rand or"),
    ("augment.num_samples=0", "augment.num_samples is 0, expected 1..1000"),
    ("augment.hue=0.7", "augment.hue is 0.7, expected 0..0.5"),
    ("augment.erasing_count=0", "augment.erasing_count is 0, expected 1..1000"),
    ("augment.motion_shift", "expected False unless config.data.jitter_scales_relative"),
])
def test_invalid_augmentation_is_refused(videos, flag, message):
    with pytest.raises(ConfigError, match=message):
        loaded(config_of(videos, flag), None)


def test_validation_draws_a_confusion_matrix_if_the_figures_of_tests_have_one(videos):
    config = config_of(videos)
    task = Classification(config)

    def validate():
        found = task.find("val", None)
        return task.validate(lambda _, clips: np.eye(4)[[1] * len(clips)], {}, None, found)

    results = validate()
    assert results["top1_acc"] == 50 and results["confusion"].dtype == np.uint8
    config.test.figures = ("histograms",)
    assert "confusion" not in validate()
