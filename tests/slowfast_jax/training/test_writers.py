import json
from contextlib import closing

import numpy as np
import pytest

from slowfast_jax.training.writers import Writers, add_test, read_metrics


def write(workdir, first, steps):
    writers = Writers(workdir, first)
    for step in steps:
        writers.write(step, "train", {"loss": 1.0 / step, "per_class": {"run": step}})
    writers.close()


def test_a_resumed_run_leaves_the_file_of_an_uninterrupted_one(tmp_path):
    write(tmp_path / "whole", 0, range(1, 7))
    write(tmp_path / "parts", 0, range(1, 6))
    write(tmp_path / "parts", 3, range(4, 7))
    for name in ("whole", "parts"):
        assert [row["step"] for row in read_metrics(tmp_path / name)] == [1, 2, 3, 4, 5, 6]
    whole, parts = (tmp_path / name / "metrics.jsonl" for name in ("whole", "parts"))
    assert whole.read_text() == parts.read_text()
    assert list((tmp_path / "whole" / "tensorboard").glob("events.out.tfevents.*"))


def test_a_truncated_last_line_is_dropped(tmp_path):
    write(tmp_path, 0, [1, 2])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "spl')
    assert len(read_metrics(tmp_path)) == 2
    write(tmp_path, 2, [3])
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3]


def test_a_broken_line_in_the_middle_is_reported(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "split": "train"}\nnonsense\n{}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl:2: is not JSON"):
        read_metrics(tmp_path)


def test_non_finite_numbers_become_null(tmp_path):
    writers = Writers(tmp_path)
    writers.write(1, "val", {"map": float("nan")})
    writers.close()
    assert json.loads((tmp_path / "metrics.jsonl").read_text())["map"] is None


def test_pictures_go_to_tensorboard_only(tmp_path):
    with closing(Writers(tmp_path)) as writers:
        writers.write(3, "val", {"map": 1.0, "confusion": np.zeros((4, 5, 3), np.uint8)})
    (row,) = read_metrics(tmp_path)
    assert row == {"step": 3, "split": "val", "map": 1.0}
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert b"val/confusion" in file.read_bytes()


def test_a_test_is_added_to_the_records_of_its_run(tmp_path, monkeypatch):
    added = []
    board = "slowfast_jax.training.writers.SummaryWriter.add_scalar"
    monkeypatch.setattr(board, lambda self, *arguments: added.append(arguments))
    with closing(Writers(tmp_path)) as writers:
        for step in (10, 20):
            writers.write(step, "val", {"epoch": step / 10, "top1_acc": 50.0})
    added.clear()
    add_test(tmp_path, 10, {"top1_acc": 60.0, "per_class_acc": {"a": 60.0}})
    rows = read_metrics(tmp_path)
    assert [row["step"] for row in rows] == [10, 20, 10]  # no record is dropped
    assert rows[-1] == {
        "step": 10, "split": "test", "epoch": 1.0, "top1_acc": 60.0, "per_class_acc": {"a": 60.0},
    }
    assert ("test/top1_acc", 60.0, 10) in added
