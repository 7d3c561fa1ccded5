"""The command line of `python -m slowfast_jax.demo`."""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_pipelines.command import Parser, called_as, fraction, positive
from slowfast_jax.demo.choice import LEAST, RARE_THRESHOLD, THRESHOLD
from slowfast_jax.demo.sources.live import TIMEOUT, hidden, live_address
from slowfast_jax.demo.stages.actions import STRIDE
from slowfast_jax.demo.stages.persons import EVERY
from slowfast_jax.detectors.load import DEFAULT, EXPECTED
from slowfast_jax.detectors.tracking import HIGH_SCORE
from slowfast_jax.inference.arguments import add_network, add_running, named, network_problems
from slowfast_jax.inference.inputs import FRAME_RATE
from slowfast_jax.inference.prediction_output import files_for, why_not_writable
from slowfast_jax.option_names import whole_number

SUFFIX = ".mp4"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with status 2 if it is invalid.

    Arguments that do not go together are lines of the attribute `problems` of the result.
    """
    parser = Parser(
        prog=called_as("slowfast_jax.demo", "slowfast-jax-demo"),
        description="Shows what is in videos, cameras and streams: labels over time, or people and "
        "what they do. Writes films and tables as it goes; Ctrl-C keeps them.",
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", type=named,
        help='video file, pattern such as "*.mp4", or folder, searched with its subfolders; a '
        "folder with pictures only is one video. Or one camera (camera:0, /dev/video0) or stream "
        "(rtsp://..., tcp://..., http://...)",
    )
    add_network(parser)
    add_running(parser)
    _add_files(parser)
    _add_recognition(parser)
    _add_people(parser)
    _add_drawing(parser)
    arguments = parser.parse_args(argv)
    arguments.problems = list(_contradictions(arguments))
    arguments.fps_given = arguments.fps is not None
    arguments.fps = arguments.fps or FRAME_RATE
    if arguments.detector_threshold is None:
        arguments.detector_threshold = HIGH_SCORE
    arguments.detect_every = arguments.detect_every or EVERY
    arguments.timeout = arguments.timeout or TIMEOUT
    return arguments


def _add_files(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--out", metavar="FILE|DIR",
        help="write the film to this .mp4 file; of several videos, to this folder. H.264 with the "
        "sound of the video",
    )
    group.add_argument(
        "--show", action="store_true",
        help="show the film in a window while it is made, at the speed at which it plays; q, Esc "
        "or closing the window ends the work, as Ctrl-C does",
    )
    group.add_argument(
        "--json", metavar="FILE",
        help="write the results to this file: a JSON array with an object for each video, or, if "
        "the name ends with .jsonl, an object on each line",
    )
    group.add_argument(
        "--csv", metavar="FILE",
        help="write a table with a row for each label of a window, or of a person at a moment",
    )


def _add_recognition(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("recognition")
    group.add_argument(
        "--window", type=positive, metavar="SECONDS",
        help="length of each classified window (minimum and default: that of the network's clip)",
    )
    group.add_argument(
        "--stride", type=positive, metavar="SECONDS",
        help="time from one window to the next (default: the length of a window); for networks "
        f"that recognize people, from one moment with actions to the next (default: {STRIDE:g})",
    )
    group.add_argument(
        "--fps", type=positive, metavar="RATE",
        help=f"frame rate of folders of pictures (default: {FRAME_RATE:g})",
    )
    group.add_argument(
        "--timeout", type=positive, metavar="SECONDS",
        help="seconds without a picture after which a camera or stream counts as lost (default: "
        f"{TIMEOUT:g})",
    )


def _add_people(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("people")
    group.add_argument(
        "--detector", metavar="NAME|FILE",
        help=f"finds people: {EXPECTED}. With a network that classifies clips, people are then "
        "tracked and drawn as well (default for networks that recognize people, unless --boxes is "
        f"given: {DEFAULT})",
    )
    group.add_argument(
        "--detector-threshold", type=fraction, metavar="SCORE",
        help="minimum score of a box that starts a track; boxes that continue one may score less "
        f"(default: {HIGH_SCORE:g})",
    )
    group.add_argument(
        "--detect-every", type=positive, metavar="SECONDS",
        help=f"time from one detection to the next; boxes in between are interpolated (default: "
        f"{EVERY:g})",
    )
    group.add_argument(
        "--boxes", metavar="TABLE",
        help="boxes of people in place of a detector: a csv table, one of AVA, or a pickle of "
        "MMAction2 or PaddleVideo",
    )
    group.add_argument(
        "--ground-truth", metavar="TABLE",
        help="csv table with annotated boxes and actions, which are drawn beside",
    )
    group.add_argument(
        "--first-second", type=float, metavar="SECOND",
        help="second of the tables at which the video begins (default: 900 for tables of AVA and "
        "pickles, otherwise 0)",
    )


def _add_drawing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("labels")
    group.add_argument(
        "--top-k", type=whole_number, default=3, metavar="K",
        help="maximum number of labels (default: 3)",
    )
    group.add_argument(
        "--threshold", type=fraction, metavar="SCORE",
        help="minimum score of a label; if there are common classes, of those (default: "
        f"{THRESHOLD:g} for networks that give a person or video several labels, otherwise "
        f"{LEAST:g})",
    )
    group.add_argument(
        "--rare-threshold", type=fraction, metavar="SCORE",
        help=f"minimum score of the other classes (default: {RARE_THRESHOLD:g}, or --threshold if "
        "that is less)",
    )
    group.add_argument(
        "--common-classes", nargs="+", action="extend", default=[], metavar="NAME",
        help="classes that --threshold applies to (default: the frequent ones of AVA, if the "
        "network has them; otherwise all)",
    )
    group.add_argument(
        "--classes", nargs="+", action="extend", default=[], metavar="NAME",
        help="show only these classes",
    )
    group.add_argument(
        "--font", metavar="FILE",
        help="font of the labels, a TrueType or OpenType file (default: Pillow's own, or one of "
        "the system that has the characters of the labels)",
    )
    group.add_argument(
        "--slow-motion", type=_slow, default=1.0, metavar="FACTOR",
        help="make the film longer than the video by this factor, and silent",
    )


def find_problems(arguments: argparse.Namespace, videos: Sequence[str]) -> list[str]:
    """What is wrong with the arguments and the files that they name.

    Args:
      arguments: what `parse` returned.
      videos: the files and folders that were found for the sources, or the live source.
    """
    return [*arguments.problems, *network_problems(arguments), *_files(arguments, videos)]


def _contradictions(arguments: argparse.Namespace) -> Iterator[str]:
    live = [source for source in arguments.sources if live_address(source)]
    if live and len(arguments.sources) > 1:
        yield f"{hidden(live[0])} is a camera or stream; expected it as the only source"
    for flag in ("boxes", "ground_truth", "slow_motion", "fps"):
        if live and getattr(arguments, flag) not in (None, 1.0):
            yield f"{_option(flag)} cannot be used with a camera or stream"
    if not live and arguments.timeout:
        yield "--timeout is for cameras and streams"
    for flag in ("detector", "detector_threshold", "detect_every"):
        if arguments.boxes and getattr(arguments, flag) is not None:
            yield f"--boxes and {_option(flag)} exclude each other: known boxes need no detector"
    if arguments.first_second is not None and not (arguments.boxes or arguments.ground_truth):
        yield "--first-second requires --boxes or --ground-truth"
    for flag in ("slow_motion", "font"):
        if getattr(arguments, flag) not in (None, 1.0) and not (arguments.out or arguments.show):
            yield f"{_option(flag)} requires --out or --show"


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _files(arguments: argparse.Namespace, videos: Sequence[str]) -> Iterator[str]:
    for flag in ("boxes", "ground_truth", "font"):
        path = getattr(arguments, flag)
        if path and not os.path.isfile(path):
            yield f"{_option(flag)} {path}: no such file"
    for flag in ("json", "csv"):
        path = getattr(arguments, flag)
        if path and (reason := why_not_writable(path)):
            yield f"--{flag} {path}: {reason}"
    out = arguments.out
    films: dict[str, str | os.PathLike] = {}
    if out:
        is_folder = is_film_folder(out)
        if not is_folder and Path(out).suffix.lower() != SUFFIX:
            yield f"--out {out}: expected a name that ends with {SUFFIX}, or a folder"
        elif not is_folder and len(videos) > 1:
            yield f"--out {out}: expected a folder for the films of {len(videos)} videos"
        elif reason := why_not_writable(out, folder=is_folder):
            yield f"--out {out}: {reason}"
        films = files_for(out, videos) if is_folder else {"": out}
    yield from _replaced(arguments, videos, list(films.values()))


def _replaced(
    arguments: argparse.Namespace, videos: Sequence[str], films: Sequence[str | os.PathLike]
) -> Iterator[str]:
    """Files that are read, or written under another option, and would be lost."""
    flags = ("weights", "labels", "detector", "boxes", "ground_truth", "font")
    read = [*videos, *(getattr(arguments, flag) for flag in flags)]
    kept = {os.path.realpath(path): path for path in read if path and os.path.isfile(path)}
    written = [("out", film) for film in films]
    written += [(flag, getattr(arguments, flag)) for flag in ("json", "csv")]
    for flag, path in written:
        if path and (place := os.path.realpath(path)) in kept:
            yield f"--{flag} {path}: would replace {kept[place]}; choose another name"
        elif path:
            kept[place] = f"the file of --{flag}"


def is_film_folder(out: str) -> bool:
    """Whether --out names a folder: one that exists, or a name without a suffix."""
    return os.path.isdir(out) or not Path(out).suffix or out.endswith(os.sep)


def _slow(text: str) -> float:
    number = positive(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a factor of 1 or more")
    return number
