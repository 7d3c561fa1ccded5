"""launch/ray_extract.py on a real local Ray cluster: a driver and a worker are killed midway."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.tiny_models import write_colors

pytest.importorskip("ray", reason="the extra `ray` is not installed")
import pyarrow.dataset  # noqa: E402 (comes with ray)

pytestmark = pytest.mark.slow

VIDEOS = 400
DEADLINE = 400
STARTS = (0.0, 0.267)  # seconds of the windows of a video of 10 frames: a clip takes 8 of them
MARK = "RAY_EXTRACT_TEST"  # variable by which the processes of a test are known


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A list of links to a few videos, and of a file that is no video."""
    folder = tmp_path_factory.mktemp("ray")
    write_colors(folder / "colors", train=0)
    videos = sorted((folder / "colors/videos").iterdir())
    for number in range(VIDEOS):
        os.symlink(videos[number % len(videos)], folder / f"{number}.mp4")
    (folder / "bad.mp4").write_text("no video")
    rows = [f"{number}.mp4 0\n" for number in range(VIDEOS)]
    (folder / "list.csv").write_text("".join([*rows, "bad.mp4 0\n"]))
    return folder


class Cluster:
    """A run of the program, which starts a local cluster."""

    def __init__(self, folder: Path, out: str, *more: str):
        self.out, self.mark = folder / out, uuid.uuid4().hex
        self.log = folder / f"{out}.{self.mark}.log"
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), MARK: self.mark,
            "RAY_worker_niceness": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        }
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "launch/ray_extract.py", f"--config={ROOT}/tests/recipes/tiny.py",
                 f"--list={folder / 'list.csv'}", f"--prefix={folder}", f"--out={self.out}",
                 "--actors=2", "--cpus=0.5", *more],
                cwd=ROOT, env=environment, stdout=file, stderr=file,
            )

    def workers(self) -> list[int]:
        """Process ids of the actors."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                name = (folder / "cmdline").read_bytes() if folder.name.isdecimal() else b""
                if b"MapBatches(Worker)" in name:
                    if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                        found.append(int(folder.name))
            except OSError:
                continue
        return found

    def files(self) -> set[str]:
        return {path.name for path in self.out.glob("*.parquet") if path.name[0] != "."}

    def wait_for_files(self, count: int) -> None:
        deadline = time.monotonic() + DEADLINE
        while len(self.files()) < count:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def end(self) -> int:
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.terminate()
            for _ in range(100):  # the cluster ends with its driver
                if not self.workers():
                    break
                time.sleep(0.2)


def rows_of(out: Path) -> list[dict]:
    files = [str(path) for path in out.glob("*.parquet") if path.name[0] != "."]
    return pyarrow.dataset.dataset(files, format="parquet").to_table().to_pylist()


def test_nothing_is_lost_or_doubled(folder):
    run = Cluster(folder, "features")
    run.wait_for_files(2)
    run.process.send_signal(signal.SIGTERM)
    run.end()
    before, kept = run.files(), len({row["path"] for row in rows_of(run.out)})
    assert 2 <= len(before) < VIDEOS / 8

    run = Cluster(folder, "features")
    run.wait_for_files(len(before) + 2)
    workers = run.workers()
    os.kill(workers[0], signal.SIGKILL)
    assert len(run.files()) < VIDEOS / 8 - 4  # there is work left for the other and its successor
    assert run.end() == 1  # because of the video that cannot be read
    log = run.log.read_text()
    assert f"failed: {folder}/bad.mp4: " in log
    left = VIDEOS + 1 - kept
    assert f"{VIDEOS + 1} videos are listed, {left} of them are to be processed" in log
    assert f"{left - 1} videos were processed and 1 failed" in log
    rows = rows_of(run.out)
    assert sorted((row["path"], round(row["start"], 3)) for row in rows) == sorted(
        (str(folder / f"{number}.mp4"), start) for number in range(VIDEOS) for start in STARTS
    )
    assert all(len(row["features"]) == 8 and row["fps"] == 30 for row in rows)
    assert before <= run.files()


def test_scores(folder):
    (folder / "list.csv").write_text("".join(f"{number}.mp4 0\n" for number in range(11)))
    run = Cluster(folder, "scores", "--score")
    assert run.end() == 0, run.log.read_text()
    rows = rows_of(run.out)
    assert len({row["path"] for row in rows}) == len(rows) == 11
    assert all(sum(row["scores"]) == pytest.approx(1, abs=1e-5) for row in rows)
    run = Cluster(folder, "scores", "--endpoint=a")
    assert run.end() != 0
    assert "has features with another score and endpoint" in run.log.read_text()
