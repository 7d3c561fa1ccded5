import os
import signal
import threading

import pytest

from slowfast_jax.loop.signals import StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_only_sets_a_flag(number):
    before = signal.getsignal(number)
    with StopSignals() as interruption:
        assert not interruption.asked
        os.kill(os.getpid(), number)
        assert interruption.asked
        assert signal.getsignal(number) is before  # a second one has its usual effect
    assert signal.getsignal(number) is before


@pytest.fixture
def python_answers_ctrl_c():
    """Restores Python's SIGINT handler; a shell's background jobs start with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_interrupts(python_answers_ctrl_c):
    with pytest.raises(KeyboardInterrupt), StopSignals() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.asked
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_restored_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError), StopSignals():
        raise ValueError
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_do_not_handle_signals():
    found = []

    def run():
        with StopSignals() as interruption:
            found.append(interruption.asked)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [False]
