"""Files and overrides are read as the original reads them."""

import pytest

from slowfast_jax.config import ConfigError
from slowfast_jax.config.pyslowfast.reading import read
from slowfast_jax.config.pyslowfast.tables import KEYS


def setting(tmp_path, text, *overrides):
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return read(path, overrides)


def test_texts_that_are_literals_are_evaluated(tmp_path):
    """YAML takes 1e-4 and (2, 4, 4) for texts."""
    values = setting(
        tmp_path, "SOLVER: {BASE_LR: 1e-4, CLIP_GRAD_L2NORM: 'None'}\n"
        "MVIT: {PATCH_STRIDE: '(2, 4, 4)'}\n"
        "TRAIN:\n  CHECKPOINT_CLEAR_NAME_PATTERN: ('backbone.',)\nDATA:\n  PATH_PREFIX:",
        "TEST.NUM_TEMPORAL_CLIPS", "[5, 7]", "MODEL.ARCH", "i3d", "X3D.WIDTH_FACTOR", "2",
    ).values
    assert values["SOLVER.BASE_LR"] == 1e-4 and values["SOLVER.CLIP_GRAD_L2NORM"] is None
    assert values["MVIT.PATCH_STRIDE"] == (2, 4, 4)
    assert values["TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN"] == ("backbone.",)
    assert values["DATA.PATH_PREFIX"] is None
    assert values["TEST.NUM_TEMPORAL_CLIPS"] == (5, 7) and values["MODEL.ARCH"] == "i3d"
    assert values["X3D.WIDTH_FACTOR"] == 2.0
    assert values["SOLVER.MAX_EPOCH"] == 300  # the original's default


@pytest.mark.parametrize(("text", "message"), [
    ("TRAIN: {BATCH_SIZE: 8.5}", r"TRAIN\.BATCH_SIZE is 8\.5, expected a whole number, as in Py"),
    ("TRAIN: {ENABLE: 1}", r"TRAIN\.ENABLE is 1, expected True or False"),
    ("DATA: {MEAN: 0.45}", r"DATA\.MEAN is 0\.45, expected a list"),
    ("DATA: {PATH_PREFIX: 7}", r"DATA\.PATH_PREFIX is 7, expected a text"),
    ("TRAIN: 3", r"a\.yaml: TRAIN is 3, expected a section"),
    ("DATA: {MEAN: {R: 1}}", r"DATA\.MEAN is a section, expected a list"),
    ("- 1", r"a\.yaml is not a config of PySlowFast: expected sections such as TRAIN"),
    ("A: [1", r"a\.yaml is not YAML: .*line 1"),
    ("A: !!python/object:os.system {}", r"a\.yaml is not YAML: could not determine"),
    ("_BASE_: a.yaml", r"a\.yaml: its _BASE_ leads back to itself"),
    ("_BASE_: b.yaml", r"b\.yaml cannot be read: .*No such file"),
])
def test_wrong_files(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        setting(tmp_path, text)


@pytest.mark.parametrize(("overrides", "message"), [
    (["TRAIN.BATCHSIZE", "8"], r"TRAIN\.BATCHSIZE is neither .* did you mean TRAIN\.BATCH_SIZE"),
    (["TRAIN.BATCH_SIZE"], r"TRAIN\.BATCH_SIZE has no value: overrides are pairs KEY VALUE"),
    (["TRAIN.BATCH_SIZE", "eight"], r"TRAIN\.BATCH_SIZE is eight, expected a whole number"),
])
def test_wrong_overrides(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        setting(tmp_path, "TRAIN: {ENABLE: True}", *overrides)


def test_a_file_builds_on_its_base(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/base.yaml").write_text(
        "TRAIN: {BATCH_SIZE: 8, EVAL_PERIOD: 3}\nDATA: {MEAN: [0, 0, 0]}", encoding="utf-8"
    )
    found = setting(tmp_path, "_BASE_: inner/base.yaml\nTRAIN: {BATCH_SIZE: 4}")
    assert found.values["TRAIN.BATCH_SIZE"] == 4 and found.values["TRAIN.EVAL_PERIOD"] == 3
    assert found.values["DATA.MEAN"] == (0, 0, 0)
    assert "DATA.MEAN" in found.given


def test_keys_of_forks_are_kept_apart(tmp_path):
    found = setting(tmp_path, "PREFETCH: {NUM_LOADERS: 3}\nTRAIN: {}", "PREFETCH.NUM_LOADERS", "4")
    assert found.unknown == {"PREFETCH.NUM_LOADERS": "4"}
    assert not found.given and set(found.values) == set(KEYS)


def test_a_key_that_is_given_twice_is_told(tmp_path):
    found = setting(tmp_path, "MVIT:\n  DEPTH: 16\n  NORM: layernorm\n  DEPTH: 24\n")
    assert found.values["MVIT.DEPTH"] == 24
    assert found.remarks == (
        "DEPTH is given 2 times in one section; the last one counts, as in the original",
    )


def test_a_line_with_a_wrong_indentation_belongs_to_the_section_before(tmp_path):
    found = setting(tmp_path, "MVIT:\n  DEPTH: 24\n DROPPATH_RATE: 0.3\n  NORM: layernorm\n")
    assert found.values["MVIT.DROPPATH_RATE"] == 0.3 and found.values["MVIT.DEPTH"] == 24
    assert "line 3" in found.remarks[0] and "DROPPATH_RATE: 0.3" in found.remarks[0]
