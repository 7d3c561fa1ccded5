"""From a config to its lists of videos, which it may generate first."""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from absl import logging
from ml_collections import ConfigDict

from data_pipelines.labels import class_names
from data_pipelines.mini import datasets, own_boxes
from data_pipelines.sources import frame_lists, image_folders, record_lists, tfds, video_lists
from data_pipelines.sources.tfds import TfdsSample
from data_pipelines.sources.video_lists import Sample
from data_pipelines.text_files import OnBadRow
from data_pipelines.video.decoding import VideoError
from slowfast_jax import distributed
from slowfast_jax.config import ConfigError, closest
from slowfast_jax.config.classes import check_count, named_by_config
from slowfast_jax.config.problems import Problems
from slowfast_jax.data.video_files import check_frames, check_videos


class Listing(NamedTuple):
    """The videos of a subset, and the files they come from.

    files: the list (for images, their folder), then other files that the labels depend on.
    class_names: from config.class_names, else from the data; [] if neither has names.
    """

    samples: list[Sample] | list[TfdsSample]
    files: list[Path]
    class_names: list[str]


def find_samples(
    config: ConfigDict, workdir: str | os.PathLike | None = None, subset: str = "test"
) -> Listing:
    """Reads the list of a subset ("train", "val" or "test"), for example config.data.test_list.

    config.data.format names its format. With config.data.generate, the data is generated
    first.

    Raises:
      ConfigError: the format or generator does not exist, or fields do not fit the data.
      FileNotFoundError, ValueError: a list does not exist or is invalid.
    """
    data = config.data
    if data.format not in READERS:
        raise ConfigError(
            f"config.data.format is {data.format}; expected one of {', '.join(READERS)}"
            f"{closest(data.format, READERS)}"
        )
    root, path_prefix = data_root(config, workdir), data.path_prefix
    if data.generate:
        path_prefix = str(root)
    return READERS[data.format](config, root, path_prefix, subset)


def data_root(config: ConfigDict, workdir: str | os.PathLike | None) -> Path:
    """The folder of the lists: config.data.root, or the folder in `workdir` of the small data set
    named by config.data.generate, which is generated there if it does not exist yet."""
    name = config.data.generate
    if not name:
        root = Path(config.data.root)
        if not root.is_dir():
            raise FileNotFoundError(
                f"config.data.root is {os.fspath(root)!r}, and there is no such folder"
                + ("" if root.is_absolute() else f" in {Path.cwd()}")
            )
        return root
    if name not in GENERATORS:
        raise ConfigError(
            f"config.data.generate is {name}; expected one of {', '.join(GENERATORS)}"
            f"{closest(name, GENERATORS)}"
        )
    if workdir is None:
        raise ConfigError(f"{config.name} generates its data in a workdir, but none is set; "
                "pass --workdir")
    folder = Path(workdir) / name
    complete = folder / COMPLETE
    if distributed.first() and not complete.exists():
        make, arguments = GENERATORS[name]
        logging.info("generating the data set %s in %s (once, up to two minutes) ...", name, folder)
        make(folder, seed=0, **arguments)
        complete.touch()
    distributed.barrier(f"the data in {folder}")
    return folder


def _videos(config: ConfigDict, root: Path, path_prefix: str, subset: str) -> Listing:
    data, path = config.data, root / config.data[f"{subset}_list"]
    return _listing(
        lambda note: video_lists.read_list(
            path,
            separator=data.separator,
            path_prefix=path_prefix,
            num_classes=config.model.num_classes,
            multi_label=data.multi_label,
            on_bad_rows=note,
        ),
        lambda: _names(config, root / "classes.txt"),
        [path],
        config,
    )


