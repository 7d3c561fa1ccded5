"""Videos in records read exactly like the same videos in files."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.sources.video_lists import Sample
from data_pipelines.video import decoding, image_files, seeking
from data_pipelines.video.decoding import VideoError, probe
from data_pipelines.video.records import Record, RecordPictures
from data_pipelines.video.stills import middle
from tests.data_pipelines.conftest import frame_numbers, numbered_frames
from tests.data_pipelines.support.shards import CONTENT, write_shard

FILES = ("numbered", "bframes", "odd", "ntsc", "variable", "turned90", "truncated")
PICTURES = tfds.features.Sequence(CONTENT)
ARRAY = tfds.features.Tensor(shape=(None, 48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def shard(videos, tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "a.array_record"
    contents = [videos[name].read_bytes() for name in FILES]
    write_shard(path, {"video": CONTENT}, [{"video": c} for c in (*contents, b"", b"no video")])
    return str(path)


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_frames_are_those_of_the_file(videos, shard, name):
    record, path = Record(shard, FILES.index(name)), videos[name]
    assert probe(record) == probe(path)
    for select in (decoding.select_frames, seeking.select_frames):
        expected = select(path, lambda info: [0, info.frames // 2])
        found = select(record, lambda info: [0, info.frames // 2])
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(found[2], expected[2])


def test_clips_and_views_are_those_of_the_file(videos, shard):
    record, path = Record(shard, 0), str(videos["numbered"])
    settings = dict(num_frames=8, sampling_rate=2, target_fps=30.0)
    elements = [
        load_clip(
            sample, Sampling(**settings), Augmentation(crop=32, jitter=(32, 40)),
            rng=np.random.default_rng(3),
        )
        for sample in (Sample(path, 2), Sample("a", 2, record=record))
    ]
    np.testing.assert_array_equal(elements[0]["clip"], elements[1]["clip"])
    assert elements[1]["label"] == 2
    views = [
        list(iterate_views(source, **settings, clips=2, crops=3, test_crop=32))
        for source in (path, record)
    ]
    np.testing.assert_array_equal(views[0], views[1])
    np.testing.assert_array_equal(middle(record), middle(path))


def test_errors_name_the_file_and_the_record(shard, tmp_path):
    def error(record: Record) -> str:
        with pytest.raises(VideoError) as caught:
            probe(record)
        return str(caught.value)

    assert error(Record(shard, 7)) == f"{shard}, record 7: is empty; write it again"
    assert f"{shard}, record 8: cannot be opened" in error(Record(shard, 8))
    assert f"{shard}, record 99: cannot be read (index 99 out of bound 9)" in error(
        Record(shard, 99)
    )
    missing = str(tmp_path / "none")
    assert f"{missing}, record 0: cannot be read (no such file)" in error(
        Record(missing, 0)
    )


def test_broken_record_files_are_reported(shard, tmp_path):
    content = bytearray(open(shard, "rb").read())
    for name, bad in {
        "empty": b"", "text": b"hello\n" * 30000, "short": content[:90000],
        "half": content[: len(content) // 2],
    }.items():
        path = tmp_path / name
        path.write_bytes(bad)
        with pytest.raises(VideoError, match=f"{name}, record 6: (cannot be read|not found)"):
            probe(Record(str(path), 6))


@pytest.mark.parametrize("seed", range(20))
def test_damaged_records_are_read_or_reported(shard, tmp_path, seed):
    content = bytearray(open(shard, "rb").read())
    rng = np.random.default_rng(seed)
    for position in rng.integers(0, len(content), 20):
        content[position] = rng.integers(256)
    path = tmp_path / "damaged"
    path.write_bytes(content)
    for index in range(len(FILES)):
        try:
            decoding.select_frames(Record(str(path), index), lambda info: [0])
        except VideoError as error:
            assert str(path) in str(error)


def test_videos_stored_as_pictures_and_as_arrays(tmp_path):
    frames = numbered_frames(20)
    path = str(tmp_path / "frames")
    write_shard(
        path, {"video": PICTURES, "array": ARRAY},
        [
            {"video": [png(frame) for frame in frames], "array": np.stack(frames)},
            {"video": [png(frames[0]), b"nothing"], "array": np.stack(frames[:1])},
            {"video": [png(frames[0]), png(frames[1][:40])], "array": np.stack(frames[:1])},
        ],
    )
    for source in (RecordPictures(path, 0), RecordPictures(path, 0, "array", ARRAY)):
        info, found, pictures = image_files.select_frames(source, lambda info: [7, 3, 3])
        assert (info.frames, info.width, info.height) == (20, 64, 48)
        assert found.tolist() == [3, 7] and frame_numbers(pictures) == [3, 7]
        clips = list(iterate_views(
            source, num_frames=4, sampling_rate=5, target_fps=30.0, clips=1, crops=1, test_crop=48
        ))
        assert frame_numbers(clips[0][0]) == [0, 6, 12, 19]
        assert frame_numbers([middle(source)]) == [10]
    with pytest.raises(VideoError, match="frames, record 1: frame 2 of 2, picture 1: cannot be re"):
        image_files.select_frames(RecordPictures(path, 1), lambda info: [0, 1])
    with pytest.raises(VideoError, match="changes from 64x48 to 64x40 at picture 1"):
        image_files.select_frames(RecordPictures(path, 2), lambda info: [0, 1])
