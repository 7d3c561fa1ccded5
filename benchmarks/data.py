"""Seconds from a video file to a clip: ours, PySlowFast's way, and decoding alone, on one core.

    python -m benchmarks.data
    python -m benchmarks.data --videos a.mp4,b.mp4 --tasks train
    python -m benchmarks.data --videos "" --generate 340x256:10:250,1920x1080:60:12

Training clips are those of SlowFast 8x8: 32 frames at every second one, short side 256 to 320, a
crop of 224. `floor` only decodes, from the key frame before the clip to the last frame of the clip;
`floor rgb` also converts the clip's frames to RGB. The test is 10 clips with 3 crops of 256 each.
All programs take the same clips, in turn, with FFmpeg and PyTorch on one thread.
"""

import itertools
import statistics
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np

from benchmarks import measure
from data_pipelines.examples.clip_options import Augmentation, Sampling
from data_pipelines.examples.clips import load_clip
from data_pipelines.examples.eval_views import iterate_views
from data_pipelines.sampling import clip_indices, clip_size, random_clip_start
from data_pipelines.sources.video_lists import Sample
from data_pipelines.video.encoding import write_video

SAMPLING = {"num_frames": 32, "sampling_rate": 2, "target_fps": 30.0}
TRAIN = {"crop": 224, "jitter": (256, 320)}
TEST = {"clips": 10, "crops": 3}
TEST_CROP, ALPHA, FPS = 256, 4, 30
GENERATED = "340x256:10:12,340x256:10:30,340x256:10:250,1920x1080:60:30"
TASKS = ("train", "test")


