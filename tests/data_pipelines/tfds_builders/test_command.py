"""The tfds_builders command: records, resuming, and errors."""

import csv
import errno
import io
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_pipelines.examples.keyframe_clips import load_keyframe
from data_pipelines.sources import ava, video_lists
from data_pipelines.sources.keyframes import find_sources
from data_pipelines.sources.record_lists import keyframes_in_records, read_record_list
from data_pipelines.sources.tfds import read_tfds
from data_pipelines.tfds_builders import shards
from data_pipelines.tfds_builders.__main__ import cli
from data_pipelines.video.decoding import read_frames
from data_pipelines.video.encoding import write_video
from data_pipelines.video.records import Record
from tests.data_pipelines.conftest import PLAIN, frame_numbers, numbered_frames


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    """train.csv with 7 videos of 20 + i frames, and val.csv."""
    folder = tmp_path_factory.mktemp("lists")
    for number in range(7):
        write_video(
            folder / f"{number}.mp4", numbered_frames(20 + number, 60, 82), options=PLAIN
        )
    (folder / "train.csv").write_text("".join(f"{n}.mp4 {n % 3}\n" for n in range(7)))
    (folder / "val.csv").write_text("5.mp4 1\n3.mp4 2\n")
    return folder


def write(lists: Path, out: Path, *arguments: str, split: str = "train") -> int:
    return cli([
        "kinetics", str(lists / f"{split}.csv"), "--root", str(lists), "--out", str(out),
        "--name", "mini", *arguments,
    ])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def folder_of(out: Path) -> Path:
    return out / "encoded_videos/mini/1.0.0"


def test_records_hold_the_reduced_videos(lists, tmp_path, capsys):
    assert write(lists, tmp_path, "--short-side=48", "--gop=4", "--shards=3") == 0
    folder = folder_of(tmp_path)
    assert f"{folder}/train.csv: 7 records" in capsys.readouterr().out
    assert not folder.with_name("1.0.0.unfinished").exists()
    samples = read_record_list(folder / "train.csv", num_classes=3)
    expected = video_lists.read_list(lists / "train.csv", path_prefix=lists)
    assert [(lists / s.path, s.label) for s in samples] == [(Path(s.path), s.label)
                                                            for s in expected]
    for number, sample in enumerate(samples):
        frames = read_frames(sample.source, range(20 + number))
        assert frames.shape == (20 + number, 48, 66, 3)
        assert frame_numbers(frames) == list(range(20 + number))
        keys = [p for p, packet in enumerate(_packets(sample.source)) if packet.is_keyframe]
        assert keys[0] == 0 and np.diff([*keys, 20 + number]).max() <= 4
    row = rows_of(folder / "train.csv")[6]
    assert (row["frames"], row["fps"], row["width"], row["height"]) == ("26", "30", "66", "48")
    assert row["shard"].endswith("-00002-of-00003") and row["record"] == "2"


