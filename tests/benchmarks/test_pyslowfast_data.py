"""The baseline of benchmarks.data reads the frames that the original was recorded reading."""

import importlib
import json
from fractions import Fraction

import pytest

from tests.support.paths import PARITY, needs_parity

torch = pytest.importorskip("torch")
pyslowfast_data = importlib.import_module("benchmarks.pyslowfast_data")


@needs_parity
def test_frames_of_the_pyav_backend():
    recorded = json.loads((PARITY / "data/temporal.json").read_text())["pyav"]
    for video in recorded:
        path = str(PARITY / "data/videos" / video["file"])
        whole = pyslowfast_data.decode(
            path, 0.0, num_frames=video["frames"], sampling_rate=1,
            target_fps=float(Fraction(video["average_rate"])),
        )
        for num_frames, rate, clips, offset, clip, _, _, decoded, indices in video["rows"]:
            if offset or clips != 3 or rate * num_frames > 64:
                continue
            found = pyslowfast_data.decode(
                path, clip / clips, num_frames=num_frames, sampling_rate=rate, target_fps=30.0
            )
            expected = [video["all_pts"].index(decoded[index]) for index in indices]
            assert torch.equal(found, whole[expected]), (video["file"], num_frames, rate, clip)
