import os

import pytest

from benchmarks.side_process import SideProcess


def handlers(greeting):
    def fail():
        raise ValueError("on purpose")

    return {
        "greet": lambda name: f"{greeting} {name}",
        "variable": os.environ.get,
        "fail": fail,
    }


def test_calls_and_environment(monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("REMOVED", "1")
    variables = {"SET": "2", "REMOVED": ""}
    with SideProcess("ours", handlers, "hello", environment=variables) as process:
        assert process.call("greet", "world") == "hello world"
        assert [process.call("variable", name) for name in ("KEPT", "SET", "REMOVED")] == [
            "1", "2", None
        ]
        assert process.pid != os.getpid()
    assert os.environ["REMOVED"] == "1" and "SET" not in os.environ


def test_a_process_that_ended_is_an_error(capfd):
    with SideProcess("theirs", handlers, "hello") as process:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="the process of theirs ended"):
                process.call("fail")
    assert "ValueError: on purpose" in capfd.readouterr().err
