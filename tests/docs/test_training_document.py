"""The commands of docs/training.md that no other test runs."""

import re
import subprocess

from data_pipelines.mini import datasets
from slowfast_jax.config import load_config
from slowfast_jax.data.keyframe_lists import find_keyframes
from tests.support.paths import ROOT

TEXT = (ROOT / "docs/training.md").read_text(encoding="utf-8")


def test_leaving_videos_out(tmp_path):
    copy, prune = re.findall(r"^    (cp .*|sed .*)$", TEXT, re.MULTILINE)
    (directory,) = re.findall(r"--config\.data\.annotation_dir=(\w+)", TEXT)
    data = tmp_path / "AVA"
    datasets.write_ava(
        data, seed=0, train_videos=3, val_videos=2, seconds=4, fps=5, height=48, width=64
    )
    for name in ("train_001", "train_002", "val_000"):
        (data / f"videos/{name}.mp4").unlink()
    prune = prune.replace("-5KQ66BBWC4|1j20qq1JyX4", "train_000|val_001")
    for command in (copy, prune):
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)

    config = load_config(f"{ROOT}/configs/ava.py:mini")
    config.data.update(root=str(data), generate="", annotation_dir=directory)
    for subset, video in (("train", "train_000"), ("test", "val_001")):
        found = find_keyframes(config, None, subset)
        assert {(k.video, k.time) for k in found.keyframes} == {(video, 902.0), (video, 903.0)}
    assert {video for video, _ in found.ground_truth.keyframes} == {"val_001"}
