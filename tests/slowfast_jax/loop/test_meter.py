import time

import numpy as np
import pytest

from slowfast_jax.loop.meter import Meter, best_so_far


def test_means_and_speed_since_the_last_record(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    meter = Meter(total_steps=10)
    for step, loss in enumerate((1.0, 2.0, 6.0)):
        meter.add(step, 0.1, {"loss": np.float32(loss), "grad_norm": np.float32(1)}, 4, ["a"] * 4)
        now[0] += 2
    with meter.waiting():
        now[0] += 4
    with meter.paused():
        now[0] += 50
    record = meter.read()
    assert record["loss"] == 3 and record["grad_norm"] == 1 and record["lr"] == 0.1
    assert record["data_wait"] == 0.4 and record["clips_per_second"] == 1.2
    assert record["memory_gb"] > 0.01
    now[0] += 1
    meter.add(3, 0.2, {"loss": np.float32(8)}, 4, ["a"] * 4)
    assert meter.read()["loss"] == 8


def test_a_non_finite_loss_is_reported_with_its_step():
    meter = Meter(total_steps=10)
    metrics = {"loss": np.float32(np.nan), "grad_norm": np.float32(12.5)}
    meter.add(6, 0.25, metrics, 2, ["v1 at 902 s", "v2 at 903 s"])
    with pytest.raises(FloatingPointError, match=r"loss of step 7 is nan \(learning rate 0.25, "
                       r"gradient norm 12.5\); its examples: v1 at 902 s, v2 at 903 s"):
        meter.flush()


def test_an_exploding_loss_is_reported_if_max_loss_rise_is_set():
    def run(losses, factor):
        meter = Meter(total_steps=20, max_loss_rise=factor)
        for step, loss in enumerate(losses):
            meter.add(step, 0.1, {"loss": np.float32(loss)}, 1, ["a.mp4"])
        meter.flush()

    calm = [2.0, 4.0, 2.0, 4.0, 3.0]
    run([50.0, *calm, 8.9], 3.0)
    run([*calm[:4], 100.0], 3.0)  # too few losses to compare with
    run([*calm, 100.0], 0.0)
    message = (
        "loss of step 6 is 9.1, more than .*_rise=3 times the mean of the previous 5, 3 .*a.m"
    )
    with pytest.raises(FloatingPointError, match=message):
        run([*calm, 9.1], 3.0)


def test_training_stops_with_too_many_broken_examples():
    meter = Meter(total_steps=10)
    meter.count_broken([(0, "a.mp4: no such file")] * 20, 50, 0.1)  # too few examples to judge
    with pytest.raises(RuntimeError, match=r"20 of 100 examples.*max_broken=0.1"):
        meter.count_broken([], 50, 0.1)


def test_compiling_and_validation_count_neither_for_speed_nor_for_the_remaining_time(
    monkeypatch, caplog
):
    caplog.set_level("INFO", "absl")
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    meter = Meter(total_steps=10)
    with meter.paused():
        now[0] += 60  # compiling
    for step in range(2):
        meter.add(step, 0.1, {"loss": np.float32(1)}, 4, ["a"] * 4)
        now[0] += 3
    assert meter.read()["clips_per_second"] == pytest.approx(8 / 6)
    assert caplog.messages[-1].endswith(" 0:00:24 to go")
    assert meter.epoch_seconds() == pytest.approx(6)
    with meter.paused():
        now[0] += 60
    now[0] += 5
    assert meter.epoch_seconds() == pytest.approx(5)


@pytest.mark.parametrize(("scores", "words"), [
    ([40.0], "top1_acc 40.00 (the best so far), top1_err 60.00 (the lowest so far)"),
    ([40.0, 50.0], "top1_acc 50.00 (the best so far), top1_err 50.00 (the lowest so far)"),
    ([40.0, 40.0], "top1_acc 40.00 (best so far: 40.00 at step 10), top1_err 60.00 (lowest so far: "
     "60.00 at step 10)"),
    ([40.0, 50.0, 30.0], "top1_acc 30.00 (best so far: 50.00 at step 20), top1_err 70.00 (lowest "
     "so far: 50.00 at step 20)"),
])
def test_the_best_result_so_far(scores, words):
    rows = [{"step": 10 * i, "top1_acc": score} for i, score in enumerate(scores, 1)]
    assert best_so_far(rows, "top1_acc") == words


def test_the_best_of_a_metric_that_is_no_accuracy_or_no_number():
    rows = [{"step": 3, "map": None}, {"step": 5, "map": 20.0}, {"step": 7, "map": 10.0}]
    assert best_so_far(rows, "map") == "map 10.00 (best so far: 20.00 at step 5)"
    assert best_so_far(rows[:1], "map") == "map is not a number"
