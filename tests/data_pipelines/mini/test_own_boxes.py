"""Generated custom tables of boxes."""

import csv

from data_pipelines.mini.ava_scenes import ACTIONS
from data_pipelines.mini.own_boxes import write_own
from data_pipelines.sources.box_tables import find_actions, read_tables


def test_tables_and_videos(tmp_path):
    write_own(tmp_path, seed=0, train_videos=3, test_videos=2, seconds=6, fps=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "people.csv", "test.csv", "train.csv", "videos"
    ]
    videos, names = tmp_path / "videos", [name for name, _ in ACTIONS.values()]
    for table, count in (("train.csv", 3), ("test.csv", 2)):
        keyframes, _ = read_tables([tmp_path / table], folder=videos, class_names=names)
        assert len(keyframes) == 4 * count  # seconds 2 to 5
        assert all(labels for keyframe in keyframes for labels in keyframe.labels)
    assert set(find_actions([tmp_path / "train.csv"])) < set(names)
    detected, _ = read_tables(
        predicted=[tmp_path / "people.csv"], folder=videos, class_names=names
    )
    assert {(k.video, k.time) for k in detected} <= {(k.video, k.time) for k in keyframes}
    with open(tmp_path / "people.csv", newline="") as file:
        assert next(csv.reader(file)) == ["video", "time", "x1", "y1", "x2", "y2", "score"]


def test_the_default_size_has_all_actions(tmp_path, monkeypatch):
    monkeypatch.setattr("data_pipelines.mini.datasets.write_video", lambda *_, **__: None)
    write_own(tmp_path, seed=0)
    assert len(find_actions([tmp_path / "train.csv"])) == len(ACTIONS)
    assert set(find_actions([tmp_path / "test.csv"])) <= set(find_actions([tmp_path / "train.csv"]))
