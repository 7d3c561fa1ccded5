"""Detection examples compared with those of the original's data set, and errors."""

import json
from dataclasses import replace

import numpy as np
import pytest

from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources import ava
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from data_pipelines.video.image_files import FrameFiles
from tests.data_pipelines.conftest import frame_numbers
from tests.data_pipelines.support.recorded import Replay, gray_levels, write_rolling
from tests.support.paths import PARITY, needs_parity

FOLDER = PARITY / "data" / "ava"
SIZES = {"vA": (40, 60, 140), "vB": (60, 40, 140), "vC": (32, 48, 100)}
SMALL = {"num_frames": 8, "sampling_rate": 2, "crop": 32, "max_boxes": 8, "num_classes": 80}
BOXES = np.array([[0.1, 0.2, 0.5, 0.6], [0.9, 0.9, 1.0, 1.0]], np.float32)


@pytest.fixture(scope="module")
def recorded():
    return json.loads((FOLDER / "ava.json").read_text())


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    for video, size in SIZES.items():
        write_rolling(folder, f"ava/{video}", *size, turns=(7, 11))
    frames = ava.read_frame_list(FOLDER / "train.csv", path_prefix=folder)

    def only_within(moments):
        """`moments` without those past the end of the recorded videos."""
        return {
            video: {t: m for t, m in times.items() if (t - 900) * 30 < frames[video].count}
            for video, times in moments.items()
        }

    train = ava.read_boxes(
        [FOLDER / "ava_train_v2.2.csv"], [FOLDER / "ava_train_predicted.csv"], score_threshold=0.8
    )
    val = ava.read_boxes(predicted=[FOLDER / "ava_val_predicted_boxes.csv"], score_threshold=0.8)
    return {
        "train": ava.keyframes(only_within(train), frames),
        "val": ava.keyframes(only_within(val), frames),
    }


@needs_parity
def test_elements_equal_those_of_the_original(recorded, splits):
    """Compares with both backends of the original, within a tolerance for each.

    The cv2 backend resizes uint8 with coarse weights, so it sometimes rounds to the next level. The
    torch backend stays in float: up to half a level of rounding on our side. Color jitter amplifies
    either difference up to 1.4 times and rounds once more.
    """
    arrays = np.load(FOLDER / "ava.npz")
    videos = list(SIZES)
    for case in recorded["dataset_cases"]:
        key, options, split = case["key"], case["opts"], case["split"]
        color = options.get("TRAIN_USE_COLOR_AUGMENTATION", False)
        full_color = not options.get("TRAIN_PCA_JITTER_ONLY", True)
        video, _, second, _ = case["keyframe"]
        (keyframe,) = [k for k in splits["train" if split == "train" else "val"]
                       if (k.video, k.time) == (videos[video], second)]
        element = load_keyframe(
            keyframe, **SMALL, jitter=(36, 44), inverse_uniform=case["backend"] == "cv2",
            rng=Replay(case["draws"]) if split == "train" else None,
            color_jitter=full_color, lighting=color,
            center_crop=split == "val", test_flip=options.get("TEST_FORCE_FLIP", False),
        )
        count = len(case["metadata"])
        labels, mask = element["label"], element["box_mask"]
        np.testing.assert_array_equal(labels[:count], arrays[f"{key}_labels"], err_msg=key)
        assert not labels[count:].any() and not mask[count:].any()

        # In whole frames, the torch backend clips boxes to crop x crop, whatever the frame's shape.
        size = element["clip"].shape[1:3] if case["backend"] == "cv2" else (32, 32)
        limits = np.array([*size[::-1], *size[::-1]]) - 1.0
        boxes = np.minimum(element["boxes"][:count], limits)
        expected = arrays[f"{key}_boxes"]
        np.testing.assert_allclose(boxes, expected, atol=1e-4, err_msg=key)
        alive = (expected[:, 2] > expected[:, 0]) & (expected[:, 3] > expected[:, 1])
        assert mask[:count].tolist() == (alive.tolist() if split == "train" else [True] * count)
        np.testing.assert_allclose(keyframe.boxes, arrays[f"{key}_ori_boxes"], atol=1e-7)

        clip = element["clip"].astype(np.float64)
        if options.get("BGR"):
            clip = clip[..., ::-1]
        tolerance = (1.01 if case["backend"] == "cv2" else 0.51) * (1.5 if full_color else 1)
        tolerance += 0.5 if color else 0
        for name, frames in (("path0", clip[[0, 7]]), ("path1", clip[::4])):
            difference = np.abs(frames - gray_levels(arrays[f"{key}_{name}"]))
            assert difference.max() <= tolerance, (key, difference.max())
    assert len(recorded["dataset_cases"]) == 24


def video_keyframe(path, time: float, **fields) -> Keyframe:
    return replace(Keyframe(
        video="v", time=time, source=str(path), origin=0.0, fps=0.0, boxes=BOXES,
        labels=((0, 2), ()), scores=np.ones(2, np.float32),
    ), **fields)


SETTINGS = {"num_frames": 4, "sampling_rate": 3, "crop": 48, "max_boxes": 5, "num_classes": 3}


