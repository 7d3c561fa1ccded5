"""Writes the tables of docs/model_zoo.md, from the zoo and the published checkpoints.

    python -m slowfast_jax.published.page

Run it in a checkout after a change of the zoo or of the files in rows/. Costs of networks that the
page lists already are kept (a test compares them with the networks); delete the row of a network
to count it again.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from slowfast_jax.models import zoo
from slowfast_jax.models.cost import count, totals
from slowfast_jax.published import PUBLISHERS, TEST_SETS, Publisher, Row, rows

PAGE = Path("docs/model_zoo.md")
COMMAND = "python -m slowfast_jax.published.page"
NETWORKS, CHECKPOINTS = "networks", "checkpoints"  # the parts of the page that are written
NETWORK = re.compile(r"\| `([\w/]+)` \| \d+ x \d+ \| (\d+) \| ([\d.]+) \| ([\d.]+) \|")
Costs = Mapping[str, tuple[str, str]]  # network -> (millions of parameters, GMACs at the test crop)


def documented_costs(text: str) -> dict[str, tuple[str, str]]:
    """The costs of the networks that the page lists."""
    return {name: (params, gmacs) for name, _, params, gmacs in NETWORK.findall(text)}


def counted_cost(name: str) -> tuple[str, str]:
    """The cost of a network, counted."""
    protocol = zoo.find(name)["protocol"]
    cost = totals(count(zoo.create(name), protocol["num_frames"], protocol["test_crop"]))
    return f"{cost['params'] / 1e6:.2f}", f"{cost['macs'] / 1e9:.2f}"


def updated(text: str, costs: Costs) -> str:
    """The text of the page with new tables.

    Raises ValueError if the page lacks the comments between which a table belongs.
    """
    for part, lines in ((NETWORKS, _networks(costs)), (CHECKPOINTS, _checkpoints())):
        start, end = f"<!-- {part}: written by {COMMAND} -->\n", f"<!-- end of {part} -->\n"
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{PAGE} has no lines {start.strip()} and {end.strip()}")
        text = before + start + "\n".join(lines) + "\n" + end + after
    return text


def _networks(costs: Costs) -> Iterator[str]:
    yield "| network | frames x rate | test crop | parameters M | GMACs | checkpoints |"
    yield "|---|---|---|---|---|---|"
    names: dict[str, list[str]] = {}
    for row in rows().values():
        names.setdefault(row.model, []).append(f"`{row.name}`")
    for name, entry in zoo.ZOO.items():
        protocol, (params, gmacs) = entry["protocol"], costs[name]
        yield (
            f"| `{name}` | {protocol['num_frames']} x {protocol['sampling_rate']} "
            f"| {protocol['test_crop']} | {params} | {gmacs} "
            f"| {', '.join(names.get(name, ['none']))} |"
        )


def _checkpoints() -> Iterator[str]:
    for publisher in PUBLISHERS.values():
        yield from _table(publisher, [r for r in rows().values() if r.publisher == publisher])


def _table(publisher: Publisher, listed: list[Row]) -> Iterator[str]:
    yield f"### {publisher.title}\n"
    yield f"From [its repository]({publisher.repository}); license {publisher.license}.\n"
    yield "| checkpoint | network | test set | views | published | parameters M | GMACs | note |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in listed:
        network = "the same" if row.model == row.name else f"`{row.model}`"
        if row.model not in zoo.ZOO:
            network = f"*not yet:* `{row.model}`"
        views = f"{row.clips} x {row.crops} of {row.crop}" if row.clips else ""
        figures = " / ".join(row.figures.values()) or "none"
        unit = " mAP" if "map" in row.figures else ""
        yield (
            f"| [`{row.name}`]({row.address}) | {network} | {TEST_SETS[row.data][0]} | {views} "
            f"| [{figures}{unit}]({row.source}) | {row.params} | {row.gmacs} | {row.note} |"
        )
    yield ""


def main() -> None:
    """Writes the page."""
    text = PAGE.read_text(encoding="utf-8")
    known = documented_costs(text)
    costs = {name: known.get(name) or counted_cost(name) for name in zoo.ZOO}
    PAGE.write_text(updated(text, costs), encoding="utf-8")


if __name__ == "__main__":
    main()