def moving_pictures(width: int, height: int, count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Frames of a textured scene with a panning camera, a moving object and sensor noise.

    They are about as expensive to decode as videos of people.
    """
    rng = np.random.default_rng(seed)
    scene = np.zeros((2 * height, 2 * width, 3), np.float32)
    for scale in (4, 16, 64, 256):
        coarse = rng.normal(0, 16, (2 * height // scale + 2, 2 * width // scale + 2, 3))
        scene += np.kron(coarse, np.ones((scale, scale, 1)))[: 2 * height, : 2 * width]
    scene += 128
    noise = rng.normal(0, 3, (8, height, width, 1)).astype(np.float32)
    for time in range(count):
        top = int(height / 2 * (1 + np.sin(time / 90)))
        left = int(width / 2 * (1 + np.cos(time / 130)))
        picture = scene[top : top + height, left : left + width] + noise[time % 8]
        x = int((time * 4) % (width * 3 // 4))
        picture[height // 3 : 2 * height // 3, x : x + width // 6] += 60
        yield picture.clip(0, 255).astype(np.uint8)


def generate(folder: Path, spec: str) -> Path:
    """Writes a video to `folder`; `spec` is WIDTHxHEIGHT:SECONDS:FRAMES_PER_KEY_FRAME."""
    size, seconds, gop = spec.split(":")
    width, height = map(int, size.split("x"))
    path = folder / f"{size}_{seconds}s_gop{gop}.mp4"
    options = {"preset": "veryfast", "crf": "23", "g": gop, "keyint_min": gop, "sc_threshold": "0"}
    pictures = moving_pictures(width, height, int(seconds) * FPS)
    write_video(path, pictures, fps=FPS, options=options)
    return path


def floor(path: str, share: float, rgb: bool) -> None:
    """Decodes a clip's frames and the frames they refer to; with `rgb`, converts the former."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        fps, frames = float(stream.average_rate), stream.frames
        size = clip_size(**SAMPLING, fps=fps)
        start = random_clip_start(frames, size, share)
        wanted = set(clip_indices(frames, start, size, SAMPLING["num_frames"]).tolist())
        container.seek(
            (stream.start_time or 0) + round(min(wanted) / fps / stream.time_base), stream=stream
        )
        for frame in container.decode(stream):
            place = round(float((frame.pts - (stream.start_time or 0)) * stream.time_base) * fps)
            if rgb and place in wanted:
                frame.to_ndarray(format="rgb24", threads=1)
            if place >= max(wanted):
                break


class Fixed:
    """A random generator that returns `share` where the clip's start is drawn."""

    def __init__(self, share: float, seed: int):
        self._share, self._rng = share, np.random.default_rng(seed)

    def random(self, size: int | None = None):
        return self._rng.random() if size is None else np.full(size, self._share)

    def __getattr__(self, name: str):
        return getattr(self._rng, name)


def training(path: str, others) -> dict:
    """Contestants that load training clips; each takes the same clips in the same order."""
    shares = np.random.default_rng(0).random(64)

    def contestant(run):
        numbers = itertools.count()

        def one():
            number = next(numbers)
            run(float(shares[number % len(shares)]), number)

        return one

    sample = Sample(path, 0)
    found = {
        "ours": contestant(lambda s, n: load_clip(
            sample, Sampling(**SAMPLING), Augmentation(**TRAIN), rng=Fixed(s, n)
        )),
        "floor": contestant(lambda s, n: floor(path, s, False)),
        "floor rgb": contestant(lambda s, n: floor(path, s, True)),
    }
    if others:
        found["pyslowfast"] = contestant(lambda s, n: others.training_clip(
            path, s, np.random.default_rng(n), **TRAIN, **normalization(), **SAMPLING
        ))
    return found


def testing(path: str, others) -> dict:
    """Contestants that load all test views of a video."""
    def ours() -> int:
        views = iterate_views(path, **SAMPLING, **TEST, test_crop=TEST_CROP, thread_type="NONE")
        return sum(len(clip) for clip in views)

    found = {"ours": ours}
    if others:
        found["pyslowfast"] = partial(
            others.test_views, path, **TEST, crop=TEST_CROP, **normalization(), **SAMPLING
        )
    return found


def normalization() -> dict:
    """Keywords of PySlowFast's way that ours does not take: it normalizes on the device."""
    import torch

    return {"mean": torch.tensor([0.45] * 3), "std": torch.tensor([0.225] * 3), "alpha": ALPHA}


def main() -> None:
    parser = measure.options(__doc__)
    parser.set_defaults(threads=1, rounds=20)
    parser.add_argument("--videos", default="", help="video files, joined by commas")
    parser.add_argument("--generate", default=GENERATED, metavar="SPECS",
                        help="videos to generate, as WIDTHxHEIGHT:SECONDS:FRAMES_PER_KEY_FRAME, "
                        "joined by commas [%(default)s]")
    parser.add_argument("--tasks", type=measure.names(TASKS), default="train,test",
                        help="joined by commas [%(default)s]")
    parser.add_argument("--alone", action="store_true",
                        help="leave out PySlowFast's way, which needs PyTorch")
    args = parser.parse_args()
    measure.pin(args.threads)
    others = None
    if not args.alone:
        import torch

        from benchmarks import pyslowfast_data as others

        torch.set_num_threads(args.threads)
    tasks = {"train": (training, args.rounds), "test": (testing, max(1, args.rounds // 10))}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(v) for v in args.videos.split(",") if v]
        paths += [generate(Path(folder), spec) for spec in args.generate.split(",") if spec]
        for path, task in itertools.product(paths, args.tasks):
            contestants, rounds = tasks[task][0](str(path), others), tasks[task][1]
            with measure.Others() as busy:
                seconds = measure.in_turn(contestants, rounds)
            results.append(dict(
                video=path.name, task=task, seconds=seconds, others=busy.share,
                megabytes=path.stat().st_size / 1e6,
            ))
            report(results[-1])
    if args.json:
        measure.write_json(args.json, results)


def report(result: dict) -> None:
    """Prints the table of one video and task."""
    medians = {name: statistics.median(times) for name, times in result["seconds"].items()}
    ours = medians["ours"]
    rows = [
        [name, 1e3 * median, 1e3 * min(result["seconds"][name]), f"{median / ours:.2f}x"]
        for name, median in medians.items()
    ]
    print(f"\n{result['video']}  {result['task']}  ({result['megabytes']:.1f} MB)")
    print(measure.table(["", "median ms", "min ms", "of ours"], rows))
    if result["others"] > measure.DISTURBED:
        print(f"other programs took {result['others']:.0%} of the core")


if __name__ == "__main__":
    main()
