"""Recorded names and outputs of torchvision's networks, in tests/fixtures.

Weights and clips follow from rules, so that only names, shapes and outputs are stored. Where
torchvision is installed, the files are written again by

    python -m tests.support.torchvision_mvit
"""

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from slowfast_jax.models.mvit import MViT
from tests.support.paths import ROOT

NAMES = ROOT / "tests/fixtures/torchvision.json"
OUTPUTS = ROOT / "tests/fixtures/torchvision.npz"
# torchvision's function -> the zoo's entry of the same network
PUBLISHED = {"mvit_v1_b": "kinetics/mvit_b_16x4_conv", "mvit_v2_s": "kinetics/mvitv2_s_16x4"}
IMAGES = {"resnet50": "imagenet/res_r50"}  # the same for networks of images

CLIP = (2, 4, 64, 64, 3)
SHARED = dict(
    num_classes=5, num_frames=4, crop_size=64, depth=3, width=16, pool_kernel=(3, 3, 3),
    dim_mul=((1, 2.0), (2, 2.0)), head_mul=((1, 2.0), (2, 2.0)), adaptive_kv_stride=(1, 4, 4),
)
# Small networks with all kinds of blocks of the published ones.
TINY = {
    "tiny_v1": MViT(q_strides=((1, 1, 2, 2), (2, 1, 2, 2)), **SHARED),
    "tiny_v2": MViT(
        q_strides=((0, 1, 1, 1), (1, 1, 2, 2), (2, 1, 2, 2)), residual_pooling=True,
        dim_mul_in_att=True, abs_pos="none", rel_pos_space=True, rel_pos_time=True, **SHARED,
    ),
}


def shapes() -> dict[str, dict[str, tuple[int, ...]]]:
    """Network -> {torchvision's name of a tensor: its shape}."""
    return {
        network: {name: tuple(shape) for name, shape in rows.items()}
        for network, rows in json.loads(NAMES.read_text()).items()
    }


def weights(rows: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Random tensors that depend only on their names and shapes."""
    return {name: _tensor(name, tuple(shape)) for name, shape in rows.items()}


def _tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name.endswith("running_var") or name.endswith("weight") and len(shape) == 1:  # of a norm
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    scale = 1 / math.sqrt(math.prod(shape[1:])) if name.endswith("weight") else 0.1
    return (random.randn(*shape) * scale).astype(np.float32)


def clip(shape: tuple[int, ...] = CLIP) -> np.ndarray:
    """The normalized input `(N, T, H, W, 3)`."""
    return np.random.RandomState(0).randn(*shape).astype(np.float32)


def weights_of(network: Any) -> dict[str, np.ndarray]:
    """The rule-made weights of a network of torchvision."""
    return weights({name: tuple(t.shape) for name, t in network.state_dict().items()})


def logits_of(network: Any, x: np.ndarray) -> np.ndarray:
    """The output of a network of torchvision with rule-made weights."""
    import torch

    made = weights_of(network)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in made.items()})
    with torch.no_grad():
        return network.eval()(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).numpy()


def _tiny_networks() -> dict[str, Any]:
    from torchvision.models.video import mvit

    def network(channels, first_kernel, **options):
        blocks = [
            mvit.MSBlockConfig(heads, width, out, kernel, [3, 3, 3], stride, kv_stride)
            for heads, (width, out), kernel, stride, kv_stride in zip(
                (1, 2, 4), channels, (first_kernel, [3, 3, 3], [3, 3, 3]),
                (first_kernel and [1, 1, 1], [1, 2, 2], [1, 2, 2]),
                ([1, 4, 4], [1, 2, 2], [1, 1, 1]), strict=True,
            )
        ]
        return mvit.MViT(
            spatial_size=CLIP[2:4], temporal_size=CLIP[1], block_setting=blocks, num_classes=5,
            residual_with_cls_embed=False, **options,
        )

    v2 = dict(residual_pool=True, rel_pos_embed=True, proj_after_attn=True)
    v1 = dict(residual_pool=False, rel_pos_embed=False, proj_after_attn=False)
    return {
        "tiny_v1": network(((16, 32), (32, 64), (64, 64)), [], **v1),
        "tiny_v2": network(((16, 16), (16, 32), (32, 64)), [3, 3, 3], **v2),
    }


def record() -> None:
    """Writes the fixtures."""
    from torchvision.models import video

    networks = _tiny_networks() | {name: getattr(video, name)() for name in PUBLISHED}
    found = {
        network: {name: list(tensor.shape) for name, tensor in made.state_dict().items()}
        for network, made in networks.items()
    }
    NAMES.write_text(json.dumps(found) + "\n")
    np.savez_compressed(OUTPUTS, **{name: logits_of(networks[name], clip()) for name in TINY})


if __name__ == "__main__":
    record()
