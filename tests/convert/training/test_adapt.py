"""Weights of transformers for networks of other clips, and of videos instead of images."""

import jax
import numpy as np
import pytest

from convert import CheckpointMismatch, write_pyth
from convert.exports import pyslowfast_tensors
from convert.load import fit
from convert.readers import ForeignCheckpoint
from convert.training.adapt import NOT_OF_IMAGES, adapted, resized
from convert.trees import flatten
from slowfast_jax.config import build_model, load_config
from slowfast_jax.loop.build import read_start
from slowfast_jax.models.mvit import MViT
from slowfast_jax.weights import variable_shapes
from tests.convert.cases import random_variables

# torch.nn.functional.interpolate of [0, 1, 4, 9] to 6 and 3 places
LINEAR = {6: [0, 0.5, 1.5, 3.5, 6.5, 9], 3: [0.1666667, 2.5, 8.1666667]}
CUBIC = {
    6: [-0.0868056, 0.21875, 1.4305550, 3.1527777, 6.78125, 9.4340286],
    3: [0.0914350, 2.125, 8.3344917],
}

VIDEO = dict(
    num_classes=3, num_frames=4, crop_size=32, depth=2, width=16, dim_mul=((1, 2.0),),
    head_mul=((1, 2.0),), q_strides=((0, 1, 1, 1), (1, 1, 2, 2)), pool_kernel=(3, 3, 3),
    abs_pos="none", rel_pos_space=True, rel_pos_time=True, dim_mul_in_att=True,
)
IMAGE = VIDEO | dict(
    num_frames=1, pool_kernel=(1, 3, 3), class_token=False, rel_pos_time=False, crop_size=64,
    patch_kernel=(1, 7, 7), patch_stride=(1, 4, 4), patch_padding=(0, 3, 3),
)


@pytest.mark.parametrize("cubic, expected", [(False, LINEAR), (True, CUBIC)])
def test_interpolation(cubic, expected):
    values = np.array([0, 1, 4, 9], np.float32)[:, None]
    for size, places in expected.items():
        np.testing.assert_allclose(resized(values, size, 0, cubic=cubic)[:, 0], places, atol=2e-6)


def test_interpolation_is_that_of_torch():
    torch = pytest.importorskip("torch")
    interpolate = torch.nn.functional.interpolate
    table = np.random.default_rng(0).standard_normal((1, 49, 5)).astype(np.float32)
    for size in (3, 7, 10, 14):
        theirs = interpolate(
            torch.tensor(table).reshape(1, 7, 7, 5).permute(0, 3, 1, 2), size=(size, size),
            mode="bicubic",
        ).permute(0, 2, 3, 1).reshape(1, -1, 5).numpy()
        ours, _ = adapted("pos_embed_spatial", table, (1, size * size, 5), "positions")
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        theirs = interpolate(torch.tensor(table[0].T[None]), size=size, mode="linear")[0].numpy().T
        ours, _ = adapted("block0/attn/rel_pos_h", table[0], (size, 5), "positions")
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def pair(ours: dict, theirs: dict):
    """Shapes of one network, and a file and the parameters of another."""
    random = random_variables(variable_shapes(MViT(**theirs)))
    given = ForeignCheckpoint("torch zip", pyslowfast_tensors(random), {})
    return variable_shapes(MViT(**ours)), given, params(random)


def params(variables: dict) -> dict[str, np.ndarray]:
    return {path: leaf for (_, path), leaf in flatten(variables).items()}


def test_a_network_of_videos_from_one_of_images():
    shapes, image, theirs = pair(VIDEO, IMAGE)
    with pytest.raises(CheckpointMismatch, match="missing in the file"):
        fit(image, shapes, skip=NOT_OF_IMAGES)
    init = random_variables(shapes, 1)
    variables, report = fit(image, shapes, skip=NOT_OF_IMAGES, init=init, adapt="images")
    ours, random = params(variables), params(init)
    kernel = ours["patch_embed/kernel"]
    assert kernel.shape == (3, 7, 7, 3, 16)  # each of the 3 is the image's, not a third of it
    np.testing.assert_array_equal(kernel, theirs["patch_embed/kernel"].repeat(3, 0))
    for path in ("block0/attn/pool_q/kernel", "block1/attn/pool_q/kernel"):
        assert theirs[path].shape[0] == 1 and report.derived[path] == "repeated over time"
        np.testing.assert_array_equal(ours[path], theirs[path].repeat(3, 0))
    table = "block1/attn/rel_pos_w"
    assert theirs[table].shape[0] == 31 and ours[table].shape[0] == 15
    np.testing.assert_array_equal(ours[table], resized(theirs[table], 15, 0))
    for path in ("cls_token", "block0/attn/rel_pos_t"):
        assert report.skipped[path] == "not in the file"
        np.testing.assert_array_equal(ours[path], random[path])
    same = ours.keys() - report.derived.keys() - report.skipped.keys()
    assert not report.inflated and len(same) > 30
    assert all(ours[path].tobytes() == theirs[path].tobytes() for path in same)


