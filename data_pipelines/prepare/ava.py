"""AVA: films cut to the 15 minutes that are annotated, their frames, and frame lists."""

from functools import partial
from pathlib import Path

from data_pipelines.findings import Facts, Findings
from data_pipelines.prepare.common import (
    Job,
    by_name,
    extract_all,
    make_all,
    tell_missing,
    videos_in,
    write_frame_list,
)
from data_pipelines.sources import ava
from data_pipelines.text_files import read_rows
from data_pipelines.video.decoding import probe
from data_pipelines.video.encoding import cut, encode

SECONDS = 901  # from second 900 on
VERSIONS = ("2.2", "2.1")
LENIENCE = 0.5  # seconds that may be missing at the end


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
    """Writes folder/videos_15min, folder/frames and folder/frame_lists, as the original has them.

    Args:
        films: folder of the whole films; None is folder/videos. Where it is not there cuts are
            taken as they are.
        begin, seconds: of the films, what is cut.
        short_side: of the cuts, which are then encoded anew; None keeps pictures as they are.
        frames: False makes cuts only, which the recipes can read (data.video_dir).

    Raises:
        FileNotFoundError, ValueError: there are neither films nor cuts, or two of the same name.
        OSError: nothing can be written.
    """
    cuts = folder / "videos_15min"
    made = by_name(videos_in(cuts)) if cuts.is_dir() and any(cuts.iterdir()) else {}
    films = films or folder / "videos"
    if films.is_dir() or not made:
        new = [path for name, path in by_name(videos_in(films)).items() if name not in made]
        jobs = [Job(path, cuts / f"{path.stem}.mp4") for path in new]
        make = partial(_cut, begin=begin, seconds=seconds, short_side=short_side)
        done = make_all("cutting", jobs, make, findings)
        made |= {job.target.stem: job.target for job in done}
    for path in made.values():
        _tell_short(path, seconds, findings)
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


def _tell_short(path: Path, seconds: float, findings: Findings) -> None:
    info = probe(path)
    if info.duration < seconds - LENIENCE:
        findings.tell(str(path), "short", (
            f"shows {info.duration:.1f} s and should {seconds:g} s; if the whole film is longer "
            "than that, remove this and run the command again, else its last keyframes are missing"
        ))


def _write_lists(folder: Path, extracted: dict[str, list[str]], findings: Findings) -> Facts:
    """frame_lists/train.csv and val.csv: videos of the annotations, in their order."""
    facts: Facts = {}
    annotations = folder / "annotations"
    for split in ("train", "val"):
        tables = [annotations / f"ava_{split}_v{version}.csv" for version in VERSIONS]
        table = next(filter(Path.is_file, tables), None)
        if table is None:
            findings.tell(str(annotations), "missing", (
                f"neither {tables[0].name} nor {tables[1].name}, so no frame_lists/{split}.csv; "
                "`python -m data_pipelines.prepare ava --downloads` tells where to get them"
            ))
            continue
        videos = list(dict.fromkeys(columns[0] for _, columns in read_rows(table)))
        there = {video: extracted[video] for video in videos if video in extracted}
        missing = [video for video in videos if video not in there]
        tell_missing(findings, table, missing, folder / "frames", len(videos))
        write_frame_list(folder / "frame_lists" / f"{split}.csv", there)
        facts[f"frame_lists/{split}.csv: videos"] = len(there)
    return facts
