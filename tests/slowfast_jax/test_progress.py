"""The line that shows training on a terminal."""

import pytest
from absl import logging

from slowfast_jax.loop.meter import Meter
from slowfast_jax.progress import StepLine, track
from tests.data_pipelines.test_progress import replace_with_terminal


def train_a_little(steps: int) -> StepLine:
    line = StepLine(steps)
    meter = Meter(total_steps=steps, line=line)
    for step in range(steps):
        meter.add(step, 0.1, {"loss": 2.5}, 4, ["a.mp4"] * 4, epoch=(step + 1) / 2)
        if step == 1:
            logging.get_absl_handler().python_handler.stream.write("a log line\n")
    meter.read()
    return line


def test_a_line_on_a_terminal(monkeypatch, caplog):
    caplog.set_level("INFO", "absl")
    terminal = replace_with_terminal(monkeypatch, "stderr")
    line = train_a_little(4)
    line.close()
    text = terminal.text()
    assert "4/4" in text and "epoch 2.00  loss 2.5" in text and "0:00:00 to go" in text
    assert "clips/s" in text and not caplog.messages  # the log file has the lines instead
    line.show(4, 2.0, 2.5, 1.0, "0:00:00")  # again, after other work had the terminal
    with line.hidden():
        print("free")
    line.close()


def test_log_lines_go_above_the_line(monkeypatch):
    terminal = replace_with_terminal(monkeypatch, "stderr")
    handler = logging.get_absl_handler().python_handler
    monkeypatch.setattr(handler, "stream", terminal)
    line = StepLine(2)
    line.show(1, 0.5, 2.5, 1.0, "0:00:01")
    assert handler.stream is not terminal
    handler.stream.write("a log line\n")
    line.show(2, 1.0, 2.5, 1.0, "0:00:00")
    line.close()
    assert handler.stream is terminal
    lines = terminal.text().replace("\r", "\n").splitlines()
    assert "a log line" in lines and "2/2" in lines[-1] + lines[-2]


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}])
def test_plain_log_lines_elsewhere(capsys, caplog, monkeypatch, variables):
    caplog.set_level("INFO", "absl")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not train_a_little(4).active
    assert capsys.readouterr().err.count("epoch") == 0
    assert len(caplog.messages) == 1 and "step 4/4: loss 2.5" in caplog.messages[0]


def test_log_lines_go_above_the_bar_of_other_work(monkeypatch):
    terminal = replace_with_terminal(monkeypatch, "stderr")
    handler = logging.get_absl_handler().python_handler
    monkeypatch.setattr(handler, "stream", terminal)
    for number in track(range(2), 2, "testing"):
        handler.stream.write(f"failed: {number}.mp4\n")
    assert handler.stream is terminal
    lines = terminal.text().replace("\r", "\n").splitlines()
    assert "failed: 0.mp4" in lines and "failed: 1.mp4" in lines and "2/2" in "".join(lines[-2:])
