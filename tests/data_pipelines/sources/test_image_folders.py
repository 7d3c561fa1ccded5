"""Folders of images with a folder for each class."""

import pytest

from data_pipelines.sources.image_folders import image_classes, read_image_folders


def test_image_folders(tmp_path):
    for name in ("n02/b.JPEG", "n02/a.JPEG", "n01/x.png", ".git/y", "n02/.hidden", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    samples = read_image_folders(tmp_path)
    assert [(s.path, s.label) for s in samples] == [
        (f"{tmp_path}/n01/x.png", 0), (f"{tmp_path}/n02/a.JPEG", 1), (f"{tmp_path}/n02/b.JPEG", 1)
    ]
    assert samples[0].source.path(0) == samples[0].path and samples[0].source.count == 1
    assert image_classes(tmp_path) == ["n01", "n02"]


def test_mistakes_in_image_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="val: no such folder of images; set data.root"):
        read_image_folders(tmp_path / "val")
    (tmp_path / "a.JPEG").write_text("")
    with pytest.raises(ValueError, match="no folders in it; expected one for each class"):
        read_image_folders(tmp_path)
    (tmp_path / "n01").mkdir()
    with pytest.raises(ValueError, match="the class folders are empty"):
        read_image_folders(tmp_path)
