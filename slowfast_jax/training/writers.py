"""Metrics of a run: metrics.jsonl, one line per record, and TensorBoard's event file."""

import io
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from PIL import Image
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from slowfast_jax import distributed

METRICS_FILE = "metrics.jsonl"
PICTURES, FRAMES = 4, 8  # clips and frames of each that are shown


class Writers:
    """Writes records of a run to `workdir`/metrics.jsonl and `workdir`/tensorboard.

    A run that resumes at `first_step` drops the records after that step, so that the file equals
    that of an uninterrupted run. With None, all records are kept. Only the process with rank 0
    writes.
    """

    def __init__(self, workdir: str | Path, first_step: int | None = 0):
        workdir = self._workdir = Path(workdir)
        self._file = None
        if not distributed.first():
            return
        workdir.mkdir(parents=True, exist_ok=True)
        self._path = workdir / METRICS_FILE
        if first_step is not None and self._path.exists():
            kept = [row for row in read_metrics(workdir) if row["step"] <= first_step]
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text("".join(map(_line, kept)), encoding="utf-8")
            temporary.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")
        purge = first_step + 1 if first_step else None
        suffix = "" if first_step is not None else ".added"  # file names have no parts of seconds
        self._board = SummaryWriter(
            str(workdir / "tensorboard"), purge_step=purge, filename_suffix=suffix
        )

    def write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        """Adds a record. Numbers go to TensorBoard as `split`/name, dicts of numbers only to the
        file, and pictures uint8 (H, W, 3) only to TensorBoard.

        Raises OSError with the name of the file if it cannot be written.
        """
        if self._file is None:
            return
        place = {"step": step, "split": split}  # these win over values of the same names
        pictures = {name: x for name, x in values.items() if isinstance(x, np.ndarray)}
        record = {name: value for name, value in values.items() if name not in pictures}
        try:
            self._file.write(_line(place | record | place))
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._board.add_scalar(f"{split}/{name}", value, step)
        for name, picture in pictures.items():
            self._board.add_image(f"{split}/{name}", picture, step, dataformats="HWC")

    def histograms(self, step: int, params: Any) -> None:
        """Adds a histogram of each parameter to TensorBoard. All processes must call this."""
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            # Gathering sharded arrays takes all processes, though only one writes.
            array = np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
            if self._file is not None:
                self._board.add_histogram(f"params/{name}", array, step)

    def pictures(self, step: int, clips: jax.Array) -> None:
        """Adds frames of the first clips, as the network sees them, to TensorBoard."""
        if self._file is None:
            return
        shown = np.asarray(clips.addressable_shards[0].data[:PICTURES])
        frames = np.linspace(0, shown.shape[1] - 1, min(shown.shape[1], FRAMES)).astype(int)
        rows = shown[:, frames].transpose(0, 2, 1, 3, 4)  # (N, H, T, W, 3)
        sheet = rows.reshape(rows.shape[0] * rows.shape[1], -1, 3)
        self._board.add_image("clips", sheet, step, dataformats="HWC")

    def diverged(self, record: Mapping[str, Any]) -> Path:
        """Writes the record of a diverged step to a file of this process; returns its path."""
        name = "diverged.json" if distributed.first() else f"diverged_{distributed.index()}.json"
        path = self._workdir / name
        with suppress(OSError):  # the error that led here matters more
            path.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
        return path

    def close(self) -> None:
        """Closes the files. Errors are ignored, as `write` reports a full disk."""
        if self._file is None:
            return
        for file in (self._file, self._board):
            with suppress(OSError):
                file.close()


def add_test(workdir: str | Path, step: int, values: Mapping[str, Any]) -> None:
    """Adds the record of a test, of the checkpoint saved at `step`, to those of its run."""
    epochs = [r["epoch"] for r in read_metrics(workdir) if r["step"] == step and "epoch" in r]
    with closing(Writers(workdir, None)) as writers:
        writers.write(step, "test", ({"epoch": epochs[-1]} if epochs else {}) | dict(values))


class Film(NamedTuple):
    """Frames uint8 (T, H, W, 3), and how many of them are shown per second."""

    frames: np.ndarray
    fps: float


def add_pictures(
    workdir: str | Path, step: int, pictures: Iterable[tuple[str, np.ndarray | Film]]
) -> None:
    """Adds pictures uint8 (H, W, 3) and films to the TensorBoard files of a folder as they come,
    each with its tag."""
    folder = str(Path(workdir) / "tensorboard")
    with closing(SummaryWriter(folder, filename_suffix=".figures")) as board:
        for tag, shown in pictures:
            if not isinstance(shown, Film):
                board.add_image(tag, shown, step, dataformats="HWC")
                continue
            # A picture that is a GIF, as of add_video, which would need moviepy.
            _, height, width, colors = shown.frames.shape
            picture = Summary.Image(
                height=height, width=width, colorspace=colors, encoded_image_string=gif_of(shown)
            )
            value = Summary.Value(tag=tag, image=picture)
            board.file_writer.add_summary(Summary(value=[value]), step)


def gif_of(film: Film) -> bytes:
    """A film as a GIF that repeats itself."""
    first, *others = map(Image.fromarray, film.frames)
    buffer = io.BytesIO()
    first.save(
        buffer, "GIF", save_all=True, append_images=others, duration=round(1000 / film.fps), loop=0
    )
    return buffer.getvalue()


def read_metrics(workdir: str | Path) -> list[dict[str, Any]]:
    """The records in a run's metrics.jsonl, without a last line that was cut off."""
    path = Path(workdir) / METRICS_FILE
    rows = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise ValueError(f"{path}:{number}: is not JSON ({error})") from error
    return rows


def _line(record: Mapping[str, Any]) -> str:
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in record.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"
