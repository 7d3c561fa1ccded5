"""--scores: averages of the scores that several tests saved."""

import json

import numpy as np
import pytest

from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.evaluate import combine, evaluate
from slowfast_jax.jobs import modes
from slowfast_jax.metrics.average_precision import mean_average_precision
from slowfast_jax.metrics.topk import top_k_accuracy
from slowfast_jax.tasks.saved_scores import average_of_boxes, average_of_videos
from tests.slowfast_jax.test_main import parse
from tests.support.paths import PARITY, needs_parity

PATHS = ["a/1.mp4", "b/1.mp4", "b/2.mp4"]
LABELS = np.array([0, 1, 2])
RANDOM = np.random.default_rng(0)


def save(path, scores, paths=PATHS, labels=LABELS, **arrays):
    np.savez(path, scores=scores, paths=list(paths), labels=labels, **arrays)
    return path


def test_the_mean_of_two_tests(tmp_path):
    one, two = RANDOM.random((2, 3, 4), np.float32)
    files = [
        save(tmp_path / "1.npz", one),
        # elsewhere, and in another order
        save(tmp_path / "2.npz", two[[2, 0, 1]], [f"/data/{PATHS[i]}" for i in (2, 0, 1)],
             LABELS[[2, 0, 1]]),
    ]
    scores, labels = average_of_videos(files, 4)
    np.testing.assert_allclose(scores, (one + two) / 2, rtol=1e-6)
    assert scores.dtype == np.float32 and labels.tolist() == [0, 1, 2]
    single, _ = average_of_videos(files[:1], 4)
    np.testing.assert_array_equal(single, one)


def test_a_video_that_is_listed_twice(tmp_path):
    names, one, two = ["x/a", "x/b", "x/a"], *RANDOM.random((2, 3, 4), np.float32)
    labels = np.array([0, 1, 0])
    files = [save(tmp_path / "1.npz", one, names, labels),
             save(tmp_path / "2.npz", two[[1, 0, 2]], ["x/b", "x/a", "x/a"], labels[[1, 0, 2]])]
    np.testing.assert_allclose(average_of_videos(files, 4)[0], (one + two) / 2, rtol=1e-6)


@pytest.mark.parametrize(("change", "message"), [
    (dict(paths=[*PATHS[:2], "b/3.mp4"]), "different videos: 1 of 3 are missing and 1 are new, "
     "such as b/2.mp4 of .*1.npz; a video that one of the tests could not read"),
    (dict(scores=np.zeros((2, 4)), paths=PATHS[:2], labels=LABELS[:2]), "different videos: "),
    (dict(labels=[0, 1, 3]), "different labels for the same videos"),
    (dict(labels=np.eye(3, 4)), "different labels for the same videos"),
    (dict(scores=np.zeros((3, 5))), r"2.npz has scores for 5 classes, but the config has 4"),
])
def test_tests_that_do_not_fit(tmp_path, change, message):
    files = [save(tmp_path / "1.npz", np.zeros((3, 4))),
             save(tmp_path / "2.npz", **({"scores": np.zeros((3, 4))} | change))]
    with pytest.raises(ValueError, match=message):
        average_of_videos(files, 4)


