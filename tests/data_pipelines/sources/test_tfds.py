"""Data sets prepared by TFDS, compared with its own reader."""

import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.sources.tfds import read_tfds
from data_pipelines.video.decoding import VideoError, probe
from data_pipelines.video.records import Record, RecordPictures
from tests.data_pipelines.conftest import frame_numbers, numbered_frames
from tests.data_pipelines.support.shards import CONTENT, write_set
from tests.data_pipelines.video.test_records import png

# How ucf101 of TFDS describes its video.
VIDEO = {
    "pythonClassName": "tensorflow_datasets.core.features.video_feature.Video",
    "video": {
        "shape": {"dimensions": ["-1", "48", "64", "3"]}, "dtype": "uint8",
        "encodingFormat": "png", "ffmpegExtraArgs": [],
    },
}
NAMES = ["jump", "run", "sit"]
LABEL = tfds.features.ClassLabel(names=NAMES)


def frames_set(data_dir, **keywords):
    """Writes 8 videos of 1, 2, ... 8 frames, video i of class i % 3, in shards of 3, 0, 4 and 1."""
    examples = [
        {"video": [png(f) for f in numbered_frames(i + 1)], "label": i % 3} for i in range(8)
    ]
    features = {"video": tfds.features.Sequence(CONTENT), "label": LABEL}
    splits = {"train": [examples[:3], [], examples[3:7], examples[7:]], "test": [examples[:2]]}
    return write_set(data_dir, "acts", {"video": VIDEO}, features, splits, **keywords)


def test_videos_as_frames(tmp_path):
    frames_set(tmp_path, config="acts_1", version="2.0.0")
    found = read_tfds("acts/acts_1:2.0.0:train", data_dir=tmp_path, num_classes=3)
    assert found.class_names == NAMES and found.file.name == "dataset_info.json"
    assert [sample.label for sample in found.samples] == [i % 3 for i in range(8)]
    assert [sample.source.open()[0] for sample in found.samples] == list(range(1, 9))
    assert all(isinstance(sample.source, RecordPictures) for sample in found.samples)
    assert found.samples[0].path.endswith("acts-train.array_record-00000-of-00004, record 0")
    element = load_clip(
        found.samples[7], Sampling(num_frames=4, sampling_rate=2, target_fps=30.0),
        Augmentation(crop=48), rng=None,
    )
    assert element["label"] == 1 and frame_numbers(element["clip"]) == [0, 2, 4, 7]
    assert len(read_tfds("acts:test", data_dir=tmp_path).samples) == 2
    assert "tensorflow" not in sys.modules


def test_slices_are_those_of_tfds(tmp_path):
    frames_set(tmp_path)
    samples = read_tfds("acts:train[2:5]", data_dir=tmp_path).samples
    assert [sample.source.open()[0] for sample in samples] == [3, 4, 5]
    assert len(read_tfds("acts:train[:50%]+test", data_dir=tmp_path).samples) == 6


def test_encoded_videos_as_tfds_reads_them(tmp_path, videos):
    names = ("numbered", "five", "ntsc")
    features = {
        "clip_id": tfds.features.Text(), "video": CONTENT,
        "labels": tfds.features.Sequence(tfds.features.ClassLabel(names=NAMES)),
    }
    examples = [
        {"clip_id": name, "video": videos[name].read_bytes(), "labels": list(range(i))}
        for i, name in enumerate(names, 1)
    ]
    write_set(tmp_path, "films", {}, features, {"train": [examples[:2], examples[2:]]})
    samples = read_tfds("films:train", data_dir=tmp_path, multi_label=True).samples
    read = tfds.data_source("films", split="train", data_dir=tmp_path, download=False)
    assert len(read) == len(samples) == 3
    for sample, values, name in zip(samples, read, names, strict=True):
        assert sample.source.read() == values["video"] == videos[name].read_bytes()
        assert list(sample.label) == list(values["labels"])
        assert isinstance(sample.source, Record) and probe(sample.source) == probe(videos[name])
    assert "tensorflow" not in sys.modules


def test_arrays(tmp_path):
    frames = np.stack(numbered_frames(6))
    features = {
        "image_sequence": tfds.features.Tensor(
            shape=(None, None, None, 3), dtype=np.uint8, encoding="zlib"
        ),
        "action": LABEL,
    }
    examples = [{"image_sequence": frames[:n], "action": 2} for n in (6, 3)]
    write_set(tmp_path, "toys", {}, features, {"train": [examples]})
    found = read_tfds("toys:train", data_dir=tmp_path)
    for sample, count in zip(found.samples, (6, 3), strict=True):
        frame_count, read = sample.source.open()
        assert frame_count == count and frame_numbers([read(2)]) == [2] and sample.label == 2
    assert found.class_names == NAMES


def test_invalid_names(tmp_path):
    frames_set(tmp_path)
    frames_set(tmp_path, version="10.0.0", file_format="tfrecord")
    for name, error, message in (
        ("acts", ValueError, "is not the name of a TFDS data set with a split"),
        ("acts:1.0.0", ValueError, "is not the name of a TFDS data set with a split"),
        ("fairs:train", FileNotFoundError, "fairs: no such data set; prepare it"),
        ("acts/big:train", FileNotFoundError, "acts: no config big in it; nothing is prepared"),
        ("acts:3.0.0:train", FileNotFoundError, "no version 3.0.0 in it; there are 1.0.0, 10.0.0"),
        ("acts:train", ValueError, "10.0.0: its files are tfrecord"),
        ("acts:1.0.0:val", ValueError, "no split 'val'; there are train, test"),
    ):
        with pytest.raises(error, match=message):
            read_tfds(name, data_dir=tmp_path)


def test_missing_features(tmp_path):
    scalar = tfds.features.Scalar(dtype=np.int64)
    write_set(tmp_path, "one", {}, {"text": tfds.features.Text(), "label": scalar}, {"train": []})
    write_set(tmp_path, "two", {}, {"video": CONTENT, "number": scalar}, {"train": []})
    with pytest.raises(ValueError, match="which feature is the video. There are label, text"):
        read_tfds("one:train", data_dir=tmp_path)
    with pytest.raises(ValueError, match="which feature is the label. There are number, video"):
        read_tfds("two:train", data_dir=tmp_path)


def test_labels_are_checked_when_they_are_read(tmp_path):
    folder = frames_set(tmp_path)
    sample = read_tfds("acts:train", data_dir=tmp_path, num_classes=2).samples[2]
    with pytest.raises(ValueError, match="record 2: label 2; expected a class within 0..1"):
        _ = sample.label
    next(folder.glob("*test*00000*")).write_bytes(b"")
    with pytest.raises(VideoError, match="acts-test.*, record 0: cannot be read"):
        _ = read_tfds("acts:test", data_dir=tmp_path).samples[0].label
