"""Resizing and cropping against the recorded numbers of the original."""

import zlib

import numpy as np
import pytest

from data_pipelines.transforms import resize
from tests.support.paths import needs_parity


def random_frames(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Frames made by the rule of the recorded inputs."""
    return np.random.RandomState(zlib.crc32(name.encode())).randint(0, 256, shape).astype(np.uint8)


@pytest.fixture(scope="module")
def clip():
    return random_frames("clip0", (4, 40, 60, 3))


@needs_parity
def test_short_side_sizes(recorded):
    rows = recorded["short_side"]["rows"]
    assert len(rows) > 50
    for height, width, size, new_height, new_width, *_ in rows:
        assert resize.short_side_size(height, width, size) == (new_height, new_width)


@needs_parity
def test_jittered_short_sides(recorded):
    for record in recorded["short_side_jitter(60x80, 256..320)"]:
        found = resize.short_side_size(60, 80, record["short_side"])
        assert found == tuple(record["shape"])


@needs_parity
def test_uniform_crop_offsets(recorded):
    for height, width, size, index, top, left, *_ in recorded["uniform_crop"]["rows"]:
        assert resize.uniform_crop_offsets(height, width, size, index) == (top, left)


@needs_parity
@pytest.mark.parametrize("size", ["24x36", "56x84", "40x61", "33x47", "80x120"])
def test_resize(arrays, clip, size):
    expected = arrays[f"resize_{size}"].transpose(0, 2, 3, 1)
    height, width = expected.shape[1:3]
    found = resize.resize(clip[:2], height, width, dtype=np.float32)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=4e-5, rtol=0)
    rounded = resize.resize(clip[:2], height, width)
    assert rounded.dtype == np.uint8
    np.testing.assert_array_equal(rounded, np.rint(found).astype(np.uint8))


@needs_parity
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("portrait", [False, True])
def test_spatial_sampling_of_a_test_clip(arrays, clip, index, portrait):
    normalized = ((clip.astype(np.float32) / 255) - 0.45) / np.float32(0.225)
    np.testing.assert_allclose(
        normalized, arrays["normalized_clip0"].transpose(1, 2, 3, 0), atol=1e-6
    )
    name = f"spatial_test_portrait_idx{index}" if portrait else f"spatial_test_32_idx{index}"
    frames = normalized.transpose(0, 2, 1, 3) if portrait else normalized
    found = resize.uniform_crop(
        resize.resize_short_side(np.ascontiguousarray(frames), 32, dtype=np.float32), 32, index
    )
    np.testing.assert_allclose(found, arrays[name].transpose(1, 2, 3, 0), atol=2e-6)


@needs_parity
def test_one_crop_scales_to_the_jitter_minimum(arrays, clip):
    normalized = ((clip.astype(np.float32) / 255) - 0.45) / np.float32(0.225)
    found = resize.uniform_crop(
        resize.resize_short_side(normalized, 36, dtype=np.float32), 32, 1
    )
    expected = arrays["spatial_test_scale36_crop32_center"].transpose(1, 2, 3, 0)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize(("height", "width", "size"), [(256, 340, 182), (720, 1280, 256)])
def test_resize_equals_torch_at_uneven_scales(height, width, size):
    torch = pytest.importorskip("torch")
    frames = random_frames("torch", (1, height, width, 3))
    new_height, new_width = resize.short_side_size(height, width, size)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(frames.transpose(0, 3, 1, 2).astype(np.float32)),
        size=(new_height, new_width), mode="bilinear", align_corners=False,
    ).numpy().transpose(0, 2, 3, 1)
    found = resize.resize(frames, new_height, new_width, dtype=np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_nothing_is_resized_when_the_short_side_fits(clip):
    assert resize.resize_short_side(clip, 40) is clip
    # The rounded long / short * short may come out below long and lose a pixel.
    for short in range(1, 300):
        for long in range(short, 600, 7):
            assert resize.short_side_size(short, long, short) == (short, long)


def test_one_pixel_and_tiny_frames():
    frame = np.full((1, 1, 1, 3), 7, np.uint8)
    assert (resize.resize(frame, 5, 6) == 7).all()
    assert resize.resize_short_side(frame, 4).shape == (1, 4, 4, 3)


def test_crop_larger_than_the_frame_is_refused(clip):
    with pytest.raises(ValueError, match="41x41 crop does not fit a 60x40 frame"):
        resize.uniform_crop(clip, 41, 1)
    with pytest.raises(ValueError, match="crop index 3"):
        resize.uniform_crop(clip, 32, 3)


def test_frames_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(T,H,W,3\)"):
        resize.resize(np.zeros((4, 4, 3), np.uint8), 2, 2)


def test_a_resized_window_is_a_slice_of_the_resized_frame():
    frames = np.random.default_rng(0).integers(0, 256, (2, 41, 67, 3), dtype=np.uint8)
    for size in ((30, 50), (41, 67), (80, 131)):
        for window in ((0, 0, *size), (3, 7, 20, 21), (size[0] - 5, size[1] - 6, 5, 6)):
            top, left, height, width = window
            whole = resize.resize(frames, *size)
            np.testing.assert_array_equal(
                resize.resize(frames, *size, window=window),
                whole[:, top : top + height, left : left + width],
            )
    with pytest.raises(ValueError, match=r"window \(0, 40, 30, 30\).* outside a 30x50 frame"):
        resize.resize(frames, 30, 50, window=(0, 40, 30, 30))


@needs_parity
def test_crops_of_scaled_frames(recorded, arrays):
    for height, width, size, side, index in recorded["uniform_crop_with_scale_size"]["rows"]:
        picture = random_frames("uc", (height, width, 3))[None]
        scaled = resize.resize_short_side(picture, side, dtype=np.float32)
        found = resize.uniform_crop(scaled, size, index)[0]
        expected = arrays[f"uniform_crop_scaled_{height}_{width}_{index}"].transpose(1, 2, 0)
        np.testing.assert_allclose(found, expected, atol=1e-3)
