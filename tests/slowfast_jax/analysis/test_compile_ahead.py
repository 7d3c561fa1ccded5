"""Ahead-of-time compilation: targets, records and their table."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import jax
import pytest

from slowfast_jax.analysis.compile_ahead import (
    collective_bytes,
    compile_steps,
    roofline,
    table,
    target_devices,
)
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.distributed.chips import find_chip
from slowfast_jax.models import zoo
from tests.support.paths import ROOT
from tests.support.tiny_models import norm_entry, training_config

PROGRAM = """
  %sum = f32[64,8]{1,0} all-reduce(f32[64,8]{1,0} %a), channel_id=1, to_apply=%add
  %both = (f32[10]{0}, bf16[3,3]{1,0}) all-reduce-start(f32[10]{0} %b, bf16[3,3]{1,0} %c)
  %done = (f32[10]{0}, bf16[3,3]{1,0}) all-reduce-done((f32[10]{0}, bf16[3,3]{1,0}) %both)
  %g = (f32[8]{0}, f32[32]{0}) all-gather-start(f32[8]{0} %d), dimensions={0}
  %g2 = f32[32]{0} all-gather-done((f32[8]{0}, f32[32]{0}) %g)
  %p = u8[2,5]{1,0} collective-permute(u8[2,5]{1,0} %e), source_target_pairs={{0,1}}
  %name.all-reduce = f32[7]{0} add(f32[7]{0} %f, f32[7]{0} %f)
"""


def test_bytes_of_collectives():
    assert collective_bytes(PROGRAM) == {
        "all-reduce": 64 * 8 * 4 + 10 * 4 + 9 * 2, "all-gather": 32 * 4, "collective-permute": 10,
    }
    assert collective_bytes("  %x = f32[7]{0} add(%a, %b)") == {}


def record(**fields):
    return {
        "step": "train", "device": "TPU v5 lite", "devices": 4, "mesh": {"data": 4, "fsdp": 1},
        "clips": 32, "compile_seconds": 1.0, "argument_bytes": 1e9, "temporary_bytes": 2e9,
        "flops": 197e10, "bytes_accessed": 819e7, "collective_bytes": {"all-reduce": 1e9},
    } | fields


def test_the_roofline_is_the_slowest_resource():
    found = roofline(record())
    assert found["arithmetic_seconds"] == pytest.approx(0.01)
    assert found["memory_seconds"] == pytest.approx(0.01)
    assert found["links_seconds"] == pytest.approx(2e9 / 200e9)
    assert found["clips_per_second"] == pytest.approx(3200) and found["fits"]
    assert not roofline(record(temporary_bytes=15.5e9))["fits"]
    assert roofline(record(device="abacus")) == {}
    text = table([record() | roofline(record(temporary_bytes=15.5e9))])
    assert "4 x TPU v5 lite as data 4" in text and "MORE THAN THE CHIP HAS" in text


@pytest.mark.parametrize("kind, flops", [
    ("TPU v5 lite", 197e12), ("TPU v5p", 459e12), ("NVIDIA H200", 989e12), ("cpu", None),
])
def test_chips_by_name(kind, flops):
    chip = find_chip(kind)
    assert (chip and chip.flops) == flops


@pytest.mark.parametrize("target, message", [
    ("v5e", "expected a TPU topology (v5e:4x4, v5e:16x16, v4:2x2x4) or cpu:8"),
    ("cpu", "expected cpu:N, for example cpu:8"),
    ("cpu:0", "expected cpu:N, for example cpu:8"),
    ("cpu:64", "JAX has only "),
])
def test_invalid_targets(target, message):
    jax.devices()  # initializes JAX; the number of devices is fixed from now on
    with pytest.raises(ConfigError, match=re.escape(message)):
        target_devices(target)


def test_tpu_targets_need_an_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=re.escape("pip install -e '.[tpu]'")):
        target_devices("v5e:4x4")


def config_of(**fields):
    zoo.ZOO.setdefault("test/tiny_norm", norm_entry())
    fields = dict(train__batch_size=8, test__batch_size=4, norm__group_size=2) | fields
    return training_config(ROOT, **fields)


def test_the_command_compiles_for_devices_of_this_kind(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "slowfast_jax.main", "--config=tests/recipes/tiny.py",
         "--mode=compile", "--config.target=cpu:4", "--config.train.batch_size=8",
         f"--workdir={tmp_path}"],
        cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "cpu"}, capture_output=True, text=True,
    )
    assert result.returncode == 0, result.stderr
    train, test = json.loads((tmp_path / "compiled.json").read_text())
    assert (train["step"], train["clips"], train["devices"]) == ("train", 8, 4)
    assert (test["step"], test["clips"]) == ("eval", 4)
    # In float32: two kernels as their lowerings have them (column_pairs: 3x5x3x16; temporal_2d:
    # 8x24), the head of 8x4 and its bias, two norms of 2x8 with their statistics, loss and metric.
    reduced_once = 4 * (720 + 192 + 36 + 2 * 16 + 2 * 16 + 2)
    assert train["collective_bytes"] == {"all-reduce": reduced_once}
    assert train["flops"] > test["flops"] > 0 and test["collective_bytes"] == {}


def test_batches_that_cannot_be_split():
    class Device:
        platform, process_index = "cpu", 0

    with pytest.raises(ConfigError, match="config.train.batch_size is 8, expected a multiple of 3"):
        compile_steps(config_of(), [Device(), Device(), Device()])


def test_a_zoo_name_cannot_be_trained():
    with pytest.raises(ConfigError, match="has no config.train"):
        compile_steps(load_config("kinetics/x3d_xs"), [])
