"""Custom actions: a config turns tables into keyframes and ground truth; errors in tables."""

import json

import numpy as np
import pytest

from data_pipelines.video.encoding import write_video
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.data.keyframe_lists import find_keyframes
from slowfast_jax.evaluate import evaluate, printed
from slowfast_jax.train import train
from slowfast_jax.training.checkpoint import load_metadata
from slowfast_jax.training.writers import read_metrics
from tests.support.paths import ROOT

HEADER = "video,time,x1,y1,x2,y2,action\n"
LEFT, RIGHT = "0.1,0.2,0.4,0.9", "0.5,0.2,0.9,0.9"
TRAIN = (f"a,1,{LEFT},wave", f"a,1,{LEFT},stand", f"a,1,{RIGHT},sit", f"a,2,{LEFT},sit",
         f"b,1.5,{RIGHT},stand", f"b,2,{RIGHT},")
TEST = (f"c,1,{LEFT},wave", f"c,1,{RIGHT},stand", f"c,1,{RIGHT},wave", f"c,2,{LEFT},",
        f"c,2.5,{RIGHT},sit")


@pytest.fixture
def root(tmp_path):
    """Videos, train.csv and test.csv."""
    (tmp_path / "videos").mkdir()
    for number, name in enumerate("abc"):
        frames = [np.full((36, 48, 3), 60 * number + frame, np.uint8) for frame in range(30)]
        write_video(tmp_path / f"videos/{name}.mp4", frames, fps=10)
    write(tmp_path / "train.csv", TRAIN)
    write(tmp_path / "test.csv", TEST)
    return tmp_path


def write(path, rows, header=HEADER):
    path.write_text(header + "".join(f"{row}\n" for row in rows))


def config_of(root, num_classes=3, **data):
    config = load_config(f"{ROOT}/tests/recipes/own.py")
    with config.unlocked():
        config.model.num_classes = num_classes
        config.data.update({"root": str(root)} | data)
    return config


def test_classes_come_from_the_training_table(root):
    config = config_of(root)
    training = find_keyframes(config, None, "train")
    assert training.names == ["sit", "stand", "wave"] and training.ground_truth is None
    assert [(k.video, k.time, k.labels) for k in training.keyframes] == [
        ("a", 1.0, ((2, 1), (0,))), ("a", 2.0, ((0,),)), ("b", 1.5, ((1,),)), ("b", 2.0, ((),)),
    ]
    for subset in ("val", "test"):
        found = find_keyframes(config, None, subset)
        assert found.names == training.names and found.evaluated == (1, 2, 3)
        assert [k.time for k in found.keyframes] == [1.0, 2.0, 2.5]
        truth = found.ground_truth
        assert truth.keyframes == [("c", 1.0), ("c", 2.0), ("c", 2.5)]
        assert truth.frame.tolist() == [0, 0, 0, 2] and truth.actions.tolist() == [3, 2, 3, 1]
        assert truth.boxes[1].tolist() == np.float32([0.5, 0.2, 0.9, 0.9]).tolist()


def test_classes_come_from_a_list(root):
    names = root / "names.txt"
    names.write_text("wave\nsit\nstand\nrun\n")
    config = config_of(root, num_classes=4)
    config.class_names = str(names)
    (root / "train.csv").unlink()
    found = find_keyframes(config, None, "test")
    assert found.names == ["wave", "sit", "stand", "run"]
    assert found.ground_truth.actions.tolist() == [1, 3, 1, 2]
    names.write_text("wave\nsit\nstnad\nrun\n")
    with pytest.raises(ValueError, match=r"test\.csv:3: action is 'stand'.*perhaps 'stnad'"):
        find_keyframes(config, None, "test")


