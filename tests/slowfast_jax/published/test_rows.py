"""The rows of published checkpoints: consistent data, networks of the published size."""

import re

import jax
import pytest

from slowfast_jax import published
from slowfast_jax.config import (
    ConfigError,
    build_model,
    check_test,
    load_config,
    load_published,
    recipe_names,
)
from slowfast_jax.models import zoo
from slowfast_jax.models.cost import count, totals
from slowfast_jax.published import FIGURES, PRETRAINING, PUBLISHERS, TEST_SETS
from slowfast_jax.weights import variable_shapes

ROWS = published.rows()
LOADABLE = published.loadable()


def test_rows_are_complete():
    assert len(ROWS) > 150
    for row in ROWS.values():
        assert re.fullmatch(r"[a-z0-9]+/[\w.]+", row.name) and row.publisher in PUBLISHERS.values()
        assert re.match(r"https://\S+$", row.address), row.name
        assert row.source.startswith(row.publisher.repository), row.name
        assert re.fullmatch(r"([0-9a-f]{8}){0,8}", row.sha256), row.name
        assert row.size is None or row.size > 1e6
        tested = row.data != PRETRAINING
        assert bool(row.clips and row.crops and row.crop) == tested, row.name
        assert row.figures or not tested, row.name
        assert set(row.figures) <= set(FIGURES.values())
        assert all(10 < float(figure) < 100 for figure in row.figures.values()), row.name
        assert ("map" in row.figures) != ("top1_acc" in row.figures) or not row.figures


def test_every_row_has_a_file_of_its_own_or_another_protocol():
    tests = {(row.address, row.clips, row.crops, row.crop, row.data) for row in ROWS.values()}
    assert len(tests) == len(ROWS)


def test_checksums_are_those_in_the_names_of_files():
    """MMAction2 and torchvision end the name of a file with the first digits of its SHA-256."""
    other = {"mmaction2/slowonly_nl_8x8_r50"}  # whose note says so
    for row in ROWS.values():
        if row.publisher.title in ("MMAction2", "torchvision") and row.name not in other:
            assert row.sha256 and row.file.endswith(f"-{row.sha256}.pth"), row.name


def test_every_test_set_is_used():
    assert {row.data for row in ROWS.values()} == set(TEST_SETS)


@pytest.mark.parametrize("name", LOADABLE)
def test_a_row_has_a_config_for_its_protocol(name):
    row, config = ROWS[name], load_published(ROWS[name])
    check_test(config)
    protocol = config.protocol
    assert config.name == name and (config.task == "detection") == ("ava" in row.data)
    assert (protocol.clips, protocol.crops, protocol.test_crop) == (row.clips, row.crops, row.crop)
    multi = "map" in row.figures
    assert (config.model.activation == "sigmoid") == multi


def test_a_row_with_a_recipe_of_its_name_tests_like_the_recipe():
    compared = 0
    for recipe in recipe_names():
        name = recipe.replace("/c2_", "/")
        if name not in LOADABLE or ROWS[name].publisher.title not in ("PySlowFast", "PyTorchVideo"):
            continue
        theirs, ours = load_config(recipe), load_published(ROWS[name])
        assert ours.model == theirs.model, name
        unused = {"clips", "crops"} if ours.task == "detection" else set()
        for section in ("protocol", "data"):
            for key in set(ours[section]) - unused:
                if not key.startswith("train_"):
                    assert ours[section][key] == theirs[section][key], f"{name}: {key}"
        compared += 1
    assert compared > 45


def test_missing_networks_are_one_sentence():
    missing = [row for row in ROWS.values() if row.data != PRETRAINING and row.model not in zoo.ZOO]
    for row in missing:
        with pytest.raises(ConfigError, match=f"^{re.escape(row.name)} cannot be loaded yet, "
                           f"because this project does not have its network {row.model}$"):
            load_published(row)
    with pytest.raises(ConfigError, match="holds weights to train from"):
        load_published(published.find("contrastive/moco_slow_8x8_r50_rho2"))


def test_a_network_that_is_added_makes_its_rows_work(monkeypatch):
    row = published.find("pytorchvideo/efficient_x3d_xs")
    monkeypatch.setitem(zoo.ZOO, row.model, zoo.ZOO["kinetics/x3d_xs"])
    assert not published.problem(row) and row.name in published.loadable()
    assert load_published(row).protocol.clips == 10


SIZED = [name for name in LOADABLE if ROWS[name].params or ROWS[name].gmacs]


@pytest.mark.parametrize("name", [
    name if name == "pytorchvideo/x3d_xs" else pytest.param(name, marks=pytest.mark.slow)
    for name in SIZED
])
def test_sizes_are_the_published_ones(name):
    """Parameters to the published digits, rounded or cut off; multiply-adds within 1 %."""
    row, config = ROWS[name], load_published(ROWS[name])
    model = build_model(config)
    if row.params:
        leaves = jax.tree.leaves(variable_shapes(model)["params"])
        digit = 10.0 ** -len(row.params.partition(".")[2])
        assert abs(sum(leaf.size for leaf in leaves) / 1e6 - float(row.params)) < digit
    if row.gmacs:
        cost = totals(count(model, config.protocol.num_frames, row.crop))
        assert cost["macs"] / 1e9 == pytest.approx(float(row.gmacs), rel=0.01)
