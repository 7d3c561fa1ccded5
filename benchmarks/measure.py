"""Shared by the benchmarks: options, CPU affinity, timing in turn, tables and JSON files.

Two programs are compared only if they ran in turn, in one run, on the same cores: on a shared
machine the speed of a core drifts by more than the differences to be measured.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import jax

from slowfast_jax import malloc

Seconds = dict[str, list[float]]

MATMUL = 2048  # size of the square matrix product that measures the machine's peak
DISTURBED = 0.03  # above this share of the cores used by other programs, discard the figures
FORMS = ("eager", "channels_last", "compile")  # ways to run PyTorch
# Ways to run the graph of PyTorch's network in another program; only for inference.
GRAPH_FORMS = ("openvino", "openvino_bf16", "onnxruntime")


def options(description: str) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=1, help="batch size, in clips [%(default)s]")
    parser.add_argument("--threads", type=int, default=2, help="CPU cores to use [%(default)s]")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds [%(default)s]")
    parser.add_argument("--json", metavar="FILE", help="write the raw figures to this file")
    return parser


def comparison_options(
    description: str, models: Sequence[str], default: str, forms: Sequence[str] = FORMS
) -> argparse.ArgumentParser:
    """A parser with the options of a comparison with PyTorch, which can run in these forms."""
    parser = options(description)
    parser.add_argument("--models", type=names(models), default=default,
                        help="models of the zoo, joined by commas [%(default)s]")
    parser.add_argument("--against", type=names(forms), default=",".join(FORMS),
                        help=f"how PyTorch's network runs, of {', '.join(forms)}, joined by "
                        "commas; with '' it does not [%(default)s]")
    parser.add_argument("--size", type=int, help="crop in pixels (default: that of the zoo)")
    parser.add_argument("--malloc", choices=("ours", "both", "none"), default="ours",
                        help="which side uses the settings of slowfast_jax/malloc.py: ours, as our "
                        "programs do, both, or none [%(default)s]")
    return parser


def start(chosen: argparse.Namespace) -> None:
    """Prepares this process for a comparison with PyTorch: its malloc and its cores."""
    if chosen.malloc != "none":
        malloc.restart_with_settings()
    pin(chosen.threads)


def names(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """The argparse type of an option that takes some of `allowed`, joined by commas."""

    def split(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        unknown = [name for name in found if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(allowed)}")
        return found

    return split


def pin(threads: int) -> None:
    """Pins this process to its first `threads` cores; call it before JAX computes anything.

    XLA starts one thread per available core; for PyTorch, also call `torch.set_num_threads`.

    Raises:
      SystemExit: the process has fewer cores.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        raise SystemExit(f"--threads {threads}: only {len(cores)} cores are available")
    os.sched_setaffinity(0, cores[:threads])


class Others:
    """Measures how much other programs used our cores during the `with` block: `share`, 0 to 1.

    Disturbed figures cannot be corrected: OpenMP's threads, which wait for each other at every
    barrier, lose far more than the share itself. Without /proc/stat the share is 0.
    """

    share = 0.0

    def __init__(self, *pids: int):
        """`pids`: other processes of the benchmark, which do not count as other programs."""
        self.pids = pids

    def __enter__(self):
        self.begin = (time.perf_counter(), self._busy(), self._own())
        return self

    def __exit__(self, *exception):
        end = (time.perf_counter(), self._busy(), self._own())
        elapsed, busy, own = (b - a for a, b in zip(self.begin, end, strict=True))
        if busy:
            self.share = max(0.0, busy - own) / (elapsed * len(os.sched_getaffinity(0)))

    def _own(self) -> float:
        """CPU seconds used by the benchmark's processes."""
        ticks = 0
        for pid in self.pids:
            stat = Path(f"/proc/{pid}/stat")
            if stat.exists():  # pid (name) state ... utime stime, the 14th and 15th
                ticks += sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))
        return sum(os.times()[:2]) + ticks / os.sysconf("SC_CLK_TCK")

    def _busy(self) -> float:
        """CPU seconds used on our cores by any program, or stolen by the host."""
        stat = Path("/proc/stat")
        ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        lines = stat.read_text().splitlines() if stat.exists() else []
        rows = [line.split() for line in lines if line.split()[0] in ours]
        # cpuN user nice system idle iowait irq softirq steal guest ...
        ticks = sum(int(value) for row in rows for value in row[1:4] + row[6:9])
        return ticks / os.sysconf("SC_CLK_TCK")


