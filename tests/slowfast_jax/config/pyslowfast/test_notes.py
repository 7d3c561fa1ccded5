"""Settings of a file that have no field here are reported, and nothing else."""

import logging

import pytest

from slowfast_jax.config import load_config, read_pyslowfast
from slowfast_jax.config.pyslowfast.tables import KEYS
from tests.slowfast_jax.config.pyslowfast.published import files, single, write

FILES = dict(files())


def translate(tmp_path, values, *overrides):
    return read_pyslowfast(write(tmp_path / "a.yaml", values), overrides)


def told(tmp_path, values, *overrides):
    return {line.partition("=")[0]: line for line in translate(tmp_path, values, *overrides).notes}


def test_keys_without_a_field_are_told(tmp_path):
    lines = told(tmp_path, FILES["kinetics/slowfast_8x8_r50"], "DEMO.WEBCAM", "-1")
    assert set(lines) == {
        "NUM_GPUS", "OUTPUT_DIR", "TRAIN.AUTO_RESUME", "DATA.INPUT_CHANNEL_NUM", "DEMO.WEBCAM",
        "NONLOCAL.GROUP",
    }
    assert lines["TRAIN.AUTO_RESUME"] == (
        "TRAIN.AUTO_RESUME=True: always: the same command resumes"
    )
    assert "camera:0" in lines["DEMO.WEBCAM"]


@pytest.mark.parametrize(("key", "value", "words"), [
    ("SLOWFAST.ALPHA", 8, "ResNet does not read it"),
    ("MVIT.DEPTH", 16, "ResNet does not read it"),
    ("AVA.TRAIN_LISTS", ["a.csv"], "no effect unless DETECTION.ENABLE is True"),
    ("DETECTION.ALIGNED", False, "no effect unless DETECTION.ENABLE is True"),
    ("BN.NUM_SPLITS", 2, "no effect unless BN.NORM_TYPE is sub_batchnorm"),
    ("NONLOCAL.GROUP", [[2]] * 4, "there are no non-local blocks"),
    ("AUG.AA_TYPE", "rand-m7", "no effect unless AUG.ENABLE is True"),
    ("MIXUP.ALPHA", 0.4, "no effect unless MIXUP.ENABLE is True"),
    ("AUG.COLOR_JITTER", 0.4, "no effect on videos"),
    ("TASK", "ssl_eval", "self-supervised"),
])
def test_keys_without_an_effect_are_told(tmp_path, key, value, words):
    assert words in told(tmp_path, {**single("slow"), key: value})[key]


def test_every_key_is_told_or_changes_a_field(tmp_path):
    """A key that only warnings or flags answer, or that needs others, is among the exceptions."""
    exceptions = {
        "NUM_SHARDS", "TEST.ENABLE", "DATA.REVERSE_INPUT_CHANNEL", "TRAIN.CHECKPOINT_EPOCH_RESET",
        "TEST.NUM_TEMPORAL_CLIPS", "TEST.SAVE_RESULTS_PATH",
        "TRAIN.DATASET", "TEST.DATASET", "DETECTION.ENABLE", "MODEL.MODEL_NAME", "MODEL.ARCH",
        "RESNET.TRANS_FUNC", "RESNET.SPATIAL_STRIDES",
    }
    values = single("slow", mode="softmax")
    before = translate(tmp_path, values).recipe.to_dict()
    for key in set(KEYS) - exceptions:
        other = changed(KEYS[key].default, key)
        if other is None or KEYS[key].kind == "fixed":
            continue
        found = translate(tmp_path, {**values, key: other})
        assert found.recipe.to_dict() != before or any(
            line.startswith(key) for line in found.notes
        ), key


