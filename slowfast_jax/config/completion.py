"""From what a recipe states to a complete config: the defaults of all other fields."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from data_pipelines.labels import class_names, shipped_sets
from slowfast_jax.config import schema
from slowfast_jax.config.classes import follow_labels
from slowfast_jax.config.recipe_files import ConfigError, closest
from slowfast_jax.fields import Field, Section
from slowfast_jax.models import zoo
from slowfast_jax.models.zoo import FROM_PROTOCOL

# Fields of the networks that no config sets: flax's own, and the one that folding batch norm sets.
INTERNAL_FIELDS = {"parent", "name", "folded"}
# Types of the keywords that a config shows.
PLAIN = (bool, int, float, str, tuple)
# Sections that depend on the network or the task.
SPECIAL_SECTIONS = {"model", "protocol", "augment"}


def complete(config: ConfigDict) -> None:
    """Fills in what a recipe leaves out, in place; the recipe's own values win.

    Raises ConfigError for a key that does not exist, or a value of the wrong type.
    """
    own = config.model.to_dict() if "model" in config else {}
    if "name" not in own:
        raise ConfigError(
            "the recipe has no config.model.name; set it to a model of slowfast_jax.list_models()"
        )
    try:
        entry = zoo.find(own["name"])
    except ValueError as error:
        raise ConfigError(f"config.model.name: {error}") from None
    check_keys("config.model", set(own) - {"name"}, fields_of(entry["make"]))
    protocol = dict(config.get("protocol", {}))
    check_keys("config.protocol", protocol, entry["protocol"])
    given = {f"model.{key}" for key in own} | {
        f"{section}.{key}" for section in ("data", "train") for key in config.get(section, ())
    }
    _fill_sections(config)
    model = default_keywords(entry["make"]) | entry["model"] | own
    _complete_classes(config, model, entry, "num_classes" in own)
    config.model = ConfigDict(model)
    protocol = entry["protocol"] | protocol
    config.protocol = ConfigDict(protocol | {"target_fps": float(protocol["target_fps"])})
    follow_labels(config, given)


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
    check_keys(name, given, section)
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


def fields_of(make: type[nn.Module]) -> dict[str, Any]:
    """Keywords of a network's class -> default."""
    return {f.name: f.default for f in dataclasses.fields(make) if f.name not in INTERNAL_FIELDS}


def default_keywords(make: type[nn.Module]) -> dict[str, Any]:
    """Defaults of the keywords that a config shows: all with plain values, except those that come
    from the protocol."""
    fields = fields_of(make)
    defaults = {
        key: value for key, value in fields.items()
        if isinstance(value, PLAIN) and key not in FROM_PROTOCOL
    }
    if "dtype" in fields:
        defaults["dtype"] = jnp.dtype(fields["dtype"]).name
    return defaults


def check_keys(section: str, keys: Iterable[str], known: Iterable[str], dashes: str = "") -> None:
    """Raises ConfigError for the first of the keys that is not known, naming close ones.

    dashes: "--" where the keys were given as flags.
    """
    for key in keys:
        name = f"{section}.{key}"
        if name in schema.REMOVED:
            raise ConfigError(f"{dashes}{name} no longer exists: {schema.REMOVED[name]}")
        if key not in known:
            other = _section_of(key)
            if section == f"config.{other}":
                near = f" here: {_when(key)}"
            elif other:
                near = f"; did you mean {dashes}config.{other}.{key}?"
            else:
                near = closest(key, known)
            raise ConfigError(
                f"{dashes}{name} does not exist{near} ({section} has {', '.join(sorted(known))})"
            )


def _when(key: str) -> str:
    """When config.data has a field that it does not always have."""
    formats = [name for name, fields in schema.FORMATS.items() if key in fields]
    if formats:
        return f"it is for config.data.format={' or '.join(formats)}"
    return "it is for training"


def _section_of(key: str) -> str:
    """The first section of the config that has a field of this name; "" if none has."""
    sections = {**schema.training_sections("*"), "protocol": schema.PROTOCOL}
    return next((
        name for name, fields in sections.items() if isinstance(fields, Mapping) and key in fields
    ), "")


def default_values(section: Section) -> dict[str, Any]:
    """The defaults of a section as a new nested dict, whose values no other config shares."""
    return {
        key: default_value(field) if isinstance(field, Field) else default_values(field)
        for key, field in section.items()
    }


def default_value(field: Field) -> Any:
    """The field's default; an empty placeholder where its default is a type."""
    return placeholder(field.default) if isinstance(field.default, type) else field.default
