"""onnxruntime reports nothing to anybody."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

pytest.importorskip("onnxruntime")


def test_nothing_is_stored_about_the_machine(tmp_path):
    """Its telemetry would leave a file of the session, and the identifier that it sends."""
    places = {name: str(tmp_path) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    kept = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI")}
    subprocess.run(
        [sys.executable, "-c", "import slowfast_jax.onnxruntime_session"], cwd=ROOT, check=True,
        env=kept | places,
    )
    assert list(tmp_path.iterdir()) == []
