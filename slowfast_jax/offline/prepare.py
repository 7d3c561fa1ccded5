"""Writes the inputs that a test gives to the network as files, and an index of them."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.atomic_files import whole
from data_pipelines.progress import in_threads
from data_pipelines.video.decoding import VideoError
from slowfast_jax.config import ConfigError
from slowfast_jax.config.stored import check_settings, write_config
from slowfast_jax.evaluate import counts
from slowfast_jax.inference.digests import digest
from slowfast_jax.loop.preflight import find_test_set
from slowfast_jax.offline.index import FORMAT, FORMS, UNFINISHED, read_unfinished, write_index

SETTINGS = "inputs.json"


def prepare(
    config: ConfigDict, folder: str | os.PathLike, *, raw: bool = False,
    box_rows: int | None = None,
) -> dict[str, Any]:
    """Writes the inputs of config.data.test_list, with the config's test protocol.

    A second call continues an interrupted one: examples that have all their files are skipped.

    Args:
      config: a complete config (see `load_config`).
      folder: receives clip/NUMBER_VIEW.npy for each view of a video, or clip/NUMBER.npy and
        boxes/NUMBER.npy for each keyframe, each a batch of one, written atomically; and the index.
      raw: write .bin files, which hold the elements alone.
      box_rows: boxes of each keyframe, padded with whole frames; None: as many as it has.

    Returns:
      Numbers of examples listed, used and failed, and of "files".

    Raises:
      ConfigError: `folder` has inputs with other settings, or as `evaluate`.
      OSError, ValueError: the list is missing or invalid, or the disk is full.
    """
    folder = Path(folder)
    if config.task not in FORMS:
        raise ConfigError(f"config.task is {config.task}, expected {' or '.join(FORMS)}")
    form = FORMS[config.task]
    if box_rows is not None and "boxes" not in form.DTYPES:
        raise ConfigError(f"--boxes is for networks that classify boxes; {config.name} does not")
    found = find_test_set(config, folder)
    entries = form.entries(found)
    load = form.loader(config, found, box_rows)
    settings = _settings(config, entries, raw, box_rows)
    folder.mkdir(parents=True, exist_ok=True)
    known = {
        number: record for number, record in read_unfinished(folder).items()
        if all(path.exists() for path in _paths(folder, record, settings))
    }
    left = [number for number in range(len(entries)) if number not in known]
    _check_space(folder, len(left) * form.least_bytes(config))
    check_settings(folder / SETTINGS, settings, "inputs")
    write_config(config, folder)
    form.write_truth(folder, found)
    logging.info("%d %s are listed; %d have their files", len(entries), form.UNIT, len(known))
    digits, views = len(str(len(entries) - 1)), form.views_per_example(config)

    def write(number: int) -> dict[str, Any]:
        name = f"{number:0{digits}d}"
        record = {"index": number, **entries[number], "files": [], "shapes": {}}
        try:
            for view, arrays in enumerate(load(number)):
                record["files"].append(name + (f"_{view:0{len(str(views - 1))}d}" if views else ""))
                for kind, array in arrays.items():
                    record["shapes"][kind] = list(array.shape)
                    _save(folder / kind / (record["files"][-1] + settings["suffix"]), array)
            return record | form.label_of(found, number)
        except VideoError as error:
            for path in _paths(folder, record, settings):
                path.unlink(missing_ok=True)
            return {"video_id": number, "path": form.name_of(found, number),
                    "reason": error.reason}

    failed = []
    with (folder / UNFINISHED).open("a", encoding="utf-8") as journal:
        for record in in_threads(write, left, "preparing"):
            if "reason" in record:
                logging.error("failed: %s: %s", record["path"], record["reason"])
                failed.append(record)
                continue
            known[record["index"]] = record
            journal.write(json.dumps(record) + "\n")
            journal.flush()
    write_index(folder, {
        "settings": settings, "classes": form.class_names(config, found),
        "examples": [known[number] for number in sorted(known)], "failed": failed,
    })
    done = counts(form.UNIT, len(entries), len(failed))
    return done | {"files": sum(len(record["files"]) for record in known.values())}


def _settings(
    config: ConfigDict, entries: Sequence[Mapping[str, Any]], raw: bool, box_rows: int | None
) -> dict[str, Any]:
    """What the files depend on, apart from the contents of the videos."""
    form = FORMS[config.task]
    return {
        "format": FORMAT, "task": config.task, "suffix": ".bin" if raw else ".npy",
        "dtypes": form.DTYPES, "boxes": box_rows, **form.options(config),
        "list": digest(json.dumps(entries)),
    }


def _paths(
    folder: Path, record: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[Path]:
    """The files of an example."""
    for kind in record["shapes"]:
        for name in record["files"]:
            yield folder / kind / (name + settings["suffix"])


def _check_space(folder: Path, needed: int) -> None:
    """OSError if the disk has no room for this number of bytes, the least that is written."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{folder} has {free / 1e9:.2f} GB of free space, but the inputs take at least "
            f"{needed / 1e9:.2f} GB: free some, choose another folder, or write fewer views with "
            "--config.protocol.clips and --config.protocol.crops"
        )


def _save(path: Path, array: np.ndarray) -> None:
    with whole(path) as part, part.open("wb") as file:
        if path.suffix == ".bin":
            file.write(array.tobytes())
        else:
            np.save(file, array)
