"""What the benchmarks share: options, cores, contestants that run in turn, tables and files.

Two programs are compared only when they ran in turn, in one run, on the same cores: on a shared
machine the speed of a core drifts by more than what is to be measured.
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

Seconds = dict[str, list[float]]

MATMUL = 2048  # rows, columns and depth of the matrix product that stands for the machine's peak
DISTURBED = 0.03  # share of the cores used by others beyond which figures are not worth keeping
FORMS = ("eager", "channels_last", "compile")  # ways to run PyTorch


def options(description: str) -> argparse.ArgumentParser:
    """A parser with what every benchmark takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=1, help="clips at a time [%(default)s]")
    parser.add_argument("--threads", type=int, default=2, help="cores to run on [%(default)s]")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds [%(default)s]")
    parser.add_argument("--json", metavar="FILE", help="write the raw figures here")
    return parser


def comparison_options(
    description: str, models: Sequence[str], default: str
) -> argparse.ArgumentParser:
    """A parser with what the comparisons with PyTorch take."""
    parser = options(description)
    parser.add_argument("--models", type=names(models), default=default, help="of the zoo")
    parser.add_argument("--against", type=names(FORMS), default=",".join(FORMS),
                        help="ways to run PyTorch (default: all)")
    parser.add_argument("--size", type=int, help="pixels (default: the zoo's crop)")
    parser.add_argument("--malloc", choices=("ours", "both", "none"), default="ours",
                        help="who allocates as slowfast_jax/malloc.py says: our programs do, "
                        "PyTorch as it comes does not [%(default)s]")
    return parser


def names(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """The type of an option that takes some of `allowed`, joined by commas."""

    def split(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        unknown = [name for name in found if name not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(allowed)}")
        return found

    return split


def pin(threads: int) -> None:
    """Keeps this process on `threads` of its cores; call it before jax computes anything.

    XLA makes as many threads as it finds cores; PyTorch is told by `torch.set_num_threads`.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < threads:
        raise SystemExit(f"--threads {threads}: this process may use {len(cores)} cores only")
    os.sched_setaffinity(0, cores[:threads])


class Others:
    """How busy other programs kept our cores while the `with` block ran: `share`, 0 to 1.

    Disturbed figures cannot be repaired: OpenMP's threads, which wait for each other at every
    barrier, lose far more than the share itself. Where there is no /proc/stat the share is 0.
    """

    share = 0.0

    def __init__(self, *pids: int):
        """`pids`: processes that belong to us."""
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
        """Seconds that our processes have worked."""
        ticks = 0
        for pid in self.pids:
            stat = Path(f"/proc/{pid}/stat")
            if stat.exists():  # pid (name) state ... utime stime, the 14th and 15th
                ticks += sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))
        return sum(os.times()[:2]) + ticks / os.sysconf("SC_CLK_TCK")

    def _busy(self) -> float:
        """Seconds that our cores have worked, for whomever, or were taken away by the host."""
        stat = Path("/proc/stat")
        ours = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        lines = stat.read_text().splitlines() if stat.exists() else []
        rows = [line.split() for line in lines if line.split()[0] in ours]
        # cpuN user nice system idle iowait irq softirq steal guest ...
        ticks = sum(int(value) for row in rows for value in row[1:4] + row[6:9])
        return ticks / os.sysconf("SC_CLK_TCK")


def machine() -> dict:
    """Processor, cores, versions and date, to stand beside the figures."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    versions = {}
    for package in ("jax", "jaxlib", "flax", "torch", "numpy"):
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
    """Runs every contestant once a round, each time in another order; seconds by name.

    A contestant returns when its result is ready. One round before the first is not counted
    (compilation, caches). The pause (seconds) lets another library's threads go to sleep.
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
    """Seconds of each contestant's first run, which compiles."""
    seconds = {}
    for name, run in contestants.items():
        begin = time.perf_counter()
        run()
        seconds[name] = time.perf_counter() - begin
    return seconds


def jax_matmul() -> Callable[[], object]:
    """The float32 matrix product that stands for the machine's peak, in XLA."""
    a = jax.random.normal(jax.random.key(0), (MATMUL, MATMUL))
    multiply = jax.jit(lambda a: a @ a)
    return lambda: multiply(a).block_until_ready()


def gmacs_per_second(macs: float, seconds: Sequence[float]) -> float:
    """10^9 multiply-adds a second at the median time."""
    return macs / statistics.median(seconds) / 1e9


def report(result: dict) -> float:
    """Prints one model's table and returns the machine's peak in GMAC/s.

    `result`: name, shape, macs; seconds {form: [..]} with "ours" and matmuls among the forms;
    first_call {form: seconds}; difference {form: number}, of what `difference_of` says; others, the
    share of `Others`. The peak is the fastest matrix product of either side; a form's speed counts
    the convolutions only.
    """
    product = MATMUL**3
    matmuls = {n: times for n, times in result["seconds"].items() if n.startswith("matmul")}
    peak = max(product / min(times) for times in matmuls.values()) / 1e9
    ours = statistics.median(result["seconds"]["ours"])
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
    print(f"\n{result['name']}  {size}  {result['macs'] / 1e9:.1f} GMAC of convolutions")
    header = ["", "median ms", "min ms", "clips/s", "ours faster", "GMAC/s", "of peak",
              result["difference_of"], "first call s"]
    print(table(header, rows))
    advice = ": disturbed, run again when they rest" if result["others"] > DISTURBED else ""
    print(f"other programs took {result['others']:.0%} of the cores{advice}", flush=True)
    return peak


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned: the first to the left, the others to the right; floats to 4 digits."""

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
    """The raw figures, with the machine and the command's own options beside them."""
    Path(path).write_text(json.dumps(dict(machine=machine(), results=results), indent=1) + "\n")