def _rawframes(config: ConfigDict, root: Path, path_prefix: str, subset: str) -> Listing:
    data, path = config.data, root / config.data[f"{subset}_list"]
    listing = _listing(
        lambda note: video_lists.read_frame_list(
            path,
            path_prefix=path_prefix,
            template=data.frame_template,
            num_classes=config.model.num_classes,
            multi_label=data.multi_label,
            start=data.frame_start if data.frame_start >= 0 else None,
            with_offset=data.frame_offset,
            on_bad_rows=note,
        ),
        lambda: _names(config, root / "classes.txt"),
        [path],
        config,
        path_prefix,
    )
    check_frames([sample.frames for sample in listing.samples], listed=False)
    return listing


def _ssv2(config: ConfigDict, root: Path, path_prefix: str, subset: str) -> Listing:
    data, path = config.data, root / config.data[f"{subset}_list"]
    labels = "train_labels" if subset == "train" else "val_labels"
    unset = [
        f"config.data.{field} is empty; data.format ssv2 needs the name of the data set's json "
        "file in data.root"
        for field in ("class_list", labels) if not data[field]
    ]
    if unset:
        raise ConfigError(*unset, *_prefix_problems(path_prefix))
    class_list, labels = root / data.class_list, root / data[labels]
    if data[f"{subset}_list"]:
        read = partial(frame_lists.read_ssv2, path, path_prefix=path_prefix)
    else:
        path, read = labels, partial(frame_lists.read_ssv2_videos, path_prefix)
    listing = _listing(
        lambda note: read(class_list=class_list, labels=labels, on_bad_rows=note),
        lambda: _agreed_names(
            config, frame_lists.read_class_list(class_list), f"class list {class_list}"
        ),
        [path, class_list, labels],
        config,
        path_prefix,
    )
    check_frames([sample.frames for sample in listing.samples])
    return listing


def _charades(config: ConfigDict, root: Path, path_prefix: str, subset: str) -> Listing:
    if not config.data.multi_label:
        raise ConfigError(
            "config.data.multi_label is False, but videos of data.format charades have several "
            "labels: set it to True",
            *_prefix_problems(path_prefix),
        )
    path = root / config.data[f"{subset}_list"]
    listing = _listing(
        lambda note: frame_lists.read_charades(
            path, path_prefix=path_prefix, num_classes=config.model.num_classes,
            per_frame=subset == "train", on_bad_rows=note,
        ),
        lambda: _names(config, root / "Charades_v1_classes.txt"),
        [path],
        config,
        path_prefix,
    )
    check_frames([sample.frames for sample in listing.samples])
    return listing


def _imagenet(config: ConfigDict, root: Path, path_prefix: str, subset: str) -> Listing:
    path = root / config.data[f"{subset}_list"]
    names = _agreed_names(config, image_folders.image_classes(path), f"folder of images {path}")
    return Listing(image_folders.read_image_folders(path), [path], names)


def _records(config: ConfigDict, root: Path, path_prefix: str, subset: str) -> Listing:
    data, path = config.data, root / config.data[f"{subset}_list"]
    return _listing(
        lambda note: record_lists.read_record_list(
            path, num_classes=config.model.num_classes, multi_label=data.multi_label,
            on_bad_rows=note,
        ),
        lambda: _names(config, root / "classes.txt"),
        [path],
        config,
    )


def _tfds(config: ConfigDict, root: Path, path_prefix: str, subset: str) -> Listing:
    data = config.data
    found = tfds.read_tfds(
        data[f"{subset}_list"], data_dir=data.root, num_classes=config.model.num_classes,
        multi_label=data.multi_label,
    )
    if found.class_names:
        names = _agreed_names(config, found.class_names, f"data set {found.file.parent}")
    else:
        names = named_by_config(config)
        _check_some_labels(found.samples)
    return Listing(found.samples, [found.file], names)


