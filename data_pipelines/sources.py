"""Lists of videos and their labels, in the formats of PySlowFast and MMAction2, with a row for each
video; lists with a row for each frame are in frame_lists.py.

A list is read whole: 650,000 rows (Kinetics-700) take about a second and 200 MB, so the original's
reading in chunks (LOADER_CHUNK_SIZE) has no counterpart. Videos are opened only when used.
"""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_pipelines.frames import FrameFiles, literal
from data_pipelines.records import Record

PathLike = str | os.PathLike


@dataclass(frozen=True, slots=True)
class Sample:
    """One video: its file `path`, or where it is none, its name and its `frames` or `record`.

    `label` is the class, or a tuple of classes where the list was read as multi-label;
    `frame_labels` the classes of each frame, where they were asked for.
    """

    path: str
    label: int | tuple[int, ...]
    frames: FrameFiles | None = None
    frame_labels: tuple[tuple[int, ...], ...] | None = None
    record: Record | None = None

    @property
    def source(self) -> str | FrameFiles | Record:
        """What views.iterate_views reads."""
        return self.frames or self.record or self.path


def read_list(
    path: PathLike,
    *,
    separator: str = " ",
    path_prefix: PathLike = "",
    num_classes: int | None = None,
    multi_label: bool = False,
) -> list[Sample]:
    """Reads a list of video files: Kinetics-style, UCF-101, HMDB-51, MMAction2's VideoDataset.

    Rows are `path label`, `path` alone (the label is then 0), or `path ignored label`; with
    `multi_label` they are `path label label ...`. Blank lines are skipped. A `.json` file holds a
    list of {"filename": path, "label": class or list of classes}.

    Args:
        separator: stands between the columns.
        path_prefix: folder put before each path that is not absolute.
        num_classes: labels must lie in 0..num_classes-1.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: a row that cannot be read, with its line number, or no row at all.
    """
    path = Path(path)
    if path.suffix == ".json":
        return _read_json(path, "filename", path_prefix, num_classes, multi_label)

    def sample(where: str, line: str) -> Sample:
        video, *rest = line.split(separator)
        if multi_label:
            labels = rest
        elif len(rest) <= 2:
            labels = rest[-1:] or ["0"]
        else:
            raise ValueError(
                f"{where}: {len(rest) + 1} columns in {line!r}; expected 'path label' between "
                f"{separator!r}, at most 'path ignored label' (a path that contains the separator "
                "needs another one: data.separator)"
            )
        if not rest and (other := re.search(r"([,;\t ])\s*-?\d+$", line)):
            raise ValueError(
                f"{where}: one column in {line!r}; the columns seem to be separated by "
                f"{other[1]!r}, not {separator!r}: set data.separator"
            )
        return Sample(
            os.path.join(path_prefix, video), read_label(where, labels, num_classes, multi_label)
        )

    return _read_rows(path, sample)


def read_frame_list(
    path: PathLike,
    *,
    path_prefix: PathLike = "",
    template: str = "img_{:05d}.jpg",
    num_classes: int | None = None,
    multi_label: bool = False,
) -> list[Sample]:
    """Reads MMAction2's RawframeDataset list: rows `folder total_frames label`.

    With `multi_label` several labels may follow. A `.json` file holds a list of {"frame_dir": path,
    "total_frames": number, "label": class or list of classes}. Otherwise as `read_list`.

    Args:
        template: name of a frame's file in its folder, with a place for its number, from 1 on.

    Raises:
        ValueError: also for a template without such a place.
    """
    _check_template(template)
    path = Path(path)
    if path.suffix == ".json":
        return _read_json(path, "frame_dir", path_prefix, num_classes, multi_label, template)

    def sample(where: str, line: str) -> Sample:
        columns = line.split()
        if len(columns) < 3 or (len(columns) > 3 and not multi_label):
            raise ValueError(
                f"{where}: {len(columns)} columns in {line!r}; expected 'folder total_frames label'"
            )
        label = read_label(where, columns[2:], num_classes, multi_label)
        folder = os.path.join(path_prefix, columns[0])
        return _folder_sample(folder, _frame_count(where, columns[1]), label, template)

    return _read_rows(path, sample)


