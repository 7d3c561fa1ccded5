"""Lists of records, and keyframes in them."""

import pytest

from data_pipelines.sources.keyframes import Row, collect
from data_pipelines.sources.record_lists import keyframes_in_records, read_record_list
from data_pipelines.sources.video_lists import Sample
from data_pipelines.video.decoding import VideoError, probe
from data_pipelines.video.records import Absent, Record

HEADER = "shard,record,id,label,frames\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a-0").write_bytes(b"")
    return tmp_path


def read(folder, text, **keywords):
    (folder / "train.csv").write_text(text)
    return read_record_list(folder / "train.csv", **keywords)


def moments(*keys: tuple[str, float]):
    box = (0.0, 0.0, 1.0, 1.0)
    return collect(
        Row("boxes.csv", 1, video, time, "0,0,1,1", box, 1, 1.0) for video, time in keys
    )


def test_samples_in_order_of_rows(folder):
    samples = read(folder, HEADER + 'a-0,3,"x, y.mp4",2,30\na-0,0,b/c.mp4,0,9\n', num_classes=3)
    shard = str(folder / "a-0")
    assert samples == [
        Sample("x, y.mp4", 2, record=Record(shard, 3)),
        Sample("b/c.mp4", 0, record=Record(shard, 0)),
    ]
    assert samples[0].source == Record(shard, 3)


def test_several_labels(folder):
    samples = read(folder, HEADER + "a-0,0,a,2 0,30\n", multi_label=True)
    assert samples[0].label == (2, 0)


@pytest.mark.parametrize("text, message", [
    ("", "train.csv:1: no column shard, record, id, label"),
    (HEADER, "the list is empty"),
    ("shard,record,label\n", "train.csv:1: no column id"),
    (HEADER + "a-0,0,a,1\n", "train.csv:2: expected 5 columns"),
    (HEADER + "a-0,0,a,1,3,4\n", "train.csv:2: expected 5 columns"),
    (HEADER + "a-0,x,a,1,3\n", "train.csv:2: record is 'x'"),
    (HEADER + "a-0,0,a,1,3\na-0,1,b,7,3\n", "train.csv:3: label 7"),
    (HEADER + "a-0,0,a,1 2,3\n", "train.csv:2: 2 labels"),
    (HEADER + "a-0,0,a,,3\n", "train.csv:2: no label; expected one"),
])
def test_errors_name_the_line(folder, text, message):
    with pytest.raises(ValueError, match=message):
        read(folder, text, num_classes=5)


def test_missing_files_are_named(folder):
    with pytest.raises(FileNotFoundError, match="train.csv:2: .*a-1.* does not exist"):
        read(folder, HEADER + "a-1,0,a,1,3\n")
    with pytest.raises(FileNotFoundError, match="other.csv: no such list of records"):
        read_record_list(folder / "other.csv")


def test_keyframes_get_their_records(folder):
    path = folder / "val.csv"
    path.write_text(
        "shard,record,video,time,begin,broken\na-0,0,v,902,900.5,\na-0,1,v,903,901.5,\n"
        "a-0,2,w,12.5,10,\n,,w,14,,it is empty\n"
    )
    found = keyframes_in_records(moments(("w", 12.5), ("v", 903), ("w", 14)), path)
    shard = str(folder / "a-0")
    assert [(k.source, k.origin) for k in found] == [
        (Record(shard, 2), 10.0), (Absent("w at 14", "it is empty"), 14.0),
        (Record(shard, 1), 901.5),
    ]
    with pytest.raises(ValueError, match="no record of v at 904 and of 1 other keyframes"):
        keyframes_in_records(moments(("v", 904), ("v", 905)), path)
    path.write_text("shard,record,video,time,begin\na-0,0,v,soon,900.5\n")
    with pytest.raises(ValueError, match="val.csv:2: time is 'soon'"):
        keyframes_in_records(moments(("v", 904)), path)


def test_videos_without_record_give_the_reason(folder):
    (absent,) = read(folder, "shard,record,id,label,broken\n,,a.mp4,1,it is empty\n")
    assert absent.label == 1
    with pytest.raises(VideoError, match="a.mp4: it is empty"):
        probe(absent.source)
