"""From a spec (a recipe and its variant, or the name of a published model) to a complete config.

    config = load_config("configs/kinetics.py:x3d_xs")   # a recipe, in a checkout
    config = load_config("kinetics/x3d_xs")              # a published model, anywhere
    model = build_model(config)

schema.py has the defaults, the meaning and the range of every field.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from data_pipelines.labels import class_names, shipped_sets
from slowfast_jax.config import schema
from slowfast_jax.config.checks import (
    check_augmentation,
    check_ranges,
    check_training,
    check_values,
    clips_of_example,
    training_plan,
)
from slowfast_jax.config.field import Field, Section, default_value, default_values
from slowfast_jax.config.recipe_files import ConfigError, closest, read_recipe
from slowfast_jax.models import zoo
from slowfast_jax.models.dtypes import dtype_table
from slowfast_jax.models.zoo import FROM_PROTOCOL

__all__ = [
    "FROM_PROTOCOL", "ConfigError", "build_model", "check_augmentation", "check_ranges",
    "check_training", "check_values", "clips_of_example", "closest", "load_config",
    "training_plan",
]
# First part of a zoo name -> config.data fields with which the original tests that data set.
DATA_OF_ZOO = {
    "ssv2": {"sampling": "ssv2"},
    "charades": {"sampling": "charades"},
    "imagenet": {"jitter": (256, 320)},
}
# Fields of the networks that no config sets: flax's own, and the one that folding batch norm sets.
INTERNAL_FIELDS = {"parent", "name", "folded"}
# Keywords that build_model passes only to networks that declare them.
OPTIONAL_KEYWORDS = {*FROM_PROTOCOL, "group_size", "norm_splits"}
# Sections that depend on the network or the task.
SPECIAL_SECTIONS = {"model", "protocol", "augment"}


def load_config(spec: str) -> ConfigDict:
    """The complete config of a spec, locked.

    A recipe is executed with its checkout importable (the folder that holds its `configs`), from
    any working directory. What it leaves out is filled in: config.model and config.protocol from
    the zoo entry that config.model.name names, other sections from the schema. A recipe without a
    `train` section gets, like a published model, only the fields that testing needs.

    Args:
      spec: `path/to/file.py`, `path/to/file.py:variant` or a zoo name.

    Raises:
      ConfigError: there is no such file, variant or model; a recipe has a key that does not exist
        or a value of the wrong type. The message names close matches.
    """
    file = re.fullmatch(r"(.*\.py)(?::(.*))?", spec)
    if spec in zoo.ZOO:
        config = ConfigDict({"name": spec, "model": {"name": spec}})
    elif file:
        config = read_recipe(Path(file[1]), file[2] or "")
    else:
        raise ConfigError(
            f"{spec!r} is neither a recipe (path/to/file.py or path/to/file.py:variant) nor a "
            f"published model (slowfast_jax.list_models()){closest(spec, zoo.ZOO)}"
        )
    with config.unlocked():
        _complete(config)
        if spec in zoo.ZOO:
            _describe_test(config)
    return config.lock()


def build_model(config: ConfigDict, **overrides: Any) -> nn.Module:
    """The network of a complete config.

    The network gets config.model and, where its class declares them, num_frames, crop_size, mean
    and std of config.protocol.

    Args:
      overrides: keywords that replace those of the config. Of these, group_size, norm_splits and
        the keywords from the protocol are ignored by networks that do not declare them.

    Raises:
      ConfigError: the network does not have a keyword, or config.model.dtypes names a part that it
        does not have.
    """
    make = zoo.find(config.model.name)["make"]
    fields = _fields(make)
    keywords = {key: config.protocol[name] for key, name in FROM_PROTOCOL.items()} | overrides
    keywords = {k: v for k, v in keywords.items() if k in fields or k not in OPTIONAL_KEYWORDS}
    keywords = config.model.to_dict() | keywords
    del keywords["name"]
    _check_keys("config.model", keywords, fields)
    if keywords.get("dtypes"):
        try:
            dtype_table(keywords["dtypes"], make.parts)
        except ValueError as error:
            raise ConfigError(f"config.model.{error}") from error
    if isinstance(keywords.get("dtype"), str):
        keywords["dtype"] = jnp.dtype(keywords["dtype"])
    return make(**keywords)


def _complete(config: ConfigDict) -> None:
    """Fills in what a recipe leaves out, in place; the recipe's own values win."""
    own = config.model.to_dict() if "model" in config else {}
    if "name" not in own:
        raise ConfigError(
            "the recipe has no config.model.name; set it to a model of slowfast_jax.list_models()"
        )
    try:
        entry = zoo.find(own["name"])
    except ValueError as error:
        raise ConfigError(f"config.model.name: {error}") from None
    _check_keys("config.model", set(own) - {"name"}, _fields(entry["make"]))
    protocol = dict(config.get("protocol", {}))
    _check_keys("config.protocol", protocol, entry["protocol"])
    _fill_sections(config)
    model = _default_keywords(entry["make"]) | entry["model"] | own
    _complete_classes(config, model, entry, "num_classes" in own)
    config.model = ConfigDict(model)
    protocol = entry["protocol"] | protocol
    config.protocol = ConfigDict(protocol | {"target_fps": float(protocol["target_fps"])})


