import pytest

from benchmarks import layers
from slowfast_jax.models import zoo
from slowfast_jax.models.cost import count, totals


@pytest.mark.parametrize("name, pools, features", [
    ("kinetics/mini", 4, 320), ("kinetics/x3d_xs", 1, 2048)
])
def test_convolutions_and_pools_are_found(name, pools, features):
    shape = layers.clip_shape(name, 1, "train_crop")
    model = zoo.create(name, folded=True)  # without batch norms, which aren't found
    found = layers.find(model, shape)
    assert sum(n for layer, n in found.items() if isinstance(layer, layers.Pool)) == pools
    classifier = features * model.num_classes
    macs = sum(layer.macs * number for layer, number in found.items())
    assert macs == totals(count(model, *shape[1:3]))["macs"] - classifier