def changed(default, key):
    """Another value of the same type; None if there is no simple one."""
    special = {
        "SOLVER.LR_POLICY": "steps_with_relative_lrs", "SOLVER.OPTIMIZING_METHOD": "adam",
        "MODEL.LOSS_FUNC": "mse", "BN.NORM_TYPE": "sub_batchnorm", "RESNET.DEPTH": 101,
        "RESNET.NUM_BLOCK_TEMP_KERNEL": [[1]] * 4, "RESNET.SPATIAL_DILATIONS": [[2]] * 4,
        "NONLOCAL.LOCATION": [[[0]]] * 4, "NONLOCAL.GROUP": [[2]] * 4,
        "NONLOCAL.INSTANTIATION": "dot_product", "NONLOCAL.POOL": [[[2, 2, 2]] * 2] * 4,
        "DATA.NUM_FRAMES": 16, "AVA.TRAIN_LISTS": ["b.csv"], "TRAIN.BATCH_SIZE": 32,
    }
    if key in special:
        return special[key]
    if isinstance(default, bool):
        return not default
    if isinstance(default, int | float):
        return default + type(default)(1) if abs(default) != float("inf") else 0.0
    if isinstance(default, str):
        return f"{default}x"
    return [0.25, 0.5] if default == () else None


def test_unknown_keys_are_named(tmp_path):
    found = translate(tmp_path, {**single("slow"), "TENSORBOARD.MODEL_VIS.TOPK": 2, "MINE.A": 1})
    assert "TENSORBOARD.MODEL_VIS.TOPK=2 is no key of PySlowFast and has no effect; did you mean " \
        "TENSORBOARD.MODEL_VIS.TOPK_PREDS" in found.warnings[1]
    assert "MINE.A=1 is no key of PySlowFast" in found.warnings[0]


@pytest.mark.parametrize(("values", "words"), [
    ({"TRAIN.DATASET": "ssv2", "TEST.DATASET": "ssv2"}, "as BGR to the network, this program"),
    ({"DATA.REVERSE_INPUT_CHANNEL": True}, "frames of kinetics as BGR"),
    ({"DATA.REVERSE_INPUT_CHANNEL": True, "TRAIN.DATASET": "ptvssv2", "TEST.DATASET": "ptvssv2"},
     "ptvssv2 is read as ssv2"),
    ({"DATA.REVERSE_INPUT_CHANNEL": True, "TRAIN.DATASET": "ptvcharades",
      "TEST.DATASET": "ptvcharades"}, "ptvcharades is read as charades"),
    ({"TRAIN.DATASET": "ptvkinetics", "TEST.DATASET": "ptvkinetics"}, "is read as kinetics"),
    ({"NUM_SHARDS": 16}, "add NUM_SHARDS 16 to the command"),
    ({"TEST.ENABLE": False}, "training ends with a test nevertheless"),
    ({"MODEL.MODEL_NAME": "ResNet_nopool"}, "which the original lacks"),
])
def test_differences_from_the_original_are_warned_of(tmp_path, values, words):
    (line,) = translate(tmp_path, {**single("slow"), **values}).warnings
    assert words in line


def test_files_without_differences_have_no_warning(tmp_path):
    for name in ("kinetics/x3d_m", "ssv2/slowfast_16x8_r50", "ava/slow_8x8_r50_short"):
        assert not translate(tmp_path, FILES[name]).warnings


def test_flags_that_the_keys_stand_for(tmp_path):
    assert not translate(tmp_path, single("slow")).flags
    assert translate(tmp_path, {
        **single("slow"), "OUTPUT_DIR": "out", "TRAIN.ENABLE": False,
        "TEST.NUM_TEMPORAL_CLIPS": [5, 10], "TEST.SAVE_RESULTS_PATH": "a.pkl",
    }).flags == {"workdir": "out", "mode": "eval", "clips": ["5", "10"], "save_scores": True}


def test_minus_one_clips_are_every_number_of_them(tmp_path):
    found = translate(tmp_path, {**single("slow"), "TEST.NUM_ENSEMBLE_VIEWS": -1})
    assert found.flags == {"clips": ["1", "3", "5", "7", "10"]}
    assert found.recipe.protocol.clips == 10


def test_loading_logs_them(tmp_path, caplog):
    path = write(tmp_path / "a.yaml", {**single("slow"), "MINE.A": 1, "NUM_GPUS": 8})
    with caplog.at_level(logging.INFO, "absl"):
        load_config(str(path))
    assert "keys without a field here:" in caplog.text and "  NUM_GPUS=8: all dev" in caplog.text
    assert "MINE.A=1 is no key of PySlowFast" in caplog.text
