"""ava-mini: files, frequency of actions, reproducibility and speed."""

import re
import time
from collections import Counter

import numpy as np
import pytest

from data_pipelines.mini import ava_scenes
from data_pipelines.mini.ava_scenes import ACTION_IDS, ACTIONS, overlap, plan_scenes
from data_pipelines.mini.datasets import DETECTIONS, write_ava
from data_pipelines.video.decoding import probe, read_frames

SMALL = dict(train_videos=2, val_videos=2, seconds=4, fps=12, height=64, width=80)
SIZE = dict(seconds=12, fps=15, height=96, width=128)
BOX = r"\w+,09\d\d(,[01]\.\d{3}){4}"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ava")
    write_ava(folder, seed=3, **SMALL)
    return folder


@pytest.fixture(scope="module")
def val_scenes():
    """The validation scenes of `write_ava(seed=0)` with their detections."""
    return [(s, ava_scenes.detect(s, random)) for s, random in plan_scenes(24, [0, 1], **SIZE)]


def lines(folder, name: str) -> list[str]:
    return (folder / "annotations" / name).read_text(encoding="utf-8").splitlines()


def test_files(small):
    names = ["train_000", "train_001", "val_000", "val_001"]
    assert sorted(path.stem for path in (small / "videos").iterdir()) == names
    for name in names:
        info = probe(small / f"videos/{name}.mp4")
        assert (info.frames, info.fps, info.codec) == (48, 12.0, "h264")
        assert (info.height, info.width) == (64, 80)
    for split in ("train", "val"):
        rows = lines(small, f"ava_{split}_v2.2.csv")
        assert all(re.fullmatch(BOX + r",([1-9]|1\d),\d", row) for row in rows)
        assert {row.split(",")[0] for row in rows} == {f"{split}_000", f"{split}_001"}
        assert {row.split(",")[1] for row in rows} == {"0902", "0903"}
        excluded = lines(small, f"ava_{split}_excluded_timestamps_v2.2.csv")
        assert len(excluded) == 1 and re.fullmatch(rf"{split}_00[01],090[23]", excluded[0])
    found = lines(small, DETECTIONS["train"])
    assert all(re.fullmatch(BOX + r",\d*,0\.\d{6}", row) for row in found)
    assert all(re.fullmatch(BOX + r",,0\.\d{6}", row) for row in lines(small, DETECTIONS["val"]))
    listed = lines(small, "ava_action_list_v2.2.pbtxt")
    assert listed[:5] == [
        "label {", '  name: "crouch/kneel"', "  label_id: 1",
        "  label_type: PERSON_MOVEMENT", "}",
    ]
    evaluated = lines(small, "ava_action_list_v2.2_for_activitynet_2019.pbtxt")
    assert evaluated[-4:] == [
        "item {", '  name: "hand over (an object)"', f"  id: {len(ACTIONS)}", "}",
    ]


def test_same_seed_gives_the_same_data(small, tmp_path):
    write_ava(tmp_path / "again", seed=3, **SMALL)
    write_ava(tmp_path / "other", seed=4, **SMALL | {"train_videos": 1, "val_videos": 1})
    files = [path.relative_to(small) for path in small.rglob("*") if path.is_file()]
    assert len(files) == 4 + 8
    for file in files:
        again = (tmp_path / "again" / file).read_bytes()
        assert again == (small / file).read_bytes(), file
    for name in ("train_000", "val_000"):
        one, other = (
            read_frames(f / f"videos/{name}.mp4", [24]) for f in (small, tmp_path / "other")
        )
        assert np.abs(one.astype(int) - other).mean() > 5


def test_the_full_set_is_quick_to_write(tmp_path):
    start = time.process_time()
    write_ava(tmp_path, seed=0, train_videos=1, val_videos=1)
    assert (time.process_time() - start) * 52 < 60  # 104 videos; an idle machine needs half
    assert sum(path.stat().st_size for path in (tmp_path / "videos").iterdir()) < 400_000


def test_figures_are_where_the_boxes_are(small):
    """Most of the pixels that change strongly over time lie within boxes."""
    for number, (scene, _) in enumerate(
        plan_scenes(2, [3, 0], **{k: SMALL[k] for k in ("seconds", "fps", "height", "width")})
    ):
        frames = read_frames(small / f"videos/train_{number:03d}.mp4", range(48)).astype(int)
        changed = np.abs(frames[24] - np.median(frames, 0)).sum(-1) > 90
        inside = np.zeros_like(changed)
        for box in scene.boxes[:, 24]:
            left, top, right, bottom = (box * [80, 64, 80, 64]).round().astype(int)
            inside[top:bottom, left:right] = True
        assert changed.sum() > 50 and changed[~inside].sum() < 0.15 * changed.sum()


def test_every_action_occurs_often_enough(val_scenes):
    rows = [row for scene, _ in val_scenes for row in ava_scenes.annotate(scene)]
    counts = Counter(action for row in rows for action in row.ids)
    assert set(counts) == set(range(1, len(ACTIONS) + 1)) and min(counts.values()) >= 15
    bodies = set(range(1, 10))
    assert all(len(bodies & set(row.ids)) == 1 for row in rows)
    assert 0.3 < np.mean([len(row.ids) > 1 for row in rows]) < 0.8
    for pair in (("lift", "put down"), ("fall", "get up"), ("wave", "raise"), ("push", "grab")):
        one, other = (counts[ACTION_IDS[key]] for key in pair)
        assert max(one, other) < 1.7 * min(one, other)
    boxes = np.stack([row.box for row in rows])
    assert boxes.min() >= 0 and boxes.max() <= 1
    assert ((boxes[:, 2:] - boxes[:, :2]) > 0.04).all()


def test_detections_miss_few_figures_and_have_false_positives(val_scenes):
    hits, people, false, unsure = Counter(), Counter(), 0, 0
    keyframes = 0
    for scene, found in val_scenes:
        for second in ava_scenes.keyframe_seconds(scene):
            keyframes += 1
            boxes = [row.box for row in found if row.second == second and row.mark >= 0.9]
            now = [row for row in ava_scenes.annotate(scene) if row.second == second]
            for person in now:
                people.update(person.ids)
                if max((overlap(person.box, box) for box in boxes), default=0) >= 0.5:
                    hits.update(person.ids)
            for row in found:
                if row.second == second and not row.ids:
                    false, unsure = false + 1, unsure + (row.mark < 0.9)
                    assert max(overlap(row.box, person.box) for person in now) < 0.3
    ceiling = np.mean([hits[action] / people[action] for action in people])
    print(f"mAP of a perfect classifier on these boxes: {ceiling:.3f}")
    assert 0.93 < ceiling < 0.99
    assert 0.1 < false / keyframes < 0.5 and 0 < unsure < false


def test_other_sizes_and_durations():
    for scene, random in plan_scenes(3, [1], seconds=5, fps=20, height=112, width=160):
        pictures = list(scene.pictures(random))
        assert len(pictures) == 100 and pictures[0].shape == (112, 160, 3)
        assert list(ava_scenes.keyframe_seconds(scene)) == [2, 3, 4]
        tall = (scene.boxes[..., 3] - scene.boxes[..., 1]).max()
        assert 0.4 < tall < 0.85
