"""Own videos, from a wheel in an empty folder: prepare, fine-tune, test again, report, predict."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.video.encoding import write_video
from tests.support.paths import REAL, ROOT, needs_real

pytestmark = pytest.mark.slow
CLASSES = {"moving right": (0, 1), "moving down": (1, 0), "standing still": (0, 0)}


def moving_square(way, random):
    """Yields frames of a square that moves steadily in front of colored tiles."""
    tiles = random.integers(0, 255, (9, 11, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    half, color = random.integers(15, 30), random.integers(0, 255, 3)
    start, speed = random.integers((30, 30), (110, 140)), random.uniform(2, 4)
    for number in range(72):
        y, x = (start + (speed * number * np.array(way)).astype(int)) % tiles.shape[:2]
        picture = tiles.copy()
        picture[max(0, y - half) : y + half, max(0, x - half) : x + half] = color
        yield picture


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the packages of the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def run(site, tmp_path_factory):
    """Runs a module of the wheel in an empty folder, which is `run.folder`."""
    folder = tmp_path_factory.mktemp("empty")
    environment = os.environ | {"PYTHONPATH": str(site), "JAX_PLATFORMS": "cpu"}

    def run(*arguments, status=0):
        result = subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=folder, env=environment, text=True,
            capture_output=True,
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result.stdout

    run.folder = folder
    return run


def test_the_wheel_is_complete(site, run):
    """No top-level package beside the three, and --help, --version and the recipes work."""
    where = run("-c", "import slowfast_jax, convert, data_pipelines; print(slowfast_jax.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    packages = {path.name for path in site.iterdir() if path.is_dir() and "." not in path.name}
    assert packages - {"bin"} == {"slowfast_jax", "convert", "data_pipelines"}
    assert "kinetics/x3d_xs_finetune" in run(
        "-m", "slowfast_jax.main", "--mode=config", "--config=kinetics"
    )
    for module in ("slowfast_jax.main", "slowfast_jax.predict", "convert",
                   "data_pipelines.prepare", "data_pipelines.doctor"):
        assert run("-m", module, "--version").split()[-1].count(".") == 2
        assert module in run("-m", module, "--help")


@needs_real
def test_own_videos_are_learned(run):
    folder = run.folder
    for name, way in CLASSES.items():
        (folder / "VIDEOS" / name).mkdir(parents=True)
        for number in range(24):
            pictures = moving_square(way, np.random.default_rng([*way, number]))
            write_video(folder / "VIDEOS" / name / f"{number:02d}.mp4", pictures)
    printed = run("-m", "data_pipelines.prepare", "own", "LISTS", "--videos", "VIDEOS")
    (command,) = re.findall("python -m (slowfast_jax.main .*)", printed)
    run("-m", "data_pipelines.doctor", "LISTS")
    (folder / "x3d_xs.pyth").symlink_to(REAL / "weights/X3D_XS_k400_pyslowfast.pyth")

    tested = json.loads(run("-m", *command.split()).splitlines()[-1])
    assert tested["top1_acc"] > 90, tested
    again = json.loads(
        run("-m", "slowfast_jax.main", "--workdir=RUN", "--mode=eval").splitlines()[-1]
    )
    assert again == tested
    run("-m", "slowfast_jax.main", "--workdir=RUN", "--mode=report")
    assert (folder / "RUN/report.html").is_file()

    rows = [line.rsplit(" ", 1) for line in (folder / "LISTS/test.csv").read_text().splitlines()]
    videos = [f"LISTS/{path}" for path, _ in rows]
    run("-m", "slowfast_jax.predict", *videos, "--weights=RUN", "--json=out.jsonl")
    found = {
        record["video"]: record["predictions"][0]
        for record in map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    }
    names = (folder / "LISTS/classes.txt").read_text().splitlines()
    assert sorted(names) == sorted(CLASSES)
    right = [found[v]["label"] == names[int(r[1])] for v, r in zip(videos, rows, strict=True)]
    assert 100 * np.mean(right) == pytest.approx(tested["top1_acc"], abs=0.01)
    loaded = run("-c", "import slowfast_jax; r = slowfast_jax.load('RUN'); "
                       f"print(r.predict_video({videos[0]!r})[0][0])")
    assert loaded.strip() == found[videos[0]]["label"]
