"""Times of frames at constant and variable rates."""

import numpy as np

from data_pipelines.video.encoding import write_video
from data_pipelines.video.frame_times import frame_times
from tests.data_pipelines.conftest import numbered_frames


def test_constant_and_variable_rates(videos):
    np.testing.assert_allclose(frame_times(videos["numbered"]), np.arange(60) / 30, atol=1e-3)
    np.testing.assert_allclose(frame_times(videos["bframes"]), np.arange(30) / 30, atol=1e-3)
    expected = 10 * np.arange(20) * (np.arange(20) + 1) / 600
    np.testing.assert_allclose(frame_times(videos["variable"]), expected, atol=1e-3)


def test_files_without_times(tmp_path):
    write_video(tmp_path / "a.avi", numbered_frames(20), fps=10)
    np.testing.assert_allclose(frame_times(tmp_path / "a.avi"), np.arange(20) / 10, atol=1e-3)
