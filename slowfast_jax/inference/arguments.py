"""The command line of `python -m slowfast_jax.predict`."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from data_pipelines.command import Parser, positive
from slowfast_jax.inference.inputs import FRAME_RATE
from slowfast_jax.option_names import BACKENDS, pattern, whole_number
from slowfast_jax.published import PUBLISHED
from slowfast_jax.published.hub import is_address


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with status 2 if it is invalid.

    Arguments that do not go together are lines of the attribute `problems` of the result.
    """
    parser = Parser(
        prog=_program(),
        description="Predicts labels for videos, or for the people in them. Results are printed, "
        "and with --json written, as they come; Ctrl-C keeps them.",
    )
    parser.add_argument(
        "videos", nargs="+", metavar="VIDEO", type=named,
        help='video file, pattern such as "*.mp4", or folder, searched with its subfolders; a '
        "folder with pictures only is one video",
    )
    add_network(parser)
    add_running(parser)
    parser.add_argument(
        "--clips", type=whole_number, metavar="N", help="clips per video (default: the config's)"
    )
    parser.add_argument(
        "--crops", type=int, choices=(1, 2, 3), help="crops per clip (default: the config's)"
    )
    parser.add_argument(
        "--window", type=positive, metavar="SECONDS",
        help="predict over time, for windows of this length; at least that of a clip",
    )
    parser.add_argument(
        "--stride", type=positive, metavar="SECONDS",
        help="with --window: from the start of one window to the next (default: the same length)",
    )
    parser.add_argument(
        "--fps", type=positive, metavar="RATE",
        help=f"frame rate of folders of pictures (default: {FRAME_RATE:g})",
    )
    parser.add_argument(
        "--boxes", metavar="TABLE",
        help="CSV file with the boxes of people, for networks that classify boxes",
    )
    parser.add_argument(
        "--draw", metavar="DIR",
        help="with --boxes: draw boxes and labels into the videos, and write them to this folder",
    )
    parser.add_argument(
        "--json", metavar="FILE",
        help="write the predictions to this file: a JSON array with an object for each video, or, "
        "if the name ends with .jsonl, an object on each line",
    )
    parser.add_argument(
        "--top-k", type=whole_number, default=5, metavar="K",
        help="number of labels for each video, window or person (default: 5); with --window, the "
        "terminal shows only the best, and --json has all K",
    )
    arguments = parser.parse_args(argv)
    arguments.problems = list(_contradictions(arguments))
    arguments.fps_given = arguments.fps is not None
    arguments.fps = arguments.fps or FRAME_RATE
    return arguments


def add_network(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that name a network and its weights; `predict.load_network` loads it."""
    parser.add_argument(
        "--config",
        help="zoo name (kinetics/x3d_xs) or recipe (FILE/VARIANT of configs/FILE.py in the current "
        "folder or installed with the program, or path/to/file.py:VARIANT); not needed if "
        "--weights is a folder, which stores its config",
    )
    parser.add_argument(
        "--weights", required=True,
        help="checkpoint file, checkpoint folder or run folder; or hf://ORGANIZATION/NAME[@REVISION]"
        "[/FILE] on the Hugging Face hub; published: the published weights of --config, downloaded "
        "unless they are in the cache folder"
    )
    parser.add_argument(
        "--entry", default="", metavar="NAME",
        help="entry of the checkpoint file that holds the weights, such as ema (default: it is "
        "looked for)",
    )
    parser.add_argument(
        "--strip", action="append", default=[], metavar="TEXT",
        help="text to remove from the names in the checkpoint file, such as net.; can be repeated",
    )
    parser.add_argument(
        "--skip", action="append", default=[], type=pattern, metavar="REGEX",
        help="what the checkpoint file may have beside the network, or lack, as a regular "
        "expression that matches a whole name (loss/.*); what it lacks is random. Can be repeated",
    )
    parser.add_argument(
        "--labels", help="class names: a set such as kinetics400, or a file with one name per line"
    )


def add_running(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say how a network runs; `predict.load_network` reads them, too."""
    parser.add_argument(
        "--backend", choices=BACKENDS, default="jax",
        help="what runs the network; auto takes OpenVINO where it is installed and the device is "
        "a CPU (default: jax)",
    )
    parser.add_argument(
        "--average", choices=("probs", "logits"),
        help="what to average over the head's positions: probs, as PySlowFast does, or logits, as "
        "PyTorchVideo does (default: the config's choice)",
    )


def network_problems(arguments: argparse.Namespace) -> list[str]:
    """What is wrong with the arguments that `add_network` has added."""
    named = arguments.weights != PUBLISHED and not is_address(arguments.weights)
    if named and not os.path.exists(arguments.weights):
        return [f"--weights {arguments.weights}: no such file or folder"]
    if not arguments.config and os.path.isfile(arguments.weights):
        return [
            f"--config is required: {arguments.weights} is a file, and only folders store their "
            "config"
        ]
    return []


def _contradictions(arguments: argparse.Namespace) -> Iterator[str]:
    """Arguments that do not go together."""
    for flag, needed in (("draw", "boxes"), ("stride", "window")):
        if getattr(arguments, flag) and not getattr(arguments, needed):
            yield f"--{flag} requires --{needed}"
    for flag, other, why in (
        ("boxes", "window", "the table says at which times to predict"),
        ("clips", "boxes", "a clip is taken around each time in the table"),
        ("crops", "boxes", "a clip is the whole picture"),
        ("clips", "window", "a window has as many clips as it takes to fill it"),
        ("crops", "window", "a window takes the center of the picture"),
    ):
        if getattr(arguments, flag) and getattr(arguments, other):
            yield f"--{flag} does not go with --{other}: {why}"


def named(text: str) -> str:
    """The type of the names of files for argparse."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name; expected a file, a pattern or a folder")
    return text


def _program() -> str:
    """How this command was called: by the name of its installed script, or as a module."""
    name = os.path.basename(sys.argv[0])
    return name if name.startswith("slowfast-jax") else "python -m slowfast_jax.predict"
