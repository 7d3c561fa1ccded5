"""The command that shows what is in videos, cameras and streams.

    python -m slowfast_jax.demo a.mp4 --config kinetics/x3d_xs --weights x3d_xs.pyth --out b.mp4
    python -m slowfast_jax.demo FOLDER --weights RUN --detector yolox_nano --out FILMS
    python -m slowfast_jax.demo camera:0 --weights RUN --csv a.csv

It takes one pass over each source; docs/demo.md explains what is drawn.
"""

from slowfast_jax import interrupts, malloc

if __name__ == "__main__":  # before the imports below, which take a second
    interrupts.end_at_once()
    malloc.restart_with_settings()

import argparse
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from absl import logging
from rich.console import Console

from data_pipelines.command import explain, stop_printing
from data_pipelines.video import Video
from data_pipelines.video.opening import VideoError
from slowfast_jax.demo.annotate import Options, Progress, Result, annotate_film, annotate_live
from slowfast_jax.demo.arguments import find_problems, is_film_folder, parse
from slowfast_jax.demo.choice import Choice
from slowfast_jax.demo.film.fonts import warnings_of
from slowfast_jax.demo.film.window import Window, WindowError
from slowfast_jax.demo.output import (
    PERSONS,
    WINDOWS,
    CsvFile,
    ProgressLine,
    Sink,
    live_state,
    speed,
)
from slowfast_jax.demo.parts import Parts, choice_of, load_parts
from slowfast_jax.demo.sources.frames import open_frames
from slowfast_jax.demo.sources.live import LiveFrames, hidden, live_address
from slowfast_jax.demo.stages.given_boxes import moments_of, truths_of
from slowfast_jax.demo.stages.persons import FindIn, detect_people, given_people
from slowfast_jax.demo.stages.windows import empty_clip
from slowfast_jax.inference.inputs import Inputs, find_inputs
from slowfast_jax.inference.prediction_output import Results, files_for, show_heading
from slowfast_jax.log_file import show_log
from slowfast_jax.option_names import as_options
from slowfast_jax.predict import fail, load_network, tell

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer

RECENT = 1000  # frames of a live source whose latency is averaged


