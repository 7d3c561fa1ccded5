"""True and predicted classes from the files of a test."""

import json
import pickle

import numpy as np
import pytest

from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.visualize.outcomes import (
    chosen_classes,
    confusion,
    confusion_of_parents,
    mistakes,
    parent_classes,
    read_outcomes,
)

NAMES = ["walk", "run", "sit", "lie", "wave", "clap", "jump"]
# True class and scores of the best classes of each video.
VIDEOS = [
    (0, {0: 0.8, 1: 0.1}), (0, {1: 0.6, 0: 0.3}), (1, {1: 0.9, 0: 0.05}), (2, {3: 0.7, 2: 0.2}),
    (3, {3: 0.5, 2: 0.4}), (4, {0: 0.95, 4: 0.01}),
]


def write_run(folder, videos=VIDEOS, classes=7, **metrics):
    """results.json of a test of these videos; the other scores are tiny."""
    folder.mkdir(exist_ok=True)
    rows = []
    for number, (label, scores) in enumerate(videos):
        full = np.full(classes, 1e-3)
        full[list(scores)] = list(scores.values())
        best = np.argsort(-full, kind="stable")[:5]
        rows.append({
            "video_id": number, "path": f"videos/{number}.mp4", "label": label,
            "top1_values": full[best[:1]].tolist(), "top1_indices": best[:1].tolist(),
            "top5_values": full[best].tolist(), "top5_indices": best.tolist(),
        })
    (folder / "results.json").write_text(json.dumps({
        "fingerprint": {"config": "no such recipe", "model": {"num_classes": classes}},
        "metrics": {"top1_acc": 50.0} | metrics, "failed": [], "videos": rows,
    }))
    (folder / "names.txt").write_text("\n".join(NAMES))
    return folder


@pytest.fixture
def outcomes(tmp_path):
    folder = write_run(tmp_path / "run")
    return read_outcomes(folder, labels=str(folder / "names.txt"))


def test_results_of_a_test(outcomes):
    assert outcomes.names == NAMES and not outcomes.several
    assert outcomes.labels.sum() == 6 and outcomes.labels[5, 4]
    assert outcomes.scores[5, 0] == np.float32(0.95)
    assert outcomes.paths[2] == "videos/2.mp4"
    assert mistakes(outcomes) == [5, 3, 1]


def test_scores_of_a_test(tmp_path):
    random = np.random.default_rng(0)
    scores = random.random((4, 7)).astype(np.float32)
    np.savez(tmp_path / "s.npz", scores=scores, labels=[0, 6, 6, 1], paths=list("abcd"))
    found = read_outcomes(tmp_path / "s.npz")
    np.testing.assert_array_equal(found.scores, scores)
    assert found.names == [f"class {k}" for k in range(7)] and found.labels[1].nonzero()[0] == 6
    assert found.predicted(7).sum() == 4 * 7
    several = np.eye(7)[[0, 1, 2, 3]] + np.eye(7)[[1, 1, 4, 3]]
    np.savez(tmp_path / "m.npz", scores=scores, labels=several, paths=list("abcd"))
    found = read_outcomes(tmp_path / "m.npz")
    assert found.several
    np.testing.assert_array_equal(found.predicted(), scores)


def test_scores_of_pyslowfast(tmp_path):
    (tmp_path / "r.pkl").write_bytes(pickle.dumps([30 * np.eye(3)[[0, 1, 1]], np.array([0, 1, 2])]))
    found = read_outcomes(tmp_path / "r.pkl")
    np.testing.assert_array_equal(found.scores, np.eye(3)[[0, 1, 1]])
    assert found.paths == [] and mistakes(found) == [2] and mistakes(found, [0, 1]) == []


def test_names_that_do_not_fit(tmp_path):
    np.savez(tmp_path / "s.npz", scores=np.eye(3), labels=[0, 1, 2], paths=list("abc"))
    config = load_config("kinetics/x3d_xs")
    with pytest.raises(ConfigError, match="kinetics/x3d_xs has 400 classes, and .*s.npz has 3"):
        read_outcomes(tmp_path / "s.npz", config)
    np.savez(tmp_path / "s.npz", scores=np.eye(3), labels=[0, 1, 3], paths=list("abc"))
    with pytest.raises(ValueError, match="labels 0 to 3, and scores of 3 classes"):
        read_outcomes(tmp_path / "s.npz")


def test_confusion_matrices(outcomes):
    matrix = confusion(outcomes)
    np.testing.assert_allclose(matrix[0, :2], [0.5, 0.5])
    there = ~np.isnan(matrix[:, 0])
    np.testing.assert_allclose(matrix[there].sum(1), 1)
    assert there.tolist() == [True, True, True, True, True, False, False]
    two = confusion(outcomes, 2)
    np.testing.assert_allclose(two[there].sum(1), 2)
    assert two[2, 2] == 1 and two[4, 4] == 1
    with pytest.raises(ConfigError, match="--top-k is 6, and results.json has the 5 best"):
        confusion(outcomes, 6)


def test_parents(outcomes, tmp_path):
    path = tmp_path / "parents.json"
    path.write_text(json.dumps({"move": ["walk", "RUN", "jump"], "rest": ["sit", "lie"]}))
    parents = parent_classes(path, NAMES)
    assert parents == {"move": [0, 1, 6], "rest": [2, 3]}
    np.testing.assert_allclose(confusion_of_parents(outcomes, parents), np.eye(2))


@pytest.mark.parametrize(("text", "message"), [
    ("[1]", "expected"), ("{", "not JSON"), ('{"a": "walk"}', "expected"),
    ('{"a": ["walk", "swim"]}', "a: there are no classes swim"), ('{"a": []}', "names no class"),
])
def test_wrong_parents(tmp_path, text, message):
    path = tmp_path / "parents.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"--parents.*{message}"):
        parent_classes(path, NAMES)


def test_chosen_classes(tmp_path):
    assert chosen_classes("sit, Walk", NAMES) == [2, 0]
    (tmp_path / "some.txt").write_text("lie\n\nwave\n")
    assert chosen_classes(str(tmp_path / "some.txt"), NAMES) == [3, 4]
    with pytest.raises(ConfigError, match="there are no classes swim"):
        chosen_classes("sit,swim", NAMES)


def test_names_with_commas():
    names = ["sit", "talk to (e.g., self, a person)", "sit, then lie"]
    assert chosen_classes("talk to (e.g., self, a person),sit", names) == [1, 0]
    assert chosen_classes("Sit, then lie, sit", names) == [2, 0]


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        read_outcomes(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="results.json: no such file; run --mode eval"):
        read_outcomes(tmp_path)
    (tmp_path / "a.npz").write_text("no scores")
    with pytest.raises(ValueError, match="a.npz does not have the scores"):
        read_outcomes(tmp_path / "a.npz")
