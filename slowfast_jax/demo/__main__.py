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
import sys
from collections import deque
from collections.abc import Mapping, Sequence
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
from slowfast_jax.demo.choice import Choice, choose
from slowfast_jax.demo.output import (
    PERSONS,
    WINDOWS,
    CsvFile,
    ProgressLine,
    Sink,
    live_state,
    speed,
)
from slowfast_jax.demo.sources.frames import open_frames
from slowfast_jax.demo.sources.live import LiveFrames, live_address
from slowfast_jax.demo.stages.given_boxes import Table, moments_of, read_table, truths_of
from slowfast_jax.demo.stages.persons import FindIn, detect_people, given_people
from slowfast_jax.demo.stages.windows import empty_clip
from slowfast_jax.detectors.detections import Detector
from slowfast_jax.detectors.load import load_detector
from slowfast_jax.detectors.tracking import LOW_SCORE
from slowfast_jax.inference.inputs import Inputs, find_inputs
from slowfast_jax.inference.prediction_output import Results, files_for, show_heading
from slowfast_jax.log_file import show_log
from slowfast_jax.option_names import as_options
from slowfast_jax.predict import fail, load_network, tell

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer

DETECTOR = "yolox_nano"  # of networks that take boxes, if nothing else is named
RECENT = 1000  # frames of a live source whose latency is averaged


class Setup(NamedTuple):
    """What all sources share."""

    arguments: argparse.Namespace
    recognizer: "Recognizer"
    choice: Choice
    detector: Detector | None
    boxes: Table | None  # of --boxes
    truths: Table | None  # of --ground-truth
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
    inputs = Inputs({}, {}, []) if live else find_inputs(arguments.sources, arguments.fps)
    results = Results(len(live) or len(inputs.videos) + len(inputs.missing), arguments.json)
    status = 2  # of an error, until the first source
    with interrupts.command(results.outcome, results.interrupt), ExitStack() as stack:
        try:
            problems = find_problems(arguments, live or list(inputs.videos))
            if not live and not inputs.videos:
                problems = [f"{name}: {why}" for name, why in inputs.missing.items()] + problems
            if problems:
                return fail(problems, status)
            tell(inputs.videos, inputs.missing, inputs.passed_over, arguments)
            setup = _load(arguments, stack)
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


def _load(arguments: argparse.Namespace, stack: ExitStack) -> Setup:
    """Loads the network and the tables, and opens the csv file."""
    recognizer = load_network(arguments)
    several = recognizer.model.activation == "sigmoid"
    choice = choose(
        recognizer.class_names, several=several, top_k=arguments.top_k,
        threshold=arguments.threshold, rare_threshold=arguments.rare_threshold,
        common=arguments.common_classes, only=arguments.classes,
    )
    boxes = truths = detector = None
    if arguments.boxes:
        boxes = read_table(
            arguments.boxes, None, first_second=arguments.first_second,
            score_threshold=recognizer.config.data.get("score_threshold", 0.0),
        )
    if arguments.ground_truth:
        truths = read_table(
            arguments.ground_truth, recognizer.class_names, first_second=arguments.first_second
        )
    name = arguments.detector or (DETECTOR if recognizer.takes_boxes and not boxes else None)
    if name:
        detector = load_detector(name, threshold=min(LOW_SCORE, arguments.detector_threshold))
        print(f"people are found by {detector.name}", file=sys.stderr)
    table = None
    if arguments.csv:
        table = CsvFile(arguments.csv, PERSONS if recognizer.takes_boxes else WINDOWS)
        stack.callback(table.close)
    return Setup(
        arguments=arguments, recognizer=recognizer, choice=choice, detector=detector, boxes=boxes,
        truths=truths, csv=table, console=Console(),
    )


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
            sink.show_persons()
            last = (result.timing.frames - 1) / result.info.fps
            print(speed(result.timing, result.info, last), file=sys.stderr, flush=True)
            if film:
                sink.record["film"] = str(film)
        results.add(sink.record)


def _annotate_video(
    setup: Setup, name: str, video: Video, film: str | Path | None, sink: Sink
) -> Result:
    arguments, people, truths = setup.arguments, None, []
    if setup.boxes or setup.truths:
        duration = open_frames(video, arguments.fps)[0].duration
    if setup.boxes:
        people = given_people(moments_of(setup.boxes, name, duration))
    elif setup.detector:
        people = _detection(setup)
    if setup.truths:
        truths = truths_of(setup.truths, name, duration, setup.recognizer.class_names)
    options = Options(
        arguments.window, arguments.stride, people, setup.choice, truths, arguments.slow_motion
    )
    with ProgressLine(name) as line:
        return annotate_film(
            setup.recognizer, video, film, options, fps=arguments.fps, found=sink.add,
            report=lambda progress: line.show(progress.time, progress.duration),
        )


def _annotate_live(setup: Setup, address: str, results: Results) -> None:
    arguments = setup.arguments
    people = _detection(setup) if setup.detector else None
    options = Options(arguments.window, arguments.stride, people, setup.choice)
    film = arguments.out
    if film and is_film_folder(film):
        film = Path(film, re.sub(r"\W+", "_", address).strip("_") + ".mp4")
        film.parent.mkdir(parents=True, exist_ok=True)
    show_heading(address, setup.console)
    if not setup.recognizer.takes_boxes:  # compiled before the source is opened
        setup.recognizer(empty_clip(setup.recognizer))
    sink = _sink(setup, address, results)
    latencies: deque[float] = deque(maxlen=RECENT)
    seconds = frames = 0

    try:
        with LiveFrames(address, arguments.timeout) as source, ProgressLine(address) as line:

            def report(progress: Progress) -> None:
                nonlocal seconds, frames
                latencies.append(progress.latency)
                seconds, frames = progress.time, progress.frames
                line.show(seconds, 0, state(source))

            def state(source: LiveFrames) -> str:
                return live_state(frames, seconds, latencies, source.dropped)

            try:
                result = annotate_live(
                    setup.recognizer, source, film, options, report=report, found=sink.add
                )
            finally:
                if frames:
                    print(f"{address}: {state(source)}", file=sys.stderr, flush=True)
        if result.error or not frames:
            sink.record["error"] = result.error or "ended before its first picture was taken"
        else:
            print(f"{address}: ended after {seconds:.1f} seconds", file=sys.stderr, flush=True)
        if frames:
            sink.show_persons()
            print(speed(result.timing, result.info, seconds), file=sys.stderr, flush=True)
    except VideoError as error:
        sink.record["error"] = error.reason
    if film and frames:
        sink.record["film"] = str(film)
    results.add(sink.record)


def _detection(setup: Setup) -> FindIn:
    arguments = setup.arguments
    return detect_people(setup.detector, arguments.detector_threshold, arguments.detect_every)


def _sink(setup: Setup, name: str, results: Results) -> Sink:
    sink = Sink(name, setup.choice, setup.recognizer.takes_boxes, setup.csv, setup.console)
    results.current = sink.record
    return sink


if __name__ == "__main__":
    sys.exit(cli())
