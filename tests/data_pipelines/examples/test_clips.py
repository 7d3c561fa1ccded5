"""Training examples for classification, compared with those of the original's data sets."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.sampling import (
    clip_indices,
    clip_size,
    segment_indices,
)
from data_pipelines.sources.frame_lists import read_charades, read_ssv2
from data_pipelines.sources.video_lists import Sample
from data_pipelines.transforms import geometry, rand_augment
from data_pipelines.video import seeking
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.image_files import FrameFiles
from tests.data_pipelines.conftest import frame_numbers
from tests.data_pipelines.support.recorded import (
    InOrder,
    Replay,
    gray_levels,
    smooth,
    write_rolling,
)
from tests.support.paths import PARITY, needs_parity

FOLDER = PARITY / "data" / "loaders"
SAMPLING = Sampling(num_frames=8, sampling_rate=2, target_fps=30.0)
SEGMENTS = replace(SAMPLING, mode="ssv2")
STRIDES = replace(SAMPLING, mode="charades")
CROPS = Augmentation(crop=32, jitter=(32, 40))
FRAME_CROPS = Augmentation(crop=24, jitter=(26, 32), inverse_uniform=True)


@pytest.fixture(scope="module")
def recorded():
    cases = json.loads((FOLDER / "loaders.json").read_text())["cases"]
    return {case["key"]: case for case in cases}


@pytest.fixture(scope="module")
def arrays():
    return np.load(FOLDER / "loaders.npz")


def assert_equal_clips(clip: np.ndarray, arrays, key: str) -> None:
    """Checks that uint8 levels are the original's float levels up to half a level of rounding."""
    difference = np.abs(clip.astype(np.float64) - gray_levels(arrays[f"{key}_path1"]))
    assert difference.max() <= 0.51, (key, difference.max())


@pytest.fixture(scope="module")
def rolling(tmp_path_factory):
    """The frames of the recorded lists."""
    folder = tmp_path_factory.mktemp("rolling")
    for video, size in {"101": (36, 48, 21), "202": (48, 36, 40), "303": (32, 32, 9)}.items():
        write_rolling(
            folder, f"ld/{video}", *size, turns=(5, 9), template="{video}/{number:06d}.png"
        )
    return folder


@needs_parity
def test_training_clips_of_something_something(recorded, arrays, rolling):
    samples = read_ssv2(
        FOLDER / "train.csv", class_list=FOLDER / "something-something-v2-labels.json",
        labels=FOLDER / "something-something-v2-train.json", path_prefix=rolling,
    )
    for key in ("ssv2_train_0", "ssv2_train_1"):
        case = recorded[key]
        element = load_clip(
            samples[case["item"]], SEGMENTS, replace(FRAME_CROPS, flip=False),
            rng=Replay(case["draws"]),
        )
        assert element["label"] == case["label"]
        assert_equal_clips(element["clip"], arrays, key)


@needs_parity
def test_training_clips_of_charades(recorded, arrays, rolling):
    samples = read_charades(
        FOLDER / "train.csv", path_prefix=rolling, num_classes=6, per_frame=True
    )
    for number, sample in enumerate(samples):
        case = recorded[f"charades_train_{number}"]
        element = load_clip(
            sample, STRIDES, FRAME_CROPS, rng=Replay(case["draws"]), num_classes=6,
        )
        assert element["label"].tolist() == case["label"]
        assert_equal_clips(element["clip"], arrays, f"charades_train_{number}")


@needs_parity
def test_training_geometry_of_kinetics(recorded, arrays):
    """A stand-in for the decoder returned 8 frames per clip when these cases were recorded."""
    frames = np.stack([smooth(f"kin0_{t}", 36, 48) for t in range(8)])
    for key in ("kinetics_train_0", "kinetics_train_1", "kinetics_val_0"):
        drawn = geometry.draw(Replay(recorded[key]["draws"]), 36, 48, crop=24, jitter=(26, 32))
        assert_equal_clips(geometry.apply(frames, drawn), arrays, key)


class Item(InOrder):
    """Replays the draws recorded for one item; those that choose its frames, if any, come first."""

    def __init__(self, draws: list):
        super().__init__(draws)
        self.segments = []
        while self.draws[0][0] == "random.randint":
            _, (low, high), value = self.draws.pop(0)
            self.segments.append((value - low + 0.5) / (high - low + 1))

    def random(self, size: int | None = None):
        return super().random() if size is None else np.array(self.segments or [0.0])


