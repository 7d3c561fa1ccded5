"""Reads files that may be broken in a process of its own, which may die, hang or want too much.

`read_all` starts it; `python -m tests.data_pipelines.hostile_reader` is that process. It says on
its standard output which file it is at, so that the one at which it ends is known.
"""

import contextlib
import faulthandler
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_pipelines import playback, video
from data_pipelines.clips import load_clip
from data_pipelines.frames import FrameFiles, frame_files
from data_pipelines.sources import Sample
from data_pipelines.video import VideoError, VideoInfo
from data_pipelines.views import Video, iterate_views
from tests.shared import ROOT

MEMORY = 2**30  # bytes of addresses that reading a file may take
CPU_SECONDS, WALL_SECONDS = 15, 60  # of one file; pictures of 8K take their time
SIDE = 32
PROTOCOL = dict(num_frames=4, sampling_rate=2, target_fps=30.0)


def read_all(paths: Sequence[Path]) -> tuple[dict[str, str], dict[str, str]]:
    """What went wrong, and what became of the other files: name of the file -> text."""
    failures: dict[str, str] = {}
    outcomes: dict[str, str] = {}
    # Memory that threads would keep to themselves counts as addresses, 64 MB and more a thread.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    left = list(paths)
    while left:
        # Files, because a pipe that nobody empties in time would be a hang of its own.
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaints:
            run = subprocess.run(
                [sys.executable, "-m", "tests.data_pipelines.hostile_reader"],
                input="\n".join(map(str, left)), text=True, cwd=ROOT, env=environment,
                stdout=said, stderr=complaints, timeout=60 + WALL_SECONDS * len(left),
            )
            said.seek(0)
            complaints.seek(0)
            lines, complaint = said.read().splitlines(), complaints.read()
        reported = [json.loads(line) for line in lines if line.startswith("{")]
        for one in reported:
            (failures if one["failed"] else outcomes)[one["name"]] = one["text"]
        if len(reported) < len(left):
            if not lines:
                raise RuntimeError(f"no file was read: {complaint[-3000:]}")
            name = left[len(reported)].name
            failures[name] = f"the process ended with {run.returncode}: {complaint[-3000:]}"
        left = left[len(reported) + 1 :]
    return failures, outcomes


def source_of(path: Path) -> Video:
    """A file, or the images of a folder as frames."""
    if not path.is_dir():
        return str(path)
    return frame_files(path.name, sorted(os.listdir(path)), path)


def _probe(source: Video) -> None:
    if isinstance(source, FrameFiles):
        return
    info = video.probe(source)
    numbers = info.frames, info.width, info.height, info.fps
    if min(numbers) <= 0 or not np.isfinite([info.fps, info.duration]).all():
        raise AssertionError(f"probe gives {info}")


def _train(source: Video) -> None:
    frames = source if isinstance(source, FrameFiles) else None
    sample = Sample(str(source), 3, frames)
    for seed, sampling in enumerate(("kinetics", "ssv2", "charades")):
        element = load_clip(
            sample, **PROTOCOL, crop=SIDE, jitter=(SIDE, 40), rng=np.random.default_rng(seed),
            sampling=sampling,
        )
        _check(element["clip"], (4, SIDE, SIDE, 3))


def _test(source: Video) -> None:
    clips = list(iterate_views(source, **PROTOCOL, clips=2, crops=3, test_crop=SIDE))
    _check(np.stack(clips), (2, 3, 4, SIDE, SIDE, 3))


def _look(source: Video) -> None:
    def choose(info: VideoInfo) -> list[int]:
        return sorted({0, info.frames // 2, info.frames - 1})

    _, pictures = playback.look(source, choose)
    _check(pictures, (len(pictures), *pictures.shape[1:3], 3))
    if not (1 <= len(pictures) <= 3 and 1 <= min(pictures.shape[1:3]) <= playback.LARGEST):
        raise AssertionError(f"look gives {pictures.shape}")


def _check(array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.uint8:
        raise AssertionError(f"{array.dtype} {array.shape}; expected uint8 {shape}")


READINGS: tuple[Callable[[Video], None], ...] = (_probe, _train, _test, _look)


def _read(path: Path) -> tuple[bool, str]:
    """(whether it failed, what became of each reading)."""
    source = source_of(path)
    texts = []
    begin, peak = time.process_time(), _addresses("VmPeak")
    held = _addresses("VmSize")
    for reading in READINGS:
        name = reading.__name__[1:]
        try:
            reading(source)
            texts.append(f"{name}: read")
        except VideoError as error:
            if error.path != str(source):
                return True, f"{name}: VideoError of {error.path!r}: {error.reason}"
            texts.append(f"{name}: {error.reason}")
        except Exception as error:  # whatever it is, it is not what users are told of
            return True, f"{name}: {type(error).__name__}: {error}"
    seconds, new_peak = time.process_time() - begin, _addresses("VmPeak")
    if seconds > CPU_SECONDS:
        return True, f"takes {seconds:.1f} s; " + "; ".join(texts)
    if new_peak > peak and new_peak - held > MEMORY:
        return True, f"takes {(new_peak - held) >> 20} MiB; " + "; ".join(texts)
    return False, f"{seconds:.2f} s, " + "; ".join(texts)


def _addresses(field: str) -> int:
    """A line of the process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field}")


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    faulthandler.dump_traceback_later(WALL_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def main() -> None:
    """Reads the files that are named on the standard input."""
    faulthandler.enable()
    # Each thread of a decoder has pictures of its own: let there be as many on every machine.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    # FFmpeg asks for at most 2 GiB at once: that is seen and told, what goes beyond fails.
    most = _addresses("VmSize") + 4 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for path in map(Path, sys.stdin.read().splitlines()):
        print("at", path.name, flush=True)
        with _watched():
            failed, text = _read(path)
        print(json.dumps({"name": path.name, "failed": failed, "text": text}), flush=True)


if __name__ == "__main__":
    main()
