"""Generated data sets: speed, reproducibility, and reading by the project's readers."""

import time

import numpy as np

from data_pipelines.labels import class_names
from data_pipelines.mini.datasets import (
    CLASS_NAMES,
    SHAPE_NAMES,
    moving_figure,
    moving_shape,
    write_charades,
    write_imagenet,
    write_ssv2,
    write_videos,
)
from data_pipelines.sources.frame_lists import read_charades, read_ssv2
from data_pipelines.sources.image_folders import image_classes, read_image_folders
from data_pipelines.sources.video_lists import read_list
from data_pipelines.video.decoding import probe, read_frames
from data_pipelines.video.image_files import select_frames


def test_lists_and_videos(tmp_path, capsys):
    start = time.process_time()
    test_list = write_videos(tmp_path, count=8, seed=0)
    assert time.process_time() - start < 15  # usually 3 s
    samples = read_list(test_list, path_prefix=tmp_path, num_classes=4)
    assert [sample.label for sample in samples] == [0, 1, 2, 3] * 2
    assert samples == read_list(tmp_path / "val.csv", path_prefix=tmp_path)
    training = read_list(tmp_path / "train.csv", path_prefix=tmp_path)
    assert [sample.label for sample in training] == [0, 1, 2, 3] * 6
    assert probe(training[23].path).frames == 64
    assert class_names(tmp_path / "classes.txt", count=4) == list(CLASS_NAMES)
    for sample in samples:
        info = probe(sample.path)
        assert (info.frames, info.fps, info.width, info.height) == (64, 30.0, 128, 96)
    # Encoding preserves the pictures.
    original = list(moving_figure(
        2, np.random.default_rng([0, 0, 2]), frames=64, height=96, width=128
    ))
    decoded = read_frames(samples[2].path, [0, 63])
    assert np.abs(decoded.astype(int) - np.stack([original[0], original[63]])).mean() < 8
    assert "generating videos (val): " in capsys.readouterr().err


def test_same_arguments_give_the_same_videos(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_videos(tmp_path / folder, count=2, seed=seed, train_count=0, frames=8)
    content = {f: (tmp_path / f / "videos" / "001.mp4").read_bytes() for f in "abc"}
    assert content["a"] == content["b"] != content["c"]


def test_frame_lists(tmp_path, capsys):
    start = time.process_time()
    write_ssv2(tmp_path / "ssv2", count=4, seed=0)
    write_charades(tmp_path / "charades", count=5, seed=0)
    assert time.process_time() - start < 8  # usually 1 s
    shown = capsys.readouterr().err
    for what in ("videos (val): 4/4", "videos (val): 5/5", "videos (train): 8/8"):
        assert f"generating {what} in " in shown
    samples = read_ssv2(
        tmp_path / "ssv2/val.csv", path_prefix=tmp_path / "ssv2",
        class_list=tmp_path / "ssv2/something-something-v2-labels.json",
        labels=tmp_path / "ssv2/something-something-v2-validation.json",
    )
    assert [(sample.label, sample.frames.count) for sample in samples] == [
        (0, 24), (1, 24), (2, 24), (3, 24)
    ]
    original = list(moving_shape(
        2, np.random.default_rng([0, 2]), frames=24, height=96, width=128
    ))
    _, _, pictures = select_frames(samples[2].source, lambda info: [0, 23])
    assert np.abs(pictures.astype(int) - np.stack([original[0], original[23]])).mean() < 4
    samples = read_charades(tmp_path / "charades/val.csv", path_prefix=tmp_path / "charades")
    assert [sample.label for sample in samples] == [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2)]
    assert all(sample.frames.count == 48 for sample in samples)
    trained = read_charades(
        tmp_path / "charades/train.csv", path_prefix=tmp_path / "charades", per_frame=True
    )
    assert [sample.path for sample in trained] == [f"V{n:04d}" for n in range(5, 13)]
    assert trained[3].label == (0, 3)
    assert trained[3].frame_labels == ((0,),) * 16 + ((),) * 16 + ((3,),) * 16
    assert class_names(tmp_path / "charades/Charades_v1_classes.txt") == list(SHAPE_NAMES)


def test_images(tmp_path, capsys):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_imagenet(tmp_path / folder, count=5, seed=seed)
    assert "generating images (train): 16/16 in " in capsys.readouterr().err
    samples = read_image_folders(tmp_path / "a/val")
    assert [sample.label for sample in samples] == [0, 0, 1, 2, 3]
    assert len(image_classes(tmp_path / "a/val")) == 4
    name = "val/n00000001/val_00000004.JPEG"
    content = {f: (tmp_path / f / name).read_bytes() for f in "abc"}
    assert content["a"] == content["b"] != content["c"]


def test_shapes_move_according_to_their_class():
    def bright_center(frame):
        """(row, column) of the pixels that differ most from the median."""
        away = np.abs(frame.astype(int) - np.median(frame, axis=(0, 1))).sum(-1)
        inside = np.argwhere(away > np.percentile(away, 97))
        return inside.mean(0)

    for label, (rows_move, columns_move) in {0: (False, True), 1: (True, False)}.items():
        random = np.random.default_rng(3)
        centers = np.stack([
            bright_center(f) for f in moving_shape(label, random, frames=48, height=96, width=128)
        ])
        spread = centers.max(0) - centers.min(0)
        assert (spread[0] > 20) == rows_move and (spread[1] > 20) == columns_move
