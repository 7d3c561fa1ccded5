"""The watchdog names the process that keeps a run from making progress."""

import re
import subprocess
import sys
import time

import pytest

from slowfast_jax.distributed.watchdog import Seen, blame
from tests.support.paths import ROOT
from tests.support.subprocesses import environment, free_port

HOUR, SILENT = 3600.0, 10.0


def seen(place, *, lives=0.0, moves=0.0, at="step 8"):
    """State of a process whose last sign of life and progress were `lives` and `moves` s ago."""
    return Seen({"place": place, "at": at}, 10000 - lives, 10000 - moves)


@pytest.mark.parametrize(("states", "reason"), [
    ([seen(8), seen(8)], ""),
    ([seen(8), seen(7)], ""),
    # The first has waited long, but the second makes progress: it has more videos to score.
    ([seen(9, moves=HOUR + 1), seen(8, moves=5)], ""),
    ([seen(9, moves=5), seen(8, moves=HOUR - 1)], ""),
    ([seen(9, moves=HOUR + 1), seen(8, moves=HOUR + 1, at="the data of step 8")],
     "process 1 of 2 made no progress for 3600 s (config.train.watchdog_seconds): at the data of "
     "step 8, where the others wait"),
    ([seen(7, moves=HOUR + 1), seen(8, moves=HOUR + 1), seen(7, moves=HOUR + 1)],
     "processes 0, 2 of 3 made no progress for 3600 s (config.train.watchdog_seconds): at step 8, "
     "where the others wait"),
    ([seen(8, moves=HOUR + 1)] * 2,
     "none of the 2 processes made progress for 3600 s (config.train.watchdog_seconds): at step 8"),
    ([seen(8, moves=HOUR + 1), seen(8, lives=HOUR, moves=HOUR + 1)],
     "process 1 of 2 stopped: no sign of life for 10 s, last at step 8"),
    ([seen(8), seen(8, lives=HOUR)], ""),  # the first moves; the file of the second may be late
])
def test_blame(states, reason):
    assert blame(dict(enumerate(states)), 10000.0, HOUR, SILENT) == reason


# Two processes of a library user, without training; `what` is what process 1 does.
TOGETHER = """
import sys, time
from absl import logging
from slowfast_jax import distributed
from slowfast_jax.distributed.cluster_env import Place
logging.set_verbosity(logging.INFO)
port, number, what, folder = sys.argv[1:]
place = Place("flags", f"127.0.0.1:{port}", int(number), 2)
distributed.start(place, seconds=60, watchdog=3, folder=folder)
import numpy as np
number = distributed.index()
assert distributed.count() == 2 and distributed.first() == (number == 0)
shares = distributed.gather(list(distributed.share(7)))
assert [len(s) for s in shares] == [3, 4] and sum(shares, []) == list(range(7)), shares
assert distributed.gather({"a": np.arange(number)})[1]["a"].tolist() == [0]
assert distributed.anyone(number == 1) and not distributed.anyone(False)
vote = distributed.StopVote()
told = [vote.any(number == 1 and step == 2) for step in range(5)]
assert told == [False, False, False, True, False], told
import jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
mesh = Mesh(np.array(jax.devices()), ("data",))
rows = jax.make_array_from_process_local_data(NamedSharding(mesh, P("data")), np.full(2, number))
copy = distributed.local_copy({"x": rows})["x"]
assert copy.is_fully_addressable and copy.tolist() == [0, 0, 1, 1], copy
assert int(jnp.sum(copy)) == 2
distributed.barrier("the middle")
if what == "late" and number == 1:
    time.sleep(60)
if what == "late":
    try:
        distributed.barrier("the late one")
    except Exception as error:
        distributed.fail(error)
if what == "fails" and number == 1:
    distributed.fail(KeyError("no such thing"))
if what == "works" and number == 1:  # longer than the watchdog waits
    for _ in range(25):
        distributed.alive()
        time.sleep(0.2)
distributed.finish()
print("well")
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "together.py"
    path.write_text(TOGETHER)
    return path


def together(script, what):
    port = str(free_port())
    running = [
        subprocess.Popen(
            [sys.executable, script, port, str(i), what, script.parent / what],
            cwd=ROOT, env=environment(2), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for i in range(2)
    ]
    texts = [process.communicate(timeout=120)[0] for process in running]
    return [process.returncode for process in running], texts


@pytest.mark.slow
def test_share_gather_and_wait(script):
    start = time.monotonic()
    statuses, texts = together(script, "works")
    assert statuses == [0, 0], texts
    assert all(text.endswith("well\n") for text in texts)
    assert time.monotonic() - start > 5
    assert not (script.parent / "works").exists()


@pytest.mark.slow
def test_an_error_is_reported_with_its_traceback(script):
    statuses, texts = together(script, "fails")
    assert statuses == [1, 1], texts
    assert "error: process 1 of 2 stopped: KeyError: 'no such thing'; so process 0" in texts[0]
    assert "KeyError: 'no such thing'" in texts[1]


@pytest.mark.slow
def test_the_process_missing_at_a_barrier_is_named(script):
    statuses, texts = together(script, "late")
    assert statuses == [1, 1], texts
    message = r"process 1 of 2 made no progress for 3 s .*: at the middle, where the others wait"
    assert re.search(message, texts[0]) and re.search(message, texts[1]), texts
