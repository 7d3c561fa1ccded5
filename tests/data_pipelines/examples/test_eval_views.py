"""Test views: their layout, and their frames compared with recorded ones."""

import json
import logging

import numpy as np
import pytest

from data_pipelines.examples.eval_views import iterate_views, view_indices
from data_pipelines.sources.frame_lists import read_charades, read_ssv2
from data_pipelines.transforms.resize import resize_short_side, uniform_crop
from data_pipelines.video.decoding import VideoError, probe, read_frames
from data_pipelines.video.encoding import write_video
from tests.data_pipelines.conftest import frame_numbers
from tests.data_pipelines.support.recorded import write_rolling
from tests.support.paths import PARITY, REAL, needs_parity, needs_real

PROTOCOL = dict(num_frames=4, sampling_rate=2, target_fps=30, clips=3, crops=3, test_crop=32)


def test_layout_and_indices(videos):
    views = list(iterate_views(videos["numbered"], **PROTOCOL))
    assert len(views) == 3
    indices = view_indices(
        probe(videos["numbered"]), num_frames=4, sampling_rate=2, target_fps=30, clips=3
    )
    for view, row in zip(views, indices, strict=True):
        assert view.shape == (3, 4, 32, 32, 3) and view.dtype == np.uint8
        for crop in view:
            assert frame_numbers(crop) == row.tolist()


@pytest.mark.parametrize("portrait", [False, True])
def test_crops_are_cut_from_the_resized_frames(tmp_path, portrait):
    random = np.random.default_rng(0)
    shape = (64, 48, 3) if portrait else (48, 64, 3)
    path = tmp_path / "noise.mkv"
    pictures = random.integers(0, 256, (6, *shape), dtype=np.uint8)
    write_video(path, pictures, codec="ffv1", pixel_format="bgr0")
    protocol = PROTOCOL | dict(sampling_rate=1, clips=1)
    (view,) = iterate_views(path, **protocol)
    resized = resize_short_side(pictures[[0, 1, 2, 3]], 32)
    for index in range(3):
        np.testing.assert_array_equal(view[index], uniform_crop(resized, 32, index))


def test_one_crop_is_the_center_at_the_jitter_minimum(videos):
    protocol = PROTOCOL | dict(clips=1, crops=1)
    (view,) = iterate_views(videos["bframes"], **protocol, train_jitter_min=40)
    assert view.shape == (1, 4, 32, 32, 3)
    frames = read_frames(videos["bframes"], [0, 2, 4, 7], short_side=40)
    np.testing.assert_array_equal(view[0], uniform_crop(frames, 32, 1))
    # Without a minimum, or with three crops, the short side is scaled to the crop size.
    (plain,) = iterate_views(videos["bframes"], **protocol)
    three = next(iterate_views(videos["bframes"], **PROTOCOL, train_jitter_min=40))
    np.testing.assert_array_equal(plain[0], three[1])


def test_offset_sampling_reaches_the_end(videos):
    info = probe(videos["numbered"])
    keywords = dict(num_frames=8, sampling_rate=2, target_fps=30)
    plain = view_indices(info, clips=3, **keywords)
    offset = view_indices(info, clips=3, offset_sampling=True, **keywords)
    assert plain[-1, -1] < offset[-1, -1] == 59
    assert view_indices(info, clips=1, offset_sampling=True, **keywords)[0, 0] == 22
    *_, last = iterate_views(videos["numbered"], **PROTOCOL, offset_sampling=True)
    assert frame_numbers(last[0])[-1] == 59


@pytest.mark.parametrize("name", ["one_frame", "five"])
def test_video_shorter_than_a_clip(videos, name):
    views = list(iterate_views(videos[name], **PROTOCOL | dict(num_frames=8, sampling_rate=8)))
    assert len(views) == 3
    last = probe(videos[name]).frames - 1
    assert all(frame_numbers(crop)[1:] == [last] * 7 for view in views for crop in view)


def test_clips_of_something_something_and_charades(videos):
    ssv2 = list(iterate_views(videos["numbered"], sampling="ssv2", **PROTOCOL))
    assert [frame_numbers(view[0]) for view in ssv2] == [[7, 22, 37, 51]] * 3
    charades = list(iterate_views(videos["numbered"], sampling="charades", **PROTOCOL))
    assert [frame_numbers(view[0]) for view in charades] == [
        [0, 2, 4, 6], [26, 28, 30, 32], [53, 55, 57, 59]
    ]
    for views in (ssv2, charades):
        assert all(view.shape == (3, 4, 32, 32, 3) for view in views)


