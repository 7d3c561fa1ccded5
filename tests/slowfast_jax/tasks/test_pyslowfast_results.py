"""Scores that PySlowFast saved."""

import pickle

import numpy as np
import pytest

from slowfast_jax.config import load_config
from slowfast_jax.evaluate import combine
from slowfast_jax.tasks.pyslowfast_results import read_results_pickle
from slowfast_jax.tasks.saved_scores import average_of_videos
from tests.convert.formats.test_pickled_tensors import tensors
from tests.slowfast_jax.tasks.test_saved_scores import LABELS, save

RANDOM = np.random.default_rng(0)


def dump(path, *content):
    path.write_bytes(pickle.dumps(list(content)))
    return path


def test_tensors_are_read(tmp_path):
    (tmp_path / "r.pkl").write_bytes(tensors(tmp_path))
    found = read_results_pickle(tmp_path / "r.pkl")
    np.testing.assert_array_equal(found["scores"], [[0, 1, 2], [3, 4, 5]])
    assert found["labels"].tolist() == [2, 0] and not len(found["paths"])


def test_sums_over_views_are_divided(tmp_path):
    probs = RANDOM.dirichlet(np.ones(4), 3).astype(np.float32)
    found = read_results_pickle(dump(tmp_path / "r.pkl", 30 * probs, LABELS))
    np.testing.assert_allclose(found["scores"], probs, rtol=1e-5)
    several = RANDOM.random((3, 4))
    found = read_results_pickle(dump(tmp_path / "r.pkl", several, np.eye(3, 4)))
    np.testing.assert_allclose(found["scores"], several, rtol=1e-6)


def test_they_are_averaged_with_our_own(tmp_path):
    probs = RANDOM.dirichlet(np.ones(4), (2, 3))
    theirs = dump(tmp_path / "r.pkl", 30 * probs[0], LABELS)
    ours = save(tmp_path / "s.npz", probs[1])
    for files in ([theirs, ours], [ours, theirs]):
        scores, labels = average_of_videos(files, 4)
        np.testing.assert_allclose(scores, probs.mean(0), rtol=1e-5)
        assert labels.tolist() == LABELS.tolist()
    config = load_config("kinetics/mini")
    with config.unlocked():
        config.model.num_classes = 4
    expected = 100 * (probs[0].argmax(1) == LABELS).mean()
    assert combine(config, [theirs])["top1_acc"] == pytest.approx(expected, abs=0.01)
    fewer = dump(tmp_path / "fewer.pkl", probs[0, :2], LABELS[:2])
    with pytest.raises(ValueError, match="fewer.pkl has 2 videos and no names of them.* has 3"):
        average_of_videos([ours, fewer], 4)
    other = dump(tmp_path / "other.pkl", probs[0], LABELS[::-1])
    with pytest.raises(ValueError, match="different labels"):
        average_of_videos([ours, other], 4)


@pytest.mark.parametrize(("content", "message"), [
    ([np.eye(3)], "has 1 parts; expected a pickle of"),
    ([np.eye(3), np.zeros(2)], r"predictions \(3, 3\) and labels \(2,\)"),
    ([np.eye(3), np.array([0, 1, 3])], "label 3; expected a class from 0 to 2"),
    ([np.eye(3), ["a", "b", "c"]], "something else than numbers"),
    ([[[1], [1, 2]], [0, 1]], "expected"),
    ([np.full((3, 3), np.nan), np.zeros(3)], "something else than numbers"),
])
def test_other_pickles_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=f"r.pkl: .*{message}"):
        read_results_pickle(dump(tmp_path / "r.pkl", *content))


def test_damaged_pickles_are_refused(tmp_path):
    (tmp_path / "r.pkl").write_bytes(tensors(tmp_path)[:100])
    with pytest.raises(ValueError, match="r.pkl: .*expected a pickle of"):
        average_of_videos([tmp_path / "r.pkl"], 4)
