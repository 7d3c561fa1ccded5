import json

import numpy as np
import pytest

from data_pipelines.mini import datasets
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.evaluate import evaluate as evaluate_weights
from slowfast_jax.evaluate import printed, to_lines
from slowfast_jax.tasks.classification import metrics
from tests.support.tiny_models import entry


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five short videos of four classes, and their list test.csv."""
    folder = tmp_path_factory.mktemp("videos")
    datasets.write_videos(folder, count=5, seed=0, frames=12, height=40, width=48)
    return folder


def evaluate(config, workdir=None, **options):
    """Tests an untrained network."""
    return evaluate_weights(config, workdir, "random", **options)


def tiny_config(folder, rows=None, **fields):
    config = load_config("test/tiny")
    config.data.root = config.data.path_prefix = str(folder)
    config.test.batch_size = 4
    if rows is not None:
        (folder / "rows.csv").write_text(rows)
        config.data.test_list = "rows.csv"
    config.update_from_flattened_dict(fields)
    return config


def test_contents_of_results(tiny, folder, tmp_path):
    results = evaluate(tiny_config(folder), tmp_path, save_scores=True)
    assert json.loads((tmp_path / "results.json").read_text()) == results
    fingerprint = results["fingerprint"]
    assert fingerprint["videos_listed"] == fingerprint["videos_used"] == 5
    assert fingerprint["videos_failed"] == 0
    assert fingerprint["views"] == 9 and fingerprint["protocol"]["crops"] == 3
    assert fingerprint["model"]["dtype"] == "float32" and fingerprint["batch_norm"] == "none"
    assert fingerprint["weights"] == "random" and "PyAV" in fingerprint["decoder"]
    for key in ("jax", "backend", "device", "class_list_sha256", "list_sha256"):
        assert fingerprint[key]
    assert results["metrics"]["split"] == "test_final"
    assert [v["video_id"] for v in results["videos"]] == [0, 1, 2, 3, 4]
    assert [v["label"] for v in results["videos"]] == [0, 1, 2, 3, 0]
    saved = np.load(tmp_path / "scores.npz")
    for video, scores in zip(results["videos"], saved["scores"], strict=True):
        assert video["top1_indices"] == [scores.argmax()]
        assert len(video["top5_values"]) == len(video["top5_indices"]) == 4
        assert video["top5_values"] == sorted(video["top5_values"], reverse=True)
    accuracy = (saved["scores"].argmax(1) == saved["labels"]).mean()
    assert results["metrics"]["top1_acc"] == pytest.approx(100 * accuracy)


def test_unreadable_video_is_reported_and_counts_as_wrong_of_all(tiny, folder, tmp_path, caplog):
    (folder / "bad.mp4").write_text("no video")
    rows = "videos/000.mp4 0\nbad.mp4 1\nvideos/002.mp4 2\ngone.mp4 3\n"
    results = evaluate(tiny_config(folder, rows), tmp_path)
    assert [v["video_id"] for v in results["videos"]] == [0, 2]
    assert [f["video_id"] for f in results["failed"]] == [1, 3]
    assert "no such file" in results["failed"][1]["reason"]
    assert results["failed"][1]["path"].endswith("gone.mp4")
    assert results["metrics"]["num_videos"] == 2
    assert results["fingerprint"]["videos_failed"] == 2
    scored = results["metrics"]
    assert scored["top5_acc"] == 100 and scored["top5_acc_of_all"] == 50
    assert scored["top1_acc_of_all"] == scored["top1_acc"] / 2


def test_results_are_written_even_if_no_video_is_readable(tiny, folder, tmp_path):
    for name in ("empty.mp4", "text.mp4"):
        (folder / name).write_text("no video")
    with pytest.raises(RuntimeError, match=r"none of the 2 videos .*empty\.mp4: "):
        evaluate(tiny_config(folder, "empty.mp4 0\ntext.mp4 1\n"), tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results["failed"]) == 2 and results["metrics"] == {}


def test_one_column_and_three_column_lists(tiny, folder):
    results = evaluate(tiny_config(folder, "videos/000.mp4\nvideos/001.mp4\n"))
    assert [v["label"] for v in results["videos"]] == [0, 0]
    rows = "videos/000.mp4 x 3\nvideos/001.mp4 y 1\n"
    results = evaluate(tiny_config(folder, rows))
    assert [v["label"] for v in results["videos"]] == [3, 1]


def test_multi_label_metrics_are_average_precision(monkeypatch, folder, tmp_path):
    from slowfast_jax.models import zoo

    monkeypatch.setitem(zoo.ZOO, "test/tiny", entry(activation="sigmoid"))
    rows = "videos/000.mp4 0 2\nvideos/001.mp4 1\nvideos/002.mp4 2\n"
    config = tiny_config(folder, rows, **{"protocol.ensemble": "max"})
    assert config.data.multi_label
    results = evaluate(config, tmp_path, save_scores=True)
    assert 0 < results["metrics"]["map"] <= 100
    assert list(results["metrics"]["per_class_ap"]) == list(datasets.CLASS_NAMES[:3])
    labels = np.load(tmp_path / "scores.npz")["labels"]
    np.testing.assert_array_equal(labels, [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0]])


def test_metrics_in_percent():
    scores = np.eye(6)[[0, 1, 1, 2]]
    out = metrics(scores, [0, 1, 2, 2], list("abcdef"), multi_label=False)
    assert out["top1_acc"] == 75 and out["num_videos"] == 4
    assert out["mean_class_acc"] == pytest.approx(100 * (1 + 1 + 0.5) / 3)
    assert out["per_class_acc"] == {"a": 100.0, "b": 100.0, "c": 50.0}


def test_unsupported_formats_are_refused(tiny, folder):
    with pytest.raises(ConfigError, match="data.format is .*expected one of ava"):
        evaluate(load_config("test/tiny_boxes"))
    with pytest.raises(ConfigError, match="data.format is ava; expected one of kinetics"):
        evaluate(tiny_config(folder, **{"data.format": "ava"}))
    with pytest.raises(ConfigError, match="config.data.sampling is ava, expected kinetics or ssv2"):
        evaluate(tiny_config(folder, **{"data.sampling": "ava"}))


SMALL = dict(count=4, seed=0, height=40, width=48)


def test_frame_lists_with_a_missing_frame(tiny, tmp_path):
    datasets.write_ssv2(tmp_path, frames=12, **SMALL)
    (tmp_path / "frames/3/3_000005.jpg").unlink()  # the middle of the second of four segments
    results = evaluate(tiny_config(tmp_path, **{
        "data.format": "ssv2", "data.sampling": "ssv2", "data.test_list": "val.csv",
        "data.class_list": "something-something-v2-labels.json",
        "data.val_labels": "something-something-v2-validation.json",
    }), tmp_path / "run")
    assert [(v["path"], v["label"]) for v in results["videos"]] == [("1", 0), ("2", 1), ("4", 3)]
    assert results["failed"] == [{
        "video_id": 2, "path": "3",
        "reason": f"frame 5 of 12, {tmp_path}/frames/3/3_000005.jpg: no such file",
    }]
    assert "Moving something sideways" in results["metrics"]["per_class_acc"]
    assert results["fingerprint"]["videos_failed"] == 1
    assert results["fingerprint"]["sampling"] == "ssv2"
    assert results["fingerprint"]["decoder"].startswith("Pillow ")


def test_list_fingerprint_includes_the_label_files(tiny, tmp_path):
    datasets.write_ssv2(tmp_path, frames=4, **SMALL)
    labels = tmp_path / "something-something-v2-validation.json"
    config = tiny_config(tmp_path, **{
        "data.format": "ssv2", "data.test_list": "val.csv",
        "data.class_list": "something-something-v2-labels.json", "data.val_labels": labels.name,
    })
    before = evaluate(config)["fingerprint"]
    assert evaluate(config)["fingerprint"] == before
    labels.write_text(labels.read_text() + "\n")
    changed = evaluate(config)["fingerprint"]
    assert {k for k in before if before[k] != changed[k]} == {"list_sha256"}


def test_charades_with_max_ensemble(monkeypatch, tmp_path):
    from slowfast_jax.models import zoo

    monkeypatch.setitem(zoo.ZOO, "test/tiny", entry(activation="sigmoid"))
    datasets.write_charades(tmp_path, frames=20, **SMALL)
    fields = {"data.format": "charades", "data.sampling": "charades", "data.test_list": "val.csv"}
    for clips in (1, 3):
        config = tiny_config(
            tmp_path, **fields, **{"protocol.ensemble": "max", "protocol.clips": clips}
        )
        results = evaluate(config)
        assert results["fingerprint"]["views"] == 3 * clips and not results["failed"]
        assert [v["label"] for v in results["videos"]] == [[0, 1], [1, 2], [2, 3], [0, 3]]
        assert 0 < results["metrics"]["map"] <= 100


def test_image_folders(tiny, tmp_path):
    datasets.write_imagenet(tmp_path, **SMALL)
    results = evaluate(tiny_config(tmp_path, **{
        "data.format": "imagenet", "data.test_list": "val", "protocol.clips": 1,
        "protocol.crops": 1,
    }))
    assert results["metrics"]["num_videos"] == 4
    assert set(results["metrics"]["per_class_acc"]) == set(datasets.IMAGENET_CLASSES)


def test_folders_of_frames(tiny, tmp_path):
    datasets.write_ssv2(tmp_path, frames=12, **SMALL)
    for path in list(tmp_path.glob("frames/*/*.jpg")):
        path.rename(path.with_name(f"img_{path.stem[-5:]}.jpg"))
    rows = "frames/1 12 0\nframes/2 12 1\nframes/99 12 1\n"
    results = evaluate(tiny_config(tmp_path, rows, **{"data.format": "rawframes"}))
    assert [v["path"] for v in results["videos"]] == [f"{tmp_path}/frames/{n}" for n in (1, 2)]
    (failed,) = results["failed"]
    assert failed["video_id"] == 2
    assert f"there is no folder {tmp_path}/frames/99; check data.path_prefix" in failed["reason"]


def test_missing_and_invalid_lists(tiny, folder):
    with pytest.raises(FileNotFoundError, match="data.root"):
        evaluate(tiny_config(folder, **{"data.test_list": "nothing.csv"}))
    with pytest.raises(ValueError, match=r"rows\.csv:1: label 9"):
        evaluate(tiny_config(folder, "videos/000.mp4 9\n"))


def test_printed_metrics_are_rounded(tiny, folder):
    results = evaluate(tiny_config(folder))
    line = printed(results)
    assert line["views"] == "3x3" and line["videos_listed"] == line["videos_used"] == 5
    assert line["top1_acc"] == round(results["metrics"]["top1_acc"], 2)
    assert line["mean_class_acc"] == round(results["metrics"]["mean_class_acc"], 2)
    assert not any(key.startswith(("per_class", "top5")) for key in line)  # of four classes


def test_results_json_has_one_line_per_entry():
    results = {"a": {"x": [1, 2], "y": {}}, "b": [{"z": 1}, {"z": 2}], "c": [], "d": {}}
    text = to_lines(results)
    assert json.loads(text) == results
    assert '  "x": [1, 2],' in text.splitlines()
