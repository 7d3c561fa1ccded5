"""The window of --show: paced, never a brake, and clear where there is no screen."""

import multiprocessing
import shutil
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import av
import pytest

from slowfast_jax.demo.film import window
from slowfast_jax.demo.film.planes import FORMAT
from slowfast_jax.demo.film.window import ENDED, TAKEN, Window, WindowError

FRAME = av.VideoFrame(640, 480, FORMAT)


@pytest.fixture
def screen(monkeypatch):
    """A stand-in for the window's process: a thread. Takes (its screen, what it does then)."""
    sizes = []

    def install(answer, answers=()):
        def run(title, connection):
            connection.send(answer)
            try:
                for reply in answers:
                    sizes.append(connection.recv_bytes()[:20].split(b"\n")[0])
                    connection.send(reply)
                while connection.recv_bytes():
                    sizes.append(None)
            except (EOFError, OSError):
                pass

        def process(target, args, daemon):
            made = threading.Thread(target=run, args=(args[0], args[1].copy()), daemon=True)
            made.kill = lambda: None
            return made

        context = SimpleNamespace(Pipe=pipe, Process=process)
        monkeypatch.setattr(window.multiprocessing, "get_context", lambda kind: context)
        return sizes

    return install


def pipe():
    """Like multiprocessing.Pipe, whose second end is not closed for the thread that got it."""
    ours, theirs = multiprocessing.Pipe()
    return ours, SimpleNamespace(copy=lambda: theirs, close=lambda: None)


def test_large_pictures_fit_on_the_screen_and_small_ones_stay(screen):
    sizes = screen((400, 400), [TAKEN, TAKEN])
    with Window("a") as shown:
        shown.show(FRAME)
        while not shown._ready:
            shown._look(0.01)
        shown.show(av.VideoFrame(64, 48, FORMAT))
        while not shown._ready:
            shown._look(0.01)
    assert sizes[:2] == [b"P6 360 270 255", b"P6 64 48 255"]


def test_a_busy_window_does_not_hold_frames_up(screen):
    sizes = screen((400, 400))
    with Window("a") as shown:
        begun = time.monotonic()
        for _ in range(50):
            shown.show(FRAME)
        assert time.monotonic() - begun < 1
    assert len(sizes) <= 1


def test_files_play_at_their_speed(screen):
    screen((400, 400), [TAKEN] * 99)
    with Window("a") as shown:
        begun = time.monotonic()
        for number in range(6):
            shown.play(FRAME, number / 20)
        shown.play(FRAME, 0.0)  # the next video
        shown.play(FRAME, 0.1)
        assert 0.3 < time.monotonic() - begun < 0.9


def test_late_frames_are_not_followed_by_a_rush(screen):
    screen((400, 400), [TAKEN] * 99)
    with Window("a") as shown:
        shown.play(FRAME, 0.0)
        time.sleep(0.7)
        begun = time.monotonic()
        shown.play(FRAME, 0.1)
        shown.play(FRAME, 0.3)
        assert time.monotonic() - begun > 0.15


def test_a_window_that_the_user_closes(screen):
    screen((400, 400), [ENDED])
    with Window("a") as shown:
        shown.show(FRAME)
        begun = time.monotonic()
        while not shown.closed and time.monotonic() - begun < 5:
            shown._look(0.01)
        assert shown.closed
        shown.play(FRAME, 99.0)  # returns at once
    assert time.monotonic() - begun < 5


def test_without_tkinter_there_is_one_sentence(screen, monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    ours, theirs = multiprocessing.Pipe()
    window._run("a", theirs)
    sentence = ours.recv()
    assert "this Python has no tkinter" in sentence and "python3-tk" in sentence
    screen(sentence)
    with pytest.raises(WindowError, match="tkinter"):
        Window("a")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="screens are named otherwise elsewhere")
def test_without_a_screen_there_is_one_sentence(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(WindowError, match="there is no screen for it|no tkinter"):
        Window("a")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("Xvfb"), reason="needs Xvfb")
def test_a_real_window_takes_frames(monkeypatch):
    pytest.importorskip("tkinter")
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24"], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )
    try:
        monkeypatch.setenv("DISPLAY", f":{server.stdout.readline().strip()}")
        with Window("a") as shown:
            assert shown._screen == (800, 600)
            for _ in range(3):
                shown.show(FRAME)
                assert not shown._ready
                begun = time.monotonic()
                while not shown._ready and time.monotonic() - begun < 5:
                    shown._look(0.05)
                assert shown._ready and not shown.closed
    finally:
        server.kill()
        server.wait()