def _fill_sections(config: ConfigDict) -> None:
    """Fills in the defaults of all sections but model and protocol.

    Keys that the schema lacks are refused, except in recipes for a task that it does not know.
    """
    trains, task = "train" in config, config.get("task", schema.GENERAL["task"].default)
    data = config.get("data", {})
    data_format = data.get("format", schema.DATA["format"].default)
    if task in schema.AUGMENT:
        rest = {key: config[key] for key in config if key not in SPECIAL_SECTIONS}
        _check_known(rest, schema.training_sections("*"), "config")
    _fill(config, schema.training_sections(data_format) if trains else schema.TESTING, "config")
    if trains and "augment" not in config:
        config.augment = ConfigDict()
    if "augment" in config:
        _fill(config.augment, schema.AUGMENT.get(task, {}), "config.augment")


def _check_known(given: Mapping[str, Any], section: Section, name: str) -> None:
    """Raises ConfigError for a key that the section lacks, at any depth."""
    _check_keys(name, given, section)
    for key, value in given.items():
        if isinstance(value, ConfigDict) and not isinstance(section[key], Field):
            _check_known(value, section[key], f"{name}.{key}")


def _fill(config: ConfigDict, section: Section, name: str) -> None:
    """Adds missing fields with their defaults; gives the others the type of the default."""
    for key, field in section.items():
        nested = not isinstance(field, Field)
        if key not in config:
            config[key] = ConfigDict(default_values(field)) if nested else default_value(field)
        elif nested and isinstance(config[key], ConfigDict):
            _fill(config[key], field, f"{name}.{key}")
        elif nested:
            raise ConfigError(
                f"{name}.{key} is {config[key]!r}, expected a section with {', '.join(field)}"
            )
        else:
            _convert(config, key, field, name)


def _convert(config: ConfigDict, key: str, field: Field, name: str) -> None:
    """Gives a field the type of its default (1 becomes 1.0); ConfigError if it has another."""
    typed, value = ConfigDict({key: default_value(field)}), config[key]
    try:
        typed[key] = value
    except TypeError:
        default = field.default
        expected = default.__name__ if isinstance(default, type) else f"something like {default!r}"
        raise ConfigError(f"{name}.{key} is {value!r}, expected {expected}") from None
    if type(typed[key]) is not type(value):
        with config.ignore_type():
            config[key] = typed[key]


def _complete_classes(
    config: ConfigDict, model: dict[str, Any], entry: Mapping[str, Any], chosen: bool
) -> None:
    """Makes config.class_names and model["num_classes"] agree, in place.

    Args:
      model: complete keywords of the network.
      entry: its zoo entry.
      chosen: the recipe itself sets num_classes.
    """
    count = entry["model"].get("num_classes")
    if config.class_names not in ("", entry["class_names"]):
        if not chosen:
            model["num_classes"] = len(class_names(config.class_names))
    elif model.get("num_classes") == count and entry["class_names"] in shipped_sets():
        config.class_names = entry["class_names"]
    else:  # the entry's class names are for other classes, or do not ship with the program
        config.class_names = ""


def _describe_test(config: ConfigDict) -> None:
    """Sets task and data of a model that was loaded by its zoo name, which has no recipe."""
    config.task = "detection" if config.model.get("detection") else "classification"
    config.data.multi_label = config.model.get("activation") == "sigmoid"
    config.data.update(DATA_OF_ZOO.get(config.model.name.split("/")[0], {}))


def _fields(make: type[nn.Module]) -> dict[str, Any]:
    """Keywords of a network's class -> default."""
    return {f.name: f.default for f in dataclasses.fields(make) if f.name not in INTERNAL_FIELDS}


def _default_keywords(make: type[nn.Module]) -> dict[str, Any]:
    """Defaults of the keywords that a config shows: all with plain values, except those that come
    from the protocol."""
    fields = _fields(make)
    defaults = {
        key: value for key, value in fields.items()
        if isinstance(value, (bool, int, float, str, tuple)) and key not in FROM_PROTOCOL
    }
    if "dtype" in fields:
        defaults["dtype"] = jnp.dtype(fields["dtype"]).name
    return defaults


def _check_keys(section: str, keys: Iterable[str], known: Iterable[str]) -> None:
    """Raises ConfigError for the first of the keys that is not known, naming close ones."""
    for key in keys:
        if key not in known:
            raise ConfigError(
                f"{section}.{key} does not exist{closest(key, known)} "
                f"({section} has {', '.join(sorted(known))})"
            )
