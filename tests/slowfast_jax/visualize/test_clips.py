"""Parts of videos, and maps between the frames that a network sees."""

import numpy as np
import pytest

from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from slowfast_jax.config import load_config
from slowfast_jax.visualize.clips import (
    between_frames,
    iterate_boxes,
    iterate_parts,
    part_rate,
)


@pytest.fixture
def video(tmp_path):
    """A video of 20 frames that become brighter."""
    frames = np.arange(20, dtype=np.uint8)[:, None, None, None] * 10 + np.zeros((1, 32, 40, 3))
    write_video(tmp_path / "a.mp4", frames.astype(np.uint8), options={"crf": "1"})
    return str(tmp_path / "a.mp4")


def brightness(frames):
    return (frames.mean((1, 2, 3)) / 10).round().astype(int).tolist()


def test_parts_follow_each_other(video, tiny_norm):
    config = load_config("test/tiny_norm")  # 4 frames, every 2nd
    parts = list(iterate_parts(video, config))
    assert [(round(30 * part.begin), round(30 * part.end)) for part in parts] == [
        (0, 8), (8, 16), (16, 20)
    ]
    assert brightness(parts[0].frames) == list(range(8))
    assert brightness(parts[1].clip) == [8, 10, 12, 15]  # evenly spaced, from first to last
    assert brightness(parts[2].frames) == [16, 17, 18, 19]  # a film ends with its video
    assert brightness(parts[2].clip) == [16, 18, 19, 19]
    assert part_rate(config, parts[0]) == 30
    (part,) = iterate_parts(video, config, at=0.3)
    assert part.begin == parts[1].begin


def test_networks_that_see_whole_videos_have_one_part(video, tiny_norm):
    config = load_config("test/tiny_norm")
    with config.unlocked():
        config.data.sampling = "ssv2"
    (part,) = iterate_parts(video, config)
    assert len(part.clip) == 4 and len(part.frames) == 20
    assert brightness(part.frames) == list(range(20))


def test_maps_between_frames():
    maps = np.array([0.0, 1.0, 0.5])[:, None, None] * np.ones((1, 2, 2))
    dense = between_frames(maps, np.array([0, 4, 8]), 9)
    np.testing.assert_allclose(
        dense[:, 0, 0], [0, 0.25, 0.5, 0.75, 1, 0.875, 0.75, 0.625, 0.5], atol=1e-6
    )
    one = between_frames(maps[1:2], np.array([2]), 3)
    np.testing.assert_array_equal(one, 1)


@pytest.fixture
def keyframes(video):
    """Two keyframes, of two boxes and one."""
    def keyframe(time, boxes):
        boxes, count = np.array(boxes, np.float32), len(boxes)
        return Keyframe(video, time, video, 0.0, 0.0, boxes, ((),) * count, np.ones(count))

    return [keyframe(0.2, [[0, 0, 0.5, 1], [0.5, 0.25, 1, 1]]), keyframe(0.4, [[0, 0, 1, 1]])]


def test_parts_around_keyframes(keyframes, tiny_norm):
    config = load_config("test/tiny_norm")
    parts = list(iterate_boxes(keyframes, config))
    assert [part.title for part in parts] == ["box 1 at 0.2 s", "box 2 at 0.2 s", "box 1 at 0.4 s"]
    first, second, _ = parts
    assert brightness(first.frames) == list(range(2, 10))  # 4 frames, every 2nd, around frame 6
    assert brightness(first.clip) == [2, 4, 6, 8] and first.places.tolist() == [0, 2, 4, 6]
    assert first.clip.shape[1:3] == (16, 20)  # whole frames
    assert first.box.tolist() == [0, 0, 10, 15] and second.box.tolist() == [10, 4, 19, 15]
    assert (round(30 * first.begin), round(30 * first.end)) == (2, 10)
    assert part_rate(config, first) == 30
    assert [p.title for p in iterate_boxes(keyframes, config, at=0.9)] == ["box 1 at 0.4 s"]
    assert [p.title for p in iterate_boxes(keyframes, config, box=2)] == ["box 2 at 0.2 s"]
    with pytest.raises(VideoError, match=r"has no box 3 \(boxes of a keyframe: 2 at most\)"):
        next(iterate_boxes(keyframes, config, box=3))


def test_a_network_that_repeats_the_keyframe(keyframes, tiny_norm):
    config = load_config("test/tiny_norm")
    with config.unlocked():
        config.protocol.sampling_rate = 0
    part = next(iterate_boxes(keyframes, config))
    assert brightness(part.frames) == brightness(part.clip) == [6] * 4