def test_shapes_and_padding(videos):
    rng = np.random.default_rng(0)
    element = load_keyframe(video_keyframe(videos["numbered"], 1.0), **SETTINGS, rng=rng,
                            jitter=(48, 60))
    assert {name: (value.shape, value.dtype) for name, value in element.items()} == {
        "clip": ((4, 48, 48, 3), np.uint8), "boxes": ((5, 4), np.float32),
        "box_mask": ((5,), bool), "label": ((5, 3), np.float32),
    }
    assert element["label"][:2].tolist() == [[1, 0, 1], [0, 0, 0]]
    assert frame_numbers(element["clip"]) == [24, 27, 30, 33]
    whole = load_keyframe(video_keyframe(videos["numbered"], 1.0), **SETTINGS, rng=None)
    assert whole["clip"].shape == (4, 48, 64, 3)
    np.testing.assert_allclose(whole["boxes"][1], [57.6, 43.2, 63, 47], rtol=1e-6)
    assert whole["box_mask"].tolist() == [True, True, False, False, False]


def test_boxes_outside_the_crop_are_masked(videos):
    masks = [
        load_keyframe(video_keyframe(videos["numbered"], 1.0), **SETTINGS,
                      rng=np.random.default_rng(seed), jitter=(96, 96))["box_mask"][:2]
        for seed in range(20)
    ]
    shares = np.mean(masks, axis=0)
    assert 0.2 < shares[0] < 1 and shares[1] < 0.2
    boxes = [
        load_keyframe(video_keyframe(videos["numbered"], 1.0), **SETTINGS,
                      rng=np.random.default_rng(seed), jitter=(96, 96))["boxes"]
        for seed in range(20)
    ]
    assert min(b.min() for b in boxes) >= 0 and max(b.max() for b in boxes) <= 47


def test_the_still_recipe_repeats_the_keyframe(videos):
    settings = {**SETTINGS, "sampling_rate": 0}
    clip = load_keyframe(video_keyframe(videos["numbered"], 1.0), **settings, rng=None)["clip"]
    assert frame_numbers(clip) == [30, 30, 30, 30]


def test_origin_and_rate_of_image_files(tmp_path, videos):
    from PIL import Image

    for number in range(30):
        Image.fromarray(np.full((48, 64, 3), 20 + 3 * number, np.uint8)).save(
            tmp_path / f"f_{number:02d}.png"
        )
    files = FrameFiles("v", 30, f"{tmp_path}/f_{{:02d}}.png")
    keyframe = video_keyframe("", 902.0, source=files, origin=900.0, fps=10.0)
    clip = load_keyframe(keyframe, **SETTINGS, rng=None)["clip"]
    assert frame_numbers(clip) == [14, 17, 20, 23]
    late = load_keyframe(replace(keyframe, time=902.9), **SETTINGS, rng=None)["clip"]
    assert frame_numbers(late) == [23, 26, 29, 29]  # clamped


def test_the_same_seed_gives_the_same_element(videos):
    keyframe = video_keyframe(videos["bframes"], 0.5)
    first, second, other = (
        load_keyframe(keyframe, **SETTINGS, rng=np.random.default_rng(seed), jitter=(48, 70),
                      color_jitter=True, lighting=True)
        for seed in (1, 1, 2)
    )
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
    assert (first["clip"] != other["clip"]).any()


def test_a_keyframe_past_the_end_is_refused(videos):
    with pytest.raises(VideoError, match=(
        r"numbered.mp4: its 60 frames at 30 fps span 900..901.967, and the keyframe at 902.5 "
        r"\(a.csv:7\) lies outside; .* remove the rows of v at 902.5"
    )):
        late = video_keyframe(videos["numbered"], 902.5, origin=900.0, place="a.csv:7")
        load_keyframe(late, **SETTINGS, rng=None)
    at_the_end = video_keyframe(videos["numbered"], 2.0)
    assert frame_numbers(load_keyframe(at_the_end, **SETTINGS, rng=None)["clip"])[2] == 59
    with pytest.raises(VideoError, match="the file is empty"):
        load_keyframe(video_keyframe(videos["empty"], 0.0), **SETTINGS, rng=None)


def test_too_many_boxes_and_unknown_classes_are_refused(videos):
    keyframe = video_keyframe(videos["numbered"], 1.0)
    with pytest.raises(ValueError, match=r"v at 1: 2 boxes, but max_boxes is 1: set data.max_box"):
        load_keyframe(keyframe, **{**SETTINGS, "max_boxes": 1}, rng=None)
    with pytest.raises(ValueError, match=r"v at 1: class 2; expected one within 0..1"):
        load_keyframe(keyframe, **{**SETTINGS, "num_classes": 2}, rng=None)


def test_a_keyframe_without_boxes_has_none(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, [np.zeros((48, 64, 3), np.uint8)] * 5)
    none = np.zeros((0, 4), np.float32)
    keyframe = video_keyframe(path, 0.1, boxes=none, labels=(), scores=none[:, 0])
    for rng in (None, np.random.default_rng(0)):
        element = load_keyframe(keyframe, **SETTINGS, rng=rng, jitter=(48, 48))
        assert not element["box_mask"].any() and not element["label"].any()
