"""AVA-Kinetics: its tables, and the clip of each moment."""

import pytest

from data_pipelines.sources import ava, ava_kinetics
from data_pipelines.video.decoding import VideoError, probe

TABLE = """\
-5KQ_66,20.5,0.1,0.2,0.5,0.9,12
-5KQ_66,20.5,0.1,0.2,0.5,0.9,80
-5KQ_66,0107,0.1,0.2,0.5,0.9,4
nobody,3.25
b,7.125,0.3,0.2,0.5,0.9,
gone,14,0.3,0.2,0.5,0.9,4
"""


@pytest.fixture
def folder(tmp_path):
    for name in (
        "riding/-5KQ_66_000012_000022.mp4", "riding/-5KQ_66_000100_000110.webm",
        "b_000000_000010.mp4", "c_000000_000010.mp4", "notes.txt", "b_12_22.mp4",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "train.csv").write_text(TABLE)
    return tmp_path


def test_moments_are_found_in_their_clips(folder, caplog):
    moments = ava.read_boxes([folder / "train.csv"], seconds=None)
    found = ava_kinetics.keyframes(moments, folder, keep_missing=False)
    assert [(k.video, k.time, k.origin, k.labels) for k in found] == [
        ("-5KQ_66", 20.5, 12.0, ((11, 79),)), ("-5KQ_66", 107.0, 100.0, ((3,),)),
        ("b", 7.125, 0.0, ((),)),
    ]
    assert [k.source.rpartition("/")[2] for k in found] == [
        "-5KQ_66_000012_000022.mp4", "-5KQ_66_000100_000110.webm", "b_000000_000010.mp4"
    ]
    assert "no clip of 1 of 4 moments, for example gone at 14" in caplog.text


def test_missing_clips_raise_when_read(folder):
    moments = ava.read_boxes([folder / "train.csv"], seconds=None)
    last = ava_kinetics.keyframes(moments, folder, keep_missing=True)[-1]
    with pytest.raises(VideoError, match="gone at 14: no clip of this moment below"):
        probe(last.source)


def test_invalid_folders(folder):
    moments = ava.read_boxes([folder / "train.csv"], seconds=None)
    with pytest.raises(FileNotFoundError, match="none: no such folder of clips"):
        ava_kinetics.keyframes(moments, folder / "none", keep_missing=True)
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="the 4 moments .for example -5KQ_66 at 20.5. is in"):
        ava_kinetics.keyframes(moments, folder / "empty", keep_missing=True)


def test_every_fourth_second(folder):
    assert list(ava.read_boxes([folder / "train.csv"], seconds=None, every=4)) == ["-5KQ_66"]
    with pytest.raises(ValueError, match=r"train.csv:1: time is '20.5'; expected a whole second"):
        ava.read_boxes([folder / "train.csv"])
