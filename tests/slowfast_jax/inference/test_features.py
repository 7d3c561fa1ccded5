"""Features: endpoints of a network for clips, boxes and windows of videos."""

import numpy as np
import pytest

from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from slowfast_jax.config import ConfigError
from slowfast_jax.inference.features import Endpoints, Options, iterate_features
from slowfast_jax.models import zoo
from slowfast_jax.recognizer import load
from tests.support.tiny_models import norm_entry

CLIPS = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
CLIP_SECONDS = 4 * 4 / 30  # of test/tiny
FPS = 10


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Videos of 6.1, 0.3 and 2.5 seconds whose frame i is gray i * 4."""
    folder = tmp_path_factory.mktemp("videos")
    paths = []
    for number, frames in enumerate((61, 3, 25)):
        pictures = np.stack([np.full((36, 48, 3), 4 * i, np.uint8) for i in range(frames)])
        paths.append(str(folder / f"{number}.mp4"))
        write_video(paths[-1], pictures, fps=FPS, options={"preset": "ultrafast", "crf": "0"})
    return paths


def normalized(frame):
    """What test/tiny makes of the gray of a frame."""
    return (4 * np.asarray(frame) / 255 - 0.45) / 0.225


def test_features_of_clips(tiny):
    recognizer = load("test/tiny")
    pixels = (CLIPS / 255 - 0.45) / 0.225
    found = recognizer.clip_features(CLIPS, endpoint="color")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pixels.mean((1, 2, 3)), atol=1e-5)
    found = recognizer.clip_features(CLIPS, endpoint="pixels")
    np.testing.assert_allclose(found, pixels.mean((1, 2, 3)), atol=1e-5)
    found = recognizer.clip_features(CLIPS, endpoint="pixels", whole=True)
    np.testing.assert_allclose(found, pixels, atol=1e-5)
    traces = len(tiny)
    recognizer.clip_features(CLIPS, endpoint="color")
    assert len(tiny) == traces  # compiled once


def test_a_wrong_endpoint_lists_all(tiny):
    with pytest.raises(ConfigError, match=r"no endpoint colour; did you mean color.*endpoints: "
                       r"color, pixels, probs\)"):
        load("test/tiny").clip_features(CLIPS, endpoint="colour")
    with pytest.raises(ConfigError, match=r"head/pool0|within these, such as fast_res2/block0"):
        Endpoints(zoo.create("kinetics/mini"), 8, 64).check("pool")


def test_features_of_boxes(monkeypatch):
    monkeypatch.setitem(zoo.ZOO, "test/norm_boxes", norm_entry(detection=True))
    recognizer = load("test/norm_boxes")
    clips = CLIPS[:, :, :16, :16]
    boxes = np.array([[[1, 2, 8, 9], [0, 0, 4, 16], [4, 4, 16, 16]]] * 2, np.float32)
    found = np.asarray(recognizer.clip_features(clips, boxes))
    assert found.shape == (2, 3, 12)  # eight channels and the box
    np.testing.assert_allclose(found[..., 8:], boxes / 16, atol=1e-6)
    assert recognizer.clip_features(clips, boxes, "a").shape == (2, 8)
    assert recognizer.clip_features(clips, boxes, "a", whole=True).shape == (2, 4, 8, 8, 8)
    assert recognizer.clip_features(clips, boxes[:, :0]).shape == (2, 0, 12)
    assert recognizer.endpoints.check("features", boxes=True)
    with pytest.raises(ConfigError, match="a describes clips, not boxes; .* boxes are features, p"):
        recognizer.endpoints.check("a", boxes=True)
    with pytest.raises(ValueError, match="classifies boxes, and a video file has none"):
        recognizer.extract_features("a.mp4")


def test_windows_of_a_video(tiny, videos):
    recognizer = load("test/tiny")
    found = recognizer.extract_features(videos[0], "color")
    count = len(found.features)
    assert count == 12 and found.features.shape == (count, 3) and found.fps == FPS
    assert found.endpoint == "color" and found.features.dtype == np.float32
    np.testing.assert_allclose(found.start, np.arange(count) * CLIP_SECONDS, atol=1e-6)
    np.testing.assert_allclose(found.end[:-1], found.start[1:], atol=1e-6)
    assert found.end[-1] == pytest.approx(6.1)
    found = recognizer.extract_features(videos[0], "color", window=2.0, stride=1.0)
    assert found.start.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.end == pytest.approx([2, 3, 4, 5, 6, 6.1])
    middle = normalized(found.start[:5] * FPS + 9.5)  # frames first .. first + 19
    np.testing.assert_allclose(found.features[:5], np.stack([middle] * 3, 1), atol=0.12)


def test_whole_endpoints_of_windows(tiny, videos):
    found = load("test/tiny").extract_features(videos[0], "pixels", stride=3.0, whole=True)
    assert found.features.shape == (3, 4, 32, 32, 3)
    assert found.start.tolist() == [0, 3, 6]
    first = found.features[:, 0].mean((1, 2, 3))
    np.testing.assert_allclose(first, normalized([0, 30, 60]), atol=0.05)


def test_batches_reach_over_videos_and_failures_are_reported(tiny, videos, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    recognizer = load("test/tiny")
    alone = [recognizer.extract_features(video, "color") for video in videos]
    listed = [videos[0], str(tmp_path / "bad.mp4"), videos[1], videos[2]]
    tiny.clear()
    found = {f.index: f for f in iterate_features(recognizer, listed, Options("color"))}
    assert sorted(found) == [0, 1, 2, 3] and isinstance(found[1].error, VideoError)
    for index, expected in zip((0, 2, 3), alone, strict=True):
        for mine, other in zip(found[index].features, expected, strict=True):
            if isinstance(mine, np.ndarray):
                np.testing.assert_allclose(mine, other, atol=1e-6)
            else:
                assert mine == other
    with pytest.raises(VideoError, match="bad.mp4"):
        recognizer.extract_features(listed[1], "color")
    with pytest.raises(ValueError, match="too few .* every 0.01 seconds, which needs at least 100"):
        recognizer.extract_features(videos[0], "color", stride=0.01)
    with pytest.raises(ValueError, match="window is -1, expected a positive"):
        recognizer.extract_features(videos[0], "color", window=-1)


@pytest.mark.slow
def test_the_classifier_turns_the_default_features_into_logits():
    recognizer = load("kinetics/mini")
    clips = np.random.default_rng(1).integers(0, 256, (2, 8, 96, 64, 3), np.uint8)  # two positions
    head = recognizer.variables["params"]["head"]["projection"]
    logits = recognizer.clip_features(clips) @ head["kernel"] + head["bias"]
    found = recognizer.clip_features(clips, endpoint="logits")
    np.testing.assert_allclose(found, logits, atol=1e-5)
    whole = recognizer.clip_features(clips, whole=True)
    assert whole.shape[0] == 2 and whole.shape[2] > 1
