"""Classes and labels: which fields follow from others, and which of them contradict each other."""

from collections.abc import Container, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from data_pipelines.labels import class_names
from slowfast_jax.config.recipe_files import ConfigError
from slowfast_jax.config.schema_data import FORMATS_OF_TASK

SINGLE = ("cross_entropy", "soft_cross_entropy")
SEVERAL = ("bce_logits", "bce", "bce_positive_rows")
CLASSES_FILE = "classes.txt"  # in config.data.root, written by data_pipelines.prepare
# Formats of lists that have numbers in place of the names of classes.
NUMBERED = ("kinetics", "rawframes", "records")


def follow(config: ConfigDict, given: Container[str] = ()) -> None:
    """Sets the fields that follow from other fields or from the data, in place.

    - data.multi_label decides train.loss and model.activation where they do not fit it.
    - class_names decides model.num_classes. Another model.num_classes removes class_names.
    - Without class_names, data.root/classes.txt, if it exists, decides both.

    Args:
      config: a complete config.
      given: fields that were chosen on purpose ("train.loss"), which are not changed.

    Raises:
      ConfigError: a file with names does not exist or is invalid.
    """
    if config.task not in FORMATS_OF_TASK:
        return
    with config.unlocked():
        follow_labels(config, given)
        _follow_names(config, given)


def follow_labels(config: ConfigDict, given: Container[str]) -> None:
    """Where data.multi_label is among the given fields, fits loss and activation to it, in place,
    unless they are given, too."""
    if config.task != "classification" or "data.multi_label" not in given:
        return
    fitting = losses(config)
    if "train" in config and "train.loss" not in given and config.train.loss not in fitting:
        config.train.loss = fitting[0]
    if "activation" in config.model and "model.activation" not in given:
        config.model.activation = "sigmoid" if has_several(config) else "softmax"


def _follow_names(config: ConfigDict, given: Container[str]) -> None:
    count_given, own = "model.num_classes" in given, Path(config.class_names)
    if "class_names" not in given and own.name == CLASSES_FILE and not own.is_file():
        config.class_names = ""  # of data that has moved
    if "class_names" in given and config.class_names:
        if not count_given:
            config.model.num_classes = len(read_names(config.class_names))
        return
    if count_given and config.class_names:
        if config.model.num_classes != len(read_names(config.class_names)):
            config.class_names = ""
    path = classes_file(config)
    if path is None or config.class_names:
        return
    names = read_names(path)
    if not count_given:
        config.model.num_classes = len(names)
    if len(names) == config.model.num_classes:
        config.class_names = str(path)


def classes_file(config: ConfigDict) -> Path | None:
    """The file with the names of the classes in config.data.root, if there is one."""
    data = config.data
    if config.task != "classification" or data.format not in NUMBERED:
        return None
    path = Path(data.root) / CLASSES_FILE
    return path if data.root and not data.generate and path.is_file() else None


def read_names(source: str | Path) -> list[str]:
    """The class names of a shipped set or a file; ConfigError if they cannot be read."""
    try:
        return class_names(source)
    except (OSError, ValueError) as error:
        raise ConfigError(f"config.class_names: {error}") from None


def has_several(config: ConfigDict) -> bool:
    """Whether a clip or box may have several classes at once."""
    return config.task == "detection" or bool(config.data.multi_label)


def losses(config: ConfigDict) -> tuple[str, ...]:
    """The losses for the config's labels, the usual one first."""
    return SEVERAL if has_several(config) else SINGLE


def score_problems(config: ConfigDict) -> list[str]:
    """What is wrong with config.model.activation, given the labels."""
    several, activation = has_several(config), config.model.get("activation")
    wrong = "softmax" if several else "sigmoid"
    if activation != wrong:
        return []
    expected = "sigmoid" if several else "softmax"
    return [f"config.model.activation is {wrong}, expected {expected}, because {_reason(config)}"]


def label_problems(config: ConfigDict) -> list[str]:
    """What does not allow training: loss, number of classes, names."""
    problems, count = [], config.model.get("num_classes")
    loss, fitting = config.train.loss, losses(config)
    if loss not in fitting:
        problems.append(
            f"config.train.loss is {loss}, expected {' or '.join(fitting)}, because "
            f"{_reason(config)}"
        )
    root = config.data.get("root")
    # A folder that is missing is reported when its lists are read.
    if count == 0 and (not root or Path(root).is_dir()):
        problems.append(
            "config.model.num_classes is 0: write the names of the classes, one per line, to "
            f"{CLASSES_FILE} in config.data.root, or set config.class_names to a file with them, "
            "or config.model.num_classes to their number"
        )
    elif count == 1 and not has_several(config):
        problems.append(
            "config.model.num_classes is 1, expected 2 or more, because a softmax gives a single "
            "class the score 1 for every video: list videos without the action as a second class, "
            "or set config.data.multi_label=True, which scores the class by itself"
        )
    elif count:
        problems += _name_problems(config)
    return problems


def _name_problems(config: ConfigDict) -> list[str]:
    path = None if config.class_names else classes_file(config)
    try:
        if path:
            check_count(read_names(path), str(path), config)
        else:
            named_by_config(config)
    except ConfigError as error:
        return [str(error)]
    return []


def named_by_config(config: ConfigDict) -> list[str]:
    """The class names of config.class_names; [] if it is empty.

    Raises ConfigError if they cannot be read, or if their number is not the network's.
    """
    if not config.class_names:
        return []
    names = read_names(config.class_names)
    check_count(names, f"config.class_names {config.class_names}", config)
    return names


def check_count(names: Sequence[str], where: str, config: ConfigDict) -> None:
    """ConfigError if there is not a name for each class of the network."""
    count = config.model.num_classes
    if len(names) != count:
        raise ConfigError(
            f"{where} has {len(names)} names, but config.model.num_classes is {count}: set "
            f"config.model.num_classes={len(names)}, or config.class_names to a file with {count} "
            "names"
        )


def _reason(config: ConfigDict) -> str:
    if config.task == "detection":
        return "a box may have several classes (config.task is detection)"
    if config.data.multi_label:
        return "config.data.multi_label is True: a clip may have several classes"
    return "config.data.multi_label is False: a clip has a single class"