def read_image_folders(path: PathLike) -> list[Sample]:
    """Reads ImageNet's val folder: a folder of images for each class, in it `n01440764/*.JPEG`.

    As in the original (datasets/imagenet.py) a class is the place of its folder among the sorted
    ones; `image_classes` has their names. Hidden files and folders are left out. Each image is a
    video of one frame.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there are no class folders in it, or no images in them.
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
            f"{path}: no folders in it; expected one for each class with its images inside, as "
            "n01440764/ILSVRC2012_val_00000293.JPEG"
        )
    return names


def _folder_sample(
    folder: str, count: int, label: int | tuple[int, ...], template: str
) -> Sample:
    files = os.path.join(literal(folder), template)
    return Sample(folder, label, FrameFiles(folder, count, files, first=1))


def _check_template(template: str) -> None:
    try:
        if template.format(1) != template.format(2):
            return
        problem = "has no place for the number"
    except (LookupError, ValueError) as error:
        problem = f"does not take a number ({error})"
    raise ValueError(
        f"data.frame_template {template!r} {problem}; expected something like 'img_{{:05d}}.jpg'"
    )


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such list of videos; set data.root to the folder of the lists and "
            "data.train_list, data.val_list, data.test_list to their names"
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text ({error}); expected a list") from error


def _read_rows(path: Path, sample: Callable[[str, str], Sample]) -> list[Sample]:
    """`sample(where, line)` of each line that is not blank."""
    rows = [
        sample(f"{path}:{number}", line)
        for number, text in enumerate(_read_text(path).splitlines(), 1)
        if (line := text.strip())
    ]
    if not rows:
        raise ValueError(f"{path}: the list is empty; expected rows 'path label'")
    return rows


def _read_json(
    path: Path,
    path_key: str,
    path_prefix: PathLike,
    num_classes: int | None,
    multi_label: bool,
    template: str = "",
) -> list[Sample]:
    try:
        entries = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON ({error.msg})") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: expected a list of {{'{path_key}': ..., 'label': ...}}")
    samples = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}, entry {number}"
        needed = [path_key, "label", *(["total_frames"] if path_key == "frame_dir" else [])]
        if not isinstance(entry, dict) or (missing := [k for k in needed if k not in entry]):
            found = entry if not isinstance(entry, dict) else f"no {', '.join(missing)} in {entry}"
            raise ValueError(f"{where}: found {found}; expected the keys {', '.join(needed)}")
        labels = entry["label"] if isinstance(entry["label"], list) else [entry["label"]]
        label = read_label(where, labels, num_classes, multi_label)
        video = os.path.join(path_prefix, entry[path_key])
        if template:
            count = _frame_count(where, entry["total_frames"])
            samples.append(_folder_sample(video, count, label, template))
        else:
            samples.append(Sample(video, label))
    return samples


def read_label(
    where: str, labels: list, num_classes: int | None, multi_label: bool
) -> int | tuple[int, ...]:
    """The class of one row, or with `multi_label` its classes as a tuple; ValueError naming the row
    where there is none, one that is no integer or out of range, or several are not expected."""
    numbers = tuple(_integer(where, "label", label) for label in labels)
    if not numbers or (len(numbers) > 1 and not multi_label):
        raise ValueError(
            f"{where}: {len(numbers)} labels; expected "
            + ("at least one" if multi_label else "one (several need data.multi_label)")
        )
    for number in numbers:
        if number < 0 or (num_classes is not None and number >= num_classes):
            known = "0 on" if num_classes is None else f"0..{num_classes - 1}"
            raise ValueError(
                f"{where}: label {number}; expected a class within {known} (labels count from 0; "
                "the number of classes is model.num_classes)"
            )
    return numbers if multi_label else numbers[0]


def _frame_count(where: str, value: str | int) -> int:
    frames = _integer(where, "total_frames", value)
    if frames < 1:
        raise ValueError(f"{where}: total_frames is {frames}; expected at least 1")
    return frames


def _integer(where: str, what: str, value: str | int) -> int:
    """`value` as an integer; JSON's true and 1.5 are not."""
    try:
        if isinstance(value, str | int) and not isinstance(value, bool):
            return int(value)
    except ValueError:
        pass
    raise ValueError(f"{where}: {what} {value!r}; expected an integer")
