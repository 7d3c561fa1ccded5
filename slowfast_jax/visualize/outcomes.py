"""True and predicted classes of a test, from the files that it saved: no network runs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from data_pipelines.labels import class_names, multi_hot, unnamed
from data_pipelines.text_files import first_few, parse_json, read_text
from slowfast_jax.config import ConfigError, load_config, restore_config
from slowfast_jax.config.classes import named_by_config
from slowfast_jax.config.stored import read_config
from slowfast_jax.metrics.confusion import confusion_matrix
from slowfast_jax.metrics.topk import top_k
from slowfast_jax.report.detection import detected_boxes
from slowfast_jax.report.items import read_results
from slowfast_jax.tasks.saved_scores import read_scores

BEST = 5  # classes of each video that results.json has


class Outcomes(NamedTuple):
    """True and predicted classes of N examples.

    Attributes:
      names: K class names.
      labels: bool (N, K), the true classes.
      scores: float32 (N, K). Those from results.json are 0 except for the five best.
      paths: N paths of videos; empty for boxes, and for files of PySlowFast, which have none.
      known: the number of best classes that the scores are known of.
    """

    names: list[str]
    labels: np.ndarray
    scores: np.ndarray
    paths: list[str]
    known: int

    @property
    def several(self) -> bool:
        """Whether an example may have several classes."""
        return bool((self.labels.sum(1) != 1).any())

    def predicted(self, count: int = 1) -> np.ndarray:
        """float32 (N, K): 1 for the `count` best classes of each example; their scores where an
        example may have several classes."""
        if self.several:
            return self.scores
        if count > self.known:
            raise ConfigError(
                f"--top-k is {count}, and results.json has the {self.known} best classes of a "
                "video: pass a file of --save_scores, scores.npz"
            )
        _, best = top_k(self.scores, count)
        return multi_hot(best, len(self.names)).astype(np.float32)


def read_outcomes(
    source: str | os.PathLike, config: ConfigDict | None = None, labels: str = ""
) -> Outcomes:
    """Reads the outcomes of a test.

    Args:
      source: the folder of a test, of which results.json is read (and detections.csv, if boxes were
        tested); or a file that --save_scores wrote, or TEST.SAVE_RESULTS_PATH of PySlowFast.
      config: the config of the test. Default: the one that the folder stores, or names.
      labels: names of the classes, see `data_pipelines.labels.class_names`. Default: the config's.

    Raises:
      FileNotFoundError, ValueError: a file does not exist or is invalid.
      ConfigError: the names do not fit.
    """
    source = Path(source)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder")
    if source.is_file():
        table = read_scores(source, ("scores", "labels", "paths"))
        classes = table["scores"].shape[1]
        true = table["labels"]
        if true.ndim == 1 and len(true) and not 0 <= true.min() <= true.max() < classes:
            raise ValueError(
                f"{source}: labels {true.min()} to {true.max()}, and scores of {classes} classes"
            )
        true = true != 0 if true.ndim > 1 else multi_hot(true[:, None], classes) != 0
        names = _names(classes, config, labels, source)
        return Outcomes(names, true, table["scores"], table["paths"].tolist(), classes)
    results = read_results(source)
    if not results["videos"] and (source / "detections.csv").is_file():
        config = config or _stored(source)
        if config is None:
            raise ConfigError(f"{source} stores no config: name it with --config")
        names, true, scores = detected_boxes(config, source)
        return Outcomes(names, true, scores, [], len(names))
    rows, classes = results["videos"], results["fingerprint"]["model"].get("num_classes", 0)
    if not rows:
        raise ValueError(f"{source}: no video was tested; see its list of failed videos")
    classes = max(classes, 1 + max(max(row["top5_indices"]) for row in rows))
    true = multi_hot([np.atleast_1d(row["label"]).tolist() for row in rows], classes) != 0
    scores = np.zeros((len(rows), classes), np.float32)
    for scored, row in zip(scores, rows, strict=True):
        scored[row["top5_indices"]] = row["top5_values"]
    names = _names(classes, config, labels, source)
    return Outcomes(names, true, scores, [row["path"] for row in rows], min(BEST, classes))


def _stored(folder: Path) -> ConfigDict | None:
    """The config that a folder stores, or whose name its results have."""
    if (stored := read_config(folder)) is not None:
        return restore_config(stored)
    if (folder / "results.json").is_file():
        try:
            return load_config(read_results(folder)["fingerprint"]["config"])
        except (ConfigError, KeyError):
            return None
    return None


def _names(
    classes: int, config: ConfigDict | None, labels: str, source: Path
) -> list[str]:
    """The names of the classes: of `labels`, of `config`, or of what is stored beside `source`."""
    if labels:
        return class_names(labels, count=classes)
    stored = config or _stored(source if source.is_dir() else source.parent)
    names = named_by_config(stored) if stored is not None else []
    if names and len(names) != classes and config is not None:
        raise ConfigError(
            f"{config.name} has {len(names)} classes, and {source} has {classes}: name its own "
            "config with --config, or a file with its class names with --labels"
        )
    return names if len(names) == classes else unnamed(classes)


def chosen_classes(text: str, names: Sequence[str], option: str = "--classes") -> list[int]:
    """The classes that are named in a file, one per line, or separated by commas.

    option: where the text comes from, for messages. Raises ConfigError with the classes that do not
    exist.
    """
    if Path(text).is_file():
        parts = read_text(text, "a class name per line").splitlines()
    else:
        parts = _split(text, names)
    wanted = [part.strip() for part in parts if part.strip()]
    return _numbers(wanted, names, f"{option} {text}")


def _split(text: str, names: Sequence[str]) -> Iterator[str]:
    """The parts of a text between its commas, except for those that belong to the names of classes,
    as in "talk to (e.g., self, a person, a group)"."""
    known, parts = {name.lower() for name in names}, text.split(",")
    while parts:
        lengths = range(len(parts), 0, -1)
        joined = (count for count in lengths if ",".join(parts[:count]).strip().lower() in known)
        count = next(joined, 1)
        yield ",".join(parts[:count])
        parts = parts[count:]


def parent_classes(
    path: str | os.PathLike, names: Sequence[str], option: str = "--parents"
) -> dict[str, list[int]]:
    """{parent: its classes} from a JSON file {"parent": ["class", ...]}, as PySlowFast's
    TENSORBOARD.CATEGORIES_PATH.

    option: where the path comes from, for messages. Raises ConfigError if the file is invalid or
    names classes that do not exist.
    """
    try:
        parents = parse_json(path, read_text(path, "a JSON file"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option}: {error}") from error
    if not isinstance(parents, Mapping) or not parents or not all(
        isinstance(children, list) for children in parents.values()
    ):
        raise ConfigError(
            f'{option} {path}: expected {{"parent": ["class", ...], ...}}'
        )
    return {
        str(parent): _numbers(children, names, f"{option} {path}, {parent}")
        for parent, children in parents.items()
    }


def _numbers(wanted: Sequence[str], names: Sequence[str], source: str) -> list[int]:
    index = {name.lower(): number for number, name in enumerate(names)}
    unknown = [name for name in wanted if str(name).lower() not in index]
    if unknown or not wanted:
        what = f"there are no classes {first_few(unknown, 5)}" if unknown else "names no class"
        raise ConfigError(f"{source}: {what} (classes: {first_few(list(names), 5)})")
    return [index[str(name).lower()] for name in wanted]


def confusion(outcomes: Outcomes, count: int = 1) -> np.ndarray:
    """The confusion matrix (K, K), see `metrics.confusion`: the share of the examples of the class
    in the row that have the class in the column among their `count` best."""
    return confusion_matrix(outcomes.labels, outcomes.predicted(count))


def confusion_of_parents(
    outcomes: Outcomes, parents: Mapping[str, Sequence[int]], count: int = 1
) -> np.ndarray:
    """The confusion matrix of parent classes: each example counts for the parents of its classes.
    """
    predicted = outcomes.predicted(count)
    labels = np.stack([outcomes.labels[:, of].any(1) for of in parents.values()], 1)
    scores = np.stack([predicted[:, of].max(1) for of in parents.values()], 1)
    return confusion_matrix(labels, scores)


def mistakes(outcomes: Outcomes, chosen: Sequence[int] = ()) -> list[int]:
    """The examples whose best class is wrong, the most confident first.

    chosen: only examples of these classes. Default: all.
    """
    best = outcomes.scores.argmax(1)
    rows = np.arange(len(best))
    wrong = rows[~outcomes.labels[rows, best]]
    if chosen:
        wrong = wrong[outcomes.labels[np.ix_(wrong, chosen)].any(1)]
    order = np.argsort(-outcomes.scores[wrong, best[wrong]], kind="stable")
    return wrong[order].tolist()
