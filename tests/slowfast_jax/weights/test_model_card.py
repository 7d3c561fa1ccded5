"""The model card says what is known about the weights, and nothing else."""

import pytest

from slowfast_jax.config import load_config
from slowfast_jax.published import rows
from slowfast_jax.weights import describe
from slowfast_jax.weights.model_card import model_card


def card(name, **source):
    config = load_config(name)
    described = describe(config, [])
    return model_card(described | {
        "protocol": described["config"]["protocol"], "source": source,
        "fingerprint": {"weights_sha256": "abc"},
    }, 3_794_322)


@pytest.mark.parametrize("name, license", [
    ("pytorchvideo/x3d_xs", "apache-2.0"), ("torchvision/mvit_v2_s", "bsd-3-clause"),
])
def test_a_published_checkpoint(name, license):
    row = rows()[name]
    text = card(row.model, file="x.pth", program="PyTorchVideo", published=name)
    assert f"\nlicense: {license}\n" in text and row.publisher.license in text
    assert f"Converted from [{name}]({row.address}), published by" in text
    assert f"top-1 accuracy {row.figures['top1_acc']}, top-5 accuracy" in text
    assert "No test" not in text and "3.79 million parameters" in text


def test_weights_of_unknown_origin():
    text = card("kinetics/x3d_xs", program="Paddle", initialized=["head/kernel"])
    assert "\nlicense:" not in text and "No test of these weights is recorded." in text
    assert "Converted from `a file`, in the form of PaddleVideo. These parameters are random: " \
           "head/kernel. The license" in text
    assert "Trained with slowfast_jax, starting from `a.pyth`. The license" in card(
        "kinetics/x3d_xs", program="slowfast_jax", started_from="a.pyth"
    )


def test_networks_that_classify_boxes():
    text = card("ava/slowfast_32x2_r50_short", program="PySlowFast")
    assert "pipeline_tag" not in text and "recognizer(clips, boxes)" in text
    assert "classifies persons, given by boxes, into 80 classes" in text and "crops" not in text
