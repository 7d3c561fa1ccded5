"""Simulated scaling curves: 8 to 256 chips, from the compiler's figures for one of them.

    python -m benchmarks.scaling DIR/compiled.json
    python -m benchmarks.scaling A/compiled.json B/compiled.json --plot docs/scaling.svg

compiled.json is written by `--mode compile --workdir DIR`. Nothing is measured on chips. The clips
per chip stay as compiled, and the duration of a step is modeled as

    at best     max(arithmetic, memory)         communication is hidden completely
    at worst    arithmetic + memory + links     nothing overlaps

arithmetic, memory: FLOPs and bytes of the step at the stated peaks of the chip.
links: gradients are summed along a ring or torus, which moves 2 (n - 1) / n times their size at
    half the stated bandwidth of all links, because slices smaller than a pod have no wrap-around;
    plus one microsecond for each of the 2 * 2 * (side - 1) hops in a square of n chips.
"cores to read" is the number of CPU cores needed to load clips at the best speed; see
docs/performance.md for the time per clip.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure
from slowfast_jax.distributed.chips import Chip, find_chip

CHIPS = (8, 16, 32, 64, 128, 256)
HOP_SECONDS = 1e-6
COLORS = ("#1b6ca8", "#d1603d", "#4c956c", "#7d5ba6", "#8a817c", "#b5446e")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("compiled", type=Path, nargs="+", help="files written by --mode compile")
    parser.add_argument("--reading", type=float, default=36.6,
                        help="milliseconds for one core to load a clip [%(default)s]")
    parser.add_argument("--plot", type=Path, metavar="SVG",
                        help="also plot clips/s over the number of chips")
    options = parser.parse_args()
    curves = {}
    for path in options.compiled:
        record = json.loads(path.read_text())[0]
        chip = find_chip(record["device"])
        if chip is None:
            parser.error(
                f"{path}: the peaks of {record['device']} are unknown; add them to "
                "slowfast_jax/distributed/chips.py"
            )
        rows = [
            simulate(record, chip, chips, reading=options.reading / 1e3) for chips in CHIPS
        ]
        name = record["config"]
        print(f"\n{name}, simulated: {record['device']}, {record['clips'] / record['devices']:g} "
              f"clips per chip; limited by {limit(record, chip)}")
        print(table(rows))
        curves[f"{name}, {record['device']}"] = rows
    if options.plot:
        options.plot.write_text(drawing(curves))


def simulate(
    record: Mapping[str, Any], chip: Chip, chips: int, *, reading: float
) -> dict[str, float]:
    """Simulates a training step on several chips.

    Args:
      record: the record of the training step in compiled.json.
      chip: the stated peaks of the chip.
      chips: their number.
      reading: seconds for one CPU core to load a clip.

    Returns:
      A row of the table.
    """
    arithmetic = record["flops"] / chip.flops
    memory = record["bytes_accessed"] / chip.bandwidth
    size = sum(record["collective_bytes"].values())
    side = math.sqrt(chips)
    links = 2 * (chips - 1) / chips * size / (chip.links / 2) + 4 * (side - 1) * HOP_SECONDS
    batch = chips * record["clips"] / record["devices"]
    best, worst = max(arithmetic, memory), arithmetic + memory + links
    return {
        "chips": chips, "batch": batch, "links ms": 1e3 * links,
        "best ms": 1e3 * best, "worst ms": 1e3 * worst,
        "best clips/s": batch / best, "worst clips/s": batch / worst,
        "cores to read": batch / best * reading,
    }


def limit(record: Mapping[str, Any], chip: Chip) -> str:
    """What takes longest on one chip: "arithmetic" or "memory"."""
    parts = {
        "arithmetic": record["flops"] / chip.flops,
        "memory": record["bytes_accessed"] / chip.bandwidth,
    }
    return max(parts, key=parts.__getitem__)


def table(rows: Sequence[Mapping[str, float]]) -> str:
    """The rows of `simulate` as text."""
    return measure.table(
        list(rows[0]),
        [[f"{v:,.0f}" if v >= 100 or v == int(v) else f"{v:.3g}" for v in row.values()]
         for row in rows],
    )


def drawing(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """An SVG of clips/s over chips, both axes logarithmic; a band from worst to best per config."""
    width, height, left, bottom = 640, 400, 70, 50
    speeds = [row[key] for rows in curves.values() for row in rows
              for key in ("best clips/s", "worst clips/s")]
    low, high = math.floor(math.log2(min(speeds))), math.ceil(math.log2(max(speeds)))
    first, last = math.log2(CHIPS[0]), math.log2(CHIPS[-1])

    def place(chips: float, speed: float) -> tuple[float, float]:
        across = (math.log2(chips) - first) / (last - first)
        up = (math.log2(speed) - low) / (high - low)
        return left + across * (width - left - 20), height - bottom - up * (height - bottom - 40)

    def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
        return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{words}</text>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        text(width / 2, 20, "Training, SIMULATED from compiled programs: clips/s over chips"),
        text(width / 2, height - 10, "chips"),
    ]
    for chips in CHIPS:
        x, y = place(chips, 2**low)
        parts += [text(x, y + 18, str(chips)),
                  f'<path d="M{x:.0f} {y:.0f}V40" stroke="#ddd"/>']
    for power in range(low, high + 1):
        x, y = place(CHIPS[0], 2**power)
        parts += [text(x - 8, y + 4, f"{2**power:,}", "end"),
                  f'<path d="M{x:.0f} {y:.0f}H{width - 20}" stroke="#ddd"/>']
    for i, (name, rows) in enumerate(curves.items()):
        color = COLORS[i % len(COLORS)]
        points = [place(row["chips"], row["best clips/s"]) for row in rows]
        points += [place(row["chips"], row["worst clips/s"]) for row in reversed(rows)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        parts += [
            f'<path d="M{path}Z" fill="{color}" fill-opacity="0.4" stroke="{color}"/>',
            f'<rect x="{left + 12}" y="{50 + 18 * i}" width="12" height="12" fill="{color}"/>',
            text(left + 30, 60 + 18 * i, name, "start"),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