@pytest.mark.parametrize("sampling", ["ssv2", "charades"])
def test_single_crops_of_ssv2_and_charades_are_the_left_ones(tmp_path, sampling):
    pictures = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "noise.mkv", pictures, codec="ffv1", pixel_format="bgr0")
    protocol = PROTOCOL | dict(clips=1, sampling=sampling)
    (three,) = iterate_views(tmp_path / "noise.mkv", **protocol)
    (one,) = iterate_views(
        tmp_path / "noise.mkv", **protocol | dict(crops=1), train_jitter_min=40
    )
    np.testing.assert_array_equal(one, three[:1])


@needs_parity
def test_whole_items_of_the_original(tmp_path):
    folder = PARITY / "data/loaders"
    for video, (height, width, count) in {
        "101": (36, 48, 21), "202": (48, 36, 40), "303": (32, 32, 9)
    }.items():
        write_rolling(
            tmp_path, f"ld/{video}", height, width, count, turns=(5, 9),
            template="{video}/{number:06d}.png",
        )
    samples = {
        "charades": read_charades(folder / "val.csv", path_prefix=tmp_path),
        "ssv2": read_ssv2(
            folder / "val.csv", path_prefix=tmp_path,
            class_list=folder / "something-something-v2-labels.json",
            labels=folder / "something-something-v2-validation.json",
        ),
    }
    items = np.load(folder / "loaders.npz")
    for name, item in [*(("ssv2", i) for i in (0, 2, 7, 13)),
                       *(("charades", i) for i in (0, 4, 9, 17))]:
        views = list(iterate_views(
            samples[name][item // 6].source, num_frames=8, sampling_rate=2, target_fps=30,
            clips=2, crops=3, test_crop=28, sampling=name, train_jitter_min=26,
        ))
        ours = views[item % 6 // 3][item % 3]
        expected = items[f"{name}_test_{item}_path1"].transpose(1, 2, 3, 0)
        expected = (expected * 0.225 + 0.45) * 255
        assert np.abs(ours - expected).max() <= 0.5 + 1e-3, (name, item)


def test_broken_video_is_used_and_reported(videos, caplog):
    reported = []
    views = list(iterate_views(videos["truncated"], **PROTOCOL, report=reported.append))
    assert len(views) == 3 and len(reported) == 1
    assert "the header promises 60 frames" in reported[0].warning
    with caplog.at_level(logging.WARNING):
        list(iterate_views(videos["truncated"], **PROTOCOL))
    assert str(videos["truncated"]) in caplog.text and "the header promises" in caplog.text
    # The clips are placed by the number of frames that decode.
    indices = view_indices(reported[0], num_frames=4, sampling_rate=2, target_fps=30, clips=3)
    expected = read_frames(videos["truncated"], indices[2], short_side=32)
    np.testing.assert_array_equal(views[2][1], uniform_crop(expected, 32, 1))


def test_errors(videos):
    with pytest.raises(VideoError, match="no video stream"):
        next(iterate_views(videos["audio"], **PROTOCOL))
    with pytest.raises(ValueError, match="test_crop 32 does not fit .*train_jitter_min 30"):
        next(iterate_views(videos["five"], **PROTOCOL | dict(crops=1), train_jitter_min=30))
    with pytest.raises(ValueError, match="crops is 5"):
        next(iterate_views(videos["five"], **PROTOCOL | dict(crops=5)))
    with pytest.raises(ValueError, match="sampling is 'ava'; expected one of kinetics, ssv2"):
        next(iterate_views(videos["five"], **PROTOCOL, sampling="ava"))
    with pytest.raises(ValueError, match="clips is 0"):
        next(iterate_views(videos["five"], **PROTOCOL | dict(clips=0)))


@needs_real
def test_real_frame_indices():
    expected = json.loads((REAL / "expected.json").read_text(encoding="utf-8"))
    assert len(expected) == 8
    for name, facts in expected.items():
        info = probe(REAL / "videos" / name)
        indices = view_indices(info, num_frames=4, sampling_rate=12, target_fps=30, clips=10)
        assert indices.tolist() == facts["frame_indices"], name


@needs_real
@pytest.mark.parametrize("name", ["snu_shaking_hands.mp4", "paddlevideo_example_archery.avi"])
def test_real_views_are_the_float_path_rounded(name):
    path = REAL / "videos" / name
    views = list(iterate_views(
        path, num_frames=4, sampling_rate=12, target_fps=30, clips=10, crops=3, test_crop=182
    ))
    indices = view_indices(
        probe(path), num_frames=4, sampling_rate=12, target_fps=30, clips=10
    )
    resized = resize_short_side(read_frames(path, indices[3]), 182, dtype=np.float32)
    for index in range(3):
        difference = views[3][index] - uniform_crop(resized, 182, index)
        assert np.abs(difference).max() <= 0.5
