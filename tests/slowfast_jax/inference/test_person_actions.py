"""Fine-tunes a Kinetics-400 X3D-XS to the actions of persons in real videos, and tests it.

Boxes come from a real person detector. The action of each person is assumed to be the known action
of the video. Training sees the first part of every video but one, of which it sees nothing.
"""

import csv
import json

import numpy as np
import pytest

from data_pipelines.video.decoding import probe
from data_pipelines.video.seeking import select_frames
from slowfast_jax import predict
from slowfast_jax.config import load_config
from slowfast_jax.data.keyframe_lists import find_keyframes
from slowfast_jax.detectors.load import load_detector
from slowfast_jax.inference.person_actions import score_keyframes
from slowfast_jax.recognizer import load
from slowfast_jax.train import train
from tests.support.paths import REAL, ROOT, needs_real

pytestmark = [pytest.mark.slow, needs_real]

ACTIONS = {  # names of Kinetics-400
    "mmaction2_demo_arm_wrestling.mp4": "arm wrestling",
    "mmaction2_test_video_structuralize.mp4": "shooting basketball",
    "mmaction2_tests_test.mp4": "cleaning pool",
    "snu_archery.mp4": "archery",
    "torchvideo_android_video3.mp4": "salsa dancing",
    "paddlevideo_example_archery.avi": "archery",
}
UNSEEN = "paddlevideo_example_archery"
WEIGHTS = REAL / "weights/X3D_XS_k400_pyslowfast.pyth"
STEP = 0.5  # seconds between keyframes
PART = 0.55  # fraction of a video for training; the test part begins a second later
PERSONS = 2  # largest persons used per keyframe; those in the background do other things
HEADER = ("video", "time", "x1", "y1", "x2", "y2", "action")


@pytest.fixture(scope="module")
def detector():
    pytest.importorskip("onnxruntime", reason="persons are detected with onnxruntime")
    return load_detector(str(REAL / "detector/yolox_nano_coco.onnx"))


def keyframe_indices(info):
    """Indices of frames every STEP seconds, except at the ends."""
    return np.unique(np.round(np.arange(STEP, info.duration - STEP, STEP) * info.fps).astype(int))


def persons(detector, name):
    """Yields (seconds, box) of the largest persons in the keyframes of a video."""
    info, indices, pictures = select_frames(str(REAL / "videos" / name), keyframe_indices)
    for index, picture in zip(indices, pictures, strict=True):
        boxes, _ = detector(picture)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        for box in boxes[np.argsort(-areas)[:PERSONS]]:
            if (box[2:] - box[:2]).prod() > 0.02:
                yield float(index / info.fps), box


def write(path, rows, header=HEADER):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="module")
def root(detector, tmp_path_factory):
    """A folder with train.csv and test.csv."""
    root = tmp_path_factory.mktemp("real")
    training, test = [], []
    for name, action in ACTIONS.items():
        duration = probe(str(REAL / "videos" / name)).duration
        for seconds, box in persons(detector, name):
            row = (name, f"{seconds:.3f}", *(f"{edge:.4f}" for edge in box), action)
            if name.startswith(UNSEEN) or seconds > PART * duration + 1:
                test.append(row)
            elif seconds < PART * duration:
                training.append(row)
    write(root / "train.csv", training)
    write(root / "test.csv", test)
    return root


@pytest.fixture(scope="module")
def config(root):
    config = load_config(f"{ROOT}/configs/own.py:x3d_xs")
    config.data.root, config.data.video_dir = str(root), str(REAL / "videos")
    config.model.num_classes = len(set(ACTIONS.values()))
    config.train.update({
        "batch_size": 8, "epochs": 4, "eval_period": 0, "threads": 2, "train_only": "head/.*",
    })
    config.train.init_from.path = str(WEIGHTS)
    return config


@pytest.fixture(scope="module")
def run(config, root):
    train(config, root / "run")
    return root / "run"


def accuracy(recognizer, found):
    """Top-1 accuracy over all boxes, and over those of the video that training did not see."""
    right = {True: [], False: []}
    for scored in score_keyframes(recognizer, found.keyframes):
        keyframe = found.keyframes[scored.index]
        predicted = [recognizer.class_names[k] for k in scored.scores.argmax(-1)]
        true = [found.names[labels[0]] for labels in keyframe.labels]
        right[keyframe.video == UNSEEN] += [a == b for a, b in zip(predicted, true, strict=True)]
    print({unseen: f"{sum(hits)} of {len(hits)}" for unseen, hits in right.items()})
    return np.mean(right[True] + right[False]), np.mean(right[True])


def test_fine_tuning_learns_the_actions(config, run):
    found = find_keyframes(config, None, "test")
    assert len(found.keyframes) > 30 and len(found.names) == 5
    kinetics = load_config("kinetics/x3d_xs")
    kinetics.protocol.test_crop = config.protocol.test_crop
    of_400, _ = accuracy(load(kinetics, WEIGHTS, detection=True), found)
    skip = config.train.init_from.skip
    before, _ = accuracy(load(config, WEIGHTS, skip=skip), found)
    after, unseen = accuracy(load(run), found)
    print(f"Kinetics head {of_400:.3f}, new head {before:.3f}, trained {after:.3f}")
    assert before < 0.5 < of_400 < 0.9 < after and unseen > 0.8


def test_landscape_and_portrait_videos(detector, run, tmp_path, capsys):
    """In the portrait video the boxes show a cat."""
    wide, upright = (
        str(REAL / "videos" / name)
        for name in ("mmaction2_demo_skeleton.mp4", "snu_shaking_hands.mp4")
    )
    rows = [(wide, f"{t:.3f}", *box) for t, box in persons(detector, wide)]
    rows += [(upright, t, 0.05, 0.2, 0.95, 0.9) for t in (1, 10, 20)]
    write(tmp_path / "people.csv", rows, HEADER[:-1])
    out = tmp_path / "out.json"
    assert predict.cli([
        wide, upright, "--weights", str(run), "--boxes", str(tmp_path / "people.csv"),
        "--draw", str(tmp_path), "--json", str(out),
    ]) == 0
    records = json.loads(out.read_text())
    assert [len(record["keyframes"]) for record in records] == [4, 3]
    scores = [
        prediction["score"] for record in records for keyframe in record["keyframes"]
        for person in keyframe["persons"] for prediction in person["predictions"]
    ]
    assert np.isfinite(scores).all() and 0 <= min(scores) < max(scores) <= 1
    for video in (wide, upright):
        drawn, original = probe(str(tmp_path / f"{video.split('/')[-1]}")), probe(video)
        assert drawn.frames == original.frames and drawn.fps == pytest.approx(original.fps, 0.01)
        assert (drawn.width > drawn.height) == (original.width > original.height)
    assert "1 of" not in capsys.readouterr().err
