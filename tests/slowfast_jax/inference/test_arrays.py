"""Clips in the forms that users have them in: tensors, lists, pictures; and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from absl import logging as absl_logging
from PIL import Image

from slowfast_jax.inference.arrays import to_numpy
from slowfast_jax.inference.input_checks import check_boxes, check_clips
from tests.support.tiny_models import Tiny

MODEL = Tiny(num_classes=4, num_frames=2, crop_size=32)
CLIP = np.random.default_rng(0).integers(0, 256, (1, 2, 32, 40, 3), np.uint8)
NORMALIZED = (CLIP / np.float32(255) - 0.45) / 0.225


class OnGpu:
    """Stands for a CuPy array."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")


class TorchOnGpu:
    device, dtype = "cuda:0", "torch.uint8"

    def detach(self):
        return self


def pictures(mode="RGB"):
    return [[Image.fromarray(frame).convert(mode) for frame in clip] for clip in CLIP]


@pytest.mark.parametrize("form", [
    lambda x: x, lambda x: x.tolist(), lambda x: list(x), lambda x: tuple(map(list, x)),
    memoryview, jnp.asarray,
])
def test_uint8_clips_of_any_form(form):
    found = check_clips(form(CLIP), MODEL)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, CLIP)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
def test_lists_of_pictures(mode):
    found = check_clips(pictures(mode), MODEL)
    assert found.dtype == np.uint8 and found.shape == CLIP.shape
    if mode != "CMYK":
        np.testing.assert_array_equal(found, CLIP)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_floats_of_any_size(dtype):
    found = check_clips(NORMALIZED.astype(dtype), MODEL)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, NORMALIZED, atol=2e-3)
    assert check_clips(jnp.asarray(NORMALIZED, jnp.bfloat16), MODEL).dtype == jnp.bfloat16


def test_tensors_of_pytorch():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(CLIP)
    for form in (tensor, list(tensor), [list(tensor[0])], tensor.clone().contiguous()):
        np.testing.assert_array_equal(check_clips(form, MODEL), CLIP)
    floats = torch.from_numpy(NORMALIZED)
    for form in (floats, floats.clone().requires_grad_(), floats.double()):
        np.testing.assert_allclose(check_clips(form, MODEL), NORMALIZED, atol=1e-6)
    np.testing.assert_allclose(check_clips(floats.bfloat16(), MODEL), NORMALIZED, atol=2e-2)
    boxes = torch.tensor([[[1, 2, 30, 31]]])
    np.testing.assert_array_equal(check_boxes(boxes, CLIP.shape), [[[1, 2, 30, 31]]])
    with pytest.raises(ValueError, match=r"look like \(N, 3, T, H, W\).*clips.permute\(0, 2, 3, 4"):
        check_clips(tensor.permute(0, 4, 1, 2, 3), MODEL)
    with pytest.raises(ValueError, match="clips are int64, expected uint8"):
        check_clips(tensor.long(), MODEL)
    with pytest.raises(ValueError, match="is a torch Tensor that NumPy cannot read"):
        check_clips(tensor.to_sparse(), MODEL)


@pytest.mark.parametrize(("clips", "message"), [
    (OnGpu(), r"clips is a tests OnGpu that NumPy cannot read \(Implicit conv.*array on the host"),
    (TorchOnGpu(), r"clips is a tests TorchOnGpu on cuda:0: pass it as .cpu\(\)"),
    (object(), "which NumPy cannot read as an array of numbers"),
    (None, "clips is None, which NumPy cannot read as an array of numbers"),
    (CLIP[:, :, :, :0], "expected at least one clip, with frames and pixels"),
    (NORMALIZED[:, :0], "expected at least one clip, with frames and pixels"),
    ([[[1, 2], [3]]], r"arrays of different shapes \(\(2,\), \(1,\)\)"),
    ([CLIP[0], CLIP[0, :, :8]], "arrays of different shapes"),
    ("a.mp4", r"shape \(\), expected 5 dimensions"),
    (CLIP[0], r"\(N, T, H, W, 3\); for one clip pass clip\[None\]"),
    (pictures()[0], r"; for one clip pass clip\[None\], or \[clip\] if it is a list"),
    (CLIP[0].transpose(3, 0, 1, 2), r"looks like \(3, T, H, W\): transpose it"),
    (CLIP[0].transpose(0, 3, 1, 2), r"looks like \(T, 3, H, W\): transpose it"),
    (CLIP[0, 0], "expected 5 dimensions"),
    (CLIP.transpose(0, 4, 1, 2, 3), r"like \(N, 3, T, H, W\): pass clips.transpose\(0, 2, 3, 4, 1"),
    (CLIP.transpose(0, 1, 4, 2, 3), r"like \(N, T, 3, H, W\): pass clips.transpose\(0, 1, 3, 4, 2"),
    (CLIP[..., :1], "gray pictures: repeat the channel"),
    (CLIP[..., [0, 1, 2, 0]], r"RGBA: pass clips\[..., :3\]"),
    (CLIP[..., :2], r"expected 3 channels last, \(N, T, H, W, 3\)$"),
    (CLIP > 9, "clips are bool, expected uint8"),
    ((CLIP.astype(int) + 9).tolist(), "clips are int64, expected uint8"),
    (-NORMALIZED - 30, "not normalized"),
])
def test_what_cannot_be_a_clip(clips, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_clips(clips, MODEL)
    assert "\n" not in str(caught.value)


def test_the_suggested_permutations_are_right():
    for order in ((0, 4, 1, 2, 3), (0, 1, 4, 2, 3)):
        with pytest.raises(ValueError) as caught:
            check_clips(CLIP.transpose(order), MODEL)
        axes = str(caught.value).partition("clips.transpose(")[2].partition(")")[0]
        back = CLIP.transpose(order).transpose([int(axis) for axis in axes.split(",")])
        np.testing.assert_array_equal(back, CLIP)


def test_pixels_divided_by_255_are_warned_about(caplog):
    absl_logging.get_absl_logger().propagate = True
    check_clips(NORMALIZED, MODEL)
    check_clips(np.zeros_like(NORMALIZED), MODEL)
    assert not caplog.text
    check_clips(CLIP / 255, MODEL)
    assert "lie within 0..1" in caplog.text


def test_lists_of_numbers_beyond_pixels_stay_as_they_are():
    assert to_numpy([[0, 300]], "boxes").dtype == np.int64
    assert to_numpy([[0, 30.5]], "boxes").dtype == np.float64
