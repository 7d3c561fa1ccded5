"""Which steps are profiled."""

import jax
import pytest

from slowfast_jax.training.profiling import Profile, parse_steps


@pytest.mark.parametrize("text, steps", [("", range(0)), ("10:15", range(10, 15))])
def test_parse_step_range(text, steps):
    assert parse_steps(text) == steps


@pytest.mark.parametrize("text", ["10", "5:5", "7:3", "a:b", "-1:4", "1:2:3"])
def test_invalid_step_ranges(text):
    with pytest.raises(ValueError, match=f"profile_steps is '{text}', expected FIRST:END"):
        parse_steps(text)


@pytest.mark.parametrize("total", [9, 4], ids=["ended by a step", "ended by the run"])
def test_a_trace_of_the_steps(tmp_path, monkeypatch, caplog, total):
    caplog.set_level("INFO", "absl")
    events = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: events.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: events.append("stop"))
    profile = Profile(parse_steps("2:5"), tmp_path)
    for step in range(total):
        profile.before(step, lambda: events.append("finish"))
        events.append(step)
    profile.close(lambda: events.append("finish"))
    inside = [2, 3, 4][: total - 2]
    rest = list(range(5, total))
    assert events == [0, 1, "finish", "start", *inside, "finish", "stop", *rest]
    assert f"the profile of steps 2 to 4 is in {tmp_path}" in caplog.text


def test_a_trace_of_one_step(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "absl")
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: None)
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: None)
    profile = Profile(parse_steps("2:3"), tmp_path)
    profile.before(2, lambda: None)
    profile.close()
    assert "the profile of step 2 is in" in caplog.text
