"""Finding the videos of boxes; boxes without a video are refused."""

import pytest

from data_pipelines.sources.keyframes import Row, build, collect, find_sources
from data_pipelines.video.image_files import FrameFiles


def row(video: str, time: float, line: int = 1) -> Row:
    return Row("boxes.csv", line, video, time, "0,0,1,1", (0.0, 0.0, 1.0, 1.0), 3, 1.0)


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_videos_are_found_as_files_and_folders_of_frames(tmp_path):
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "day1" / "b.webm")
    touch(tmp_path / "c.v2.MKV")
    for number in range(1, 12):
        touch(tmp_path / "d" / f"d_{number:06d}.jpg")
    touch(tmp_path / "d" / ".hidden.jpg")
    (tmp_path / "e").mkdir()
    found = find_sources(tmp_path, ["a", "a.mp4", "day1/b", "c.v2.MKV", "d", "e", "f"])
    assert list(found) == ["a", "a.mp4", "day1/b", "c.v2.MKV", "d"]
    assert found["a"] == found["a.mp4"] == str(tmp_path / "a.mp4")
    assert found["day1/b"].endswith("day1/b.webm") and found["c.v2.MKV"].endswith("c.v2.MKV")
    assert found["d"].count == 11 and found["d"].path(10) == str(tmp_path / "d" / "d_000011.jpg")


def test_gaps_between_frames_are_refused(tmp_path):
    for number in (1, 2, 4):
        touch(tmp_path / "a" / f"a_{number:06d}.jpg")
    with pytest.raises(ValueError, match=r"3 images, from a_000001.jpg to a_000004.jpg, are not"):
        find_sources(tmp_path, ["a"])
    with pytest.raises(FileNotFoundError, match="no such folder of videos"):
        find_sources(tmp_path / "none", ["a"])


def test_order_and_origin():
    moments = collect([row("b", 7), row("b", 5), row("a", 6)])
    frames = build(moments, {"a": "a.mp4", "b": "b.mp4", "c": "c.mp4"}, origin=5, fps=25)
    assert [(k.video, k.time, k.source, k.origin, k.fps) for k in frames] == [
        ("a", 6, "a.mp4", 5, 0.0), ("b", 5, "b.mp4", 5, 0.0), ("b", 7, "b.mp4", 5, 0.0)
    ]


def test_rows_without_a_video_are_refused():
    moments = collect([row("a", 1), row("b", 2, 17), row("c", 2, 18)])
    with pytest.raises(ValueError, match=(
        r"boxes.csv:17: video 'b' and 1 more not found \(found 1, such as 'a'\)"
    )):
        build(moments, {"a": "a.mp4"}, origin=0)
    with pytest.raises(ValueError, match=r"video 'a' .*\(found none\)"):
        build(moments, {}, origin=0)


def test_moments_outside_the_video_are_refused():
    with pytest.raises(ValueError, match=r"boxes.csv:1: time 4 of a lies before the beginning"):
        build(collect([row("a", 4)]), {"a": "a.mp4"}, origin=5)
    files = FrameFiles("a", 100, "{}.jpg")
    for time in (4.9, 15.6):
        with pytest.raises(ValueError, match=rf"time {time} of a lies outside its 100 frames"):
            build(collect([row("a", time)]), {"a": files}, origin=5, fps=10)
    assert len(build(collect([row("a", 15.0)]), {"a": files}, origin=5, fps=10)) == 1  # the end
    with pytest.raises(ValueError, match="need their rate: set data.fps"):
        build(collect([row("a", 5)]), {"a": files}, origin=5)
