"""The spatial augmentations recorded from PySlowFast: draws and results of every case."""

import json

import numpy as np
import pytest

from tests.support.paths import PARITY


@pytest.fixture(scope="session")
def recorded():
    return json.loads((PARITY / "data" / "spatial_aug.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def arrays():
    return np.load(PARITY / "data" / "spatial_aug.npz")
