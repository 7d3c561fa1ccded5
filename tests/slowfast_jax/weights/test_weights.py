"""Weights are read from checkpoint folders of this project."""

import jax
import numpy as np
import pytest
from absl import logging as absl_logging

from convert import CheckpointError, export_pyth
from convert.readers import ForeignCheckpoint
from slowfast_jax.config import ConfigError, build_model, load_config
from slowfast_jax.recognizer import load
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.weights import (
    check_origin,
    describe,
    read_any,
    read_checkpoint_folder,
    read_weights,
    stored_config,
    variable_shapes,
)
from slowfast_jax.weights.folders import write_folder


def test_a_checkpoint_folder(tmp_path):
    params = {"stem": {"conv": {"kernel": np.ones((1, 1, 1, 2, 3), np.float32)}}}
    stats = {"stem": {"conv_bn": {"mean": np.zeros(3, np.float32)}}}
    variables = {"params": params, "batch_stats": stats}
    save_checkpoint(tmp_path / "ours", variables, {"model": {"name": "x"}})
    checkpoint = read_checkpoint_folder(tmp_path / "ours")
    assert checkpoint.kind == "orbax"
    assert checkpoint.metadata == {"model": {"name": "x"}}
    assert set(checkpoint.tensors) == {"stem/conv/kernel", "stem/conv_bn/mean"}


def test_a_folder_without_a_checkpoint(tmp_path):
    (tmp_path / "folder").mkdir()
    match = f"{tmp_path / 'folder'} is not a checkpoint of this project: .*nothing"
    with pytest.raises(CheckpointError, match=match):
        read_checkpoint_folder(tmp_path / "folder")


def test_settings_of_mmaction2_that_change_the_results(tmp_path):
    text = "model = dict(roi_head=dict(bbox_roi_extractor=dict(" \
           "output_size=8, temporal_pool_mode='{}')))"
    config = load_config("mmaction2/ava_slowonly_4x16_r50")
    tensors = {"backbone.conv1.conv.weight": np.ones(1), "roi_head.bbox_head.fc_cls.bias": None}
    for mode in ("avg", "max"):
        metadata = {"program_config": text.format(mode)}
        checkpoint = ForeignCheckpoint("torch zip", tensors, metadata)
        if mode == "avg":
            check_origin("w.pth", checkpoint, config, ())
            continue
        with pytest.raises(ConfigError, match="w.pth has MMAction2.*set roi_time_pool='max'"):
            check_origin("w.pth", checkpoint, config, ())
    acrn = "model = dict(roi_head=dict(shared_head=dict(type='ACRNHead')))"
    checkpoint = ForeignCheckpoint("torch zip", tensors, {"program_config": acrn})
    with pytest.raises(ConfigError, match="w.pth .*MMAction2.*shared_head.type is 'ACRNHead'"):
        check_origin("w.pth", checkpoint, config, ())


def test_values_that_are_not_finite(tiny, tmp_path):
    config = load_config("test/tiny")
    shapes = variable_shapes(build_model(config))
    variables = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
    variables["params"]["head"]["kernel"][0, 0] = np.inf
    save_checkpoint(tmp_path / "ours", variables, describe(config, []))
    with pytest.raises(CheckpointError, match="1 of 2 parameters have .* infinite: head/kernel; "):
        read_weights(config, shapes, tmp_path / "ours")


def test_weights_of_other_clips_are_warned_about(tmp_path, caplog):
    absl_logging.get_absl_logger().propagate = True
    config = load_config("kinetics/mini")
    shapes = variable_shapes(build_model(config))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    protocol, crop = config.protocol, build_model(config).crop_size
    text = "BN:\n  NUM_FRAMES: 99\nDATA:\n  MEAN:\n  - 0.45\n  NUM_FRAMES: {}\n" \
           "  SAMPLING_RATE: {}\n  TEST_CROP_SIZE: 1\n  TRAIN_CROP_SIZE: {}\nTEST: {{}}\n"
    for extra in (0, 3):
        cfg = text.format(protocol.num_frames + extra, protocol.sampling_rate, crop + extra)
        export_pyth(tmp_path / "w.pyth", zeros, cfg=cfg)
        caplog.clear()
        read_weights(config, shapes, tmp_path / "w.pyth", quiet=True)
        assert "other clips" not in caplog.text
        read_weights(config, shapes, tmp_path / "w.pyth")
        assert ("was trained on other clips" in caplog.text) == bool(extra)
    frames = f"{protocol.num_frames + 3} frames (here {protocol.num_frames})"
    assert f"{frames}, {crop + 3} pixels (here {crop})" in caplog.text


def test_a_folder_of_a_network_of_other_clips(tiny, tmp_path, caplog):
    absl_logging.get_absl_logger().propagate = True
    ours, theirs = load_config("test/tiny"), load_config("test/tiny")
    with theirs.unlocked():
        theirs.name = "test/other"
        theirs.protocol.num_frames = 16
    shapes = variable_shapes(build_model(ours))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    for kind in ("orbax", "safetensors"):
        write_folder(tmp_path / kind, kind, zeros, describe(theirs, []), False)
        for config in (theirs, ours):
            caplog.clear()
            read_weights(config, shapes, tmp_path / kind)
            assert ("other clips" in caplog.text) == (config is ours)
        expected = "(test/other) was trained on other clips than those of test/tiny: 16 frames"
        assert expected in caplog.text


@pytest.mark.parametrize("stored", [None, []])  # the second as in checkpoints of earlier versions
def test_a_run_whose_classes_have_no_names(tiny, tmp_path, stored):
    config = load_config("test/tiny")
    metadata = describe(config, [])
    assert metadata["class_names"] == ["class 0", "class 1", "class 2", "class 3"]
    if stored is not None:
        metadata["class_names"] = stored
    run = tmp_path / "RUN"
    recognizer = load("test/tiny")
    variables = {"params": recognizer.variables["params"]}
    save_checkpoint(run / "checkpoints/3", variables, metadata)
    for folder in (run, run / "checkpoints", run / "checkpoints/3"):
        assert stored_config(folder)[1] == ["class 0", "class 1", "class 2", "class 3"]
        assert load(folder).class_names == ["class 0", "class 1", "class 2", "class 3"]
        named = load("test/tiny", folder, class_names=list("abcd"))
        assert named.class_names == list("abcd")
        assert named.config.test.checkpoint == str(run / "checkpoints/3")


def test_a_run_without_a_checkpoint(tmp_path):
    (tmp_path / "RUN/checkpoints").mkdir(parents=True)
    for path in (tmp_path / "RUN", tmp_path / "RUN/checkpoints"):
        with pytest.raises(CheckpointError, match="RUN has no complete checkpoint yet"):
            read_any(path)
