"""The demo on a video, end to end and by part.

    python -m benchmarks.demo a.mp4 --sizes 340x256,1280x720
    python -m benchmarks.demo a.mp4 --model ava/slow_8x8_r50 --detector yolox_nano.onnx

The video is scaled to each size and encoded at 30 frames per second. It is then annotated, with and
without a film, `--rounds` times after an untimed first one; loading and compiling do not count.
Figures are medians. Parts run in several threads, so they add up to more than the time that passes,
and include the time for which they wait for a core. "cpu" is the processor time of all threads.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np

import slowfast_jax
from benchmarks import measure
from data_pipelines.video.encoding import write_video
from slowfast_jax import malloc
from slowfast_jax.demo.annotate import Options, Result, annotate_film
from slowfast_jax.demo.stages.persons import detect_people
from slowfast_jax.demo.timing import PARTS
from slowfast_jax.detectors.load import load_detector

FPS = 30


def main() -> None:
    args = _arguments()
    malloc.restart_with_settings()
    print(measure.machine())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        videos = {size: _scaled(args.video, size, args.frames, folder) for size in args.sizes}
        people = None
        if args.detector:
            people = detect_people(load_detector(args.detector))
        with measure.Others() as others:
            for backend in args.backends:
                network = slowfast_jax.load(args.model, args.weights, backend=backend)
                for size, video in videos.items():
                    for film in (Path(folder) / "film.mp4", None):
                        options = Options(people=people)
                        annotate = partial(annotate_film, network, video, film, options)
                        rows.append([size, "yes" if film else "no", backend,
                                     *_measure(annotate, args.rounds)])
    header = ["size", "film", "backend", "frames/s", "cpu ms", *(f"{part} ms" for part in PARTS)]
    print(measure.table(header, rows))
    print(f"other programs took {others.share:.0%} of the cores")


def _measure(annotate: Callable[[], Result], rounds: int) -> list[object]:
    """Frames per second, and milliseconds per frame: of processor time and of each part."""
    annotate()
    rates, cpu, parts = [], [], []
    for _ in range(rounds):
        begin = time.process_time()
        timing = annotate().timing
        cpu.append(1e3 * (time.process_time() - begin) / timing.frames)
        rates.append(timing.frames / timing.elapsed())
        parts.append({
            part: 1e3 * seconds / timing.frames for part, seconds in timing.by_part().items()
        })
    medians = [
        statistics.median(each[part] for each in parts) if part in parts[0] else ""
        for part in PARTS
    ]
    return [statistics.median(rates), statistics.median(cpu), *medians]


def _scaled(video: str, size: str, frames: int, folder: str) -> Path:
    """`frames` frames of the video in another size; a shorter video is played again and again."""
    width, height = map(int, size.split("x"))
    path = Path(folder) / f"{size}.mp4"
    write_video(path, _pictures(video, width, height, frames), fps=FPS)
    return path


def _pictures(video: str, width: int, height: int, frames: int) -> Iterator[np.ndarray]:
    while frames > 0:
        with av.open(video) as container:
            for frame in container.decode(video=0):
                if frames == 0:
                    return
                yield frame.to_ndarray(format="rgb24", width=width, height=height)
                frames -= 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", metavar="VIDEO")
    parser.add_argument("--model", default="kinetics/x3d_xs")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--backends", type=measure.names(("jax", "openvino", "onnxruntime")),
                        default="jax")
    parser.add_argument("--detector", help="name or .onnx file of slowfast_jax.demo --detector")
    parser.add_argument("--sizes", type=lambda text: text.split(","), default="340x256",
                        help="WIDTHxHEIGHT, joined by commas")
    parser.add_argument("--frames", type=int, default=300, help="of the video")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
