"""The command that predicts labels for videos.

    python -m slowfast_jax.predict a.mp4 folder --config kinetics/x3d_xs --weights x3d_xs.pyth
    python -m slowfast_jax.predict day.mp4 --weights RUN --window 10 --json day.jsonl
    python -m slowfast_jax.predict a.mp4 --weights RUN --boxes people.csv --draw DIR

The second form predicts windows of 10 seconds. The third form is for networks that recognize the
actions of people; the table people.csv has their boxes (format:
data_pipelines/sources/box_tables.py). RUN is the folder of a training run, which stores its config.
"""

from slowfast_jax import interrupts, malloc

if __name__ == "__main__":  # before the imports below, which take a second
    interrupts.end_at_once()
    malloc.restart_with_settings()

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import logging
from rich.console import Console

from data_pipelines.progress import can_redraw, track
from data_pipelines.text_files import counted, first_few
from data_pipelines.video import Video
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.image_files import FrameFiles
from slowfast_jax import compilation_cache
from slowfast_jax.inference.arguments import network_problems, parse
from slowfast_jax.inference.inputs import Inputs, find_inputs
from slowfast_jax.inference.prediction_output import (
    Record,
    Results,
    files_for,
    show,
    show_heading,
    show_window,
    why_not_writable,
)
from slowfast_jax.log_file import show_log
from slowfast_jax.metrics.topk import labeled
from slowfast_jax.option_names import as_options
from slowfast_jax.published import PUBLISHED
from slowfast_jax.published.hub import local_path

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer

