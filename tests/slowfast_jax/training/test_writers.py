import json

import pytest

from slowfast_jax.training.writers import Writers, read_metrics


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
