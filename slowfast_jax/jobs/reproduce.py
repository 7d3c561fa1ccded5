"""Measures the figures of published checkpoints and shows them beside the published ones.

    outcomes = reproduce(["kinetics/x3d_m"], {"data.root": "LISTS"}, workdir)
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict
from ml_collections.config_flags import config_path

from data_pipelines.atomic_files import whole
from slowfast_jax import distributed
from slowfast_jax.backends.choice import choose_backend
from slowfast_jax.config import (
    ConfigError,
    build_model,
    check_ranges,
    check_test,
    follow,
    full_schema,
    load_published,
)
from slowfast_jax.evaluate import evaluate
from slowfast_jax.loop.preflight import RANDOM, Problems
from slowfast_jax.published import PUBLISHED, Row, find
from slowfast_jax.published.cached_weights import fetch
from slowfast_jax.published.hub import is_address
from slowfast_jax.tasks import make_task
from slowfast_jax.weights import find_checkpoint, read_weights, variable_shapes

FILE = "reproduced.json"
TITLES = ("checkpoint", "metric", "published", "measured", "difference", "in examples")


class Figure(NamedTuple):
    """A published figure and what was measured, in percent.

    published: as written by the publisher. used, unit: number of examples measured, and what they
    are ("videos").
    """

    metric: str
    published: str
    measured: float
    used: int
    unit: str

    @property
    def difference(self) -> float:
        return self.measured - float(self.published)

    @property
    def examples(self) -> int | None:
        """The difference as a number of examples; None for a mean of precisions."""
        if self.metric == "map":
            return None
        return round(self.difference / 100 * self.used)

    @property
    def equal(self) -> bool:
        """Whether the measured figure, rounded as the published one is, may be the same."""
        digits = len(self.published.partition(".")[2])
        return abs(self.difference) <= 0.5 * 10**-digits + 1e-9


class Outcome(NamedTuple):
    """The test of a checkpoint. results: what `evaluate` returned."""

    row: Row
    figures: list[Figure]
    results: dict[str, Any]


def reproduce(
    names: Sequence[str],
    fields: Mapping[str, Any],
    workdir: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    *,
    save_scores: bool = False,
    backend: str = "jax",
) -> list[Outcome]:
    """Tests published checkpoints by their published protocols, one after the other.

    The figures and the fingerprint of each test are printed as soon as it ends, and with several
    checkpoints a table of all at the end.

    Args:
      names: names of rows, see `slowfast_jax.published`.
      fields: field of the config without "config." -> value, for all tests: at least "data.root".
      workdir: receives a folder of results for each test, and reproduced.json; None: nothing is
        written.
      weights: the file of the only row, or "random". Default: the published file, from the cache
        folder or its address.
      save_scores: see `evaluate`.
      backend: what runs the networks, see `slowfast_jax.load`; the fingerprint names it.

    Raises:
      ConfigError: before the first test, several problems with names, fields, data and weights; the
        message has a line for each.
      OSError, ValueError, RuntimeError: the only problem, or a test that failed.
    """
    outcomes: list[Outcome] = []
    prepared = _prepare(list(dict.fromkeys(names)), fields, workdir, weights, backend)
    for row, config, path in prepared:
        results = evaluate(
            config, _folder(workdir, row), path, save_scores=save_scores, backend=backend
        )
        outcomes.append(Outcome(row, list(_figures(row, results)), results))
        if distributed.first():
            print(table(outcomes[-1:]))
            print(json.dumps({"fingerprint": results["fingerprint"]}), flush=True)
            if workdir is not None:
                _write(Path(workdir), outcomes)
    if len(outcomes) > 1 and distributed.first():
        print(f"\n{table(outcomes)}", flush=True)
    return outcomes


def _prepare(
    names: Sequence[str], fields: Mapping[str, Any], workdir: str | os.PathLike | None,
    weights: str | os.PathLike | None, backend: str,
) -> list[tuple[Row, ConfigDict, str | os.PathLike]]:
    """(row, config, weights) of every test; raises all problems together.

    Nothing is downloaded unless names, fields, data and backend are right.
    """
    given = None if weights == PUBLISHED else weights
    problems, configs = Problems(), {}
    if given and len(names) > 1:
        with problems.noted():
            raise ConfigError(
                f"--weights={weights} is one checkpoint, but {len(names)} are to be tested: leave "
                "it out, or test one at a time"
            )
    if given and given != RANDOM and not is_address(given) and not os.path.exists(given):
        with problems.noted():
            raise FileNotFoundError(f"--weights={given}: no such file or folder")
    for name in names:
        with problems.noted():
            configs[name] = _config(find(name), fields)
    for name, config in configs.items():
        with problems.noted():
            make_task(config).find("test", _folder(workdir, find(name)))
        with problems.noted():
            choose_backend(backend, build_model(config))
    problems.report()
    prepared = []
    for name, config in configs.items():
        with problems.noted():
            path = find_checkpoint(given) if given and given != RANDOM else given
            path = path or fetch(find(name))
            if path != RANDOM:
                shapes = variable_shapes(build_model(config))
                read_weights(config, shapes, path, entry=config.test.entry, quiet=True)
            prepared.append((find(name), config, path))
    problems.report()
    return prepared


def _config(row: Row, fields: Mapping[str, Any]) -> ConfigDict:
    """The config of a row with other values of the fields."""
    config = load_published(row)
    for field, value in fields.items():
        try:
            config_path.set_value(field, config, value)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"--config.{field}={value} does not fit {row.name}: {' '.join(str(error).split())}"
            ) from error
    check_ranges(config, full_schema(config))
    follow(config, {*fields, *row.settings})
    check_test(config)
    return config


def _folder(workdir: str | os.PathLike | None, row: Row) -> Path | None:
    return None if workdir is None else Path(workdir, row.name)


def _figures(row: Row, results: Mapping[str, Any]) -> Iterator[Figure]:
    used = next(key for key in results["fingerprint"] if key.endswith("_used"))
    for metric, published in row.figures.items():
        yield Figure(
            metric, published, results["metrics"][metric], results["fingerprint"][used],
            used.removesuffix("_used"),
        )


def table(outcomes: Sequence[Outcome]) -> str:
    """The figures of tests as text, aligned in columns: a line for each figure."""
    lines = [TITLES]
    for outcome in outcomes:
        for figure in outcome.figures:
            digits = max(2, len(figure.published.partition(".")[2]))
            among = f"{figure.used} {figure.unit}"
            note = " (equal within rounding)" if figure.equal else ""
            if figure.examples is not None:
                among = f"{figure.examples:+d} of {among}"
            lines.append((
                outcome.row.name, figure.metric, figure.published,
                f"{figure.measured:.{digits}f}", f"{figure.difference:+.{digits}f}", among + note,
            ))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _write(workdir: Path, outcomes: Sequence[Outcome]) -> None:
    """Writes reproduced.json: a record for each test that has ended."""
    records = [
        {
            "checkpoint": row.name,
            "source": row.source,
            "figures": [
                {**figure._asdict(), "difference": figure.difference, "examples": figure.examples}
                for figure in figures
            ],
            "fingerprint": results["fingerprint"],
        }
        for row, figures, results in outcomes
    ]
    with whole(workdir / FILE) as part:
        part.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
