"""TFDS builder that encodes videos into ArrayRecord files, in threads or with Apache Beam.

    builder = EncodedVideos("kinetics400", splits={"train": jobs}, features=..., data_dir="DATA")
    builder.download_and_prepare()
    tfds.data_source("encoded_videos/kinetics400", split="train", data_dir="DATA")
"""

import csv
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from data_pipelines.atomic_files import whole
from data_pipelines.progress import in_threads
from data_pipelines.tfds_builders.jobs import Job
from data_pipelines.tfds_builders.shards import (
    Settings,
    Shard,
    describe,
    video_features,
    write_shard,
)

FORMAT = "array_record"
PER_SHARD, MOST_SHARDS = 64, 1024
DEFAULTS = Settings()


class EncodedVideos(FileReaderBuilder, skip_registration=True):
    """A data set of encoded videos. TFDS knows it as the config `name` of encoded_videos.

    Files are written to the folder `unfinished`, beside that of the data set, and moved there when
    all are complete, together with a list of the records of each split (record_lists.py). With
    `beam_runner` or `beam_options` in the DownloadConfig, workers of Apache Beam write the files;
    they must see the videos and `data_dir` under the same paths.

    Args:
        name: name of the data set.
        splits: the videos to encode, by split.
        features: TFDS features of the records besides the video and its measured properties.
        settings: how videos are encoded.
        shards: number of files of each split; None for about one per 64 videos.
        data_dir: TFDS's folder of data sets; None for its default.
    """

    name = "encoded_videos"
    VERSION = tfds.core.Version("1.0.0")
    url_infos: dict[str, Any] = {}  # nothing is downloaded, so no checksums are looked up

    def __init__(
        self,
        name: str,
        *,
        splits: Mapping[str, Sequence[Job]],
        features: Mapping[str, Any],
        settings: Settings = DEFAULTS,
        shards: int | None = None,
        data_dir: str | os.PathLike | None = None,
    ):
        self._splits, self._features, self._settings = splits, features, settings
        self._shards = shards
        config = tfds.core.BuilderConfig(name=name, description="Re-encoded videos")
        super().__init__(
            data_dir=None if data_dir is None else os.fspath(data_dir), config=config,
            file_format=FORMAT,
        )
        self.folder = Path(self.data_path)
        self.unfinished = self.folder.with_name(f"{self.folder.name}.unfinished")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self, features=video_features(**self._features),
            description="Re-encoded videos with close key frames.",
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        target, infos = Path(self.data_path), []
        self._start()
        by_split = {split: self._shards_of(split) for split in self._splits}
        shards = [shard for of_split in by_split.values() for shard in of_split]
        options = download_config and download_config.beam_options
        runner = download_config and download_config.beam_runner
        if runner or options:
            _write_with_beam(shards, runner, options)
        for split, of_split in by_split.items():
            names = [self._file(split, number, len(of_split)) for number in range(len(of_split))]
            rows = list(in_threads(write_shard, of_split, f"encoding {split}"))
            write_list(target / f"{split}.csv", names, rows)
            lengths = [sum(1 for row in of_shard if row["record"]) for of_shard in rows]
            if not any(lengths):
                raise ValueError(
                    f"none of the {len(self._splits[split])} videos of {split} can be encoded; "
                    f"the first one: {rows[0][0]['broken']}"
                )
            infos.append(tfds.core.SplitInfo(
                name=split, shard_lengths=lengths,
                num_bytes=sum(shard.path.stat().st_size for shard in of_split),
                filename_template=tfds.core.ShardedFileTemplate(
                    data_dir=self.data_path, dataset_name=self.name, split=split,
                    filetype_suffix=FORMAT,
                ),
            ))
        for split, of_split in by_split.items():
            for number, shard in enumerate(of_split):
                os.replace(shard.path, target / self._file(split, number, len(of_split)))
        self.info.set_splits(tfds.core.SplitDict(infos))
        shutil.rmtree(self.unfinished)

    def _start(self) -> None:
        """Records the plan of this data set, and refuses to continue one with another plan.

        Raises:
            ValueError: the unfinished files belong to another plan.
        """
        jobs = {split: [repr(job) for job in jobs] for split, jobs in self._splits.items()}
        plan = [jobs, repr(self._settings), self._shards]
        digest = hashlib.sha256(json.dumps(plan).encode()).hexdigest()
        file = self.unfinished / "plan"
        if not file.is_file():
            with whole(file) as part:
                part.write_text(digest)
        elif file.read_text() != digest:
            raise ValueError(
                f"{self.unfinished}: started from other lists or with other settings; continue "
                "with those, or remove this folder"
            )

    def _shards_of(self, split: str) -> list[Shard]:
        jobs = self._splits[split]
        count = self._shards or min(math.ceil(len(jobs) / PER_SHARD), MOST_SHARDS)
        count = min(count, len(jobs))
        bounds = [len(jobs) * number // count for number in range(count + 1)]
        described = describe(self.info.features)
        return [
            Shard(
                self.unfinished / f"{split}-{number:05d}", tuple(jobs[start:stop]),
                self._settings, described,
            )
            for number, (start, stop) in enumerate(zip(bounds, bounds[1:], strict=False))
        ]

    def _file(self, split: str, number: int, count: int) -> str:
        return f"{self.name}-{split}.{FORMAT}-{number:05d}-of-{count:05d}"


def write_list(
    path: Path, files: Iterable[str], rows: Iterable[Sequence[Mapping[str, str]]]
) -> None:
    """Writes the list of the records of a split (see record_lists.py).

    Args:
        path: the csv file to write.
        files: names of the ArrayRecord files.
        rows: for each file, the rows of its records and of its skipped videos.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = None
        for name, of_file in zip(files, rows, strict=True):
            for row in of_file:
                if writer is None:
                    writer = csv.DictWriter(file, list(row), lineterminator="\n")
                    writer.writeheader()
                writer.writerow({**row, "shard": name if row["record"] else ""})


def _write_with_beam(shards: Sequence[Shard], runner: Any, options: Any) -> None:
    import apache_beam as beam

    with beam.Pipeline(runner=runner, options=options) as pipeline:
        _ = (
            pipeline
            | "Files" >> beam.Create(shards)
            | "Spread" >> beam.Reshuffle()
            | "Write" >> beam.Map(write_shard)
        )
