"""Who is to blame that many processes do not go on."""

import subprocess
import sys
import time

import pytest

from slowfast_jax.distributed.watchdog import Seen, blame
from tests.support.paths import ROOT
from tests.support.subprocesses import environment, free_port

HOUR, DEAD = 3600.0, 30.0


def seen(place, *, lives=0.0, moves=0.0, at="step 8"):
    """What process tells, `lives` and `moves` so many seconds ago."""
    return Seen({"place": place, "at": at}, 10000 - lives, 10000 - moves)


@pytest.mark.parametrize(("states", "reason"), [
    ([seen(8), seen(8)], ""),
    ([seen(8), seen(7)], ""),
    # The first waits long, but the second moves: it has more videos to score.
    ([seen(9, moves=HOUR + 1), seen(8, moves=5)], ""),
    ([seen(9, moves=5), seen(8, moves=HOUR - 1)], ""),
    ([seen(9, moves=HOUR + 1), seen(8, moves=HOUR + 1, at="the data of step 8")],
     "process 1 of 2 did not go on for 3600 s (config.train.watchdog_seconds): at the data of "
     "step 8, where the others wait"),
    ([seen(7, moves=HOUR + 1), seen(8, moves=HOUR + 1), seen(7, moves=HOUR + 1)],
     "processes 0, 2 of 3 did not go on for 3600 s (config.train.watchdog_seconds): at step 8, "
     "where the others wait"),
    ([seen(8, moves=HOUR + 1)] * 2,
     "none of the 2 processes went on for 3600 s (config.train.watchdog_seconds): at step 8"),
    ([seen(8), seen(8, lives=DEAD + 1)],
     "process 1 of 2 stopped: no sign of life for 30 s, last at step 8"),
    ([seen(8), seen(8, lives=DEAD - 1)], ""),
])
def test_who_is_to_blame(states, reason):
    assert blame(dict(enumerate(states)), 10000.0, HOUR, DEAD) == reason


# A library user's processes, which train nothing: `what` is what process 1 does.
TOGETHER = """
import sys, time
from absl import logging
from slowfast_jax import distributed
from slowfast_jax.distributed.cluster_env import Place
logging.set_verbosity(logging.INFO)
port, number, what = sys.argv[1:]
place = Place("flags", f"127.0.0.1:{port}", int(number), 2)
processes.start(place, seconds=60, watchdog=3)
import numpy as np
number = processes.index()
assert processes.count() == 2 and processes.first() == (number == 0)
shares = processes.gather(list(processes.share(7)))
assert [len(s) for s in shares] == [3, 4] and sum(shares, []) == list(range(7)), shares
assert processes.gather({"a": np.arange(number)})[1]["a"].tolist() == [0]
assert processes.anyone(number == 1) and not processes.anyone(False)
wishes = processes.Wishes()
told = [wishes.any(number == 1 and step == 2) for step in range(5)]
assert told == [False, False, False, True, False], told
import jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
mesh = Mesh(np.array(jax.devices()), ("data",))
rows = jax.make_array_from_process_local_data(NamedSharding(mesh, P("data")), np.full(2, number))
copy = processes.local_copy({"x": rows})["x"]
assert copy.is_fully_addressable and copy.tolist() == [0, 0, 1, 1], copy
assert int(jnp.sum(copy)) == 2
processes.barrier("the middle")
if what == "late" and number == 1:
    processes.at("a long sleep")
    for _ in range(40):
        processes.alive()
        time.sleep(0.2)
if what == "late":
    try:
        processes.barrier("the late one", 2)
    except TimeoutError as error:
        processes.fail(error, 1)
if what == "fails" and number == 1:
    processes.fail(KeyError("no such thing"))
if what == "works" and number == 1:  # longer than the watchdog waits
    for _ in range(25):
        processes.alive()
        time.sleep(0.2)
processes.finish()
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
            [sys.executable, script, port, str(i), what], cwd=ROOT, env=environment(2), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for i in range(2)
    ]
    texts = [process.communicate(timeout=120)[0] for process in running]
    return [process.returncode for process in running], texts


@pytest.mark.slow
def test_they_share_gather_and_wait(script):
    start = time.monotonic()
    statuses, texts = together(script, "works")
    assert statuses == [0, 0], texts
    assert all(text.endswith("well\n") for text in texts)
    assert time.monotonic() - start > 5


@pytest.mark.slow
def test_an_error_is_told_with_its_traceback(script):
    statuses, texts = together(script, "fails")
    assert statuses == [1, 1], texts
    assert "error: process 1 of 2 stopped: KeyError: 'no such thing'; so process 0" in texts[0]
    assert "KeyError: 'no such thing'" in texts[1]


@pytest.mark.slow
def test_a_barrier_names_who_did_not_come(script):
    statuses, texts = together(script, "late")
    assert statuses == [1, 1], texts
    message = "process 1 of 2 did not come to the late one within 2 s"
    assert f"process 0 of 2 stopped: TimeoutError: {message}" in texts[1]
