"""Every visual tool shows a network of each family, or says why it cannot."""

import jax
import numpy as np
import pytest

from slowfast_jax.config import ConfigError
from slowfast_jax.models import zoo
from slowfast_jax.models.mvit import VisionTransformer
from slowfast_jax.visualize.arrays import input_rows, weight_sheet
from slowfast_jax.visualize.attention import make_attention
from slowfast_jax.visualize.gradcam import make_grad_cam
from slowfast_jax.visualize.layers import make_layer_maps
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.models.test_every_network import FAMILIES

BOXES = dict(detection=True, activation="sigmoid")
NETWORKS = FAMILIES | {
    f"{name}, boxes": FAMILIES[name] | BOXES for name in ("SlowFast", "X3D", "CSN", "R(2+1)D")
}
QUICK = ("SlowFast, boxes",)


@pytest.fixture(scope="module", params=[
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in NETWORKS
])
def network(request):
    """A network, the shapes of its variables and a clip, and a box if it takes boxes."""
    options = dict(NETWORKS[request.param])
    model = zoo.create(options.pop("name"), **options)
    height, width = (48, 64) if model.detection else (model.crop_size,) * 2
    clip = np.zeros((1, model.num_frames, height, width, 3), np.uint8)
    boxes = np.array([[8, 4, 40, 30]], np.float32) if model.detection else None
    return model, variable_shapes(model), clip, boxes


def test_grad_cam(network):
    model, variables, clip, boxes = network
    explain = make_grad_cam(model)
    found = jax.eval_shape(lambda variables: explain(variables, clip, None, boxes), variables)
    assert found.probs.shape == (1, 4)
    pathways = model.pathways(len(clip[0])).values()
    assert {name: x.shape for name, x in found.maps.items()} == {
        name: (1, len(indices), *clip.shape[2:4])
        for name, indices in zip(model.last_maps(), pathways, strict=True)
    }


def test_attention(network):
    model, variables, clip, boxes = network
    attend = make_attention(model)
    if not isinstance(model, VisionTransformer):
        with pytest.raises(ConfigError, match="has no attention; name a vision transformer"):
            attend(variables, clip, boxes)
        return
    found = jax.eval_shape(lambda variables: attend(variables, clip, boxes), variables)
    assert found.maps.ndim == 5 and found.maps.shape[:2] == found.class_token.shape


def test_feature_maps(network):
    model, variables, clip, boxes = network
    names = model.last_maps()
    several = None if boxes is None else boxes[:, None]
    read = make_layer_maps(model, names)
    found = jax.eval_shape(lambda variables: read(variables, clip, several), variables)
    assert all(x.ndim == 5 for x in found.values())


def test_weights_and_inputs(network):
    model, shapes, clip, _ = network
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    assert weight_sheet(model, variables, []).ndim == 3
    rows = list(input_rows(model, clip[0], "a"))
    assert len(rows) == len(model.pathways(len(clip[0])))
