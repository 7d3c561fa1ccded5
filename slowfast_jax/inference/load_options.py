"""What `slowfast_jax.load` changes in a config: its options and the class names."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from data_pipelines import labels
from slowfast_jax.config import FROM_PROTOCOL, ConfigError, closest, load_config, schema
from slowfast_jax.models import zoo
from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.published.hub import address_of
from slowfast_jax.weights import initial_variables, read_weights, variable_shapes

# Options that are fields of the protocol but no keywords of the network.
VIEWS = ("clips", "crops", "test_crop", "sampling_rate")
INTERNAL = {"folded"}  # keywords of the network that follow from others
DTYPES = ("float32", "bfloat16", "float16")


def apply_options(
    config: ConfigDict, options: Mapping[str, Any], known: Iterable[str]
) -> None:
    """Sets fields of the protocol and of the network in an unlocked config.

    Args:
      config: the complete config, changed in place.
      options: option -> value: a field of the protocol or a keyword of the network.
      known: the options of `load`, for the error message.

    Raises:
      ConfigError: there is no such option, or it has a value of the wrong type or out of range.
    """
    make = zoo.find(config.model.name)["make"]
    keywords = zoo.fields(make) - INTERNAL
    for key, value in options.items():
        if key not in {*VIEWS, *FROM_PROTOCOL} | keywords:
            hint = closest(key, {*known} | keywords) or "."
            raise ConfigError(
                f"load() has no option {key!r}{hint} Its options are {', '.join(known)}, and the "
                f"keywords of {make.__name__}: {', '.join(sorted(keywords - {*known}))}"
            )
        _set(config, key, _plain(key, value))


def _plain(key: str, value: Any) -> Any:
    """The value as configs store it."""
    if key == "dtype":
        with contextlib.suppress(TypeError):
            name = jnp.dtype(value).name
            if name in DTYPES:
                return name
        raise ConfigError(f"dtype is {value!r}, expected {', '.join(DTYPES)}")
    return value.item() if isinstance(value, np.generic) else value


def _set(config: ConfigDict, key: str, value: Any) -> None:
    section, name = config.model, key
    if key in VIEWS or key in FROM_PROTOCOL:
        section, name = config.protocol, FROM_PROTOCOL.get(key, key)
    several = key == "depth" and isinstance(value, (list, tuple))  # depths of stages or pathways
    try:
        with section.ignore_type() if several else contextlib.nullcontext():
            section[name] = value
    except TypeError:
        expected = f"something like {section[name]!r}"
        raise ConfigError(f"{key} is {value!r}, expected {expected}") from None
    if section is config.protocol:
        allowed = schema.PROTOCOL[name].range
        if allowed and not allowed.holds(section[name]):
            raise ConfigError(f"{key} is {value!r}, expected {allowed.words}")


def check_crop(config: ConfigDict, model: VideoNetwork) -> None:
    """ConfigError if the crops of the test protocol are too small for the network."""
    crop, least = config.protocol.test_crop, model.smallest_clip()[1]
    if crop < least:
        raise ConfigError(
            f"config.protocol.test_crop is {crop}, expected at least {least}: a network for "
            f"training crops of {model.crop_size} pixels (crop_size) takes no smaller ones"
        )


def resolve_classes(
    config: ConfigDict, class_names: str | os.PathLike | Sequence[str] | None, count: int | None
) -> list[str]:
    """Names of the network's classes.

    If there are no names (an empty list counts as none), or if `count` differs from the config's
    number of classes and no names are given with it, they are "class 0", "class 1" and so on.

    Args:
      config: the config before any change.
      class_names: a shipped set, a file, or the names; None for the config's.
      count: the number of classes that the caller asks for; None for that of the names, or else the
        config's.

    Raises:
      ConfigError: the names do not fit `count`; or a name of the list occurs twice or is no text.
    """
    is_list = not isinstance(class_names, (str, os.PathLike, type(None)))
    if is_list and not len(class_names):
        class_names, is_list = None, False
    source = config.class_names
    if class_names is not None:
        names = _unique(class_names) if is_list else labels.class_names(class_names)
        source = f"{len(names)} names" if is_list else os.fspath(class_names)
        count = len(names) if count is None else count
    else:
        count = config.model.num_classes if count is None else count
        named = source and count == config.model.num_classes
        names = labels.class_names(source) if named else labels.unnamed(count)
    if len(names) != count:
        raise ConfigError(
            f"class_names {source} has {len(names)} names, but the network has {count} classes: "
            f"set num_classes={len(names)} (config.model.num_classes), or pass a list of {count} "
            "names"
        )
    return names


def _unique(names: Sequence[str]) -> list[str]:
    """The names as a list; ConfigError if one occurs twice or is no text."""
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise ConfigError(f"class_names has {name!r} as class {index}, expected a text")
    for name, number in Counter(names).items():
        if number > 1:
            raise ConfigError(f"class_names has {name!r} {number} times, expected different names")
    return list(names)


def choose_names(names: list[str], stored: list[str], config: ConfigDict) -> list[str]:
    """The config's class names, or else the checkpoint's; ConfigError if the two disagree."""
    unnamed = labels.unnamed(len(names))
    if len(stored) != len(names) or stored in (names, unnamed):
        return names
    if names == unnamed:
        return stored
    first = next(i for i, (a, b) in enumerate(zip(names, stored, strict=True)) if a != b)
    raise ConfigError(
        f"checkpoint {config.test.checkpoint} has different class names: class {first} is "
        f"{stored[first]!r} there and {names[first]!r} in {config.class_names or 'the given list'}"
    )


def network_variables(
    config: ConfigDict, model: VideoNetwork, names: list[str], *, untrained: bool,
    skip: str | Sequence[str], strip: str | Sequence[str], entry: str, seed: int,
) -> tuple[Mapping, list[str]]:
    """The variables of config.test.checkpoint, or random ones if it is empty, and the class names.

    Args:
      names: the config's class names; the checkpoint's are taken where these are only numbers.
      untrained: random variables are wanted, so that there is no warning.
      skip, strip, entry, seed: see `slowfast_jax.load`.
    """
    if not config.test.checkpoint:
        if not untrained:
            logging.warning(
                "%s: no weights were given, so they are random and the predictions are meaningless",
                config.name,
            )
        return initial_variables(model, seed), names
    init = initial_variables(model, seed) if skip else None
    variables, stored_names = read_weights(
        config, variable_shapes(model), config.test.checkpoint,
        skip=skip, strip=strip, entry=entry, init=init,
    )
    return variables, choose_names(names, stored_names, config)


def named_config(spec: str, *, alone: bool) -> ConfigDict:
    """The config of a recipe or zoo name. Given alone, the name may have been meant as a folder."""
    try:
        return load_config(spec)
    except ConfigError as error:
        if address_of(spec):
            raise ConfigError(
                f"{address_of(spec)} is not a checkpoint of this project, but a file of weights: "
                "name its network, and the file as weights"
            ) from error
        if not alone or os.path.exists(spec) or spec.partition(":")[0].endswith(".py"):
            raise
        raise ConfigError(f"there is no folder {spec}, and {error}") from error