def _listing(
    read: Callable[[OnBadRow], list[Sample]],
    read_names: Callable[[], list[str]],
    files: list[Path],
    config: ConfigDict,
    path_prefix: str = "",
) -> Listing:
    """Reads a list and its class names.

    The problems of both, and of the prefix where it is given, are raised together. If there are
    any, it is also looked for the videos of the good rows. `read` gets a function to which it may
    give the error about the bad rows.
    """
    problems = Problems()

    def note(error: ValueError) -> None:
        with problems.noted():
            raise error

    samples, names = [], []
    if wrong := _prefix_problems(path_prefix):
        with problems.noted():
            raise ConfigError(*wrong)
    with problems.noted():
        samples = read(note)
    with problems.noted():
        names = read_names()
    if problems and samples and not wrong:
        with problems.noted():
            check_videos(samples, files[0], config)
    problems.raise_each()
    return Listing(samples, files, names)


def _check_some_labels(samples: list[TfdsSample]) -> None:
    """Reads a few labels, which are otherwise read with their videos; ValueError if one is no class
    of the network."""
    for sample in samples[:: -(-len(samples) // LABELS_CHECKED)]:
        with suppress(VideoError):  # counted and reported in training and testing
            _ = sample.label  # ValueError if it is not a class


def _agreed_names(config: ConfigDict, names: list[str], where: str) -> list[str]:
    """The class names of config.class_names, else those that come with the data, `names`.

    Raises ConfigError if their number is not the network's, or if their order differs.
    """
    _check_count(config, names, where)
    own = named_by_config(config)
    if own and own != names and sorted(own) == sorted(names):
        first = next(i for i, (a, b) in enumerate(zip(own, names, strict=True)) if a != b)
        raise ConfigError(
            f"class {first} is {own[first]!r} in config.class_names={config.class_names}, but "
            f"{names[first]!r} in {where}: remove --config.class_names, or sort its names alike"
        )
    return own or names


def _names(config: ConfigDict, path: Path) -> list[str]:
    """The class names of config.class_names, else those in the file `path` beside the lists; [] if
    there is no such file."""
    names = named_by_config(config)
    if not names and path.is_file():
        names = class_names(path)
        check_count(names, os.fspath(path), config)
    return names


def _prefix_problems(path_prefix: str) -> list[str]:
    """What is wrong with the prefix, said once instead of for every video."""
    if not path_prefix or os.path.isdir(path_prefix):
        return []
    return [
        f"config.data.path_prefix is {path_prefix}, which is not a folder; expected the folder to "
        "which the paths of the list are relative"
    ]


def _check_count(config: ConfigDict, names: list[str], where: str) -> None:
    """ConfigError if data and network differ in their number of classes: labels would shift."""
    if len(names) != config.model.num_classes:
        raise ConfigError(
            f"{where} has {len(names)} classes, but the network has {config.model.num_classes}; "
            "expected the same classes in the same order, because labels are indices into them. "
            f"For a new network, set --config.model.num_classes={len(names)}"
        )


READERS: dict[str, Callable[[ConfigDict, Path, str, str], Listing]] = {
    "kinetics": _videos,
    "rawframes": _rawframes,
    "ssv2": _ssv2,
    "charades": _charades,
    "imagenet": _imagenet,
    "records": _records,
    "tfds": _tfds,
}
# Name -> function of data_pipelines/mini, and its arguments.
GENERATORS: dict[str, tuple[Callable, dict[str, int]]] = {
    "ava_mini": (datasets.write_ava, {}),
    "kinetics_mini": (datasets.write_videos, {"count": 8}),
    "kinetics_mini_large": (datasets.write_videos, {"count": 96, "train_count": 384}),
    "ssv2_mini": (datasets.write_ssv2, {"count": 8}),
    "charades_mini": (datasets.write_charades, {"count": 6}),
    "imagenet_mini": (datasets.write_imagenet, {"count": 40, "train_count": 200}),
    "own_mini": (own_boxes.write_own, {}),
}
LABELS_CHECKED = 64  # of TFDS records, which are read whole
COMPLETE = "complete"  # marks the folder of a completely generated data set
