"""All list formats that can be evaluated, on small data sets in each format's own layout."""

import json

import numpy as np
import pytest

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.mini import datasets
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.data.video_lists import GENERATORS, find_samples

SMALL = dict(count=5, seed=0, height=24, width=32)
SSV2_FILES = {
    "data.class_list": "something-something-v2-labels.json",
    "data.val_labels": "something-something-v2-validation.json",
}


def config_of(root, **fields):
    config = load_config("test/tiny")
    config.data.root = config.data.path_prefix = str(root)
    config.update_from_flattened_dict({"data.test_list": "val.csv"} | fields)
    return config


def ssv2(root, **fields):
    return config_of(root, **{"data.format": "ssv2"} | SSV2_FILES | fields)


def charades(root, **fields):
    return config_of(root, **{"data.format": "charades", "data.multi_label": True} | fields)


def test_ssv2_without_extracted_frames(tiny, tmp_path):
    datasets.write_ssv2(tmp_path, frames=3, **SMALL)
    (tmp_path / "webm").mkdir()
    frames = np.random.default_rng(0).integers(0, 256, (12, 32, 48, 3), np.uint8)
    options = {"cpu-used": "8"}
    write_video(tmp_path / "webm/1.webm", frames, codec="libvpx-vp9", options=options)
    config = ssv2(tmp_path, **{"data.test_list": "", "data.path_prefix": str(tmp_path / "webm")})
    listing = find_samples(config)
    assert listing.files[0].name == SSV2_FILES["data.val_labels"]
    by_frames = find_samples(ssv2(tmp_path))
    assert [s.label for s in listing.samples] == [s.label for s in by_frames.samples]
    assert listing.samples[0].source == f"{tmp_path}/webm/1.webm"
    sampling = Sampling(num_frames=4, sampling_rate=2, target_fps=30.0, mode="ssv2")
    clip = load_clip(
        listing.samples[0], sampling, Augmentation(crop=16), rng=None
    )["clip"]
    assert clip.shape == (4, 16, 16, 3)
    with pytest.raises(VideoError, match="2.webm: no such file"):
        load_clip(listing.samples[1], sampling, Augmentation(crop=16), rng=None)


def test_ssv2(tiny, tmp_path):
    datasets.write_ssv2(tmp_path, frames=3, **SMALL)
    listing = find_samples(ssv2(tmp_path))
    assert [sample.label for sample in listing.samples] == [0, 1, 2, 3, 0]
    assert [sample.path for sample in listing.samples] == ["1", "2", "3", "4", "5"]
    assert listing.samples[0].frames.count == 3
    assert listing.class_names[0] == "Moving something sideways"
    assert [path.name for path in listing.files] == ["val.csv", *SSV2_FILES.values()]


def test_charades(tiny, tmp_path):
    datasets.write_charades(tmp_path, frames=6, **SMALL)
    listing = find_samples(charades(tmp_path))
    assert [sample.label for sample in listing.samples] == [(0, 1), (1, 2), (2, 3), (0, 3), (0, 2)]
    assert listing.class_names == list(datasets.SHAPE_NAMES)
    with pytest.raises(ConfigError, match="config.data.multi_label is False"):
        find_samples(config_of(tmp_path, **{"data.format": "charades"}))
    with pytest.raises(ValueError, match=r"val\.csv:\d+: label 2; expected a class within 0..1"):
        find_samples(charades(tmp_path, **{"model.num_classes": 2}))


def test_imagenet(tiny, tmp_path):
    datasets.write_imagenet(tmp_path, **SMALL)
    config = config_of(tmp_path, **{"data.format": "imagenet", "data.test_list": "val"})
    listing = find_samples(config)
    assert [sample.label for sample in listing.samples] == [0, 0, 1, 2, 3]
    assert listing.class_names == list(datasets.IMAGENET_CLASSES)
    config.model.num_classes = 1000
    with pytest.raises(ConfigError, match=r"val has 4 classes, but the network has 1000"):
        find_samples(config)


def test_rawframes(tiny, tmp_path):
    (tmp_path / "val.csv").write_text("a/b 163 1\nc 20 3\n")
    config = config_of(
        tmp_path, **{"data.format": "rawframes", "data.frame_template": "{:06d}.png"}
    )
    first, second = find_samples(config).samples
    assert first.frames.path(162) == f"{tmp_path}/a/b/000163.png" and first.label == 1
    assert second.frames.count == 20
    config.data.frame_start = 0
    assert find_samples(config).samples[1].frames.path(0) == f"{tmp_path}/c/000000.png"
    (tmp_path / "val.csv").write_text("a/b 7 163 1\n")
    config.data.frame_offset = True
    (sample,) = find_samples(config).samples
    assert (sample.label, sample.frames.path(0)) == (1, f"{tmp_path}/a/b/000007.png")
    config.data.frame_template = "frame.png"
    with pytest.raises(ValueError, match="data.frame_template 'frame.png' has no place"):
        find_samples(config)


@pytest.mark.parametrize("format_", ["rawframes", "ssv2", "charades"])
def test_missing_path_prefix_is_reported_once(tiny, tmp_path, format_):
    with pytest.raises(ConfigError, match="path_prefix is .*gone, which is not a folder"):
        find_samples(config_of(
            tmp_path, **{"data.format": format_, "data.path_prefix": str(tmp_path / "gone")}
        ))


