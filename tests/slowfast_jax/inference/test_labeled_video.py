"""Videos with drawn actions hold the frames that there are, with the boxes of their time."""

import numpy as np
import pytest

from data_pipelines.sources.keyframes import Keyframe
from slowfast_jax.inference import person_actions
from tests.data_pipelines.support.encodings import CODECS, number_in, write


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_across_a_gap_of_an_hour(tmp_path, monkeypatch, suffix):
    path = write(
        tmp_path / f"gap.{suffix}", CODECS["h264"], count=80,
        time=lambda number: number + 108_000 * (number >= 40),
    )
    box = np.array([[0.2, 0.4, 0.8, 0.9]], np.float32)
    time = (108_000 + 60) / 30  # of frame 60
    keyframe = Keyframe("v", time, str(path), 0.0, 0.0, box, ((0,),), np.ones(1))
    drawn = []

    def write_video(path, frames, **keywords):
        drawn.extend((number_in(frame.image), len(frame.boxes)) for frame in frames)
        assert keywords["fps"] == 30

    monkeypatch.setattr(person_actions, "write_annotated_video", write_video)
    scores = {0: np.array([[0.9]])}
    person_actions.write_labeled_video(tmp_path / "labeled.mp4", [keyframe], scores, ["wave"])
    # Boxes are shown half a second before and after.
    assert drawn == [(number, int(45 <= number <= 75)) for number in range(80)]