def test_an_own_checkpoint_is_adapted_as_a_file_is():
    shapes, image, theirs = pair(VIDEO, IMAGE)
    options = dict(skip=NOT_OF_IMAGES, adapt="images")
    ours = fit(ForeignCheckpoint("orbax", theirs, {}), shapes, **options)[0]
    jax.tree.map(np.testing.assert_array_equal, ours, fit(image, shapes, **options)[0])


@pytest.mark.parametrize("class_token", [True, False])
def test_a_network_of_images_from_one_of_videos(class_token):
    options = dict(abs_pos="separate", rel_pos_space=False, rel_pos_time=False,
                   class_token=class_token, crop_size=32, pool_kernel=(1, 3, 3))
    shapes, video, theirs = pair(IMAGE | options | {"abs_pos": "joint"}, VIDEO | options)
    variables, report = fit(video, shapes, skip=("pos_embed.*",), adapt="images")
    ours = params(variables)
    np.testing.assert_allclose(
        ours["patch_embed/kernel"], theirs["patch_embed/kernel"].sum(0, keepdims=True), rtol=1e-6
    )
    parts = [theirs["pos_embed_class"]] if class_token else []
    np.testing.assert_array_equal(
        ours["pos_embed"], np.concatenate([*parts, theirs["pos_embed_spatial"]], 1)
    )
    assert list(report.ignored) == ["pos_embed_temporal"] and not report.skipped


def test_positions_of_other_clips():
    options = dict(abs_pos="separate", crop_size=32)
    shapes, small, theirs = pair(VIDEO | dict(crop_size=64, num_frames=8, abs_pos="separate"),
                                 VIDEO | options)
    with pytest.raises(CheckpointMismatch, match="have another shape"):
        fit(small, shapes)
    variables, report = fit(small, shapes, adapt="positions")
    assert set(report.derived.values()) == {"interpolated"} and not report.skipped
    ours = params(variables)
    np.testing.assert_array_equal(
        ours["pos_embed_temporal"], resized(theirs["pos_embed_temporal"], 4, 1)
    )
    assert ours["pos_embed_spatial"].shape == (1, 256, 16)


def test_other_differences_stay_errors():
    kernel = np.zeros((1, 3, 3, 4, 4))
    for path, shape in (
        ("res2/block0/b/kernel", (3, 3, 3, 4, 4)), ("block0/attn/pool_q/kernel", (3, 5, 5, 4, 4)),
        ("patch_embed/kernel", (3, 3, 3, 4, 5)),
    ):
        assert adapted(path, kernel, shape, "images") == (kernel, "")
    assert adapted("patch_embed/kernel", kernel, (3, 3, 3, 4, 4), "positions") == (kernel, "")
    table = np.zeros((1, 6, 4))  # not a square
    assert adapted("pos_embed_spatial", table, (1, 9, 4), "images") == (table, "")


def test_training_starts_from_a_network_of_images(tmp_path, caplog):
    config = load_config("kinetics/mini_mvit")
    image = build_model(
        config, num_frames=1, pool_kernel=(1, 3, 3), class_token=False, rel_pos_time=False,
        patch_kernel=(1, 7, 7), patch_stride=(1, 4, 4), patch_padding=(0, 3, 3), num_classes=9,
    )
    theirs = random_variables(variable_shapes(image))
    write_pyth(tmp_path / "image.pyth", pyslowfast_tensors(theirs))
    config.train.init_from.path = str(tmp_path / "image.pyth")
    shapes = variable_shapes(build_model(config))
    init = random_variables(shapes, 1)
    with pytest.raises(CheckpointMismatch):
        read_start(config, shapes, init)
    config.train.init_from.images = True
    caplog.set_level("INFO", "absl")
    ours = params(read_start(config, shapes, init))
    assert "parameters repeated over time" in caplog.text and "9 classes" in caplog.text
    np.testing.assert_array_equal(
        ours["patch_embed/kernel"], theirs["params"]["patch_embed"]["kernel"].repeat(3, 0)
    )
    np.testing.assert_array_equal(ours["cls_token"], init["params"]["cls_token"])
