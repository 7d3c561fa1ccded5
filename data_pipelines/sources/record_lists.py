"""Lists of encoded videos in ArrayRecord files: csv files with a header and one row per record.

    shard,record,id,label,frames,fps,width,height,broken
    clips-train.array_record-00000-of-00002,0,abseiling/a.mp4,0,300,30,340,256,

`shard` is a file in the folder of the list, `record` the number of the record in it, starting at 0,
`id` the name of the video, and `label` its class, or its classes separated by spaces. A row without
shard is a video that could not be encoded; `broken` gives the reason. Other columns are only for
information. data_pipelines.tfds_builders writes such lists; any subset of the rows is a valid list.

Lists of keyframes have the columns `video,time,begin` instead of `id,label`: the record shows the
video around `time`, beginning at `begin`.
"""

import csv
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from data_pipelines.paths import PathLike
from data_pipelines.sources.keyframes import Keyframe, Moments, build
from data_pipelines.sources.list_labels import read_label
from data_pipelines.sources.list_samples import Sample
from data_pipelines.text_files import (
    OnBadRow,
    bad_rows,
    bad_rows_together,
    parse_rows,
    read_number,
    why_not_utf8,
)
from data_pipelines.video.records import Absent, Record

CLIPS = ("shard", "record", "id", "label")
KEYFRAMES = ("shard", "record", "video", "time", "begin")
_Entry = tuple[Record | Absent, dict[str, str]]  # a record, and its row by column


def read_record_list(
    path: PathLike, *, num_classes: int | None = None, multi_label: bool = False,
    on_bad_rows: OnBadRow | None = None,
) -> list[Sample]:
    """Reads a list of encoded videos and their labels.

    Args:
        num_classes: labels must lie within 0..num_classes-1.
        on_bad_rows: see `list_samples.read_samples`.

    Raises:
        FileNotFoundError: the list, or a file that it names, does not exist.
        ValueError: a row is invalid (the message names its line), or there are no rows.
    """

    def parse(where: str, entry: _Entry) -> Sample:
        record, row = entry
        label = read_label(where, row["label"].split(), num_classes, multi_label)
        return Sample(row["id"], label, record=record)

    samples: list[Sample] = []
    with bad_rows_together(on_bad_rows) as on_bad_row:
        samples = parse_rows(_rows(path, CLIPS, "{id}", on_bad_row), parse, on_bad_row)
    return samples


def read_moments(path: PathLike) -> dict[tuple[str, float], tuple[Record | Absent, float]]:
    """Reads a list of encoded keyframes: (record, time of its first frame) by (video, time).

    Raises:
        As `read_record_list`.
    """

    def parse(
        where: str, entry: _Entry
    ) -> tuple[tuple[str, float], tuple[Record | Absent, float]]:
        record, row = entry
        file, _, line = where.rpartition(":")
        time = read_number(file, line, "time", row["time"])
        begin = time
        if isinstance(record, Record):
            begin = read_number(file, line, "begin", row["begin"])
        return (row["video"], time), (record, begin)

    with bad_rows() as on_bad_row:
        rows = _rows(path, KEYFRAMES, "{video} at {time}", on_bad_row)
        moments = dict(parse_rows(rows, parse, on_bad_row))
    return moments


def keyframes_in_records(moments: Moments, path: PathLike) -> list[Keyframe]:
    """The keyframes of tables of boxes, with the records of the list `path` as their videos.

    Raises:
        As `read_moments`; also ValueError for a keyframe that is not in the list.
    """
    records = read_moments(path)
    keyframes = build(moments, dict.fromkeys(moments, str(path)), origin=-math.inf)
    missing = [k for k in keyframes if (k.video, k.time) not in records]
    if missing:
        others = f" and of {len(missing) - 1} other keyframes" if len(missing) > 1 else ""
        raise ValueError(
            f"{path}: no record of {missing[0].video} at {missing[0].time:g}{others}; write the "
            "records from the same tables of boxes, or remove the rows"
        )
    found = []
    for keyframe in keyframes:
        record, begin = records[keyframe.video, keyframe.time]
        found.append(replace(keyframe, source=record, origin=begin))
    return found


def read_broken(path: PathLike) -> tuple[int, list[tuple[str, str]]]:
    """The number of records of a list of either kind, and (name, reason) of rows without one."""
    count, broken = 0, []
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["shard"]:
                count += 1
            else:
                name = row["id"] if "id" in row else f"{row['video']} at {row['time']}"
                broken.append((name, row["broken"]))
    return count, broken


def _rows(
    path: PathLike, columns: Sequence[str], called: str, on_bad_row: OnBadRow
) -> Iterator[tuple[str, _Entry]]:
    """Yields ("file:line", (record, text by column)) of each row below the header.

    Args:
        called: format of the name of a video without record, with columns as fields.
        on_bad_row: called for rows with another number of columns or an invalid number of the
            record; if it returns, they are skipped.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such list of records; set data.root to the folder that "
            "`python -m data_pipelines.tfds_builders` wrote, and data.train_list, data.val_list, "
            "data.test_list to the names of the lists in it"
        )
    shards: dict[str, str] = {}
    empty = True
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path}:1: no column {', '.join(missing)} in {reader.fieldnames}; expected "
                    f"the header {','.join(columns)},... of a list of records"
                )
            for row in reader:
                where = f"{path}:{reader.line_num}"
                empty = False
                if None in row or None in row.values():
                    on_bad_row(ValueError(
                        f"{where}: expected {len(reader.fieldnames)} columns, as in the header"
                    ))
                    continue
                if not row["shard"]:
                    reason = row.get("broken") or "could not be encoded"
                    yield where, (Absent(called.format(**row), reason), row)
                    continue
                if not row["record"].isdecimal():
                    on_bad_row(ValueError(
                        f"{where}: record is {row['record']!r}; expected a number from 0 on"
                    ))
                    continue
                shard = shards.get(row["shard"])
                if shard is None:
                    shard = shards[row["shard"]] = _shard(where, path.parent, row["shard"])
                yield where, (Record(shard, int(row["record"])), row)
        except (UnicodeDecodeError, csv.Error) as error:
            reason = why_not_utf8(path) or error
            raise ValueError(f"{path}: is not a csv file in UTF-8 ({reason})") from error
    if empty:
        raise ValueError(f"{path}: the list is empty; expected rows {','.join(columns)},...")


def _shard(where: str, folder: Path, name: str) -> str:
    shard = os.path.join(folder, name)
    if not os.path.isfile(shard):
        raise FileNotFoundError(
            f"{where}: {shard} does not exist; a list must be in the folder of its records"
        )
    return shard
