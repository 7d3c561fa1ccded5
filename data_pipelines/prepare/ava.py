"""Prepares AVA: cuts films to the annotated 15 minutes, extracts frames and writes frame lists."""

from functools import partial
from pathlib import Path

from data_pipelines.findings import Facts, Findings
from data_pipelines.prepare.common import (
    Job,
    by_name,
    extract_all,
    make_all,
    report_missing,
    videos_in,
    write_frame_list,
)
from data_pipelines.sources import ava
from data_pipelines.text_files import read_rows
from data_pipelines.video.decoding import VideoError, probe
from data_pipelines.video.encoding import cut, encode

SECONDS = 901  # duration of a cut, from second 900 of the film
VERSIONS = ("2.2", "2.1")  # of the annotations, the preferred one first
LENIENCE = 0.5  # seconds that may be missing at the end of a cut


def prepare_ava(
    folder: Path,
    findings: Findings,
    *,
    films: Path | None = None,
    begin: float = ava.FIRST_SECOND,
    seconds: float = SECONDS,
    short_side: int | None = None,
    frames: bool = True,
) -> Facts:
    """Writes videos_15min, frames and frame_lists into `folder`, in the layout of PySlowFast.

    Args:
        folder: AVA's folder, which holds annotations.
        findings: receives problems.
        films: folder of the uncut films; None means folder/videos. If it does not exist, existing
            cuts are used.
        begin: second of the films at which the cuts start.
        seconds: duration of the cuts.
        short_side: pixels to which the short side of the cuts is reduced, by re-encoding them;
            None cuts without re-encoding.
        frames: False only makes cuts, which the recipes can read as well (data.video_dir).

    Returns:
        The facts of the summary.

    Raises:
        FileNotFoundError, ValueError: there are neither films nor cuts, or two have the same name.
        OSError: the disk cannot be written to.
    """
    cuts = folder / "videos_15min"
    made = by_name(videos_in(cuts, findings)) if cuts.is_dir() and any(cuts.iterdir()) else {}
    films = films or folder / "videos"
    if films.is_dir() or not made:
        found = by_name(videos_in(films, findings))
        new = [path for name, path in found.items() if name not in made]
        jobs = [Job(path, cuts / f"{path.stem}.mp4") for path in new]
        make = partial(_cut, begin=begin, seconds=seconds, short_side=short_side)
        done = make_all("cutting", jobs, make, findings, cuts)
        made |= {job.target.stem: job.target for job in done}
    for path in made.values():
        _report_short(path, seconds, findings)
    facts: Facts = {"videos": len(made)}
    if not frames:
        return facts
    extracted = extract_all(made.values(), folder / "frames", findings, seconds=seconds)
    facts["frames"] = sum(map(len, extracted.values()))
    return facts | _write_lists(folder, extracted, findings)


def _cut(source: Path, target: Path, *, begin: float, seconds: float, short_side: int | None):
    if short_side is None:
        cut(source, target, begin=begin, seconds=seconds)
    else:
        encode(source, target, begin=begin, seconds=seconds, short_side=short_side)


def _report_short(path: Path, seconds: float, findings: Findings) -> None:
    try:
        info = probe(path)
    except VideoError as error:
        findings.report(str(path), "broken", f"{error.reason}; or remove it and cut the film again")
        return
    if info.duration < seconds - LENIENCE:
        findings.report(str(path), "short", (
            f"lasts {info.duration:.1f} s instead of {seconds:g} s; if the film is longer, remove "
            "this file and run the command again, otherwise its last keyframes have no frames"
        ))


def _write_lists(folder: Path, extracted: dict[str, list[str]], findings: Findings) -> Facts:
    """Writes frame_lists/train.csv and val.csv, with the videos in the order of the annotations."""
    facts: Facts = {}
    annotations = folder / "annotations"
    for split in ("train", "val"):
        tables = [annotations / f"ava_{split}_v{version}.csv" for version in VERSIONS]
        table = next(filter(Path.is_file, tables), None)
        if table is None:
            findings.report(str(annotations), "missing", (
                f"has neither {tables[0].name} nor {tables[1].name}, so frame_lists/{split}.csv "
                "is not written; `python -m data_pipelines.prepare ava --downloads` shows where to "
                "get them"
            ))
            continue
        videos = list(dict.fromkeys(columns[0] for _, columns in read_rows(table)))
        found = {video: extracted[video] for video in videos if video in extracted}
        missing = [video for video in videos if video not in found]
        report_missing(findings, table, missing, folder / "frames", len(videos))
        write_frame_list(folder / "frame_lists" / f"{split}.csv", found)
        facts[f"frame_lists/{split}.csv: videos"] = len(found)
    return facts
