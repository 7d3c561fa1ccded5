"""A YAML file of PySlowFast becomes the recipe that this project has for it."""

from typing import Any

import pytest

from slowfast_jax.config import load_config, training_problems
from tests.slowfast_jax.config.pyslowfast.published import files, write
from tests.support.paths import ROOT

FILES = dict(files())
NO_WEIGHTS = {
    "train.init_from.path": "the file leaves it to the user",
    "train.init_from.skip": "without weights, nothing is skipped",
}
BOXES_ANYWAY = {"data.multi_label": "not read by task detection"}
# Recipe -> the fields in which it differs from the file, and why.
EXPLAINED = {
    "kinetics/c2d_8x8_r50_in1k": NO_WEIGHTS,
    "kinetics/c2d_nln_8x8_r50_in1k": NO_WEIGHTS,
    "kinetics/i3d_8x8_r50_in1k": NO_WEIGHTS,
    "kinetics/i3d_nln_8x8_r50_in1k": NO_WEIGHTS,
    "ava/slowfast_32x2_r50_short": NO_WEIGHTS | BOXES_ANYWAY,
    "ava/slow_8x8_r50_short": NO_WEIGHTS | BOXES_ANYWAY,
}
OURS_ONLY = ("name", "published.")  # which no file has


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in section.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        fields |= inner
    return fields


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_the_recipe(name, tmp_path):
    folder, variant = name.split("/")
    config = load_config(str(write(tmp_path / "FILE.yaml", FILES[name])))
    recipe = load_config(f"{ROOT}/configs/{folder}.py:{variant}")
    assert not training_problems(config)
    ours, theirs = flat(recipe.to_dict()), flat(config.to_dict())
    different = {
        key for key in {*ours, *theirs}
        if ours.get(key) != theirs.get(key) and not key.startswith(OURS_ONLY)
    }
    assert different == set(EXPLAINED.get(name, ()))
    assert config.name == "FILE"


def test_what_a_file_leaves_out_is_the_default_of_the_original(tmp_path):
    """Its defaults differ from those here: 300 epochs, seed 1, no precise BN."""
    config = load_config(str(write(tmp_path / "a.yaml", {"NUM_GPUS": 8})))
    assert (config.train.epochs, config.train.seed, config.norm.precise) == (300, 1, False)
    assert (config.train.checkpoint_period, config.norm.group_size) == (10, 8)
    assert config.model.alpha == 8 and config.model.fusion_kernel == 5
    assert config.protocol.num_frames == 8 and not config.model.zero_init_final_bn
