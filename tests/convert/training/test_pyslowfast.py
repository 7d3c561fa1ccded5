"""The optimizer state of a checkpoint, by the names of the parameters."""

import numpy as np
import pytest

from convert import CheckpointError, read_checkpoint, write_pyth
from convert.training.pyslowfast import read_progress
from tests.support.pyslowfast_runs import groups, write_run

SHAPES = {  # in the order of the modules
    "s1.pathway0_stem.conv.weight": (4, 3, 1, 7, 7),
    "s1.pathway0_stem.bn.weight": (4,),
    "s1.pathway0_stem.bn.bias": (4,),
    "s1.pathway0_stem.bn.running_mean": (4,),
    "s1.pathway0_stem.bn.running_var": (4,),
    "s1.pathway0_stem.bn.num_batches_tracked": (),
    "head.projection.weight": (5, 4),
    "head.projection.bias": (5,),
}
RNG = np.random.default_rng(3)
TENSORS = {
    name: np.array(7) if shape == () else RNG.normal(size=shape).astype(np.float32)
    for name, shape in SHAPES.items()
}
PARAMETERS = [name for group in groups(TENSORS) for name in group]
MOMENTS = {
    name: RNG.normal(size=SHAPES[name]).astype(np.float32) for name in PARAMETERS
}


def assert_read(found, kind="momentum_buffer", moments=MOMENTS):
    assert set(found.moments[kind]) == set(moments)
    for name, array in moments.items():
        np.testing.assert_array_equal(found.moments[kind][name], array)


def test_momentum_is_found_by_the_name_of_its_parameter(tmp_path):
    """Batch norms come first, although the stem's kernel is the first parameter."""
    path = write_run(tmp_path / "a.pyth", TENSORS, {"momentum_buffer": MOMENTS})
    found = read_progress(path)
    assert found.epochs == 5 and set(found.checkpoint.tensors) == set(TENSORS)
    assert_read(found)


def test_parameters_without_weight_decay_are_a_group(tmp_path):
    others = ["s1.pathway0_stem.conv.weight", "head.projection.weight"]
    split = [groups(TENSORS)[0], others, ["head.projection.bias"]]
    found = read_progress(write_run(
        tmp_path / "a.pyth", TENSORS, {"exp_avg": MOMENTS, "exp_avg_sq": MOMENTS}, split=split,
        cfg="SOLVER:\n  ZERO_WD_1D_PARAM: true\n",
    ))
    assert_read(found, "exp_avg")
    assert_read(found, "exp_avg_sq")


def test_split_norms_are_no_norms_to_the_optimizer(tmp_path):
    """Their scales have three more dimensions than the file gives them."""
    moments = {
        name: array.reshape(4, 1, 1, 1) if ".bn." in name else array
        for name, array in MOMENTS.items()
    }
    split = [[name for name in TENSORS if name in MOMENTS]]
    assert_read(read_progress(write_run(
        tmp_path / "a.pyth", TENSORS, {"momentum_buffer": moments}, split=split,
        cfg="BN: {NORM_TYPE: sub_batchnorm}",
    )))


def test_parameters_that_were_never_updated_have_none(tmp_path):
    some = {name: MOMENTS[name] for name in PARAMETERS[1:3]}
    assert_read(
        read_progress(write_run(tmp_path / "a.pyth", TENSORS, {"momentum_buffer": some})),
        moments=some,
    )


def test_weights_alone_have_no_progress(tmp_path):
    write_pyth(tmp_path / "a.pyth", TENSORS)
    assert read_progress(tmp_path / "a.pyth") is None


def test_the_optimizer_state_is_only_read_on_demand(tmp_path):
    path = write_run(tmp_path / "a.pyth", TENSORS, {"momentum_buffer": MOMENTS})
    metadata = read_checkpoint(path).metadata
    assert "optimizer_state" in metadata["other"] and "optimizer_state" not in metadata
    kept = read_checkpoint(path, keep=["optimizer_state"]).metadata
    assert "optimizer_state" not in kept["other"]
    assert isinstance(kept["optimizer_state"]["state"][0]["momentum_buffer"], np.ndarray)


@pytest.mark.parametrize(("changes", "message"), [
    ({"split": [PARAMETERS]}, r"groups of 5 parameters, expected 2 \+ 3 for its weights"),
    ({"split": [PARAMETERS[2:], PARAMETERS[:2]]}, r"groups of 3 \+ 2 parameters, expected 2 \+ 3"),
    ({"split": [PARAMETERS[:2], [PARAMETERS[3], PARAMETERS[2], PARAMETERS[4]]]},
     r"momentum_buffer of parameter 2 has shape \(5, 4\), expected \(4, 3, 1, 7, 7\), that of s1"),
    ({"cfg": "SOLVER: {LAYER_DECAY: 0.75}"}, r"trained with SOLVER\.LAYER_DECAY"),
    ({"cfg": "A: [1"}, r"its config is not YAML"),
])
def test_states_that_do_not_belong_to_the_weights(tmp_path, changes, message):
    path = write_run(tmp_path / "a.pyth", TENSORS, {"momentum_buffer": MOMENTS}, **changes)
    with pytest.raises(CheckpointError, match=rf"cannot resume from .*a\.pyth: .*{message}"):
        read_progress(path)
