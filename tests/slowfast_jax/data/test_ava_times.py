"""AVA's tables for videos of another length, whose seconds count from the first frame."""

import csv

import numpy as np
import pytest

from data_pipelines.atomic_files import write_rows
from data_pipelines.mini.datasets import write_ava
from slowfast_jax.config import load_config
from slowfast_jax.data.keyframe_lists import find_keyframes


@pytest.fixture
def config(tmp_path):
    write_ava(
        tmp_path, seed=0, train_videos=1, val_videos=1, seconds=10, fps=10, height=32, width=48
    )
    config = load_config("configs/ava.py:mini")
    config.data.root, config.data.generate = str(tmp_path), ""
    return config


def test_a_video_of_ten_seconds(config, tmp_path):
    expected = [find_keyframes(config, None, subset).keyframes for subset in ("train", "test")]
    for path in (tmp_path / "annotations").rglob("*.csv"):
        with open(path, newline="") as file:
            rows = [[video, f"{int(second) - 900}", *rest] for video, second, *rest in
                    csv.reader(file)]
        write_rows(path, rows)
    with pytest.raises(ValueError, match=r"time is '2'; .* within 902..1798 .data.keyframe_sec"):
        find_keyframes(config, None, "train")
    config.data.first_frame_second = 0.0
    config.data.keyframe_seconds = (0, 10)
    for subset, those in zip(("train", "test"), expected, strict=True):
        ours = find_keyframes(config, None, subset).keyframes
        assert [k.time for k in ours] == [k.time - 900 for k in those] == list(range(2, 10))
        for one, other in zip(ours, those, strict=True):
            assert one.labels == other.labels and one.time - one.origin == other.time - other.origin
            np.testing.assert_array_equal(one.boxes, other.boxes)