def machine() -> dict:
    """Processor, cores, versions and date, to be stored with the figures."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    versions = {}
    for package in ("jax", "jaxlib", "flax", "torch", "numpy", "openvino", "onnxruntime"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return dict(
        backend=jax.default_backend(),
        cpu=models[0] if models else platform.processor(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **versions,
    )


def in_turn(
    contestants: Mapping[str, Callable[[], object]], rounds: int, pause: float = 0.01
) -> Seconds:
    """Times contestants in turn: each runs once per round, and each round starts with another one.

    Args:
      contestants: functions by name that return when their result is ready.
      rounds: number of timed rounds, after an untimed one for compilation and caches.
      pause: seconds before each run, in which another library's threads go to sleep.

    Returns:
      Seconds of each run, by name.
    """
    names = list(contestants)
    for name in names:
        contestants[name]()
    seconds: Seconds = {name: [] for name in names}
    for i in range(rounds):
        start = i % len(names)
        for name in names[start:] + names[:start]:
            time.sleep(pause)
            begin = time.perf_counter()
            contestants[name]()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def once(contestants: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each contestant's first run, which includes compilation."""
    seconds = {}
    for name, run in contestants.items():
        begin = time.perf_counter()
        run()
        seconds[name] = time.perf_counter() - begin
    return seconds


def jax_matmul() -> Callable[[], object]:
    """Runs the float32 matrix product that measures the machine's peak, in XLA."""
    a = jax.random.normal(jax.random.key(0), (MATMUL, MATMUL))
    multiply = jax.jit(lambda a: a @ a)
    return lambda: multiply(a).block_until_ready()


def gmacs_per_second(macs: float, seconds: Sequence[float]) -> float:
    """10^9 multiply-adds per second at the median time."""
    return macs / statistics.median(seconds) / 1e9


def report(result: dict) -> float:
    """Prints one model's table and returns the machine's peak in GMAC/s.

    The peak is the fastest matrix product of either side.

    Args:
      result: the fields
        name, shape: of the model and of the clip.
        macs: multiply-adds of the model.
        seconds: {form: seconds of each run}; includes the matrix products and ours, whose names
          start with "ours"; the first of ours is what the others are compared with.
        first_call: {form: seconds of the first run}.
        difference: {form: difference from our result}.
        difference_of: heading of `difference`.
        others: `Others.share`.
    """
    product = MATMUL**3
    matmuls = {n: times for n, times in result["seconds"].items() if n.startswith("matmul")}
    peak = max(product / min(times) for times in matmuls.values()) / 1e9
    ours = statistics.median(
        next(times for form, times in result["seconds"].items() if form.startswith("ours"))
    )
    rows = []
    for form, times in result["seconds"].items():
        median = statistics.median(times)
        speed = gmacs_per_second(product if form in matmuls else result["macs"], times)
        row = [form, 1e3 * median, 1e3 * min(times)]
        row += ["", ""] if form in matmuls else [
            f"{result['shape'][0] / median:.3f}", f"{median / ours:.2f}x"
        ]
        row += [speed, f"{speed / peak:.0%}"]
        row += [result[column].get(form, "") for column in ("difference", "first_call")]
        rows.append(row)
    size = "x".join(map(str, result["shape"]))
    print(f"\n{result['name']}  {size}  {result['macs'] / 1e9:.1f} GMACs")
    header = ["", "median ms", "min ms", "clips/s", "ours faster", "GMAC/s", "of peak",
              result["difference_of"], "first call s"]
    print(table(header, rows))
    advice = ": run again when the machine is idle" if result["others"] > DISTURBED else ""
    print(f"other programs took {result['others']:.0%} of the cores{advice}", flush=True)
    return peak


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns, the first to the left, the others to the right; floats with 4 digits."""

    def text(value):
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    cells = [[text(v) for v in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        for row in cells
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)


def write_json(path: str, results: object) -> None:
    """Writes the raw figures together with a description of the machine."""
    Path(path).write_text(json.dumps(dict(machine=machine(), results=results), indent=1) + "\n")
