"""The PyTorch models that serve as baselines give the original program's logits."""

import importlib
import importlib.util

import numpy as np
import pytest

from tests.support.paths import PARITY, needs_parity

torch = pytest.importorskip("torch")
torch_models = importlib.import_module("benchmarks.torch_models")

TINY = dict(depth=18, width=8, num_classes=11, num_frames=8, train_crop=64)
TINY_SLOWFAST = dict(TINY, alpha=4, beta_inv=4, fusion_kernel=5)
WIDE_FUSION = dict(TINY_SLOWFAST, fusion_kernel=7)
TINY_X3D = dict(head_width=64, num_classes=11, num_frames=4)

SMALL = {
    "TINY_SLOWFAST": ("slowfast", TINY_SLOWFAST),
    "TINY_SLOWFAST_SHORTCYCLE": ("slowfast", dict(WIDE_FUSION, global_pool=True)),
    "TINY_SLOWFAST_SIGMOID": ("slowfast", dict(WIDE_FUSION, activation="sigmoid")),
    "TINY_I3D_PARTIAL": ("resnet3d", dict(TINY, arch="i3d", temporal_blocks=(1, 2, 1, 1))),
    "TINY_X3D": ("x3d", dict(TINY_X3D, width_factor=1.0, depth_factor=1.0, train_crop=64)),
    "TINY_X3D_LIN5BN": (
        "x3d",
        dict(TINY_X3D, width_factor=1.5, depth_factor=1.3, train_crop=72, bn_lin5=True,
             scale_res2=True),
    ),
}
TINY_MVIT = dict(depth=4, stages=(1, 3), dim=16, num_classes=11, num_frames=8, train_crop=64)
SMALL |= {
    "TINY_MVIT": ("MViT", dict(TINY_MVIT, second=False)),
    "TINY_MVITV2": ("MViT", dict(TINY_MVIT, second=True)),
}
FULL = {
    "C2D_8x8_R50": "kinetics/c2d_8x8_r50",
    "I3D_8x8_R50": "kinetics/i3d_8x8_r50",
    "SLOW_4x16_R50": "kinetics/slow_4x16_r50",
    "SLOW_8x8_R50": "kinetics/slow_8x8_r50",
    "SLOWFAST_4x16_R50": "kinetics/slowfast_4x16_r50",
    "SLOWFAST_8x8_R50": "kinetics/slowfast_8x8_r50",
    "X3D_XS": "kinetics/x3d_xs",
    "X3D_M": "kinetics/x3d_m",
}


def assert_same_as_recorded(model, case):
    spec = importlib.util.spec_from_file_location("parity_weights", PARITY / "weights.py")
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    manifest = rule.load_manifest(PARITY / "models" / f"{case}.json")
    recorded = np.load(PARITY / "models" / f"{case}.npz")
    weights = rule.make_weights(manifest)
    model.load_state_dict({n: torch.from_numpy(np.asarray(v)) for n, v in weights.items()})
    clip = torch.from_numpy(rule.make_inputs(manifest)[-1])
    with torch.no_grad():
        model.eval()
        logits, probs = model.positions(clip).numpy(), model(clip).numpy()
    spread = recorded["logits"].std()
    np.testing.assert_allclose(logits, recorded["logits"], rtol=0, atol=1e-4 * spread)
    np.testing.assert_allclose(probs, recorded["probs"], rtol=0, atol=1e-5)


@needs_parity
@pytest.mark.parametrize("case", SMALL)
def test_small_model(case):
    make, keywords = SMALL[case]
    assert_same_as_recorded(getattr(torch_models, make)(**keywords), case)


@needs_parity
@pytest.mark.slow
@pytest.mark.parametrize("case", FULL)
def test_published_model(case):
    assert_same_as_recorded(torch_models.create(FULL[case]), case)


def test_training_gives_gradients_to_every_parameter():
    model = torch_models.x3d(**SMALL["TINY_X3D"][1])
    logits = model(torch.zeros(2, 3, 4, 64, 64))
    assert logits.shape == (2, 11)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_models_of_both_sides():
    from benchmarks import sides

    assert [f"kinetics/{name}" for name in sides.MODELS] == list(torch_models.MODELS)
