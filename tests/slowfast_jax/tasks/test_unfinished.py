"""A test that was interrupted resumes: each example is scored once."""

import numpy as np
import pytest

from slowfast_jax import distributed
from slowfast_jax.config import load_config
from slowfast_jax.evaluate import evaluate
from slowfast_jax.recognizer import Recognizer
from slowfast_jax.tasks import unfinished
from slowfast_jax.tasks.unfinished import FOLDER, Unfinished
from tests.support.paths import ROOT


@pytest.fixture
def config(tiny, colors):
    config = load_config("test/tiny")
    config.data.root = config.data.path_prefix = str(colors)
    return config


@pytest.fixture
def scored(monkeypatch):
    """How many videos each call of `Recognizer.score_videos` got and finished; it stops after as
    many as `stop` says."""
    calls, score_videos = [], Recognizer.score_videos

    def stopping(self, videos, timing=None):
        calls.append([len(videos), 0])
        for result in score_videos(self, videos, timing):
            if calls[-1][1] == stopping.stop:
                raise KeyboardInterrupt
            calls[-1][1] += 1
            yield result

    stopping.stop = None
    monkeypatch.setattr(Recognizer, "score_videos", stopping)
    return stopping, calls


def test_a_test_resumes(config, scored, tmp_path):
    expected = evaluate(config, tmp_path / "whole", "random")
    stopping, calls = scored
    stopping.stop = 3
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, tmp_path / "run", "random")
    stopping.stop = None
    found = evaluate(config, tmp_path / "run", "random")
    assert calls == [[8, 8], [8, 3], [5, 5]]
    for name in ("fingerprint", "metrics"):
        assert found[name] == expected[name]
    assert [v["video_id"] for v in found["videos"]] == list(range(8))
    for mine, other in zip(found["videos"], expected["videos"], strict=True):
        np.testing.assert_allclose(mine["top5_values"], other["top5_values"], atol=1e-6)
    assert not (tmp_path / "run" / FOLDER).exists()


def test_another_protocol_starts_again(config, scored, tmp_path):
    stopping, calls = scored
    stopping.stop = 3
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, tmp_path, "random")
    stopping.stop, config.protocol.clips = None, 1
    evaluate(config, tmp_path, "random")
    assert calls == [[8, 3], [8, 8]]


def test_failures_are_tried_again(config, scored, colors, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    (tmp_path / "list.csv").write_text(
        f"{tmp_path}/bad.mp4 0\nvideos/val_01.mp4 1\nvideos/val_02.mp4 2\n"
    )
    config.data.test_list = str(tmp_path / "list.csv")
    stopping, calls = scored
    stopping.stop = 2
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, tmp_path / "run", "random")
    stopping.stop = None
    results = evaluate(config, tmp_path / "run", "random")
    assert calls == [[3, 2], [2, 2]] and len(results["failed"]) == 1
    assert results["metrics"]["num_videos"] == 2


def test_scores_of_boxes_and_vectors_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "SHORTEST", 0.0)
    rows = {7: np.float32([1, 2]), 2: np.float32([[3, 4], [5, 6]]), 9: np.zeros((0, 2), "f")}
    with Unfinished(tmp_path, "key") as test:
        assert not test.known
        for index, scores in rows.items():
            test.add(index, scores)
    assert len(list((tmp_path / FOLDER / "key").iterdir())) > 1
    with Unfinished(tmp_path, "key") as test:
        assert list(test.known) == list(rows)
        for index, scores in rows.items():
            np.testing.assert_array_equal(test.known[index], scores)
    assert not Unfinished(tmp_path, "other").known
    assert not Unfinished(None, "").known


def test_detection_resumes(tmp_path, monkeypatch):
    from data_pipelines.video.encoding import write_video
    from slowfast_jax.tasks import detection

    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos/a.mp4", [np.full((36, 48, 3), 9, np.uint8)] * 60, fps=10)
    rows = [f"a,{time},0.1,0.2,0.4,0.9,{action}" for time in range(1, 6)
            for action in ("wave", "sit")]
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("video,time,x1,y1,x2,y2,action\n" + "\n".join(rows))
    config = load_config(f"{ROOT}/tests/recipes/own.py")
    with config.unlocked():
        config.model.num_classes, config.data.root = 2, str(tmp_path)
    expected = evaluate(config, None, "random")["metrics"]
    counts, score_boxes = [], detection.score_boxes

    def stopping(predict, load, size, **options):
        counts.append(size)
        for number, result in enumerate(score_boxes(predict, load, size, **options)):
            if len(counts) == 1 and number == 2:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(detection, "score_boxes", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, tmp_path / "run", "random")
    found = evaluate(config, tmp_path / "run", "random")
    assert counts == [5, 3] and found["metrics"] == expected


def test_all_processes_have_written_when_one_may_remove_the_files(tmp_path, monkeypatch):
    files = []
    monkeypatch.setattr(
        distributed, "barrier", lambda what: files.append(len([*tmp_path.rglob("*.npz")]))
    )
    with Unfinished(tmp_path, "key") as test:
        test.add(0, np.zeros(3))
    assert files == [1]
    with pytest.raises(OSError), Unfinished(tmp_path, "key") as test:
        test.add(1, np.zeros(3))
        raise OSError
    assert files == [1]  # the others do not wait for a process that failed
