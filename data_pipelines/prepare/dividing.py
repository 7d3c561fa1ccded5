"""Divides videos into training, validation and test videos."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.text_files import first_few

SPLITS = ("train", "val", "test")
SHARE = 0.15  # of the videos of a class are for validation, and as many for testing
LEAST = len(SPLITS)  # videos that a class needs to be in each list
# Names that people give to the folders of the splits.
FOLDERS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validate": "val",
    "validation": "val", "dev": "val", "test": "test", "testing": "test",
}


def divide(labels: Sequence[str]) -> list[str]:
    """The split of each video, given the class of each; the same labels give the same splits.

    Of n videos of a class, max(1, round(0.15 n)) are for validation and as many for testing, spread
    evenly over the order given, the others for training. Of two videos one is for training and one
    for testing; a single one is for training.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        places[label].append(place)
    splits = ["train"] * len(labels)
    for of_class in places.values():
        count = len(of_class)
        held_out = max(1, round(SHARE * count)) if count > 1 else 0
        for number in range(held_out):
            middle = (2 * number + 1) * count // (2 * held_out)
            splits[of_class[middle]] = "test"
            if count >= LEAST:
                splits[of_class[middle + 1]] = "val"
    return splits


def classes_too_small(folder: Path, labels: Sequence[str]) -> str | None:
    """The message about classes with fewer videos than lists; None if every class has enough.

    Raises:
        ValueError: no class has enough videos, so that a list would be empty.
    """
    counts = Counter(labels)
    few = {label: count for label, count in counts.items() if count < LEAST}
    shown = first_few(f"{label} ({count})" for label, count in few.items())
    if len(few) == len(counts):
        raise ValueError(
            f"{folder}: too few videos: {shown}; at least one class needs {LEAST}, one for each of "
            "the lists of training, validation and test: add videos, or sort them into folders "
            "train, val and test yourself"
        )
    if not few:
        return None
    return (
        f"{shown}: a class needs at least {LEAST} videos, one for each list; of two, one is for "
        "training and one for testing, and a single one is for training: add videos"
    )


def split_folders(folder: Path, videos: Sequence[Path]) -> dict[str, list[Path]]:
    """The folders of the splits, such as folder/train, if videos are in such folders, else {}.

    Args:
        folder: the folder that holds all videos.
        videos: the videos.

    Raises:
        ValueError: they hold no class folders, two are for the same split, or there is only one
            for training.
    """
    paths = [video.relative_to(folder).parts for video in videos]
    names = list(dict.fromkeys(parts[0] for parts in paths))
    known = {FOLDERS[name.lower()] for name in names if name.lower() in FOLDERS}
    others = [name for name in names if name.lower() not in FOLDERS]
    if "train" not in known or (others and len(known) == 1):
        return {}
    if others:
        raise ValueError(
            f"{folder / others[0]}: lies beside folders of splits such as {folder}/train; "
            "expected only train, val and test there"
        )
    if any(len(parts) == 2 for parts in paths):
        place = next(parts[0] for parts in paths if len(parts) == 2)
        raise ValueError(
            f"{folder / place}: holds videos directly; expected a folder for each class in it, as "
            f"in {folder / place}/CLASS/a.mp4"
        )
    found: dict[str, list[Path]] = {}
    for name in names:
        split = FOLDERS[name.lower()]
        if split in found:
            raise ValueError(
                f"{folder / name}: {found[split][0]} is for {split} already; keep one of them"
            )
        found[split] = [folder / name]
    if len(found) == 1:
        raise ValueError(
            f"{folder}: has a folder for training, but none for validation or test; add "
            f"{folder}/val or {folder}/test, or pass --videos {folder / names[0]} to divide it"
        )
    return {split: found[split] for split in SPLITS if split in found}


def report_of(split: str, classes: Mapping[str, int]) -> str | None:
    """What to say of a finished list, given the number of its videos by class; None if it is good.

    Validation and test may lack classes, training may not.
    """
    if not any(classes.values()):
        return "the list is empty: no video of it could be encoded"
    if split == "train":
        if len(classes) == 1:
            return f"all videos have one class, {next(iter(classes))}; training needs two or more"
        if empty := [name for name, count in classes.items() if not count]:
            return f"no videos of {first_few(empty)}, of {len(classes)} classes; add some"
    return None
