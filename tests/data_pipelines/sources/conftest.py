"""Fixtures for tests of lists."""

import json

import pytest


@pytest.fixture
def make_list(tmp_path):
    def write(content, name="test.csv"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    return write
