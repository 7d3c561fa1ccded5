"""Randomly damaged annotation files: each is read, or refused by an error that names it."""

from pathlib import Path

import numpy as np
import pytest

from tests.data_pipelines.support.hostile_lists import FORMATS, OF_LISTS, WHOLE, Format, read
from tests.data_pipelines.support.mutations import mutate
from tests.data_pipelines.support.watched import read_all

MODULE = "tests.data_pipelines.support.hostile_lists"


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_undamaged_lists_are_read(form: Format, tmp_path):
    (tmp_path / form.name).write_bytes(form.content)
    assert read(tmp_path / form.name) == "read"


def write_damaged(folder: Path, count: int, seed: int) -> list[Path]:
    """`count` damaged files, each in a folder named after the damage."""
    paths = []
    for number in range(count):
        form = FORMATS[number % len(FORMATS)]
        random = np.random.default_rng([seed, number])
        done, content = mutate(form.content, random, OF_LISTS)
        paths.append(folder / f"{number:05d} {done}" / form.name)
        paths[-1].parent.mkdir(parents=True)
        paths[-1].write_bytes(content)
    return paths


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_damaged_lists_are_read_or_refused(tmp_path, count):
    failures, outcomes = read_all(MODULE, write_damaged(tmp_path, count, seed=count))
    assert not failures, "\n".join(f"{path}: {text}" for path, text in failures.items())
    assert len(outcomes) == count
    share = sum(text.endswith("s, read") for text in outcomes.values()) / count
    assert 0.1 < share < 0.7


@pytest.mark.slow
def test_long_and_deep_files_are_read_or_refused(tmp_path):
    """Every reader gets each of these files."""
    for number, make in enumerate(WHOLE):
        content = make()
        paths = []
        for form in FORMATS:
            paths.append(tmp_path / f"{number} {len(paths)}" / form.name)
            paths[-1].parent.mkdir()
            paths[-1].write_bytes(content)
        failures, _ = read_all(MODULE, paths)
        assert not failures, "\n".join(f"{path}: {text}" for path, text in failures.items())
        for path in paths:
            path.unlink()
