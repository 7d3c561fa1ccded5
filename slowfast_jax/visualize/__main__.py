"""The command that shows what a network looks at, computes and gets wrong (docs/visualization.md).

    python -m slowfast_jax.visualize gradcam a.mp4 --config kinetics/x3d_xs --weights W --out DIR
    python -m slowfast_jax.visualize confusion RUN --out DIR

The commands gradcam, attention, features, inputs and weights run a network, on videos that are
named as for `python -m slowfast_jax.predict`. The others read what tests and trainings saved.
"""

from slowfast_jax import interrupts, malloc

if __name__ == "__main__":  # before the imports below, which take a second
    interrupts.end_at_once()
    malloc.restart_with_settings()

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

from data_pipelines.command import explain
from data_pipelines.text_files import counted
from data_pipelines.video.decoding import VideoError
from slowfast_jax.inference.inputs import find_inputs
from slowfast_jax.inference.prediction_output import why_not_writable
from slowfast_jax.log_file import show_log
from slowfast_jax.option_names import as_options
from slowfast_jax.predict import (
    check_boxes_given,
    fail,
    load_network,
    table_problems,
    tell_of_results,
)
from slowfast_jax.visualize.arguments import OF_FILMS, parse

if TYPE_CHECKING:
    from data_pipelines.sources.keyframes import Keyframe
    from data_pipelines.video import Video
    from slowfast_jax.recognizer import Recognizer


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command, prints the files that it writes, and returns its exit status.

    The status is 0; 1 if any video failed (the others are still shown); 2 if an argument, a file
    that it names or the weights are wrong; or 130 if Ctrl-C ended it.
    """
    arguments = parse(argv)
    show_log(logging.WARNING)
    written: list[Path] = []
    films = arguments.command in OF_FILMS
    kept = ", and the film so far is kept" if films and not arguments.stills else ""
    with interrupts.command(lambda: f"; complete: {counted(len(written), 'file')}{kept}"):
        try:
            problems = list(arguments.problems)
            if reason := why_not_writable(arguments.out, folder=True):
                problems.append(f"--out {arguments.out}: {reason}")
            videos, missing, results = {}, {}, []
            if "videos" in arguments:
                videos, missing, _, results = find_inputs(
                    arguments.videos, arguments.fps, arguments.out
                )
                if not videos:
                    problems = [f"{name}: {why}" for name, why in missing.items()] + problems
                elif arguments.boxes:
                    problems += table_problems(arguments.boxes, videos, arguments.fps)
            if problems:
                return fail(problems, 2)
            for name, why in missing.items():
                print(f"error: {name}: {why}", file=sys.stderr)
            tell_of_results(results)
            failed = len(missing)
            for item in _run(arguments, videos):
                if isinstance(item, VideoError):
                    failed += 1
                    print(f"error: {item}", file=sys.stderr)
                else:
                    written.append(item)
                    print(item, flush=True)
        except KeyboardInterrupt:  # the line that says so was printed when Ctrl-C came
            return interrupts.leave()
        except (OSError, ValueError, RuntimeError) as error:
            return fail([as_options(explain(error))], 2)
    return 1 if failed else 0


def _run(
    arguments: argparse.Namespace, videos: "dict[str, Video]"
) -> Iterator[Path | VideoError]:
    """Yields the files as they are written, and the errors of videos."""
    # Imported here, as in the functions below, so that --help and errors in the arguments do not
    # wait for JAX.
    from slowfast_jax.visualize.saved import COMMANDS

    if arguments.command in COMMANDS:
        yield from COMMANDS[arguments.command](arguments)
    elif arguments.command == "weights":
        yield _write_weights(arguments)
    else:
        yield from _write_videos(arguments, videos)


def _write_weights(arguments: argparse.Namespace) -> Path:
    from slowfast_jax.visualize.arrays import weight_sheet
    from slowfast_jax.visualize.files import write_picture

    # Weights are shown as they were trained, without batch norms folded into them.
    recognizer = load_network(arguments, fold=False)
    sheet = weight_sheet(
        recognizer.model, recognizer.variables, arguments.layer, arguments.colormap
    )
    return write_picture(Path(arguments.out, "weights.png"), sheet)


def _write_videos(
    arguments: argparse.Namespace, videos: "dict[str, Video]"
) -> Iterator[Path | VideoError]:
    from slowfast_jax.inference.prediction_output import files_for

    recognizer = load_network(arguments)
    keyframes = _keyframes(arguments, recognizer, videos)
    write = _writer_of(arguments, recognizer)
    for name, place in files_for(arguments.out, videos).items():
        stem = place.with_name(f"{place.stem}_{arguments.command}")
        try:
            if recognizer.takes_boxes and not keyframes[name]:
                raise VideoError(name, f"{arguments.boxes} has no boxes for this video")
            yield from write(videos[name], stem, keyframes.get(name, ()))
        except VideoError as error:
            yield error


def _keyframes(
    arguments: argparse.Namespace, recognizer: "Recognizer", videos: "dict[str, Video]"
) -> "dict[str, list[Keyframe]]":
    """The keyframes of the videos, for a network that takes boxes; {} for any other."""
    from slowfast_jax.inference.person_actions import read_boxes

    check_boxes_given(recognizer, arguments.boxes)
    if not recognizer.takes_boxes:
        return {}
    threshold = recognizer.config.data.get("score_threshold", 0.0)
    return read_boxes(arguments.boxes, videos, score_threshold=threshold, fps=arguments.fps)


def _writer_of(
    arguments: argparse.Namespace, recognizer: "Recognizer"
) -> "Callable[[Video, Path, Sequence[Keyframe]], Iterator[Path]]":
    """The function of a video, a path without suffix, and the keyframes of the video if the network
    takes boxes, that writes files and yields their paths."""
    from slowfast_jax.visualize import arrays, overlays
    from slowfast_jax.visualize.files import write_picture

    if arguments.command == "inputs":
        def write(video, stem, keyframes):
            yield write_picture(f"{stem}.jpg", arrays.input_sheet(recognizer, video, keyframes))
    elif arguments.command == "features":
        draw = arrays.make_feature_sheet(
            recognizer, arguments.layer, channels=arguments.channels, colormap=arguments.colormap
        )

        def write(video, stem, keyframes):
            yield write_picture(f"{stem}.png", draw(video, arguments.at, keyframes))
    else:
        if arguments.command == "gradcam":
            label = _class_of(arguments.label, recognizer.class_names)
            explain = overlays.grad_cam_of(recognizer, arguments.layer, label, arguments.score)
        else:
            explain = overlays.attention_of(
                recognizer, arguments.layer, arguments.head, arguments.query
            )

        def write(video, stem, keyframes):
            yield from overlays.show_overlays(
                recognizer, explain, video, stem, at=arguments.at, keyframes=keyframes,
                box=arguments.box, film=not arguments.stills, colormap=arguments.colormap,
                alpha=arguments.alpha,
            )
    return write


def _class_of(text: str | None, names: Sequence[str]) -> int | None:
    """The index of a class that is given by its name or index; ValueError if it does not exist."""
    from slowfast_jax.config import closest

    if text is None:
        return None
    lower = [name.lower() for name in names]
    if text.lower() in lower:
        return lower.index(text.lower())
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    raise ValueError(
        f"--label {text}: there is no such class{closest(text, names)} ({len(names)} classes, from "
        f"{names[0]} to {names[-1]})"
    )


if __name__ == "__main__":
    sys.exit(cli())