def test_files_that_are_no_scores(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.npz does not exist; .* --save_scores"):
        average_of_videos([tmp_path / "gone.npz"], 4)
    (tmp_path / "text.npz").write_text("x")
    np.savez(tmp_path / "other.npz", scores=np.zeros((3, 4)))
    for name in ("text", "other"):
        with pytest.raises(ValueError, match=f"{name}.npz does not have the scores of a test"):
            average_of_videos([tmp_path / f"{name}.npz"], 4)


def test_the_mean_of_boxes(tmp_path):
    moments = [("v", 1.0), ("v", 2.0), ("w", 1.0)]
    same = dict(boxes=RANDOM.random((3, 4)), keyframe=[0, 0, 2], video=["v", "v", "w"],
                time=[1.0, 2.0, 1.0])
    one, two = RANDOM.random((2, 3, 5), np.float32)
    for name, scores in (("1", one), ("2", two)):
        np.savez(tmp_path / f"{name}.npz", scores=scores, **same)
    np.savez(tmp_path / "3.npz", scores=one, **(same | {"keyframe": [0, 1, 2]}))
    files = [tmp_path / "1.npz", tmp_path / "2.npz"]
    found = average_of_boxes(files, moments, "test.csv", 5)
    np.testing.assert_allclose(found[0], (one + two)[:2] / 2, rtol=1e-6)
    np.testing.assert_allclose(found[2], (one + two)[2:] / 2, rtol=1e-6)
    assert list(found) == [0, 2]
    with pytest.raises(ValueError, match="scores of different boxes"):
        average_of_boxes([files[0], tmp_path / "3.npz"], moments, "test.csv", 5)
    with pytest.raises(ValueError, match="1.npz has 3 keyframes, which are not the 2 of test.csv"):
        average_of_boxes(files, moments[:2], "test.csv", 5)


def test_the_command_averages_real_tests(tiny, colors, tmp_path, capsys):
    data = [f"--config.data.root={colors}", f"--config.data.path_prefix={colors}"]
    config, _ = parse("--config=test/tiny", *data)
    saved = []
    for clips in (1, 3):
        config.protocol.clips = clips
        evaluate(config, tmp_path / str(clips), "random", save_scores=True)
        saved.append(tmp_path / str(clips) / "scores.npz")
    files = ",".join(map(str, saved))
    config, options = parse("--config=test/tiny", "--mode=eval", f"--scores={files}", *data,
                            f"--workdir={tmp_path / 'both'}")
    assert modes.evaluate(config, options) == 0
    printed = json.loads(capsys.readouterr().out)
    mean = np.mean([np.load(path)["scores"] for path in saved], 0)
    accuracy = 100 * top_k_accuracy(mean, np.load(saved[0])["labels"], 1)
    assert printed["files"] == 2 and printed["num_videos"] == 8
    assert printed["top1_acc"] == round(accuracy, 2)
    written = json.loads((tmp_path / "both/ensemble.json").read_text())
    assert list(written["scores"]) == list(map(str, saved))
    assert written["metrics"]["top1_acc"] == pytest.approx(accuracy)
    config.data.multi_label = True
    with pytest.raises(ConfigError, match="multi_label is True, but the videos .* have one class"):
        combine(config, saved)


@needs_parity
def test_an_ensemble_of_views_equals_the_original(tmp_path):
    """Two tests of 15 views each, averaged, are one test of 30 views."""
    data = np.load(PARITY / "eval/meters.npz")
    expected = json.loads((PARITY / "eval/meters.json").read_text())["multiview_logits_sum"]
    views = data["mv_logits"].reshape(20, 30, -1)
    paths = [f"{i}.mp4" for i in range(20)]
    files = [save(tmp_path / f"{i}.npz", views[:, 15 * i : 15 * (i + 1)].mean(1), paths,
                  data["mv_labels"]) for i in range(2)]
    config = load_config("kinetics/mini")
    with config.unlocked():
        config.model.num_classes = views.shape[-1]
    found = combine(config, files)
    assert [found["top1_acc"], found["top5_acc"]] == [
        float(expected["top1_acc"]), float(expected["top5_acc"])
    ]


def test_several_classes(tmp_path):
    labels = RANDOM.random((6, 4)) < 0.5
    scores = RANDOM.random((2, 6, 4))
    files = [save(tmp_path / f"{i}.npz", scores[i], "abcdef", labels.astype(int))
             for i in range(2)]
    config = load_config("kinetics/mini")
    config.data.multi_label = True
    mean, _ = mean_average_precision(scores.mean(0), labels)
    assert combine(config, files)["map"] == pytest.approx(100 * mean, abs=0.006)
