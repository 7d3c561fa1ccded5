"""Extracts features of videos, or scores them, on a Ray cluster; results are Parquet files.

    python launch/ray_extract.py --config kinetics/x3d_xs --weights x3d_xs.pyth \\
        --list LISTS/test.csv --prefix VIDEOS --out FEATURES --actors 8 --gpus 1
    python launch/ray_extract.py --score --config ...

It needs the extra `ray` (pip install -e '.[ray]'), and on a cluster RAY_ADDRESS. Every actor loads
the network once and decodes its videos itself. --weights, videos and --out are in folders that all
nodes share. An actor that dies is replaced, and what it was working on is done again.

FEATURES/*.parquet have a row for each window: path, start, end (seconds), fps and features; with
--score a row for each video: path and scores, under the config's test protocol. A file has the
videos of one task and is written atomically; the same command processes the videos that no file has
yet. Videos that cannot be read are listed at the end, and the exit status is 1.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import ray

from data_pipelines.atomic_files import whole
from data_pipelines.sources.video_lists import read_list
from slowfast_jax.config.stored import check_settings

VIDEOS = 8  # of a task
SETTINGS = ("config", "weights", "score", "endpoint", "window", "stride")


class Worker:
    """An actor: a network that processes the videos of one task after the other."""

    def __init__(self, arguments: argparse.Namespace):
        from slowfast_jax import load
        from slowfast_jax.inference.features import Options

        self.score, self.out = arguments.score, Path(arguments.out)
        self.options = Options(arguments.endpoint, arguments.window, arguments.stride)
        self.recognizer = load(arguments.config, arguments.weights or None)

    def __call__(self, task: dict[str, np.ndarray]) -> dict[str, list[str]]:
        """Writes the results of the task's videos; returns the errors of the others."""
        paths = task["path"].tolist()
        # The name depends on the videos: a task that is done again replaces its file.
        target = self.out / f"{sha256(chr(10).join(paths).encode()).hexdigest()[:32]}.parquet"
        rows: list[dict[str, Any]] = []
        errors: dict[str, list[str]] = {"path": [], "error": []}
        # Padded, so that all tasks have batches of one shape.
        padded = paths + paths[-1:] * (VIDEOS - len(paths))
        for index, found, error in self._process(padded):
            if index < len(paths) and error:
                errors["path"].append(paths[index])
                errors["error"].append(str(error))
            elif index < len(paths):
                rows += [{"path": paths[index], **row} for row in found]
        if rows:
            with whole(target) as part:
                pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), part)
        return errors

    def _process(self, paths: Sequence[str]) -> Iterator[tuple[int, list[dict[str, Any]], Any]]:
        from slowfast_jax.inference.features import iterate_features

        if self.score:
            for scored in self.recognizer.score_videos(paths):
                rows = [] if scored.error else [{"scores": scored.scores}]
                yield scored.index, rows, scored.error
            return
        for index, found, error in iterate_features(self.recognizer, paths, self.options):
            if error:
                yield index, [], error
                continue
            windows = zip(found.start, found.end, found.features, strict=True)
            yield index, [
                {"start": start, "end": end, "fps": found.fps, "features": row}
                for start, end, row in windows
            ], None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", required=True, help="recipe or zoo name")
    parser.add_argument("--weights", default="", help="checkpoint (default: the config's)")
    parser.add_argument("--list", required=True, help="list with a row `path label` per video")
    parser.add_argument("--prefix", default="", help="folder that its paths are relative to")
    parser.add_argument("--out", required=True, help="folder for the Parquet files")
    parser.add_argument("--score", action="store_true", help="score videos, instead of features")
    parser.add_argument("--endpoint", default="features", help="as for --mode extract")
    parser.add_argument("--window", type=float, help="as for --mode extract")
    parser.add_argument("--stride", type=float, help="as for --mode extract")
    parser.add_argument("--actors", type=int, default=1, help="number of actors (default: 1)")
    parser.add_argument("--cpus", type=float, default=1, help="CPUs of an actor (default: 1)")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of an actor (default: 0)")
    parser.add_argument("--tpus", type=float, default=0, help="TPUs of an actor (default: 0)")
    arguments = parser.parse_args(argv)
    out = Path(arguments.out)
    listed = dict.fromkeys(s.path for s in read_list(arguments.list, path_prefix=arguments.prefix))
    settings = {name: vars(arguments)[name] for name in SETTINGS}
    check_settings(out / "settings.json", settings, "scores" if arguments.score else "features")
    left = sorted(set(listed) - done(out))
    print(f"{len(listed)} videos are listed, {len(left)} of them are to be processed", flush=True)
    if not left:
        return 0
    errors = ray.data.from_items([{"path": path} for path in left]).map_batches(
        Worker, fn_constructor_args=(arguments,), batch_size=VIDEOS,
        compute=ray.data.ActorPoolStrategy(size=arguments.actors),
        num_cpus=arguments.cpus, num_gpus=arguments.gpus or None,
        resources={"TPU": arguments.tpus} if arguments.tpus else None,
    ).take_all()
    for row in errors:
        print(f"failed: {row['path']}: {row['error']}", file=sys.stderr)
    print(f"{len(left) - len(errors)} videos were processed and {len(errors)} failed")
    return int(bool(errors))


def done(out: Path) -> set[str]:
    """The videos whose results are in a file."""
    files = [str(path) for path in sorted(out.glob("*.parquet")) if path.name[0] != "."]
    if not files:
        return set()
    table = pyarrow.dataset.dataset(files, format="parquet").to_table(columns=["path"])
    return set(table["path"].to_pylist())


if __name__ == "__main__":
    sys.exit(main())
