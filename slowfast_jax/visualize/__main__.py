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
from collections.abc import Iterator, Sequence
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
from slowfast_jax.visualize.arguments import OF_FILMS, OF_NETWORKS, parse

if TYPE_CHECKING:
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
            videos, missing = {}, {}
            if "videos" in arguments:
                videos, missing, _ = find_inputs(arguments.videos, arguments.fps)
                if not videos:
                    problems = [f"{name}: {why}" for name, why in missing.items()] + problems
            if problems:
                return _fail(problems)
            for name, why in missing.items():
                print(f"error: {name}: {why}", file=sys.stderr)
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
            return _fail([as_options(explain(error))])
    return 1 if failed else 0


def _fail(problems: Sequence[str]) -> int:
    text = problems[0]
    if len(problems) > 1:
        text = f"{len(problems)} problems:" + "".join(f"\n  {problem}" for problem in problems)
    print(f"error: {text}", file=sys.stderr)
    return 2


def _run(
    arguments: argparse.Namespace, videos: "dict[str, Video]"
) -> Iterator[Path | VideoError]:
    """Yields the files as they are written, and the errors of videos."""
    # Imported here so that --help and errors in the arguments do not wait for JAX.
    if arguments.command not in OF_NETWORKS:
        from slowfast_jax.visualize.saved import COMMANDS

        yield from COMMANDS[arguments.command](arguments)
        return
    from slowfast_jax.predict import load_network

    options = {}
    if arguments.command == "inputs":
        options = {"clips": arguments.clips, "crops": arguments.crops}
    # Weights are shown as they were trained, without batch norms folded into them.
    recognizer = load_network(arguments, fold=arguments.command != "weights", **options)
    if arguments.command == "weights":
        from slowfast_jax.visualize.arrays import weight_sheet
        from slowfast_jax.visualize.files import write_picture

        sheet = weight_sheet(
            recognizer.model, recognizer.variables, arguments.layer, arguments.colormap
        )
        yield write_picture(Path(arguments.out, "weights.png"), sheet)
        return
    recognizer.refuse_boxes()
    from slowfast_jax.inference.prediction_output import files_for

    show = _shown(arguments, recognizer)
    for name, place in files_for(arguments.out, videos).items():
        try:
            yield from show(videos[name], place.with_name(f"{place.stem}_{arguments.command}"))
        except VideoError as error:
            yield error


def _shown(arguments: argparse.Namespace, recognizer: "Recognizer"):
    """The function of a video and a path without suffix that yields the files it writes."""
    from slowfast_jax.visualize import arrays, overlays
    from slowfast_jax.visualize.files import write_picture

    if arguments.command == "inputs":
        def show(video, stem):
            yield write_picture(f"{stem}.jpg", arrays.input_sheet(recognizer, video))
    elif arguments.command == "features":
        def show(video, stem):
            sheet = arrays.feature_sheet(
                recognizer, video, arguments.layer, channels=arguments.channels, at=arguments.at,
                colormap=arguments.colormap,
            )
            yield write_picture(f"{stem}.png", sheet)
    else:
        if arguments.command == "gradcam":
            label = _class_of(arguments.label, recognizer.class_names)
            explained = overlays.grad_cam_of(
                recognizer, arguments.layer, label, arguments.score
            )
        else:
            explained = overlays.attention_of(
                recognizer, arguments.layer, arguments.head, arguments.query
            )

        def show(video, stem):
            yield from overlays.show_overlays(
                recognizer, explained, video, stem, at=arguments.at, film=not arguments.stills,
                colormap=arguments.colormap, alpha=arguments.alpha,
            )
    return show


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
