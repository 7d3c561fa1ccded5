"""The loss over boxes does not depend on padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources.keyframes import Keyframe
from data_pipelines.video.encoding import write_video
from slowfast_jax.config import check_training, load_config
from slowfast_jax.tasks.detection import Detection
from tests.support.paths import ROOT

MOST, PADDED, CLASSES = 3, 28, 5  # boxes per keyframe; MindSpore pads to 28
LABELS = (((0, 4), (), (2,)), ((1,),))  # of the boxes of two keyframes


@pytest.fixture(scope="module")
def keyframes(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "v.mp4"
    write_video(path, [np.full((48, 64, 3), 90, np.uint8)] * 60)
    boxes = np.float32([[0.1, 0.2, 0.5, 0.6], [0.3, 0.2, 0.9, 0.6], [0.2, 0.1, 0.5, 0.95]])
    return [
        Keyframe("v", 1.0, str(path), 0.0, 0.0, boxes[: len(labels)], labels, np.ones(len(labels)))
        for labels in LABELS
    ]


def batch_of(keyframes, max_boxes: int) -> dict[str, np.ndarray]:
    examples = [
        load_keyframe(
            keyframe, num_frames=2, sampling_rate=1, crop=32, max_boxes=max_boxes,
            num_classes=CLASSES, jitter=(32, 32), rng=np.random.default_rng(0),
        )
        for keyframe in keyframes
    ]
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


def value_and_gradient(config, batch, logits):
    objective = Detection(config).objective
    loss = jax.value_and_grad(lambda x: objective(x, {}, batch)[0])
    return loss(jnp.asarray(logits, jnp.float32))


@pytest.mark.parametrize("name, focal", [
    ("bce", ()), ("bce_logits", ()), ("bce_positive_rows", ()), ("bce_positive_rows", (3.0, 1.0)),
])
def test_padding_leaves_the_loss_unchanged(keyframes, name, focal):
    config = load_config(f"{ROOT}/configs/ava.py")
    config.train.loss, config.train.focal = name, focal
    check_training(config)
    exact, padded = batch_of(keyframes, MOST), batch_of(keyframes, PADDED)
    assert padded["boxes"].shape == (2, PADDED, 4) and padded["box_mask"].sum() == 4
    random = np.random.default_rng(1)
    logits = random.standard_normal((2, MOST, CLASSES))
    expected, gradient = value_and_gradient(config, exact, logits)
    there = exact["box_mask"]
    assert expected > 0 and not gradient[~there].any()
    for _ in range(2):
        wider = 50 * random.standard_normal((2, PADDED, CLASSES))
        garbage = random.random((2, PADDED, CLASSES)) < 0.5
        wider[:, :MOST][there] = logits[there]
        labels = np.where(padded["box_mask"][..., None], padded["label"], garbage)
        found, wide = value_and_gradient(config, padded | {"label": labels}, wider)
        assert found == pytest.approx(float(expected), rel=1e-6)
        np.testing.assert_allclose(wide[:, :MOST][there], gradient[there], rtol=1e-6)
        assert not wide[~padded["box_mask"]].any()
