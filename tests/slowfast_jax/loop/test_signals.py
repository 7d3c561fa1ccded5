import os
import signal
import threading
import time

import pytest

from slowfast_jax.loop.signals import StopSignals


def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_a_flag_and_is_acknowledged(number, caplog):
    before = signal.getsignal(number)
    with StopSignals() as interruption:
        assert not interruption.asked
        os.kill(os.getpid(), number)
        wait_until(lambda: interruption.asked and caplog.messages)
    assert caplog.messages == [
        "stopping as soon as this step is finished and saved; press Ctrl-C again to stop now"
    ]
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_interrupts():
    with pytest.raises(KeyboardInterrupt), StopSignals() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: interruption.asked)
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: False)


def test_ctrl_c_interrupts_at_once_where_nothing_would_be_lost():
    with pytest.raises(KeyboardInterrupt), StopSignals() as interruption:
        with interruption.end_at_once(True):
            os.kill(os.getpid(), signal.SIGINT)
            wait_until(lambda: False)
    assert not interruption.asked


@pytest.mark.parametrize(("number", "really"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_other_signals_only_set_the_flag_there(number, really):
    with StopSignals() as interruption, interruption.end_at_once(really):
        os.kill(os.getpid(), number)
        wait_until(lambda: interruption.asked)


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
