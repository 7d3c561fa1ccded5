"""What a job does with a video: annotated film, timeline and table."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from slowfast_jax.demo.annotate import Options, Progress, Result, annotate_film
from slowfast_jax.demo.choice import choose
from slowfast_jax.demo.output import Sink
from slowfast_jax.demo.stages.persons import detect_people
from slowfast_jax.display.results import Timeline
from slowfast_jax.inference.timeline import clip_length
from slowfast_jax.recognizer import Recognizer
from slowfast_jax.recognizer.persons import Persons, persons_of
from slowfast_jax.visualize.overlays import Overlay, grad_cam_of, show_overlays
from slowfast_jax.web.networks import Network
from slowfast_jax.web.results import answer_html, in_short

Report = Callable[[float, str], None]  # receives the share that is done, 0 to 1, and what is next
FILM, TABLE, LOOK = "film.mp4", "actions.json", "look.mp4"
OFTEN = 0.2  # seconds from one report to the next
NO_LOOK = "Grad-CAM explains networks that classify whole videos only."


def annotate(
    network: Network, video: Path, name: str, look: bool, folder: Path, address: str,
    report: Report,
) -> str:
    """Writes the films and the table of a video; returns the HTML that shows them.

    Args:
      network: the network.
      video: its file.
      name: of the video, in the table.
      look: also write a film of where the network looks.
      folder: where to write.
      address: under which the browser finds the files of the folder.
      report: called often; an exception ends the work.

    Raises:
      VideoError: the video cannot be decoded.
    """
    recognizer = network.recognizer
    report(0.0, "preparing the network")
    result, record = write_film(network, video, name, folder / FILM, report)
    (folder / TABLE).write_text(json.dumps(record) + "\n", encoding="utf-8")
    found = found_in(result, recognizer)
    notes = [f"The video ended early: {in_short(result.error)}."] if result.error else []
    films = {"annotated film": f"{address}/{FILM}"}
    if look and recognizer.takes_boxes:
        notes.append(NO_LOOK)
    elif look:
        write_look(recognizer, video, folder / LOOK, result.info.duration, report)
        films["where the network looks (Grad-CAM)"] = f"{address}/{LOOK}"
    report(1.0, "finishing")
    return answer_html(
        headline_of(found, result.info.duration), films,
        {"Download the film": f"{address}/{FILM}", "Download JSON": f"{address}/{TABLE}"},
        found._repr_html_(), notes,
    )


def write_film(
    network: Network, video: Path, name: str, film: Path, report: Report
) -> tuple[Result, dict[str, Any]]:
    """Writes the annotated film of a video; returns what was found, and the table of it."""
    recognizer, last = network.recognizer, 0.0
    choice = choose(recognizer.class_names, several=recognizer.model.activation == "sigmoid")
    sink = Sink(name, choice, recognizer.takes_boxes, None, Console(quiet=True))
    people = detect_people(network.detector) if network.detector else None

    def progress(done: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= OFTEN:
            last = now
            share = min(done.time / done.duration, 1) if done.duration else 0
            report(share, f"{done.time:.1f} of {done.duration:.1f} seconds")

    result = annotate_film(
        recognizer, str(video), film, Options(people=people, choice=choice),
        report=progress, found=sink.add,
    )
    return result, sink.record


def write_look(
    recognizer: Recognizer, video: Path, film: Path, duration: float, report: Report
) -> None:
    """Writes a film of a video with the Grad-CAM of its clips beside it; see `annotate`."""
    explain, clips = grad_cam_of(recognizer), 0
    seconds = clip_length(recognizer.config) or duration

    def reported(clip: np.ndarray, box: np.ndarray | None) -> Sequence[Overlay]:
        nonlocal clips
        done = min(clips * seconds, duration)
        report(done / duration, f"Grad-CAM: {done:.1f} of {duration:.1f} seconds")
        clips += 1
        return explain(clip, box)

    for _ in show_overlays(recognizer, reported, str(video), film.with_suffix("")):
        pass


def found_in(result: Result, recognizer: Recognizer) -> Timeline | Persons:
    """What was found, as a result that shows itself."""
    if recognizer.takes_boxes:
        return persons_of(result.persons, recognizer.class_names, result.info.duration)
    return Timeline(result.windows, recognizer.class_names)


def headline_of(found: Timeline | Persons, seconds: float) -> tuple[str, str]:
    """What is in a video in a few words, and a remark on it."""
    length = f"{seconds:.1f} seconds" if seconds >= 1 else f"{seconds:.2f} seconds"
    if isinstance(found, Persons):
        people = {0: "Nobody", 1: "1 person"}.get(len(found), f"{len(found)} people")
        return people, f"in {length}"
    if not found:
        return "No action", f"in {length}"
    scores = np.mean([window.scores for window in found], 0)
    best = int(scores.argmax())
    return found.class_names[best], f"{scores[best]:.2f} on average over {length}"
