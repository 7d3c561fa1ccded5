"""Fixtures for all tests."""

import pytest

from slowfast_jax.models import zoo
from tests.support.tiny_models import entry, norm_entry, traces, write_colors


@pytest.fixture
def tiny(monkeypatch):
    """Adds test/tiny and test/tiny_boxes to the zoo; returns the list of traces, emptied."""
    monkeypatch.setitem(zoo.ZOO, "test/tiny", entry())
    monkeypatch.setitem(zoo.ZOO, "test/tiny_boxes", entry(detection=True, activation="sigmoid"))
    traces.clear()
    return traces


@pytest.fixture(scope="module")
def tiny_norm():
    """Adds test/tiny_norm to the zoo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.ZOO, "test/tiny_norm", norm_entry())
        yield


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    """A folder of videos whose class is their color; see tiny_models.write_colors."""
    folder = tmp_path_factory.mktemp("data") / "colors"
    write_colors(folder)
    return folder