class Setup(NamedTuple):
    """What all sources share; parts has the detector, whatever named it."""

    arguments: argparse.Namespace
    parts: Parts
    recognizer: "Recognizer"
    choice: Choice
    window: Window | None
    csv: CsvFile | None
    console: Console


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    The status is 0; 1 if a video or stream failed or was cut short; 2 if nothing was done because
    an argument, a file that it names or the weights are wrong; or 130 if Ctrl-C ended it.
    """
    arguments = parse(argv)
    show_log(logging.WARNING)
    live = [source for source in arguments.sources if live_address(source)]
    inputs = Inputs({}, {}, []) if live else find_inputs(
        arguments.sources, arguments.fps, arguments.out
    )
    results = Results(len(live) or len(inputs.videos) + len(inputs.missing), arguments.json)
    status = 2  # of an error, until the first source
    with interrupts.command(results.outcome, results.interrupt), ExitStack() as stack:
        try:
            parts, more = load_parts(arguments, inputs.videos)
            problems = [*find_problems(arguments, live or list(inputs.videos)), *more]
            if not live and not inputs.videos:
                problems = [f"{name}: {why}" for name, why in inputs.missing.items()] + problems
            if problems:
                return fail(problems, status)
            tell(inputs, arguments)
            setup = _load(arguments, parts, inputs.videos, stack)
            status = 1
            for name, reason in inputs.missing.items():
                results.add({"video": name, "error": reason}, reported=True)
            if live:
                _annotate_live(setup, live[0], results)
            else:
                _annotate_videos(setup, inputs.videos, results)
            results.close()
        except KeyboardInterrupt:  # the line that says so was printed when Ctrl-C came
            results.interrupt()
            return interrupts.leave()
        except BrokenPipeError:  # the reader of the output, such as head, has enough
            return stop_printing()
        except (OSError, ValueError, RuntimeError) as error:
            return fail([as_options(explain(error))], status)
    return 1 if results.failed else 0


def _load(
    arguments: argparse.Namespace, parts: Parts, videos: Collection[str], stack: ExitStack
) -> Setup:
    """Opens the window, loads detector and network, and opens the csv file."""
    window = _open_window(stack) if arguments.show else None
    if parts.config is not None:  # before the network, which takes longer
        parts = parts.with_detector(arguments, parts.config.model.get("detection", False))
    recognizer = load_network(arguments)
    parts = parts.with_detector(arguments, recognizer.takes_boxes)
    parts = parts.with_tables(arguments, videos, recognizer.config, recognizer.class_names)
    if parts.detector:
        _say(f"people are found by {parts.detector.name}")
    if arguments.out or window:
        for warning in warnings_of(recognizer.class_names, parts.face):
            _say(f"warning: {warning}")
    several = recognizer.model.activation == "sigmoid"
    choice = choice_of(arguments, recognizer.class_names, several=several)
    table = None
    if arguments.csv:
        table = CsvFile(arguments.csv, PERSONS if recognizer.takes_boxes else WINDOWS)
        stack.callback(table.close)
    return Setup(arguments, parts, recognizer, choice, window, table, Console())


def _open_window(stack: ExitStack) -> Window:
    try:
        return stack.enter_context(Window("slowfast_jax"))
    except WindowError as error:
        raise ValueError(f"--show: {error}; to make a film, pass --out") from error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _annotate_videos(setup: Setup, videos: Mapping[str, Video], results: Results) -> None:
    out = setup.arguments.out
    films = dict.fromkeys(videos, out)
    if out and is_film_folder(out):
        films = files_for(out, videos)
    for name, video in videos.items():
        film = films[name]
        if film:
            Path(film).parent.mkdir(parents=True, exist_ok=True)
        show_heading(name, setup.console)
        sink = _sink(setup, name, results)
        try:
            result = _annotate_video(setup, name, video, film, sink)
        except VideoError as error:
            sink.record["error"] = error.reason
        except ValueError as error:  # a table has no boxes for it, or the stride is below a frame
            sink.record["error"] = str(error)
        else:
            if result.error:
                sink.record["error"] = result.error
            sink.show_end()
            last = (result.timing.frames - 1) / result.info.fps
            print(speed(result.timing, result.info, last), file=sys.stderr, flush=True)
            if film:
                sink.record["film"] = str(film)
        results.add(sink.record)


def _annotate_video(
    setup: Setup, name: str, video: Video, film: str | Path | None, sink: Sink
) -> Result:
    arguments, people, truths = setup.arguments, None, []
    if setup.parts.boxes or setup.parts.truths:
        duration = open_frames(video, arguments.fps)[0].duration
    if setup.parts.boxes:
        people = given_people(moments_of(setup.parts.boxes, name, duration))
    elif setup.parts.detector:
        people = _detection(setup)
    if setup.parts.truths:
        truths = truths_of(setup.parts.truths, name, duration, setup.recognizer.class_names)
    options = Options(
        arguments.window, arguments.stride, people, setup.choice, truths, arguments.slow_motion,
        setup.parts.face,
    )
    with ProgressLine(name) as line:

        def report(progress: Progress) -> None:
            line.show(progress.time, progress.duration)
            _end_if_closed(setup.window)

        return annotate_film(
            setup.recognizer, video, film, options, fps=arguments.fps, found=sink.add,
            report=report, show=setup.window and setup.window.play,
        )


def _annotate_live(setup: Setup, address: str, results: Results) -> None:
    arguments = setup.arguments
    people = _detection(setup) if setup.parts.detector else None
    options = Options(
        arguments.window, arguments.stride, people, setup.choice, face=setup.parts.face
    )
    name = hidden(address)
    film = arguments.out
    if film and is_film_folder(film):
        film = Path(film, re.sub(r"\W+", "_", name).strip("_") + ".mp4")
        film.parent.mkdir(parents=True, exist_ok=True)
    show_heading(name, setup.console)
    if not setup.recognizer.takes_boxes:  # compiled before the source is opened
        setup.recognizer(empty_clip(setup.recognizer))
    sink = _sink(setup, name, results)
    latencies: deque[float] = deque(maxlen=RECENT)
    seconds = frames = 0

    try:
        with LiveFrames(address, arguments.timeout) as source, ProgressLine(name) as line:

            def report(progress: Progress) -> None:
                nonlocal seconds, frames
                latencies.append(progress.latency)
                seconds, frames = progress.time, progress.frames
                line.show(seconds, 0, state(source))
                _end_if_closed(setup.window)

            def state(source: LiveFrames) -> str:
                return live_state(frames, seconds, latencies, source.dropped)

            try:
                result = annotate_live(
                    setup.recognizer, source, film, options, report=report, found=sink.add,
                    show=setup.window and setup.window.show,
                )
            finally:
                if frames:
                    print(f"{name}: {state(source)}", file=sys.stderr, flush=True)
        if result.error or not frames:
            sink.record["error"] = result.error or "ended before its first picture was taken"
        else:
            print(f"{name}: ended after {seconds:.1f} seconds", file=sys.stderr, flush=True)
        if frames:
            sink.show_end()
            print(speed(result.timing, result.info, seconds), file=sys.stderr, flush=True)
    except VideoError as error:
        sink.record["error"] = error.reason
    if film and frames:
        sink.record["film"] = str(film)
    results.add(sink.record)


def _end_if_closed(window: Window | None) -> None:
    """Ends the work as Ctrl-C does, if the user has closed the window.

    The signal makes `interrupts` print its line and raise the exception, which comes while this
    sleeps, unless Ctrl-C is ignored.
    """
    if window and window.closed:
        signal.raise_signal(signal.SIGINT)
        time.sleep(1.0)
        raise KeyboardInterrupt


def _detection(setup: Setup) -> FindIn:
    arguments = setup.arguments
    return detect_people(setup.parts.detector, arguments.detector_threshold, arguments.detect_every)


def _sink(setup: Setup, name: str, results: Results) -> Sink:
    sink = Sink(name, setup.choice, setup.recognizer.takes_boxes, setup.csv, setup.console)
    results.current = sink.record
    return sink


if __name__ == "__main__":
    sys.exit(cli())