def test_all_wrong_files_of_something_something_are_reported(tiny, tmp_path):
    for name in SSV2_FILES.values():
        (tmp_path / name).write_text("{" if name.endswith(".json") else "a table\n")
    config = ssv2(tmp_path, **{"data.path_prefix": str(tmp_path / "gone")})
    with pytest.raises(ConfigError) as raised:
        find_samples(config)
    found = "\n".join(raised.value.problems)
    assert len(raised.value.problems) == 4, found
    for name in ("gone", *SSV2_FILES.values()):
        assert name in found
    (tmp_path / SSV2_FILES["data.class_list"]).unlink()
    with pytest.raises(ConfigError, match="labels.json: no such file(.|\n)*validation.json:1"):
        find_samples(config)


@pytest.mark.parametrize(
    ("format_", "names"),
    [("kinetics", "classes.txt"), ("rawframes", "classes.txt"), ("records", "classes.txt"),
     ("charades", "Charades_v1_classes.txt")],
)
def test_a_wrong_list_and_wrong_names_are_one_error(tiny, tmp_path, format_, names):
    (tmp_path / "val.csv").write_text("\n")
    (tmp_path / names).write_text("a\na\n")
    config = config_of(tmp_path, **{"data.format": format_, "data.test_list": "val.csv"})
    config.data.multi_label = format_ == "charades"
    with pytest.raises(ConfigError) as raised:
        find_samples(config)
    listed, named = raised.value.problems
    assert "val.csv" in listed and names in named


def _records_without_files(root):
    """A list with a video of each kind of bad row, and one whose file is missing."""
    (root / "clips.array_record").write_bytes(b"")
    rows = ["shard,record,id,label"]
    rows += [f"clips.array_record,{row}" for row in ("0,a,1", "x,b,1", "1,c,9", "2,d")]
    (root / "val.csv").write_text("\n".join(rows) + "\n")
    return config_of(root, **{"data.format": "records"})


def _charades_without_files(root):
    rows = [f"{video} 0 0 {video}/1.jpg {label}" for video, label in
            (("a", '"1"'), ("b", "x"), ("c", '"9"'))]
    rows.insert(2, "b 0 1 b/2.jpg")
    text = "\n".join(["original_vido_id video_id frame_id path labels", *rows])
    (root / "val.csv").write_text(text + "\n")
    return charades(root)


def _ssv2_without_files(root):
    datasets.write_ssv2(root, frames=1, **SMALL)
    for path in root.rglob("*.jpg"):
        path.unlink()
    path = root / SSV2_FILES["data.val_labels"]
    entries = json.loads(path.read_text())
    for entry in entries[1:4]:
        entry["template"] = "Doing [something] else"
    path.write_text(json.dumps(entries))
    return ssv2(root)


@pytest.mark.parametrize(
    ("write", "missing"),
    [(_records_without_files, ""), (_charades_without_files, "none of its 3 videos exists"),
     (_ssv2_without_files, "none of its 2 videos exists")],
)
def test_all_bad_rows_and_missing_videos_are_one_error(tiny, tmp_path, write, missing):
    with pytest.raises(ConfigError) as raised:
        find_samples(write(tmp_path))
    lines = "\n".join(raised.value.problems).splitlines()
    rows = [line for line in lines if str(tmp_path) in line and "exists" not in line]
    assert len(rows) == 3, lines
    assert len({line.removeprefix(str(tmp_path)).split(": ")[0] for line in rows}) == 3
    assert missing in lines[-1]


def test_wrong_class_lists_are_refused(tiny, tmp_path):
    datasets.write_ssv2(tmp_path, frames=3, **SMALL)
    with pytest.raises(ConfigError, match=r"labels.json has 4 classes, but the network has 174"):
        find_samples(ssv2(tmp_path, **{"model.num_classes": 174}))
    with pytest.raises(ConfigError, match="config.data.class_list is empty"):
        find_samples(ssv2(tmp_path, **{"data.class_list": ""}))
    path = tmp_path / SSV2_FILES["data.val_labels"]
    entries = json.loads(path.read_text())
    entries[2]["template"] = "Doing [something] else"
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"validation.json, entry 3: template 'Doing something"):
        find_samples(ssv2(tmp_path))


def test_unknown_formats_and_generators_are_refused(tiny, tmp_path):
    with pytest.raises(ConfigError, match="format is ssv3; expected one of .*did you mean ssv2"):
        find_samples(config_of(tmp_path, **{"data.format": "ssv3"}))
    with pytest.raises(ConfigError, match="generate is kinetics_mimi.*did you mean kinetics_mini"):
        find_samples(config_of(tmp_path, **{"data.generate": "kinetics_mimi"}), tmp_path)
    with pytest.raises(ConfigError, match="in a workdir, but none is set; pass --workdir"):
        find_samples(config_of(tmp_path, **{"data.generate": "kinetics_mini"}))


@pytest.mark.parametrize(
    "name", [n for n in GENERATORS if n.endswith("_mini") and "count" in GENERATORS[n][1]]
)
def test_mini_recipes_find_their_generated_data(name, tmp_path):
    config = load_config(f"configs/{name.removesuffix('_mini')}.py:mini")
    assert config.data.generate == name
    listing = find_samples(config, tmp_path)
    assert len(listing.samples) == GENERATORS[name][1]["count"]
    assert len(listing.class_names) == config.model.num_classes == 4
