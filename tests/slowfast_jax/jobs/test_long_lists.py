"""Long lists: bounded memory, and each video once, in several processes that are killed midway.

The 19,796 videos of Kinetics-400's validation list were processed in the same way by hand
(docs/features.md); here the list is shorter.
"""

import json
import os
import re
import time

import pytest

from slowfast_jax.tasks.unfinished import FOLDER
from tests.support.subprocesses import DEADLINE, Run
from tests.support.tiny_models import write_colors

pytestmark = pytest.mark.slow  # processes start and compile

LONG, SHORT = 1500, 60
MOST = 40  # MB more for the longer list
PROGRAM = """
import atexit, resource
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
atexit.register(lambda: print("peak", peak(), flush=True))
from slowfast_jax.main import cli
cli()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two lists of links to a few videos of 10 small frames."""
    folder = tmp_path_factory.mktemp("long")
    write_colors(folder / "colors", train=0)
    videos = sorted((folder / "colors/videos").iterdir())
    (folder / "videos").mkdir()
    rows = []
    for number in range(LONG):
        os.symlink(videos[number % len(videos)], folder / f"videos/{number}.mp4")
        rows.append(f"videos/{number}.mp4 {number % 4}\n")
    for name, count in (("long", LONG), ("short", SHORT)):
        (folder / f"{name}.csv").write_text("".join(rows[:count]))
    return folder


def begin(folder, mode, name, processes, rows="long"):
    return Run(folder / name, [
        "--config=tests/recipes/tiny.py", f"--mode={mode}", "--weights=random",
        f"--workdir={folder / name / 'run'}", f"--config.data.root={folder}",
        f"--config.data.path_prefix={folder}", f"--config.data.test_list={rows}.csv",
    ], processes=processes, devices=1, program=("-c", PROGRAM))


def finish(run) -> tuple[dict, int]:
    """What the run printed, and its peak memory in MB."""
    assert run.wait() == [0] * len(run.processes), run.text(0)
    text = run.text(0)
    return json.loads(re.search(r"^\{.*\}$", text, re.M)[0]), int(re.search(r"peak (\d+)", text)[1])


def kill_when(run, pattern):
    """Kills all processes with SIGKILL as soon as a file matches."""
    deadline = time.monotonic() + DEADLINE
    while not list(run.logs[0].parent.glob(pattern)):
        assert run.processes[0].poll() is None, run.text(0)
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for process in run.processes:
        process.kill()
    for process in run.processes:
        process.wait()


@pytest.mark.parametrize("mode", ["eval", "extract"])
def test_memory_does_not_grow_with_the_list(folder, mode):
    peaks = {}
    for rows, count in (("short", SHORT), ("long", LONG)):
        printed, peaks[rows] = finish(begin(folder, mode, f"{mode}_{rows}", 1, rows))
        assert printed["videos_listed"] == count
    assert peaks["long"] - peaks["short"] < MOST, peaks


@pytest.mark.parametrize("processes", [2, 3])
def test_a_killed_test_resumes_in_any_number_of_processes(folder, processes):
    name = f"eval{processes}"
    kill_when(begin(folder, "eval", name, processes), f"run/{FOLDER}/*/*.npz")
    run = begin(folder, "eval", name, 5 - processes)
    printed, _ = finish(run)
    assert printed["videos_used"] == LONG and printed["videos_failed"] == 0
    known = int(re.search(r"scored before the test was interrupted: (\d+) ", run.text(0))[1])
    assert 0 < known < LONG
    results = json.loads((folder / name / "run/results.json").read_text())
    assert [row["video_id"] for row in results["videos"]] == list(range(LONG))
    assert not (folder / name / "run" / FOLDER).exists()


def test_killed_extraction_continues(folder):
    kill_when(begin(folder, "extract", "extract", 3), "run/features/videos/*.npz")
    printed, _ = finish(begin(folder, "extract", "extract", 2))
    assert printed["videos"] == LONG and printed["videos_failed"] == 0
    assert printed["videos_extracted"] + printed["videos_skipped"] == LONG
    assert 0 < printed["videos_skipped"] < LONG
    files = list((folder / "extract/run/features/videos").iterdir())
    assert {path.name for path in files if path.suffix == ".npz"} == {
        f"{number}.mp4.npz" for number in range(LONG)
    }
    assert not [path for path in files if path.suffix == ".part"]
