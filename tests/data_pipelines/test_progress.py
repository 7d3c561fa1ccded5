"""Progress on a terminal and in a file, and work in threads."""

import io
import re
import subprocess
import sys
import time

import pytest

from data_pipelines import progress
from tests.support.paths import ROOT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        """What was written, without control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.getvalue())


def replace_with_terminal(monkeypatch, *streams: str) -> Terminal:
    """Replaces standard streams with a terminal. Call it in the test itself: pytest resets the
    streams after fixtures have run."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    for stream in streams:
        monkeypatch.setattr(sys, stream, terminal)
    return terminal


def test_threads_yield_results_in_order_and_report_the_last(capsys):
    results = list(progress.in_threads(lambda item: item * 2, range(20), "doubling"))
    assert results == [item * 2 for item in range(20)]
    assert capsys.readouterr().err == "doubling: 20/20 in 0 s\n"


def test_an_error_in_a_thread_reaches_the_consumer():
    with pytest.raises(ZeroDivisionError):
        list(progress.in_threads(lambda item: 1 // item, [1, 0, 1], "dividing"))


def test_work_not_started_is_dropped_when_the_consumer_stops(monkeypatch):
    monkeypatch.setattr("data_pipelines.progress.available_cores", lambda: 1)
    started = []

    def work(item: int) -> None:
        started.append(item)
        time.sleep(0.01)

    results = progress.in_threads(work, range(1000), "working")
    next(results)
    results.close()
    assert len(started) < 1000


def test_without_a_terminal_a_line_is_printed_every_so_often(capsys, monkeypatch):
    seconds = iter([0.0, 20.0, 40.0, 60.0, 80.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    assert list(progress.track("abcd", 4, "reading")) == list("abcd")
    assert capsys.readouterr().err == (
        "reading: 2/4 in 40 s, about 40 s remaining\nreading: 4/4 in 80 s\n"
    )


def test_the_first_item_does_not_count_for_the_remaining_time(capsys, monkeypatch):
    seconds = iter([0.0, 40.0, 41.0, 75.0, 76.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    assert list(progress.track("abcd", 4, "testing")) == list("abcd")
    assert capsys.readouterr().err == (
        "testing: 1/4 in 40 s\ntesting: 3/4 in 75 s, about 18 s remaining\n"
        "testing: 4/4 in 76 s\n"
    )


def test_a_bar_on_a_terminal(monkeypatch):
    terminal = replace_with_terminal(monkeypatch, "stderr")
    assert list(progress.in_threads(str, range(3), "text")) == ["0", "1", "2"]
    assert "text" in terminal.text() and "3/3" in terminal.text()


@pytest.mark.parametrize(("variable", "value", "terminal"), [
    ("TERM", "dumb", True), ("FORCE_COLOR", "1", False),
])
def test_lines_where_a_bar_cannot_be_redrawn(monkeypatch, variable, value, terminal):
    stream = replace_with_terminal(monkeypatch, "stderr")
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setenv(variable, value)
    assert list(progress.track("ab", 2, "reading")) == ["a", "b"]
    assert stream.getvalue() == "reading: 2/2 in 0 s\n"


def test_no_bar_without_items(monkeypatch):
    terminal = replace_with_terminal(monkeypatch, "stderr")
    assert list(progress.in_threads(str, [], "text")) == []
    assert terminal.getvalue() == ""


def test_results_stay_on_a_redirected_stdout(monkeypatch, capsys):
    terminal = replace_with_terminal(monkeypatch, "stderr")
    for item in progress.track("ab", 2, "reading"):
        print(item)
    assert capsys.readouterr().out == "a\nb\n" and "2/2" in terminal.text()


def test_printed_lines_go_above_the_bar(monkeypatch):
    terminal = replace_with_terminal(monkeypatch, "stderr", "stdout")
    for item in progress.track("ab", 2, "reading"):
        print(f"found {item}")
    assert terminal.text().index("found b") < terminal.text().rindex("2/2")


def test_an_interrupt_ends_the_process_while_threads_work():
    code = (
        "import os, signal, time; from data_pipelines import progress;"
        "progress.end_on_interrupt('run it again');"
        "results = progress.in_threads(lambda item: time.sleep(60 * item), [0, 1, 1], 'sleeping');"
        "next(results);"
        "os.kill(os.getpid(), signal.SIGINT);"
        "time.sleep(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, timeout=30, capture_output=True, text=True
    )
    assert done.returncode == 130
    assert done.stderr == "\ninterrupted: sleeping: 1 of 3 done; run it again\n"
