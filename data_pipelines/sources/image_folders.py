"""Folders of images with a folder for each class, such as ImageNet's."""

import os

from data_pipelines.paths import PathLike
from data_pipelines.sources.list_samples import Sample
from data_pipelines.video.image_files import FrameFiles


def read_image_folders(path: PathLike) -> list[Sample]:
    """Reads a folder of images like ImageNet's, with one folder per class (`n01440764/*.JPEG`).

    As in the original (datasets/imagenet.py), classes are numbered in the sorted order of their
    folders; `image_classes` gives their names. Hidden files and folders are skipped. Each image is
    a video of one frame.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it has no class folders, or they have no images.
    """
    samples = []
    for label, name in enumerate(image_classes(path)):
        folder = os.path.join(path, name)
        for file in sorted(e.name for e in os.scandir(folder) if e.name[0] != "."):
            image = os.path.join(folder, file)
            samples.append(Sample(image, label, FrameFiles(image, 1, paths=(image,))))
    if not samples:
        raise ValueError(f"{path}: the class folders are empty; expected images in them")
    return samples


def image_classes(path: PathLike) -> list[str]:
    """Names of the class folders in class order; raises as `read_image_folders`."""
    if not os.path.isdir(path):
        raise FileNotFoundError(
            f"{path}: no such folder of images; set data.root to the folder that holds it and "
            "data.test_list to its name"
        )
    names = sorted(e.name for e in os.scandir(path) if e.is_dir() and e.name[0] != ".")
    if not names:
        raise ValueError(
            f"{path}: no folders in it; expected one for each class with its images inside, such "
            "as n01440764/ILSVRC2012_val_00000293.JPEG"
        )
    return names
