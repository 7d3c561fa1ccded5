"""Extracts features of the videos of a list: one file per video, which a rerun skips.

    done = extract(load_config("kinetics/x3d_xs"), "FEATURES", "x3d_xs.pyth", Options("res5"))

FEATURES/features/PATH.npz has the features of the video PATH (docs/features.md). Jobs that extract
different shards of one list need nothing from each other, not even a common disk.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines.atomic_files import whole, write_rows
from slowfast_jax import distributed
from slowfast_jax.config.stored import check_settings
from slowfast_jax.inference.digests import digest, digest_of
from slowfast_jax.inference.features import Options
from slowfast_jax.loop.preflight import prepare_test
from slowfast_jax.progress import track
from slowfast_jax.recognizer import Recognizer
from slowfast_jax.tasks import make_task

FOLDER, SETTINGS = "features", "features.json"  # in the working directory


class Shard(NamedTuple):
    """Part `index` of `count` parts of a list, counted from 0."""

    index: int = 0
    count: int = 1

    def has(self, name: str) -> bool:
        """Whether the video of that name belongs to this part: a hash of the name decides."""
        return int(digest(name), 16) % self.count == self.index


WHOLE_LIST = Shard()
DEFAULT_OPTIONS = Options()


def extract(
    config: ConfigDict,
    workdir: str | os.PathLike,
    weights: str | os.PathLike | None = None,
    options: Options = DEFAULT_OPTIONS,
    shard: Shard = WHOLE_LIST,
    *,
    backend: str = "jax",
) -> dict[str, Any]:
    """Extracts features of the videos of config.data.test_list that `workdir` does not have yet.

    Several processes divide the shard among them.

    Args:
      config: a complete config (see `load_config`).
      workdir: receives features/PATH.npz for each video, written atomically; features.json, the
        settings; and failed.csv, the paths and errors of videos that cannot be read.
      weights: as for `evaluate`.
      options: the endpoint, and the windows of video files.
      shard: the part of the list to extract.
      backend: what runs the network, see `slowfast_jax.load`.

    Returns:
      "videos_listed", each video counted once; "videos" of the shard, of which "videos_extracted"
      were extracted, "videos_skipped" had a file, and "videos_failed" could not be read.

    Raises:
      ConfigError: the network has no such endpoint; `workdir` has features with other settings; or
        as `evaluate`.
      FileNotFoundError, ValueError: the list or the weights are missing or invalid.
    """
    recognizer, found = prepare_test(config, workdir, weights, backend)
    config, workdir = recognizer.config, Path(workdir)
    recognizer.endpoints.check(options.endpoint, boxes=recognizer.takes_boxes)
    check_settings(workdir / SETTINGS, settings_of(recognizer, options), "features")
    task = make_task(config)
    listed: dict[str, str] = {}  # name of the file -> video
    for video in task.videos(found):
        listed.setdefault(file_name(video, (config.data.path_prefix, found.files[0].parent)), video)
    names = [name for name in listed if shard.has(name)]
    share = distributed.share(len(names))
    mine = names[share.start : share.stop]
    there = {name for name in mine if (workdir / FOLDER / name).exists()}
    missing = {listed[name]: name for name in mine if name not in there}
    logging.info(
        "listed videos: %d, of which in shard %d/%d: %d; this process extracts %d and skips %d "
        "that have a file", len(listed), *shard, len(names), len(missing), len(there),
    )
    failed = []
    extracted = task.extract(recognizer, found, list(missing), options)
    for video, arrays, errors in track(extracted, len(missing), "extracting"):
        if errors:
            reason = errors[0] + (f" ({len(errors)} errors)" if len(errors) > 1 else "")
            logging.error("failed: %s: %s", video, reason)
            failed.append((video, reason))
        else:
            _write(workdir / FOLDER / missing[video], arrays)
    parts = distributed.gather((len(there), failed))
    failed = [row for _, part in parts for row in part]
    if distributed.first():
        _write_failed(workdir, shard, failed)
    skipped = sum(count for count, _ in parts)
    return {
        "videos_listed": len(listed), "videos": len(names),
        "videos_extracted": len(names) - skipped - len(failed), "videos_skipped": skipped,
        "videos_failed": len(failed),
    }


def file_name(video: str, folders: Sequence[str | os.PathLike]) -> str:
    """The name of a video's file: the path within the first of the folders that holds it, else
    its whole path, and ".npz". The same on machines where the folders have other places."""
    place = Path(os.path.abspath(video))
    for folder in map(os.path.abspath, filter(os.fspath, folders)):
        if place.is_relative_to(folder):
            return f"{place.relative_to(folder)}.npz"
    if not os.path.isabs(video) and ".." not in Path(video).parts:  # also a name that is no path
        return f"{video}.npz"
    return f"{place.relative_to(place.anchor)}.npz"


def settings_of(recognizer: Recognizer, options: Options) -> dict[str, Any]:
    """What the features depend on, apart from the videos."""
    config, weights = recognizer.config, recognizer.config.test.checkpoint
    protocol = json.loads(config.protocol.to_json())
    used = ("num_frames", "sampling_rate", "target_fps", "test_crop", "mean", "std")
    return {
        **options._asdict(), "model": json.loads(config.model.to_json()),
        "protocol": {key: protocol[key] for key in used}, "sampling": config.data.sampling,
        "weights_sha256": digest_of(Path(weights)) if weights else "",
    }


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with whole(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def _write_failed(workdir: Path, shard: Shard, failed: list[tuple[str, str]]) -> None:
    """Writes the list of failed videos; without any, removes that of an earlier run."""
    name = "failed.csv" if shard == WHOLE_LIST else f"failed_{shard.index}_of_{shard.count}.csv"
    if failed:
        write_rows(workdir / name, [("path", "error"), *failed])
    else:
        (workdir / name).unlink(missing_ok=True)
