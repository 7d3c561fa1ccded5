"""AVA-Kinetics: videos of Kinetics-700 with boxes at one moment, as tables of own_boxes.py."""

import csv
import io
import re
from functools import partial
from pathlib import Path

from data_pipelines.encoding import encode
from data_pipelines.findings import Facts, Findings
from data_pipelines.keyframes import read_number, read_rows
from data_pipelines.own_boxes import CORNERS
from data_pipelines.preparing import Job, by_name, make_all, tell_missing, videos_in, write_text

TABLES = {"train": "kinetics_train_v1.0.csv", "val": "kinetics_val_v1.0.csv"}
CLIP = re.compile(r"(.+)_(\d{6})_(\d{6})")  # id, and from which second of the whole to which
HEADER = ("video", "time", *CORNERS, "action")


def prepare_ava_kinetics(
    folder: Path,
    findings: Findings,
    *,
    annotations: Path,
    videos: Path,
    short_side: int = 320,
) -> Facts:
    """Writes folder/videos and the tables train.csv and val.csv, whose times are of the videos.

    Moments without a box, which the annotations have too, are left out.

    Args:
        annotations: folder of kinetics_train_v1.0.csv and kinetics_val_v1.0.csv: rows
            `id,second,x1,y1,x2,y2,action`, seconds of the whole video on YouTube.
        videos: of Kinetics-700, named ID_BEGIN_END.mp4 with six digits each.
        short_side: of the pictures.

    Raises:
        FileNotFoundError, ValueError: an input is missing or cannot be read.
        OSError: nothing can be written.
    """
    clips: dict[str, list[tuple[int, int, Path]]] = {}
    for name, path in by_name(videos_in(videos)).items():
        if match := CLIP.fullmatch(name):
            clips.setdefault(match[1], []).append((int(match[2]), int(match[3]), path))
    facts: Facts = {}
    for split, name in TABLES.items():
        moments, missing = _find(annotations / name, clips)
        tell_missing(
            findings, annotations / name, missing, videos, len(moments) + len(missing)
        )
        sources = {path: None for path, _, _ in moments.values()}
        jobs = [Job(path, folder / "videos" / f"{path.stem}.mp4") for path in sources]
        made = {
            job.source for job in make_all(
                f"encoding {split}", jobs, partial(encode, short_side=short_side), findings
            )
        }
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(HEADER)
        for path, time, boxes in moments.values():
            if path in made:
                table.writerows((f"{path.stem}.mp4", f"{time:g}", *box) for box in boxes)
        write_text(folder / f"{split}.csv", [text.getvalue()])
        facts[f"{split}.csv: videos"] = len(made)
    return facts


def _find(
    table: Path, clips: dict[str, list[tuple[int, int, Path]]]
) -> tuple[dict[tuple[str, float], tuple[Path, float, list[list[str]]]], list[str]]:
    """(video, second of it and boxes by id and second, ids of which no video has the second)."""
    moments: dict[tuple[str, float], tuple[Path, float, list[list[str]]]] = {}
    missing: dict[str, None] = {}
    for line, columns in read_rows(table):
        if len(columns) < 7:
            if any(columns[2:]):
                raise ValueError(
                    f"{table}:{line}: {len(columns)} columns in {','.join(columns)!r}; expected "
                    "id,second,x1,y1,x2,y2,action"
                )
            continue
        name, second = columns[0], read_number(table, line, "second", columns[1])
        key = name, second
        if key not in moments:
            clip = next((c for c in clips.get(name, ()) if c[0] <= second < c[1]), None)
            if clip is None:
                missing[name] = None
                continue
            moments[key] = clip[2], second - clip[0], []
        moments[key][2].append(columns[2:7])
    return moments, list(missing)
