"""AVA together with AVA-Kinetics clips, in the folder layout of their authors."""

import csv
import shutil

import numpy as np
import pytest

from data_pipelines.mini import datasets
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.data.keyframe_lists import find_keyframes
from slowfast_jax.evaluate import evaluate
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """AVA films that start at second 900, and the same as Kinetics clips from second 12 on."""
    folder = tmp_path_factory.mktemp("ava")
    datasets.write_ava(folder, seed=0, train_videos=2, val_videos=2, seconds=5, height=48, width=64)
    annotations = folder / "annotations"
    for split in ("train", "val"):
        with open(annotations / f"ava_{split}_v2.2.csv", newline="") as file:
            rows = list(csv.reader(file))
        with open(annotations / f"kinetics_{split}_v1.0.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows(
                [f"yt-{video}", str(float(time) - 888), *rest[:-1]] for video, time, *rest in rows
            )
            writer.writerow([f"yt-{split}_001", "15.5"])
        (folder / "k700" / split).mkdir(parents=True)
        for number in range(2):
            shutil.copy(
                folder / f"videos/{split}_{number:03d}.mp4",
                folder / f"k700/{split}/yt-{split}_{number:03d}_000012_000022.mp4",
            )
    return folder


def config_of(folder, **data):
    config = load_config(f"{ROOT}/configs/ava.py:mini")
    with config.unlocked():
        config.model = load_config("test/tiny_boxes").model
        config.model.num_classes = 17
        config.protocol.update(num_frames=4, sampling_rate=4, test_crop=32)
    config.data.update(
        generate="", root=str(folder), exclusions="", kinetics_dir="k700",
        train_box_lists=(), **data,
    )
    return config


def test_training_uses_both_datasets(tiny, folder):
    both = find_keyframes(config_of(folder), None, "train")
    kinetics = find_keyframes(config_of(folder, train_gt_box_lists=()), None, "train")
    videos = [keyframe.video for keyframe in both.keyframes]
    assert {"train_000", "yt-train_000"} <= set(videos)
    assert len(videos) == 2 * len(kinetics.keyframes)
    assert {keyframe.video[:3] for keyframe in kinetics.keyframes} == {"yt-"}
    config = config_of(folder, train_gt_box_lists=())
    config.data.kinetics_dir = ""
    with pytest.raises(ConfigError, match="names no tables of boxes for train"):
        find_keyframes(config, None, "train")


def test_films_and_clips_get_equal_scores(tiny, folder, tmp_path):
    """The clips show what the films show, so annotated boxes get the same scores."""
    films = config_of(
        folder, test_box_lists=("ava_val_v2.2.csv",), score_threshold=0.0
    )
    clips = config_of(folder, test_box_lists=())
    films.data.kinetics_dir = ""
    scores, results = [], []
    for name, config in (("films", films), ("clips", clips)):
        (tmp_path / name).mkdir()
        results.append(evaluate(config, tmp_path / name, "random", save_scores=True))
        scores.append(np.load(tmp_path / name / "scores.npz")["scores"])
    np.testing.assert_array_equal(scores[0], scores[1])
    assert results[0]["metrics"] == results[1]["metrics"] and not results[1]["failed"]


def test_missing_clip_is_reported_and_lowers_map(tiny, folder, tmp_path):
    config = config_of(folder, test_box_lists=())
    whole = evaluate(config, None, "random")
    clip = folder / "k700/val/yt-val_001_000012_000022.mp4"
    clip.rename(tmp_path / "away")
    try:
        results = evaluate(config, None, "random")
    finally:
        (tmp_path / "away").rename(clip)
    assert {row["path"] for row in results["failed"]} == {
        f"yt-val_001 at {time} s" for time in (14, 15, 16)
    }
    assert results["metrics"]["map"] < whole["metrics"]["map"]
    assert results["metrics"]["per_class_boxes"] == whole["metrics"]["per_class_boxes"]