def test_detected_boxes_are_tested_at_annotated_keyframes(root):
    rows = [f"c.mp4,1,{LEFT},0.9", f"c.mp4,1,{RIGHT},0.3", f"c.mp4,1.5,{LEFT},0.9"]
    write(root / "people.csv", rows, HEADER.replace("action", "score"))
    found = find_keyframes(config_of(root, test_detections=("people.csv",)), None, "test")
    (keyframe,) = found.keyframes
    assert keyframe.time == 1.0 and keyframe.scores.tolist() == [np.float32(0.9)]
    assert len(found.ground_truth.keyframes) == 3  # undetected people count as misses
    assert [path.name for path in found.files] == ["people.csv", "test.csv"]
    write(root / "people.csv", rows[2:], HEADER.replace("action", "score"))
    with pytest.raises(ConfigError, match=r"people\.csv \(.* c at 1\.5\) is in .*test\.csv"):
        find_keyframes(config_of(root, test_detections=("people.csv",)), None, "test")


def test_errors_in_tables(root):
    with pytest.raises(ConfigError, match=(
        r"train\.csv has 3 actions \(sit, stand, wave\), but the network has 2 classes: set "
        "--config.model.num_classes=3"
    )):
        find_keyframes(config_of(root, num_classes=2), None, "train")
    with pytest.raises(ConfigError, match="max_boxes is 1, but a keyframe of .* has 2 boxes"):
        find_keyframes(config_of(root, max_boxes=1), None, "train")
    write(root / "test.csv", [*TEST, f"c,1,{LEFT},run"])
    with pytest.raises(ValueError, match=r"test\.csv:7: action is 'run'; expected one of 3"):
        find_keyframes(config_of(root), None, "test")
    write(root / "test.csv", [f"d,1,{LEFT},sit"])
    with pytest.raises(ValueError, match=r"test\.csv:2: video 'd' not found"):
        find_keyframes(config_of(root), None, "test")
    write(root / "test.csv", [])
    with pytest.raises(ValueError, match=r"test\.csv: no boxes"):
        find_keyframes(config_of(root), None, "test")
    (root / "train.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.csv: no such table"):
        find_keyframes(config_of(root), None, "train")
    with pytest.raises(ConfigError, match=r"train\.csv\): set config.data.root, or config.class_"):
        find_keyframes(config_of(root), None, "test")


def test_table_is_trained_on_and_tested(root, capsys):
    config = config_of(root)
    config.train.train_only = "head/.*"
    results = train(config, root / "run")
    assert 0 <= results["map"] <= 100 and "validation: 3/3" in capsys.readouterr().err
    checkpoint = root / "run/checkpoints/2"
    assert load_metadata(checkpoint)["class_names"] == ["sit", "stand", "wave"]
    tested = evaluate(config, root / "run", checkpoint)
    assert "testing: 3/3" in capsys.readouterr().err
    assert tested["metrics"]["map"] == pytest.approx(results["map"], abs=1e-3)
    assert tested["metrics"]["per_class_boxes"] == {"sit": 1, "stand": 1, "wave": 2}
    assert len((root / "run/detections.csv").read_text().splitlines()) == 4 * 3
    stored = json.loads((root / "run/results.json").read_text())["fingerprint"]
    assert (stored["keyframes_listed"], stored["keyframes_used"], stored["keyframes_failed"]) == (
        3, 3, 0
    )
    assert tested["metrics"]["num_boxes"] == 4 and tested["metrics"]["num_keyframes"] == 3
    assert not {"views", "videos_listed", "videos_used"} & set(stored)
    assert not {"clips", "crops", "ensemble"} & set(stored["protocol"])
    assert "views" not in printed(tested) and printed(tested)["keyframes_used"] == 3
    assert "views" not in json.loads((root / "run/results.jsonl").read_text())
    row = read_metrics(root / "run")[-1]
    assert (row["split"], row["step"], row["epoch"]) == ("test", 2, 1)
    assert row["map"] == tested["metrics"]["map"]
    write(root / "train.csv", [row.replace("stand", "get up") for row in TRAIN])
    write(root / "test.csv", [row.replace("stand", "get up") for row in TEST])
    with pytest.raises(ConfigError, match=r"class 1 of the network is .sit., .*get up."):
        evaluate(config, root / "run2", checkpoint)


def test_train_only_that_matches_nothing_is_refused(root):
    config = config_of(root)
    config.train.train_only = "haed/.*"
    with pytest.raises(ValueError, match="train_only is 'haed/.*', which matches no parameter"):
        train(config, root / "run")
