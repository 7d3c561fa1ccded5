"""Frame indices equal the original's for every recorded video and setting."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from data_pipelines import sampling
from tests.support.paths import PARITY, needs_parity


@pytest.fixture(scope="module")
def recorded():
    return json.loads((PARITY / "data" / "temporal.json").read_text(encoding="utf-8"))


@needs_parity
def test_clip_starts(recorded):
    rows = recorded["get_start_end_idx"]["rows"]
    assert len(rows) > 1000
    for video_frames, size, clips, use_offset, index, start, end, _ in rows:
        found = sampling.clip_start(video_frames, size, index, clips, bool(use_offset))
        assert found == start, (video_frames, size, clips, use_offset, index)
        assert found + size - 1 == end


@needs_parity
def test_random_clip_start_uses_the_whole_range(recorded):
    for record in recorded["get_start_end_idx_random(250,64)"]:
        (_, (low, high), value), = record["draws"]
        start = sampling.random_clip_start(250, 64, (value - low) / (high - low))
        np.testing.assert_allclose(start, record["out"][0], rtol=1e-15)


@needs_parity
def test_linspace_truncates_float32(recorded):
    for r in recorded["temporal_sampling"]:
        found = sampling.linspace_indices(r["start"], r["end"], r["num_samples"], r["n"])
        assert found.tolist() == r["idx"], r


def torchvision_frames(video_frames, fps, timebase, num_frames, rate, start, size):
    """Frames that the original's torchvision backend takes.

    From a long video it decodes start..end by time stamps, truncated to whole ticks, and counts the
    decoded frames from 0. So a fractional start drops the frame before it, and the last index
    repeats.
    """
    assert timebase[0] == 1
    if fps * (video_frames / fps) <= num_frames * rate:
        return sampling.clip_indices(video_frames, start, size, num_frames)
    stamps = np.round(np.arange(video_frames) / fps * timebase[1])
    first, last = (int(position * (timebase[1] / fps)) for position in (start, start + size - 1))
    cut = np.flatnonzero((stamps >= first) & (stamps <= last))
    return cut[sampling.linspace_indices(0, size - 1, num_frames, len(cut))]


@needs_parity
def test_test_clips_of_the_torchvision_backend(recorded):
    rows = recorded["decode_torchvision_backend_test"]["rows"]
    assert len(rows) == 2560
    whole_video_differs = 0
    for n, fps, timebase, num_frames, rate, clips, use_offset, index, _, expected, starts in rows:
        size = sampling.clip_size(num_frames, rate, fps)
        start = sampling.clip_start(n, size, index, clips, bool(use_offset))
        np.testing.assert_allclose((start, start + size - 1), starts[0][:2], rtol=1e-12)
        found = torchvision_frames(n, fps, timebase, num_frames, rate, start, size)
        assert found.tolist() == expected, (n, fps, num_frames, rate, clips, use_offset, index)
        whole = sampling.clip_indices(n, start, size, num_frames)
        assert np.abs(whole - expected).max() <= 1
        whole_video_differs += not np.array_equal(whole, expected)
    assert whole_video_differs > 0  # decoding a part really gives other frames


@needs_parity
def test_random_clips_of_the_torchvision_backend(recorded):
    single = [r for r in recorded["decode_torchvision_backend_random"] if "two_clips" not in r]
    assert len(single) == 24
    for r in single:
        size = sampling.clip_size(r["num_frames"], r["sampling_rate"], r["fps"])
        start = r["draws"][0][2]
        found = torchvision_frames(
            r["n"], r["fps"], r["tb"], r["num_frames"], r["sampling_rate"], start, size
        )
        assert found.tolist() == r["frame_ids"]


@needs_parity
def test_test_clips_of_charades(recorded):
    rows = recorded["charades_test_frames"]["rows"]
    assert len(rows) > 300
    for video_frames, num_frames, rate, clips, crops, view, expected in rows:
        found = sampling.strided_indices(video_frames, num_frames, rate, view // crops, clips)
        assert found.tolist() == expected, (video_frames, num_frames, rate, clips, view)


@needs_parity
def test_training_clips_of_charades(recorded):
    for case in recorded["charades_train_frames"]:
        *rate, (_, (low, high), start) = case["draws"]
        rate = rate[0][2] if rate else case["sampling_rate"]
        found = sampling.random_strided_indices(
            case["len"], case["num_frames"], rate, (start - low + 0.5) / (high - low + 1)
        )
        assert found.tolist() == case["idx"]
    assert len(recorded["charades_train_frames"]) > 5


def test_a_single_clip_of_charades_is_the_middle():
    assert sampling.strided_indices(20, 4, 2, 0, 1).tolist() == [6, 8, 10, 12]
    assert sampling.strided_indices(5, 4, 2, 0, 1).tolist() == [0, 2, 4, 4]
    with pytest.raises(ValueError, match="clip index 1 is outside 0..0"):
        sampling.strided_indices(20, 4, 2, 1, 1)


@needs_parity
def test_test_clips_of_something_something(recorded):
    rows = recorded["ssv2_test_frames"]["rows"]
    assert len(rows) == 48
    for video_frames, num_frames, expected in rows:
        assert sampling.segment_indices(video_frames, num_frames).tolist() == expected


@needs_parity
def test_training_clips_of_something_something(recorded):
    cases = recorded["ssv2_train_frames"]
    for case in cases:
        # The draw in [0, 1) that gives what the original drew from each segment.
        draws = np.array([(value - low + 0.5) / (high - low + 1)
                          for _, (low, high), value in case["draws"]])
        found = sampling.random_segment_indices(case["len"], case["num_frames"], draws)
        assert found.tolist() == case["idx"]
    assert len(cases) == 12


@needs_parity
def test_positions_of_crops(recorded):
    rows = recorded["kinetics_test_views"]["rows"]
    for clips, crops in {(r[0], r[1]) for r in rows}:
        expected = [(r[3], r[4]) for r in rows if (r[0], r[1]) == (clips, crops)]
        positions = sampling.crop_positions(crops)
        assert [(clip, place) for clip in range(clips) for place in positions] == expected


@needs_parity
def test_slow_pathway(recorded):
    for num_frames, alpha, expected in recorded["pack_pathway_slow_indices"]:
        slow = sampling.linspace_indices(0, num_frames - 1, num_frames // alpha, num_frames)
        assert slow.tolist() == expected


@needs_parity
def test_ava_keyframes(recorded):
    for center, num_frames, rate, video_frames, expected in recorded["ava_get_sequence"]["rows"]:
        found = sampling.keyframe_indices(center, num_frames, rate, video_frames)
        assert found.tolist() == expected


def test_a_still_keyframe_and_odd_lengths():
    assert sampling.keyframe_indices(7, 4, 0, 10).tolist() == [7, 7, 7, 7]
    assert sampling.keyframe_indices(7, 5, 1, 10).tolist() == [5, 6, 7, 8, 9]
    assert sampling.keyframe_indices(7, 5, 3, 30).tolist() == [0, 3, 6, 9, 12]


@pytest.mark.parametrize(
    ("start", "end", "count", "expected"),
    [
        (0, 63, 8, [0, 9, 18, 27, 36, 45, 54, 63]),
        (25.0, 72.0, 4, [25, 40, 56, 72]),
        (-2.5, 30.0, 8, [0, 2, 6, 11, 16, 20, 25, 30]),
        (5.7, 5.7, 1, [5]),
    ],
)
def test_linspace_small(start, end, count, expected):
    assert sampling.linspace_indices(start, end, count, 100).tolist() == expected


def test_linspace_equals_torch():
    torch = pytest.importorskip("torch")
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("torch without fused multiply-add rounds differently")
    random = np.random.default_rng(0)
    float64_differs = 0
    for _ in range(3000):
        count = int(random.choice([4, 8, 13, 16, 32, 64]))
        n = int(random.integers(1, 400))
        size = random.choice([32.0, 64.0, 78.0, 80.0, 128.0, 48 * 29.97002997 / 30])
        start = max(n - size, 0) * int(random.integers(0, 10)) / 10
        end = start + size - 1
        expected = torch.linspace(start, end, count).clamp(0, n - 1).long().numpy()
        found = sampling.linspace_indices(start, end, count, n)
        np.testing.assert_array_equal(found, expected, err_msg=f"{start} {end} {count} {n}")
        plain = np.clip(np.linspace(start, end, count), 0, n - 1).astype(np.int64)
        float64_differs += not np.array_equal(plain, expected)
    assert float64_differs > 0  # so float64 would not do


def test_clip_size_is_at_least_one_frame():
    assert sampling.clip_size(4, 12, fps=30.0) == 48
    assert sampling.clip_size(4, 12, fps=28.0) == pytest.approx(44.8)
    assert sampling.clip_size(4, 1, fps=1.0) == 1.0


def test_short_video_repeats_its_last_frame():
    assert sampling.clip_start(5, 64, 3, 10) == 0
    assert sampling.clip_indices(5, 0, 64, 8).tolist() == [0, 4, 4, 4, 4, 4, 4, 4]


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match="clip index 10 is outside 0..9"):
        sampling.clip_start(100, 64, 10, 10)
    with pytest.raises(ValueError, match="crops is 4"):
        sampling.crop_positions(4)


@needs_parity
def test_test_clips_of_the_pyav_backend(recorded):
    """The original seeks by truncated time stamps to a span of whole frames, decodes one frame past
    the end if there is one, and samples the decoded frames as usual.
    """
    rows = 0
    for video in recorded["pyav"]:
        fps, stamps = float(Fraction(video["average_rate"])), video["all_pts"]
        length = video["frames"]
        ticks = video["duration"] / length
        for num_frames, rate, clips, offset, clip, first, last, decoded, indices in video["rows"]:
            span = max(1.0, math.ceil(rate * (num_frames - 1) / 30 * fps))
            start = sampling.clip_start(length, span, clip, clips, bool(offset))
            assert (int(start * ticks), int((start + span - 1) * ticks)) == (first, last)
            within = [stamp for stamp in stamps if first <= stamp <= last]
            beyond = [stamp for stamp in stamps if stamp > last][:1]
            assert within + beyond == decoded
            size = sampling.clip_size(num_frames, rate, fps)
            found = sampling.linspace_indices(0, size - 1, num_frames, len(decoded))
            assert found.tolist() == indices
            rows += 1
    assert rows > 300