@needs_parity
def test_augmented_items_equal_those_of_the_original(recorded, arrays, tmp_path):
    """RandAugment, crop, flip and erasing in sequence, for one and two samples per video."""
    def written(name: str, pictures: list) -> Sample:
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(tmp_path / f"{name}_{number}.png")
        files = FrameFiles(name, len(pictures), f"{tmp_path}/{name}_{{}}.png")
        return Sample(name, 1, files)

    def rolled(name: str, height: int, width: int, count: int) -> Sample:
        picture = smooth(f"ld/{name}", height, width)
        return written(name, [np.roll(picture, (i % 5, i % 9), (0, 1)) for i in range(count)])

    kinetics = written("kin0", [smooth(f"kin0_{t}", 36, 48) for t in range(8)])
    relative = {"jitter_scales_relative": (0.08, 1.0), "jitter_aspect_relative": (0.75, 1.3333)}
    for key, sample, samples, options in (
        ("kinetics_train_aug_0", kinetics, 1, relative),
        ("kinetics_train_aug_2samples_0", kinetics, 2, relative),
        ("ssv2_train_aug_0", rolled("202", 48, 36, 40), 1, {"flip": False} | relative),
        ("ssv2_train_aug_2samples_1", rolled("101", 36, 48, 21), 2, {"inverse_uniform": True}),
    ):
        rng = Item(recorded[key]["draws"])
        element = load_clip(
            sample, replace(SAMPLING, sampling_rate=1, mode=key.split("_")[0]),
            Augmentation(
                crop=24, jitter=(26, 32), policy=rand_augment.parse("rand-m7-n4-mstd0.5-inc1"),
                erase={"probability": 0.9}, num_samples=samples, **options,
            ),
            rng=rng,
        )
        assert element["label"].tolist() == ([1] * samples if samples > 1 else 1)
        for number, clip in enumerate(element["clip"] if samples > 1 else [element["clip"]]):
            if "ssv2" in key:
                clip = clip[..., ::-1]  # the original treats BGR frames as RGB here
            assert_equal_clips(clip, arrays, f"{key}_sample{number}" if samples > 1 else key)
        assert not rng.draws and rng.patches == recorded[key]["noise_patches"]


@needs_parity
def test_training_geometry_of_several_clips_and_short_cycles(recorded, arrays):
    """The decoder is a stand-in here too; the short cycle cuts small crops from small frames."""
    rng = InOrder(recorded["kinetics_train_2temporal_0"]["draws"])
    for clip in range(2):
        frames = np.stack([smooth(f"kin{clip}_{t}", 36, 48) for t in range(8)])
        drawn = geometry.draw(
            rng, 36, 48, crop=24, jitter_scales_relative=(0.08, 1.0),
            jitter_aspect_relative=(0.75, 1.3333),
        )
        assert_equal_clips(
            geometry.apply(frames, drawn), arrays, f"kinetics_train_2temporal_0_sample{clip}"
        )
    frames = np.stack([smooth(f"kin0_{t}", 36, 48) for t in range(8)])
    for turn, (crop, smallest) in enumerate([(12, 13), (17, 18), (24, 26)]):
        key = f"kinetics_train_short_cycle_{turn}"
        drawn = geometry.draw(
            Replay(recorded[key]["draws"]), 36, 48, crop=crop, jitter=(smallest, 32)
        )
        assert_equal_clips(geometry.apply(frames, drawn), arrays, key)