def _packets(record: Record) -> list[av.Packet]:
    with av.open(io.BytesIO(record.read())) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def test_tfds_reads_the_records(lists, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("jump\nrun\nsit\n")
    assert write(lists, tmp_path, f"--classes={names}", "--shards=2") == 0
    read = tfds.data_source("encoded_videos/mini", split="train", data_dir=tmp_path, download=False)
    samples = read_record_list(folder_of(tmp_path) / "train.csv")
    found = read_tfds("encoded_videos/mini:train", data_dir=tmp_path, num_classes=3)
    assert found.class_names == ["jump", "run", "sit"]
    assert len(read) == len(found.samples) == 7
    for sample, same, values in zip(samples, found.samples, read, strict=True):
        assert sample.source == same.source and sample.source.read() == values["video"]
        assert sample.label == same.label == values["label"]
        assert values["id"].decode() == sample.path
        assert (values["width"], values["height"], values["fps"]) == (82, 60, 30)
    assert "tensorflow" not in sys.modules


def test_several_labels(lists, tmp_path):
    (tmp_path / "train.csv").write_text("0.mp4 2 4\n1.mp4 0\n")
    status = cli([
        "kinetics", str(tmp_path / "train.csv"), "--root", str(lists), "--out", str(tmp_path),
        "--name", "mini", "--multi-label",
    ])
    assert status == 0
    samples = read_record_list(folder_of(tmp_path) / "train.csv", multi_label=True)
    found = read_tfds("encoded_videos/mini:train", data_dir=tmp_path, multi_label=True)
    assert [s.label for s in samples] == [s.label for s in found.samples] == [(2, 4), (0,)]


def test_broken_videos_are_reported_and_skipped(lists, videos, tmp_path, capsys):
    listed = [lists / "0.mp4", videos["truncated"], videos["text"], "gone.mp4", lists / "1.mp4"]
    (tmp_path / "train.csv").write_text("".join(f"{path} 0\n" for path in listed))
    assert write(tmp_path, tmp_path) == 1
    errors = capsys.readouterr().err
    assert "videos that could not be encoded: 3" in errors
    assert f"train: {videos['text']}: cannot be opened" in errors
    assert "train: gone.mp4: no such file" in errors
    samples = read_record_list(folder_of(tmp_path) / "train.csv")
    assert [isinstance(s.source, Record) for s in samples] == [True, False, False, False, True]
    assert len(read_tfds("encoded_videos/mini:train", data_dir=tmp_path).samples) == 2
    assert write(tmp_path, tmp_path) == 1  # reports them again
    assert "exists already" in capsys.readouterr().out


def test_interrupted_work_is_resumed(lists, tmp_path, monkeypatch, capsys):
    encoded, encode = [], shards.encode

    def stopping(source, target, **settings):
        if len(encoded) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        encoded.append(Path(source).name)
        encode(source, target, **settings)

    monkeypatch.setattr("data_pipelines.progress.available_cores", lambda: 1)
    monkeypatch.setattr(shards, "encode", stopping)
    assert write(lists, tmp_path, "--shards=4") == 2
    assert "No space left" in capsys.readouterr().err
    assert not folder_of(tmp_path).exists()
    assert write(lists, tmp_path, "--shards=4", "--gop=3") == 2
    assert "started from other lists or with other settings" in capsys.readouterr().err
    monkeypatch.setattr(shards, "encode", encode)
    again = []
    monkeypatch.setattr(
        shards, "encode", lambda s, t, **k: (again.append(Path(s).name), encode(s, t, **k))
    )
    assert write(lists, tmp_path, "--shards=4") == 0
    # The files hold 1, 2, 2 and 2 videos; three files were complete.
    assert encoded == [f"{n}.mp4" for n in range(5)] and again == ["5.mp4", "6.mp4"]
    samples = read_record_list(folder_of(tmp_path) / "train.csv")
    assert [frame_numbers(read_frames(s.source, [19 + n])) for n, s in enumerate(samples)] == [
        [19 + n] for n in range(7)
    ]


@pytest.mark.parametrize("arguments, message", [
    (["kinetics", "{lists}/none.csv"], "none.csv: no such list"),
    (["kinetics", "{lists}/twice.csv"], "0.mp4 is listed twice"),
    (["kinetics", "{lists}/train.csv", "{lists}/sub/train.csv"], "another list is named train;"),
    (["kinetics", "{lists}/gone.csv"], "none of the 1 videos of gone can be encoded"),
    (["ava", "{lists}"], "has no folder annotations"),
])
def test_errors_of_the_command(lists, tmp_path, capsys, arguments, message):
    (lists / "twice.csv").write_text("0.mp4 1\n0.mp4 2\n")
    (lists / "gone.csv").write_text("gone.mp4 1\n")
    filled = [text.format(lists=lists) for text in arguments]
    assert cli([*filled, "--out", str(tmp_path), "--name=x"]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """AVA with two films of 12 seconds at 10 frames a second; frame n has gray level 20 + n."""
    folder = tmp_path_factory.mktemp("ava")
    (folder / "annotations").mkdir()
    (folder / "videos").mkdir()
    for film in "ab":
        write_video(
            folder / f"videos/{film}.mp4", _dark(120), fps=10, options=PLAIN
        )
    (folder / "annotations/train.csv").write_text(
        "".join(
            f"{film},{second:04d},0.1,0.2,0.5,0.9,{action},0\n"
            for film in "ba" for second in (901, 905, 911) for action in (3, 80)
        )
    )
    (folder / "annotations/found.csv").write_text("a,0903,0.1,0.2,0.5,0.9,,0.95\n")
    return folder


def _dark(count: int):
    return [np.full((64, 96, 3), 20 + n, np.uint8) for n in range(count)]


def test_keyframes_of_ava(films, tmp_path):
    status = cli([
        "ava", str(films), "--out", str(tmp_path), "--name=mini", "--boxes=train=train.csv",
        "--predicted=train=found.csv", "--seconds=1.2", "--short-side=32", "--shards=2",
    ])
    assert status == 0
    path = folder_of(tmp_path) / "train.csv"
    rows = rows_of(path)
    assert [(row["video"], row["time"], row["begin"], row["frames"]) for row in rows] == [
        ("b", "901", "900", "23"), ("b", "905", "903.8", "25"), ("b", "911", "909.8", "22"),
        ("a", "901", "900", "23"), ("a", "903", "901.8", "25"), ("a", "905", "903.8", "25"),
        ("a", "911", "909.8", "22"),
    ]
    boxes = ava.read_boxes(
        [films / "annotations/train.csv"], [films / "annotations/found.csv"], seconds=(900, 912)
    )
    of_records = keyframes_in_records(boxes, path)
    of_films = ava.keyframes(boxes, find_sources(films / "videos", boxes))
    assert [(k.video, k.time, k.labels) for k in of_records] == [
        (k.video, k.time, k.labels) for k in of_films
    ]
    for ours, theirs in zip(of_records, of_films, strict=True):
        clips = [
            load_keyframe(
                keyframe, num_frames=6, sampling_rate=4, crop=32, max_boxes=2, num_classes=80,
                rng=None,
            )["clip"]
            for keyframe in (ours, theirs)
        ]
        levels = [clip.mean((1, 2, 3)).round().tolist() for clip in clips]
        assert levels[0] == pytest.approx(levels[1], abs=1)
    read = tfds.data_source("encoded_videos/mini", split="train", data_dir=tmp_path, download=False)
    values = read[0]
    assert (values["id"], values["time"], values["begin"]) == (b"b", 901, 900)
    np.testing.assert_allclose(values["boxes"], [[0.1, 0.2, 0.5, 0.9]] * 2, rtol=1e-6)
    assert list(values["actions"]) == [3, 80] and len(read[4]["actions"]) == 0


def test_keyframes_of_films_as_images(films, tmp_path):
    for film in "ab":
        (tmp_path / "ava/frames" / film).mkdir(parents=True)
        for number, picture in enumerate(_dark(120), 1):
            name = f"{film}_{number:06d}.png"
            Image.fromarray(picture[:, :95]).save(tmp_path / "ava/frames" / film / name)
    (tmp_path / "ava/annotations").symlink_to(films / "annotations")
    status = cli([
        "ava", str(tmp_path / "ava"), "--out", str(tmp_path), "--name=mini", "--videos=frames",
        "--boxes=train=train.csv", "--fps=10", "--seconds=1.2", "--short-side=32",
    ])
    assert status == 0
    path = folder_of(tmp_path) / "train.csv"
    rows = rows_of(path)
    assert [(row["begin"], row["frames"]) for row in rows[:3]] == [
        ("900", "23"), ("903.8", "25"), ("909.8", "22")
    ]
    boxes = ava.read_boxes([films / "annotations/train.csv"], seconds=(900, 912))
    keyframe = keyframes_in_records(boxes, path)[1]
    levels = read_frames(keyframe.source, [0, 12, 24]).mean((1, 2, 3)) - 20
    assert levels == pytest.approx([38, 50, 62], abs=1)
    assert (rows[0]["width"], rows[0]["height"]) == ("46", "32")


def test_missing_films_are_reported(films, tmp_path, capsys):
    (tmp_path / "ava/videos").mkdir(parents=True)
    (tmp_path / "ava/annotations").symlink_to(films / "annotations")
    arguments = [
        "ava", str(tmp_path / "ava"), "--out", str(tmp_path), "--name=mini",
        "--boxes=train=train.csv",
    ]
    assert cli(arguments) == 2
    assert "contains none of the 2 videos of the tables, such as b" in capsys.readouterr().err
    (tmp_path / "ava/videos/a.mp4").symlink_to(films / "videos/a.mp4")
    assert cli(arguments) == 1
    assert "train: b at 901: no such file" in capsys.readouterr().err
    assert len(read_tfds_ids(tmp_path)) == 3


def read_tfds_ids(data_dir: Path) -> list[bytes]:
    read = tfds.data_source("encoded_videos/mini", split="train", data_dir=data_dir, download=False)
    return [values["id"] for values in read]


def test_beam_writes_the_same_records(lists, tmp_path):
    pytest.importorskip("apache_beam", reason="Apache Beam (extra [beam]) is not installed")
    assert write(lists, tmp_path / "beam", "--shards=3", "--beam=DirectRunner") == 0
    assert write(lists, tmp_path / "here", "--shards=3") == 0
    written = [folder_of(tmp_path / name) for name in ("beam", "here")]
    assert (written[0] / "train.csv").read_text() == (written[1] / "train.csv").read_text()
    contents = [
        [sample.source.read() for sample in read_record_list(folder / "train.csv")]
        for folder in written
    ]
    assert contents[0] == contents[1]
