"""The published test protocols: which frames and crops of a video they see, computed by hand.

Frame i of the video is red i, and its column x is green x, so that the mean color of a view, which
is what the network returns, says where the view lies.
"""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data_pipelines.video.image_files import frame_files
from slowfast_jax.config import load_config
from slowfast_jax.recognizer import Recognizer
from tests.support.tiny_models import Tiny

FRAMES, WIDTH, HEIGHT, CROP = 64, 96, 64, 32  # resized to a short side of CROP, the width is 48
SPAN, FIRST_TO_MEAN = 16, 7.5  # frames of a clip of 4 frames, 4 apart
LEFT, CENTER, RIGHT = 31.5, 47.5, 63.5  # mean column of a crop, before resizing


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    for number in range(FRAMES):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[..., 0], picture[..., 1] = number, np.arange(WIDTH)
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
    names = sorted(path.name for path in folder.iterdir())
    return replace(frame_files("video", names, folder), fps=30.0)


def views_and_scores(spec, video, **protocol):
    """(frame, column) of each view and of the video, under the protocol of a recipe with a small
    clip."""
    config = load_config(spec)
    config.protocol.update({"num_frames": 4, "sampling_rate": 4, "test_crop": CROP} | protocol)
    if "jitter" in config.data:
        config.data.jitter = (CROP, CROP)
    config.test.batch_size = 8
    model = Tiny(num_classes=2, activation="none", mean=(0, 0, 0), std=(1, 1, 1))
    kernel = np.eye(3, 2, dtype=np.float32) * 255
    variables = {"params": {"head": {"kernel": kernel, "bias": np.zeros(2, np.float32)}}}
    (found,) = Recognizer(model, variables, config, ["frame", "column"]).score_videos([video])
    assert not found.error
    return found.views, found.scores


def kinetics_views(clips, columns):
    starts = (FRAMES - SPAN) * np.arange(clips) / clips
    means = [np.trunc(np.linspace(s, s + SPAN - 1, 4)).mean() for s in starts]
    return [(frame, column) for frame in means for column in columns]


@pytest.mark.parametrize(("clips", "crops"), [(10, 3), (5, 3), (5, 1), (1, 1), (1, 3)])
@pytest.mark.parametrize("spec", ["kinetics/slowfast_8x8_r50", "kinetics/x3d_m"])
def test_kinetics(video, spec, clips, crops):
    columns = (LEFT, CENTER, RIGHT) if crops == 3 else (CENTER,)
    expected = kinetics_views(clips, columns)
    views, scores = views_and_scores(spec, video, clips=clips, crops=crops)
    np.testing.assert_allclose(views, expected, atol=0.51)
    np.testing.assert_allclose(scores, np.mean(views, 0), rtol=1e-5)


@pytest.mark.parametrize(("spec", "starts"), [
    ("mmaction2/slowfast_8x8_r50", [round(i * 51 / 9) for i in range(10)]),  # 64 - 13 = 51
    ("mmaction2/slowonly_8x8_r50", [int(4.9 * (i + 0.5)) for i in range(10)]),  # (64 - 15) / 10
])
def test_mmaction2(video, spec, starts):
    """The mean frame of 4 that are 4 apart lies 6 frames after the first."""
    expected = [(start + 6, column) for start in starts for column in (LEFT, CENTER, RIGHT)]
    views, scores = views_and_scores(spec, video)
    np.testing.assert_allclose(views, expected, atol=0.51)
    np.testing.assert_allclose(scores, np.mean(views, 0), rtol=1e-5)


@pytest.mark.parametrize(("activation", "of_view"), [
    ("softmax", lambda logits: np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)),
    ("none", lambda logits: logits),
])
def test_probabilities_or_logits_are_averaged_over_views(video, activation, of_view):
    """MMAction2's average_clips: "prob" and "score"."""
    config = load_config("mmaction2/slowfast_8x8_r50")
    config.protocol.update({"num_frames": 4, "sampling_rate": 4, "test_crop": CROP})
    config.test.batch_size = 8
    model = Tiny(num_classes=2, activation=activation, mean=(0, 0, 0), std=(1, 1, 1))
    variables = {"params": {"head": {
        "kernel": np.array([[25.5, 0], [0, 0], [0, 0]], np.float32),  # a tenth of the frame
        "bias": np.array([0, 2.5], np.float32),
    }}}
    (found,) = Recognizer(model, variables, config, ["late", "early"]).score_videos([video])
    logits = np.array([
        [(round(i * 51 / 9) + 6) / 10, 2.5] for i in range(10) for _ in range(3)
    ])
    np.testing.assert_allclose(found.scores, of_view(logits).mean(0), atol=0.005)


def test_something_something(video):
    """One clip of the middle frames of its segments, three crops, averaged."""
    middle = np.mean([8, 24, 40, 56])
    for crops, columns in ((3, (LEFT, CENTER, RIGHT)), (1, (LEFT,))):
        views, scores = views_and_scores("ssv2/slowfast_16x8_r50", video, clips=1, crops=crops)
        np.testing.assert_allclose(views, [(middle, column) for column in columns], atol=1.01)
        np.testing.assert_allclose(scores, np.mean(views, 0), rtol=1e-5)


def test_charades(video):
    """The published protocol: ten clips from the first frame to the last, the maximum of views."""
    config = load_config("charades/slowfast_16x8_r50")
    assert (config.protocol.clips, config.protocol.crops) == (10, 3)
    assert config.data.multi_label
    views, scores = views_and_scores("charades/slowfast_16x8_r50", video)
    assert len(views) == 30
    first, last = views[:3, 0], views[-3:, 0]
    np.testing.assert_allclose(last - first, FRAMES - 13, atol=1.01)  # frames 0 .. 12, 51 .. 63
    np.testing.assert_allclose(views[:3, 1], (LEFT, CENTER, RIGHT), atol=0.51)
    np.testing.assert_allclose(scores, np.max(views, 0), rtol=1e-6)


def test_imagenet(video):
    """The center crop of an image."""
    config = load_config("imagenet/res_r50")
    assert (config.protocol.clips, config.protocol.crops, config.protocol.num_frames) == (1, 1, 1)
    picture = replace(video, count=1)
    model = dict(num_frames=1)
    views, _ = views_and_scores("configs/imagenet.py:res_r50", picture, **model)
    np.testing.assert_allclose(views, [(0, CENTER)], atol=0.51)