def test_motion_shift_moves_the_crop(tmp_path):
    """The crop moves: equal frames yield different parts of the picture."""
    picture = smooth("still", 60, 80)
    for number in range(4):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    sample = Sample("still", 0, FrameFiles("still", 4, f"{tmp_path}/{{}}.png"))
    clip = load_clip(
        sample, replace(SAMPLING, num_frames=4, sampling_rate=1),
        Augmentation(
            crop=32, motion_shift=True, jitter_scales_relative=(0.1, 0.4),
            jitter_aspect_relative=(0.75, 1.3333),
        ),
        rng=np.random.default_rng(0),
    )["clip"]
    assert clip.shape == (4, 32, 32, 3)
    steps = np.abs(np.diff(clip.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert steps.min() > 2


def test_augmentation_is_ignored_without_a_generator(videos):
    sample = Sample(str(videos["numbered"]), 0)
    plain = load_clip(sample, SAMPLING, CROPS, rng=None)["clip"]
    same = load_clip(
        sample, SAMPLING,
        replace(
            CROPS, policy=rand_augment.parse("rand-m9"), erase={"probability": 1.0},
            motion_shift=True,
        ),
        rng=None,
    )["clip"]
    np.testing.assert_array_equal(plain, same)


def test_frames_are_scaled_down_before_augmentation(videos, monkeypatch):
    shapes = []
    monkeypatch.setattr(
        rand_augment, "apply", lambda frames, steps: shapes.append(frames.shape) or frames
    )
    for jitter in ((32, 40), (64, 80)):
        load_clip(
            Sample(str(videos["numbered"]), 0), SAMPLING,
            replace(CROPS, jitter=jitter, policy=rand_augment.parse("rand-m9")),
            rng=np.random.default_rng(0),
        )
    assert shapes == [(8, 32, 42, 3), (8, 48, 64, 3)]


def test_several_clips_and_samples_of_a_video(videos, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "data_pipelines.examples.clips.select_frames",
        lambda *args, **kwargs: opened.append(args[0]) or seeking.select_frames(*args, **kwargs),
    )
    sample = Sample(str(videos["numbered"]), 3)
    element = load_clip(
        sample, replace(SAMPLING, num_clips=2), replace(CROPS, num_samples=3),
        rng=np.random.default_rng(4),
    )
    assert len(opened) == 1 and element["label"].tolist() == [3] * 6
    assert element["clip"].shape == (6, 8, 32, 32, 3)
    shown = [frame_numbers(clip) for clip in element["clip"]]
    assert shown[0] == shown[1] == shown[2] != shown[3] == shown[4] == shown[5]
    labels = Sample(str(videos["numbered"]), (1, 3))
    element = load_clip(
        labels, SAMPLING, replace(CROPS, num_samples=2), rng=np.random.default_rng(4),
        num_classes=5,
    )
    assert element["label"].tolist() == [[0, 1, 0, 1, 0]] * 2
    picture = smooth("varied", 60, 80)
    Image.fromarray(picture).save(tmp_path / "0.png")
    still = Sample("still", 0, FrameFiles("still", 1, f"{tmp_path}/{{}}.png"))
    clips = load_clip(
        still, replace(SAMPLING, num_clips=2), replace(CROPS, num_samples=2),
        rng=np.random.default_rng(4),
    )["clip"]
    assert len({clip.tobytes() for clip in clips}) == 4
    alone = load_clip(
        labels, replace(SAMPLING, num_clips=2), replace(CROPS, num_samples=3), rng=None,
        num_classes=5,
    )
    assert alone["clip"].shape == (8, 32, 32, 3)


def test_jitter_fps_shortens_clips(videos):
    lengths = set()
    for seed in range(20):
        element = load_clip(
            Sample(str(videos["numbered"]), 3), replace(SAMPLING, jitter_fps=30.0), CROPS,
            rng=np.random.default_rng(seed),
        )
        numbers = frame_numbers(element["clip"])
        lengths.add(numbers[-1] - numbers[0])
    assert min(lengths) < 9 and max(lengths) > 13  # half of 16 frames to all of them


def test_sampling_rates_are_drawn_from_a_range(videos):
    """Without a range, no random number is drawn for the rate."""
    sample = Sample(str(videos["numbered"]), 3)
    steps = set()
    for seed in range(20):
        clip = load_clip(
            sample, replace(SAMPLING, max_sampling_rate=4), CROPS, rng=np.random.default_rng(seed)
        )["clip"]
        numbers = frame_numbers(clip)
        steps.add(round((numbers[-1] - numbers[0]) / 7))
    assert steps == {2, 3, 4}
    same, plain = (
        load_clip(sample, sampling, CROPS, rng=np.random.default_rng(0))["clip"]
        for sampling in (replace(SAMPLING, max_sampling_rate=2), SAMPLING)
    )
    np.testing.assert_array_equal(same, plain)


def test_clips_start_anywhere_in_the_video(videos):
    starts = set()
    for seed in range(30):
        element = load_clip(
            Sample(str(videos["numbered"]), 3), SAMPLING, CROPS, rng=np.random.default_rng(seed)
        )
        assert element["clip"].shape == (8, 32, 32, 3) and element["clip"].dtype == np.uint8
        assert element["label"] == 3 and element["label"].dtype == np.int32
        numbers = np.array(frame_numbers(element["clip"]))
        assert set(np.diff(numbers)) <= {2, 3}
        starts.add(int(numbers[0]))
    assert min(starts) < 8 and max(starts) > 36 and len(starts) > 12


def test_without_a_generator_the_middle_clip_is_loaded(videos):
    sample = Sample(str(videos["numbered"]), 0)
    first, second = (load_clip(sample, SAMPLING, CROPS, rng=None)["clip"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    size = clip_size(8, 2, 30.0)
    assert frame_numbers(first) == clip_indices(60, (60 - size) // 2, size, 8).tolist()
    ssv2 = load_clip(sample, SEGMENTS, CROPS, rng=None)["clip"]
    assert frame_numbers(ssv2) == segment_indices(60, 8).tolist()


def test_segments_are_drawn_in_order(videos):
    sample = Sample(str(videos["numbered"]), 0)
    numbers = frame_numbers(
        load_clip(sample, SEGMENTS, CROPS, rng=np.random.default_rng(3))["clip"]
    )
    assert numbers == sorted(numbers) and numbers[0] <= 8 and numbers[-1] >= 51


def test_short_videos_repeat_their_last_frame(videos):
    element = load_clip(
        Sample(str(videos["five"]), 0), SAMPLING, CROPS, rng=np.random.default_rng(0)
    )
    assert frame_numbers(element["clip"]) == [0, 2, 4, 4, 4, 4, 4, 4]


def test_the_same_seed_gives_the_same_clip(videos):
    sample = Sample(str(videos["bframes"]), 0)
    first, second = (
        load_clip(sample, SAMPLING, CROPS, rng=np.random.default_rng(5))["clip"] for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_image_files_and_several_labels(tmp_path):
    write_rolling(tmp_path, "v", 36, 48, 9, turns=(5, 9))
    files = FrameFiles("v", 9, f"{tmp_path}/v/v_{{:06d}}.png", first=1)
    sample = Sample("v", (0, 2), files)
    element = load_clip(sample, SAMPLING, CROPS, rng=np.random.default_rng(0), num_classes=4)
    assert element["clip"].shape == (8, 32, 32, 3)
    assert element["label"].tolist() == [1, 0, 1, 0] and element["label"].dtype == np.float32
    with pytest.raises(ValueError, match="v has several labels; load_clip needs num_classes"):
        load_clip(sample, SAMPLING, CROPS, rng=None)


def test_errors(videos):
    with pytest.raises(VideoError, match="the file is empty"):
        load_clip(Sample(str(videos["empty"]), 0), SAMPLING, CROPS, rng=None)
    with pytest.raises(ValueError, match="mode is 'ucf'; expected one of kinetics, ssv2, charades"):
        replace(SAMPLING, mode="ucf")


def test_labels_of_the_frames_that_a_clip_spans(tmp_path):
    write_rolling(tmp_path, "v", 36, 48, 40, turns=(5, 9))
    files = FrameFiles("v", 40, f"{tmp_path}/v/v_{{:06d}}.png", first=1)
    sample = Sample("v", (0, 1), files, frame_labels=((0,),) * 20 + ((1,),) * 20)

    def label(rng):
        return load_clip(sample, STRIDES, CROPS, rng=rng, num_classes=2)["label"].tolist()

    found = {tuple(label(np.random.default_rng(seed))) for seed in range(30)}
    assert found == {(1, 0), (0, 1), (1, 1)}
    assert label(None) == [1, 1]


def test_lighting_shifts_the_colors_of_all_frames_alike(videos):
    sample = Sample(str(videos["numbered"]), 0)
    plain, lit = (
        load_clip(
            sample, SAMPLING, replace(CROPS, lighting=amount), rng=np.random.default_rng(1)
        )["clip"]
        for amount in (0.0, 0.5)
    )
    shift = lit.astype(int) - plain
    assert shift.any() and shift[0].std((0, 1)).max() < 20
