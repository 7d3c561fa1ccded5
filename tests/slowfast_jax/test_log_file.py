"""The log in a run's folder."""

import logging
import re
import sys

import pytest
from absl import logging as absl_logging

from slowfast_jax.log_file import log_file, note, show_log


@pytest.fixture(autouse=True)
def level():
    root, before = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.INFO)
    absl_logging.set_verbosity(absl_logging.INFO)
    yield
    root.setLevel(before)


def test_lines_are_appended_with_their_times(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["main", "--workdir=a b"])
    for text in ("first", "second"):
        with log_file(tmp_path / "run"):
            absl_logging.info("the %s run", text)
            absl_logging.warning("careful")
            note("error: it failed", logging.ERROR)
        absl_logging.info("not in the file")
    lines = (tmp_path / "run/log.txt").read_text().splitlines()
    assert lines[1] == "$ main '--workdir=a b'" and len(lines) == 10
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    for line, text in zip(lines[2:5], ("I the first run", "W careful", "E error: it failed"),
                          strict=True):
        assert re.fullmatch(f"{time} {text}", line), line
    assert lines[7].endswith("I the second run")


def test_nothing_is_created_before_the_first_line(tmp_path):
    with log_file(tmp_path / "run"):
        note("error: --config.data.root is wrong", logging.ERROR)
    assert not (tmp_path / "run").exists()
    note("nobody listens")


def test_a_file_that_cannot_be_written_disturbs_nothing(tmp_path, capsys):
    (tmp_path / "run").write_text("a file, not a folder")
    with log_file(tmp_path / "run"):
        absl_logging.info("lost")
    with log_file(tmp_path / "full"):
        absl_logging.info("begin")
        logging.getLogger().handlers[-1].stream = open("/dev/full", "w")
        absl_logging.info("lost")
    assert "Traceback" not in capsys.readouterr().err


def test_lines_on_the_terminal_have_the_time_and_what_is_wrong(capsys, monkeypatch):
    handler = absl_logging.get_absl_handler().python_handler
    before, root = handler.formatter, logging.getLogger()
    handlers = list(root.handlers)
    monkeypatch.setattr(handler, "stream", sys.stderr)
    try:
        show_log(absl_logging.INFO)
        absl_logging.info("epoch %d", 1)
        absl_logging.warning("careful")
    finally:
        handler.setFormatter(before)
        root.handlers[:] = handlers
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d epoch 1", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning: careful", second)
