"""The HTTP service under load: throughput, latencies, memory and refused requests.

    python -m benchmarks.serve                                  x3d_xs, random weights, one view
    python -m benchmarks.serve --requests 10000 --backend openvino
    python -m benchmarks.serve --videos FOLDER                  your own, in place of generated ones

Clients in one process post videos (generated ones have 340 x 256 pixels and `--seconds`) over the
loopback, in three phases, for each of which a service is started:

- one at a time: a single client and batches of one clip;
- together: as many clients as `--clients`, and the batches of `--batch-sizes`, by default those of
  the service;
- overload: twice as many clients as the queue accepts; refused requests have status 503.

Latencies are of answered requests. Memory is the resident size of the service, after a tenth of the
requests and at the end.
"""

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.measure import machine
from data_pipelines.video.encoding import write_video

READY_SECONDS = 300


def main() -> None:
    args = _arguments()
    print(machine())
    videos = _read(args.videos) if args.videos else _generate(args.seconds)
    batches = ["--batch-sizes", args.batch_sizes] if args.batch_sizes else []
    common = [args.model, "--weights", args.weights, "--clips", "1", "--crops", "1",
              "--backend", args.backend]
    with Service([*common, "--batch-sizes", "1"]) as service:
        alone = service.load(videos, args.requests // 10, clients=1)
        alone.report("one at a time, batches of 1")
    with Service([*common, *batches]) as service:
        early = service.load(videos, args.requests // 10, args.clients)
        before = service.megabytes()
        together = service.load(videos, args.requests, args.clients)
        together.report(f"{args.clients} clients, batches of {args.batch_sizes or 'usual sizes'}")
        print(f"  resident memory {before:.0f} MB after {len(early.seconds)} requests, "
              f"{service.megabytes():.0f} MB after {len(together.seconds)} more")
        print(f"  {together.rate() / alone.rate():.2f} times the rate of one at a time")
    with Service([*common, *batches, "--queue", "8"]) as service:
        service.load(videos, max(args.requests // 10, 64), clients=16).report(
            "16 clients, a queue of 8"
        )


class Load:
    """Outcome of requests. seconds: of answered ones. statuses: how many had which status."""

    def __init__(self, outcomes: list[tuple[int, float]], took: float):
        self.seconds = np.array([seconds for status, seconds in outcomes if status == 200])
        self.statuses = Counter(status for status, _ in outcomes)
        self._took = took

    def rate(self) -> float:
        """Answered requests per second."""
        return len(self.seconds) / self._took

    def report(self, title: str) -> None:
        p50, p95, p99 = 1e3 * np.percentile(self.seconds, [50, 95, 99])
        print(f"{title}: {self.rate():.1f} requests/s, p50 {p50:.0f}, p95 {p95:.0f}, "
              f"p99 {p99:.0f} ms; status {dict(self.statuses)}", flush=True)


class Service:
    """A service in a process of its own, from readiness to SIGTERM."""

    def __init__(self, arguments: list[str]):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self._port = one.getsockname()[1]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "slowfast_jax.serve", *arguments, "--port", str(self._port)],
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> "Service":
        deadline = time.monotonic() + READY_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the service did not start")
            try:
                if self._ask("GET", "/readyz")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.2)

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def load(self, videos: list[bytes], requests: int, clients: int) -> Load:
        def ask(number: int) -> tuple[int, float]:
            start = time.perf_counter()
            status, _ = self._ask("POST", "/predict", videos[number % len(videos)])
            return status, time.perf_counter() - start

        start = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            outcomes = list(pool.map(ask, range(requests)))
        return Load(outcomes, time.perf_counter() - start)

    def megabytes(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _read(folder: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path(folder).iterdir())]


def _generate(seconds: float, count: int = 8) -> list[bytes]:
    random, videos = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            small = random.integers(0, 256, (int(30 * seconds), 8, 10, 3), np.uint8)
            path = Path(folder) / f"{number}.mp4"
            write_video(path, small.repeat(32, 1).repeat(34, 2), fps=30)
            videos.append(path.read_bytes())
    return videos


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="kinetics/x3d_xs")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--backend", default="jax")
    parser.add_argument("--batch-sizes")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--videos", metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=2.0, help="of generated videos")
    return parser.parse_args()


if __name__ == "__main__":
    main()
