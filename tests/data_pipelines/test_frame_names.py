"""Frames with other names than their template says are explained."""

import re

import pytest

from data_pipelines.frame_names import template_of, why_no_frames
from data_pipelines.video.image_files import FrameFiles

TEMPLATE = "img_{:05d}.jpg"


@pytest.mark.parametrize("names, template", [
    (["img_00001.jpg", "img_00010.jpg"], TEMPLATE),
    (["1.png", "2.png", "10.png"], "{}.png"),
    (["v2_08.jpg", "v2_09.jpg", "v2_100.jpg"], "v2_{:02d}.jpg"),
    (["0.png", "1.png"], "{}.png"),
    (["a{1}.png"], "a{{{}}}.png"),
    (["img_001.jpg", "img_2.jpg"], ""),
    (["img_1.jpg", "img_2.png"], ""),
    (["cover.jpg"], ""),
])
def test_the_template_of_names(names, template):
    assert template_of(names) == template


@pytest.mark.parametrize("names, start, reason", [
    (TEMPLATE, None, ""),
    ("img_{:05d}.png", None,
     r"has no img_00001.jpg, but 4 pictures \(img_00001.png, ..., img_00004.png\): "
     r"set data.frame_template=img_{:05d}.png \(it is img_{:05d}.jpg\)"),
    ("img_{}.jpg", None, r": set data.frame_template=img_{}.jpg \(it is "),
    (TEMPLATE, 0, r"no img_00000.jpg, .*: set data.frame_start=1, the number of the first file"),
])
def test_the_setting_that_fits_is_named(tmp_path, names, start, reason):
    for number in range(1, 5):
        (tmp_path / names.format(number)).touch()
    video = FrameFiles("v", 4, f"{tmp_path}/{TEMPLATE}", first=start)
    found = why_no_frames([video, None])
    assert re.search(reason, found) if reason else not found


def test_names_that_follow_no_template(tmp_path):
    for name in ("img_00001.jpg", "img_2.jpg", "img_0003.jpg"):
        (tmp_path / name).touch()
    video = FrameFiles("v", 3, f"{tmp_path}/{TEMPLATE}", first=None)
    assert "has no img_00003.jpg, but 3 pictures" in why_no_frames([video])
    assert "rename them to one form" in why_no_frames([video])
    listed = FrameFiles("v", 2, paths=(f"{tmp_path}/a.png", f"{tmp_path}/b.png"))
    reason = why_no_frames([listed], listed=True)
    assert reason.endswith(": the list must have the names of the files")


def test_one_video_with_its_frames_is_enough(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ("img_00001.jpg" if name == "b" else "x.jpg")).touch()
    videos = [FrameFiles(n, 1, f"{tmp_path}/{n}/{TEMPLATE}", first=None) for n in "ab"]
    assert why_no_frames(videos[:1]) and not why_no_frames(videos)
    assert not why_no_frames([]) and not why_no_frames([FrameFiles("v", 1, f"/no/{TEMPLATE}")])
