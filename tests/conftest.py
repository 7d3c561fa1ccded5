"""Fixtures for all tests."""

import pytest

from slowfast_jax.models import zoo
from tests.tiny import entry, traces


@pytest.fixture
def tiny(monkeypatch):
    """Adds test/tiny and test/tiny_boxes to the zoo and gives the list of traces, emptied."""
    monkeypatch.setitem(zoo.ZOO, "test/tiny", entry())
    monkeypatch.setitem(zoo.ZOO, "test/tiny_boxes", entry(detection=True, activation="sigmoid"))
    traces.clear()
    return traces
