"""Speed of the input pipeline: the measurements are complete, and the table draws conclusions."""

import re

import pytest

from slowfast_jax import main
from slowfast_jax.analysis.bench_data import Measured, measure, table
from slowfast_jax.config import ConfigError
from tests.support.tiny_models import training_config

pytestmark = pytest.mark.usefixtures("tiny_norm")


@pytest.fixture(scope="module")
def data(colors):
    return colors


def test_every_stage_is_measured(data, capsys, caplog):
    caplog.set_level("INFO", "absl")
    config = training_config(data, augment__num_samples=2, norm__group_size=8)
    (data / "videos/train_00.mp4").rename(data / "kept")
    try:
        found = measure(config, None, clips=12, seconds=0.5)
    finally:
        (data / "kept").rename(data / "videos/train_00.mp4")
    assert "timing the loading of examples: 12/12" in capsys.readouterr().err
    assert caplog.messages[-1] == "timing the whole pipeline (0 s)"
    assert list(found.seconds) == ["read", "decode", "transform", "batch", "transfer"]
    assert all(seconds >= 0 for seconds in found.seconds.values())
    assert found.seconds["decode"] > found.seconds["read"] > 0
    assert found.together > 0 and found.megabytes > 0 and found.loaders == config.train.threads
    assert len(found.broken) == 1 and "train_00.mp4: no such file" in found.broken[0]
    text = table(config, found, wanted=1e9)
    assert "at 1e+09 clips/s needs" in text and "would wait for data 100% of the time" in text
    assert "Examples that cannot be read: 1; the first error: " in text


def test_the_slowest_stage_is_named():
    seconds = {"read": 0.001, "decode": 0.03, "transform": 0.01, "batch": 0.0005, "transfer": 0.002}
    found = Measured(seconds, 0.5, 40.0, 8, 16, [])
    config = training_config(".")
    text = table(config, found)
    assert "The bottleneck is decode. One core loads 25.0 clips/s." in text
    assert re.search(r"Training at 100 clips/s needs 4\.0 cores", text)
    assert re.search(r"together +25\.00 +40\.0 +8 loading threads, 16 cores", text)
    assert "On this machine it would not wait for data." in table(config, found, wanted=30.0)


def test_missing_data(data, tmp_path):
    config = training_config(data)
    config.data.path_prefix = str(tmp_path)
    with pytest.raises(ConfigError, match="none of its 12 videos exists.*path_prefix"):
        measure(config, None)


def test_the_command(data, capsys):
    values = main.flags.FlagValues()
    main.define_flags(values)
    config, _ = main.parse([
        "main", "--config=tests/recipes/tiny.py", f"--config.data.root={data}",
        f"--config.data.path_prefix={data}", "--mode=bench_data", "--clips_per_second=1",
    ], values)
    config.train.epochs = 0
    with pytest.raises(ConfigError, match="train.epochs"):
        main.MODES["bench_data"](config, values)
