"""Resident memory does not grow with the number of clips read."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from data_pipelines.video.encoding import write_video
from tests.data_pipelines.conftest import _write_turned, numbered_frames
from tests.support.paths import ROOT

GROWTH = 1.05

PROGRAM = """
import itertools, json, os, sys
import numpy as np
from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.video.image_files import frame_files
from data_pipelines.loading.batches import batches
from data_pipelines.loading.order import Order
from data_pipelines.sources.video_lists import Sample
from data_pipelines.video.decoding import VideoError

folder, way, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
samples = []
for name in sorted(os.listdir(folder)):
    path = os.path.join(folder, name)
    frames = frame_files(path, sorted(os.listdir(path)), path) if os.path.isdir(path) else None
    samples.append(Sample(path, 0, frames))

sampling = Sampling(num_frames=8, sampling_rate=2, target_fps=30.0)
augmentation = Augmentation(crop=56, jitter=(64, 80))

def load(index, rng):
    return load_clip(samples[index % len(samples)], sampling, augmentation, rng=rng)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def clips():
    if way == "clips":
        rng = np.random.default_rng(0)
        for index in range(count):
            try:
                load(index, rng)
            except VideoError:
                pass
            yield index
    else:
        order = Order(max(64, len(samples)), batch_size=8, seed=0)
        for batch in itertools.islice(batches(order, load, threads=2), count // 8):
            assert batch["clip"].shape == (8, 8, 56, 56, 3)
            yield from range(8)

marks = []
for number, _ in enumerate(clips(), 1):
    if number % (count // 5) == 0:
        marks.append(resident())
print(json.dumps(marks))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Videos for every way of reading: rotated, broken, with and without seeking, and as images."""
    folder = tmp_path_factory.mktemp("videos")
    pictures = numbered_frames(40, 72, 96)
    options = {"preset": "ultrafast", "g": "12", "threads": "1"}
    write_video(folder / "a.mp4", pictures, options=options)
    write_video(folder / "b.webm", pictures, codec="libvpx-vp9", options={"cpu-used": "8",
                                                                          "deadline": "realtime"})
    write_video(folder / "c.avi", pictures, options=options | {"bf": "2"})
    _write_turned(folder / "d.mp4", 0, -1, 1, 0)
    (folder / "e.mp4").write_bytes((folder / "a.mp4").read_bytes()[:3000])
    (folder / "f.mp4").write_bytes(b"nothing")
    for kind in ("jpg", "png"):
        (folder / kind).mkdir()
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / kind / f"{number:03d}.{kind}")
    return folder


@pytest.mark.parametrize("way", ["clips", "batches"])
@pytest.mark.parametrize("count", [600, pytest.param(5000, marks=pytest.mark.slow)])
def test_resident_memory_is_steady(folder, way, count):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, way, str(count)], cwd=ROOT, capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    marks = json.loads(run.stdout)
    assert len(marks) == 5 and marks[-1] <= GROWTH * marks[0], [m >> 20 for m in marks]
