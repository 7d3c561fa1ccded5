"""What is checked and loaded before the weights are read; test_demo_command.py has the errors."""

import pytest
from ml_collections import ConfigDict

from slowfast_jax.demo import parts as module
from slowfast_jax.demo.arguments import parse
from slowfast_jax.demo.parts import load_parts

BOXES = "video,time,x1,y1,x2,y2,action,score\na,1,0,0,1,1,run,0.9\na,1,0,0,0.5,1,sit,0.3\n"


@pytest.fixture
def table(tmp_path):
    (tmp_path / "boxes.csv").write_text(BOXES)
    return str(tmp_path / "boxes.csv")


def test_weights_on_the_hub_bring_config_and_names(table):
    arguments = parse([
        "a.mp4", "--weights", "hf://a/b", "--boxes", table, "--ground-truth", table,
    ])
    parts, problems = load_parts(arguments, ["a.mp4"])
    assert not problems and parts.config is None and parts.truths is None
    config = ConfigDict({"data": {"score_threshold": 0.5}})
    parts = parts.with_tables(arguments, ["a.mp4"], config, ["run", "sit"])
    assert [len(moment.boxes) for moment in parts.boxes.moments["a"].values()] == [1]
    assert [len(moment.boxes) for moment in parts.truths.moments["a"].values()] == [2]


@pytest.mark.parametrize(("flags", "takes_boxes", "opened"), [
    ([], True, ["yolox_nano"]), ([], False, []), (["--detector", "yolox_s"], False, ["yolox_s"]),
    (["--boxes", "t"], True, []), (["--detector", "frame"], True, ["frame"]),
])
def test_which_detector_is_opened(monkeypatch, flags, takes_boxes, opened):
    names = []
    monkeypatch.setattr(module, "load_detector", lambda name, threshold: names.append(name))
    arguments = parse(["a.mp4", "--weights", "w", *flags])
    module.Parts().with_detector(arguments, takes_boxes)
    assert names == opened