Videos = Mapping[str, Video]  # path -> what to read


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    The status is 0; 1 if any video or keyframe failed (the others are still predicted); 2 if
    nothing was predicted because an argument, a file that it names or the weights are wrong; or 130
    if Ctrl-C ended it.
    """
    arguments = parse(argv)
    show_log(logging.WARNING)
    inputs = find_inputs(arguments.videos, arguments.fps, arguments.draw)
    results = Results(len(inputs.videos) + len(inputs.missing), arguments.json)
    status = 2  # of an error, until the first prediction
    with interrupts.command(results.outcome, results.interrupt):
        try:
            problems = _problems(arguments, inputs.videos)
            if not inputs.videos:
                problems = [f"{name}: {why}" for name, why in inputs.missing.items()] + problems
            if problems:
                return fail(problems, status)
            tell(inputs, arguments)
            recognizer = _load(arguments)
            status = 1
            for name, reason in inputs.missing.items():
                results.add({"video": name, "error": reason}, reported=True)
            _predict(recognizer, inputs.videos, arguments, results, Console())
            results.close()
        except KeyboardInterrupt:  # the line that says so was printed when Ctrl-C came
            results.interrupt()
            return interrupts.leave()
        except (OSError, ValueError, RuntimeError) as error:
            return fail([as_options(str(error))], status)
    return 1 if results.failed else 0


def fail(problems: Sequence[str], status: int) -> int:
    """Prints the problems on stderr, and returns the exit status."""
    if len(problems) == 1:
        print(f"error: {problems[0]}", file=sys.stderr)
    else:
        text = "".join(f"\n  {problem}" for problem in problems)
        print(f"error: {len(problems)} problems:{text}", file=sys.stderr)
    return status


def tell(inputs: Inputs, arguments: argparse.Namespace) -> None:
    """Says on stderr what will not be predicted, and how pictures are understood."""
    videos, missing, passed_over, results = inputs
    if missing:
        text = "".join(f"\n  {name}: {reason}" for name, reason in missing.items())
        total = len(videos) + len(missing)
        print(f"{len(missing)} of {total} videos cannot be read:{text}", file=sys.stderr)
    if passed_over:
        names = ", ".join(os.path.basename(path) for path in passed_over[:5])
        more = ", ..." if len(passed_over) > 5 else ""
        verb = "is not a video" if len(passed_over) == 1 else "are not videos"
        print(f"passed over {counted(len(passed_over), 'file')} that {verb}: {names}{more}",
              file=sys.stderr)
    tell_of_results(results)
    frames = [video for video in videos.values() if isinstance(video, FrameFiles)]
    folders = [video for video in frames if video.fps]
    if folders:
        source = "--fps" if arguments.fps_given else "the default; see --fps"
        pictures = sum(video.count for video in folders)
        which = folders[0] if len(folders) == 1 else f"{len(folders)} folders"
        verb = "is the frame" if pictures == 1 else "are the frames"
        print(f"{which}: {counted(pictures, 'picture')} {verb} of {counted(len(folders), 'video')} "
              f"at {arguments.fps:g} frames per second ({source})",
              file=sys.stderr)


def tell_of_results(results: Sequence[str]) -> None:
    """Says on stderr which videos are passed over because they are in the folder of the results."""
    if results:
        which = counted(len(results), "video")
        print(f"passed over {which} in the folder of the results: {first_few(results, 3)}",
              file=sys.stderr)


def _problems(arguments: argparse.Namespace, videos: Videos) -> list[str]:
    """What is wrong with the arguments and the files that they name, those to write included."""
    problems = [*arguments.problems, *network_problems(arguments)]
    if arguments.json and (reason := why_not_writable(arguments.json)):
        problems.append(f"--json {arguments.json}: {reason}")
    if arguments.boxes:
        problems += table_problems(arguments.boxes, videos, arguments.fps)
    if not arguments.draw:
        return problems
    if reason := why_not_writable(arguments.draw, folder=True):
        problems.append(f"--draw {arguments.draw}: {reason}")
    drawn = files_for(arguments.draw, videos)
    problems += [
        f"--draw {arguments.draw}: the drawn video would replace {video}; choose another folder"
        for video, path in drawn.items() if os.path.realpath(video) == os.path.realpath(path)
    ]
    return problems


def table_problems(table: str, videos: Videos, fps: float) -> list[str]:
    """What is wrong with the table of boxes that --boxes names."""
    from slowfast_jax.inference.person_actions import read_boxes

    if not Path(table).is_file():
        return [f"--boxes {table}: no such table of boxes"]
    if not videos:
        return []
    try:
        read_boxes(table, videos, fps=fps)
    except ValueError as error:
        return [f"--boxes: {line}" for line in str(error).splitlines()]
    return []


def load_network(arguments: argparse.Namespace, **options: Any) -> "Recognizer":
    """Loads the network that arguments name (see `arguments.add_network`), and shows that it does.

    options: further ones of `slowfast_jax.load`, beside those that the arguments have. Raises
    OSError, ValueError or RuntimeError if an argument or the weights are wrong.
    """
    # Imported here so that --help and errors in the arguments do not wait for JAX.
    named = ("average", "backend", "clips", "crops")
    given = {name: getattr(arguments, name) for name in named if hasattr(arguments, name)}
    options = {name: value for name, value in given.items() if value is not None} | options
    arguments.weights = os.fspath(local_path(arguments.weights))  # shows its own progress
    config, weights = arguments.config, arguments.weights
    if weights == PUBLISHED:  # here, because the download shows its own progress
        from slowfast_jax.config import load_config
        from slowfast_jax.published.cached_weights import weights_of

        chosen = load_config(config)
        weights = weights_of(chosen.name, chosen.model.name)
    with _status("loading the network"):
        from convert import CheckpointMismatch
        from slowfast_jax.recognizer import load

        compilation_cache.keep_compiled()
        _check_labels(arguments)
        try:
            recognizer = load(
                *((config, weights) if config else (weights, None)),
                class_names=arguments.labels, entry=arguments.entry, skip=arguments.skip,
                strip=arguments.strip, **options,
            )
        except CheckpointMismatch as error:
            if not error.classes:
                raise
            ours, theirs = error.classes
            raise ValueError(_other_classes(arguments, ours, theirs)) from error
    recognizer.predictor.say = _say
    if options.get("backend") == "auto":
        _say(f"the network runs with {recognizer.runtime or 'jax'}")
    return recognizer


def _load(arguments: argparse.Namespace) -> "Recognizer":
    """Loads the network, and checks that it fits the other arguments."""
    recognizer = load_network(arguments)
    check_boxes_given(recognizer, arguments.boxes)
    return recognizer


def check_boxes_given(recognizer: "Recognizer", boxes: str | None) -> None:
    """ValueError if --boxes is missing, or was passed for a network that takes none."""
    name = recognizer.config.name
    if recognizer.takes_boxes and not boxes:
        raise ValueError(f"{name} classifies people: pass --boxes with a table of their boxes")
    if boxes and not recognizer.takes_boxes:
        raise ValueError(f"{name} classifies whole videos and takes no --boxes")


@contextmanager
def _status(what: str, *, lasting: bool = True) -> Iterator[None]:
    """Shows on a terminal that the work in the block is going on; elsewhere, says so if `lasting`.
    """
    console = Console(stderr=True)
    if can_redraw(console):
        with console.status(what):
            yield
    else:
        if lasting:
            _say(what)
        yield


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _check_labels(arguments: argparse.Namespace) -> None:
    """ValueError if --labels has another number of names than the checkpoint folder has classes.
    """
    if not arguments.labels or not os.path.isdir(arguments.weights):
        return
    from data_pipelines.labels import class_names
    from slowfast_jax.weights import stored_config

    ours = len(class_names(arguments.labels))
    theirs = stored_config(arguments.weights)[0].model.num_classes
    if ours != theirs:
        raise ValueError(_other_classes(arguments, ours, theirs))


def _other_classes(arguments: argparse.Namespace, ours: int, theirs: int) -> str:
    if arguments.labels:
        labels = f"--labels {arguments.labels} has {ours} names"
        return f"{labels}, but the weights have {theirs} classes"
    return (
        f"--config {arguments.config} has {ours} classes, but the weights have {theirs}: pass "
        f"their {theirs} names with --labels, or choose another config"
    )


def _predict(
    recognizer: "Recognizer", videos: Videos, arguments: argparse.Namespace, results: Results,
    console: Console,
) -> None:
    """Predicts all videos; results are shown and written as they come."""
    stills = sum(isinstance(video, FrameFiles) and not video.fps for video in videos.values())
    if stills and recognizer.config.protocol.num_frames > 1:
        what = "1 picture is predicted as a video" if stills == 1 else (
            f"{stills} pictures are predicted one by one, as videos"
        )
        print(f"warning: {what} in which nothing moves; to predict a video from its frames, name "
              "their folder", file=sys.stderr)
    if arguments.window:
        for record in _windows(recognizer, videos, arguments, results, console):
            results.add(record)
        return
    if arguments.boxes:
        records = _persons(recognizer, videos, arguments, results)
    else:
        records = _whole_videos(recognizer, videos, arguments.top_k)
    for record in records:
        show(record, console)
        results.add(record)


def _whole_videos(recognizer: "Recognizer", videos: Videos, top_k: int) -> Iterator[Record]:
    """{"video", "predictions": [{"label", "index", "score"}, ...]}, best first, for each video."""
    names = list(videos)
    scored = recognizer.score_videos(list(videos.values()))
    if len(videos) > 1:
        scored = track(scored, len(videos), "predicting")
    else:
        scored = _announced(scored)
    for result in scored:
        record: Record = {"video": names[result.index]}
        if result.error:
            record["error"] = result.error
        else:
            record["predictions"] = labeled(result.scores, recognizer.class_names, top_k)
        yield record


def _announced(items: Iterator) -> Iterator:
    """Yields the items; until the first one comes, a terminal shows that work is going on."""
    with _status("predicting", lasting=False):
        first = next(items, None)
    if first is not None:
        yield first
        yield from items


def _windows(
    recognizer: "Recognizer", videos: Videos, arguments: argparse.Namespace, results: Results,
    console: Console,
) -> Iterator[Record]:
    """{"video", "windows": [{"start", "end", "predictions"}, ...]} for each video.

    The windows are shown as they come.
    """
    from slowfast_jax.inference.timeline import clip_length

    if arguments.window < (least := clip_length(recognizer.config)):
        _say(f"--window {arguments.window:g}: windows last {least:.3g} seconds, as long as a clip")
    for name, video in videos.items():
        record: Record = {"video": name, "windows": []}
        show_heading(name, console)
        results.current = record
        try:
            for start, end, scores in _announced(
                recognizer.score_windows(video, arguments.window, arguments.stride)
            ):
                window = {"start": round(start, 3), "end": round(end, 3)}
                window["predictions"] = labeled(scores, recognizer.class_names, arguments.top_k)
                record["windows"].append(window)
                show_window(window, console)
        except VideoError as error:
            record["error"] = error.reason
        except ValueError as error:  # the stride is less than a frame
            record["error"] = str(error).removeprefix(f"{video} ")
        yield record


def _persons(
    recognizer: "Recognizer", videos: Videos, arguments: argparse.Namespace, results: Results
) -> Iterator[Record]:
    """{"video", "keyframes": [{"time", "persons": [{"box", "predictions"}, ...]}, ...]} for each
    video; a keyframe that failed has "error" in place of persons."""
    from slowfast_jax.inference.person_actions import (
        read_boxes,
        score_keyframes,
        write_labeled_video,
    )

    names, table = recognizer.class_names, arguments.boxes
    drawn = files_for(arguments.draw, videos) if arguments.draw else {}
    threshold = recognizer.config.data.get("score_threshold", 0.0)
    found = read_boxes(table, videos, score_threshold=threshold, fps=arguments.fps)
    for video, keyframes in found.items():
        if not keyframes:
            yield {"video": video, "error": f"{table} has no boxes for this video"}
            continue
        record: Record = {"video": video, "keyframes": []}
        results.current, scores, entries = record, {}, {}
        scored = track(score_keyframes(recognizer, keyframes), len(keyframes), "predicting")
        for index, rows, error in scored:
            entry: Record = {"time": keyframes[index].time}
            if error:
                entry["error"] = error
            else:
                scores[index] = rows
                entry["persons"] = [
                    {"box": box.tolist(), "predictions": labeled(row, names, arguments.top_k)}
                    for box, row in zip(keyframes[index].boxes, rows, strict=True)
                ]
            entries[index] = entry
            record["keyframes"] = [entries[number] for number in sorted(entries)]
        if drawn and scores:
            try:
                write_labeled_video(drawn[video], keyframes, scores, names)
            except VideoError as error:
                record["error"] = f"drawn only in part: {error.reason}"
        yield record


if __name__ == "__main__":
    sys.exit(cli())
