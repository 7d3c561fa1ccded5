"""Weights of the classes in the loss (config.train.class_weights): numbers, a file or the data's.

With one class per clip they are the `weight` of PyTorch's CrossEntropyLoss: the loss is the
weighted mean over the clips. Where several classes are possible they are the `pos_weight` of
BCEWithLogitsLoss: factors of the loss of the classes that are present.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from absl import logging
from ml_collections import ConfigDict

from data_pipelines.text_files import read_text
from slowfast_jax.config.classes import has_several

BALANCED = "balanced"


def weights_of(
    config: ConfigDict, labels: Callable[[], Iterable[Iterable[int]]]
) -> tuple[float, ...] | None:
    """The weights of config.train.class_weights, one per class; None without weights.

    Args:
      config: a complete config for training.
      labels: returns the classes of every training example or box.

    Raises ValueError for weights that do not fit the classes.
    """
    setting, count = config.train.class_weights, config.model.num_classes
    if tuple(setting) != (BALANCED,):
        return fixed_weights(setting, count)
    weights = balanced_weights(labels(), count, several=has_several(config))
    logging.info("weights of the classes: %s", ", ".join(f"{weight:.3g}" for weight in weights))
    return weights


def fixed_weights(setting: Sequence[float | str], num_classes: int) -> tuple[float, ...] | None:
    """The weights that the config itself gives, one per class; None if it gives none.

    Args:
      setting: config.train.class_weights: numbers, the name of a file with one number per line,
        "balanced" (weights follow from the data, so the result is None) or nothing.
      num_classes: expected number of weights.

    Raises:
      ValueError: the file does not exist or has something else than numbers of 0 or more, or their
        number differs from that of the classes.
    """
    if not setting or tuple(setting) == (BALANCED,):
        return None
    where = "config.train.class_weights"
    if isinstance(setting[0], str):
        where += f" {setting[0]}"
        weights = _read(Path(setting[0]))
    else:
        weights = [float(weight) for weight in setting]
    if len(weights) != num_classes:
        raise ValueError(
            f"{where} has {len(weights)} weights, expected one for each of the {num_classes} "
            "classes"
        )
    if not any(weights):
        raise ValueError(f"{where} has only zeros, expected a weight above 0")
    return tuple(weights)


def balanced_weights(
    labels: Iterable[Iterable[int]], num_classes: int, *, several: bool
) -> tuple[float, ...]:
    """Weights with which rare classes count as much as frequent ones.

    Args:
      labels: the classes of each example; a single one each unless `several`.
      num_classes: K.
      several: the result is negative / positive examples of each class (for `pos_weight`), else
        examples / (K * examples of the class). A class without examples has the weight 1; so has a
        class of every example if `several`, because there is nothing to balance.
    """
    counts, total = Counter(), 0
    for classes in labels:
        counts.update(set(classes))
        total += 1
    return tuple(
        1.0 if not counts[k] or several and counts[k] == total
        else (total - counts[k]) / counts[k] if several
        else total / (num_classes * counts[k])
        for k in range(num_classes)
    )


def _read(path: Path) -> list[float]:
    if not path.is_file():
        raise ValueError(
            f"config.train.class_weights is {path}, which is not a file; expected numbers, a file "
            f"with one number per line, or {BALANCED}"
        )
    weights = []
    for number, line in enumerate(read_text(path, "weights of classes").split("\n"), 1):
        if not line.strip():
            continue
        try:
            weight = float(line)
        except ValueError:
            weight = math.nan
        if not 0 <= weight < math.inf:
            raise ValueError(
                f"config.train.class_weights: {path}:{number} is {line.strip()[:40]!r}, expected a "
                "number of 0 or more"
            )
        weights.append(weight)
    return weights
