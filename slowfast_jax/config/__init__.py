"""From a spec (a recipe and its variant, or the name of a published model) to a complete config.

    config = load_config("kinetics/x3d_xs")              # a published model, to test or predict
    config = load_config("kinetics/x3d_xs_finetune")     # a recipe: configs/kinetics.py
    config = load_config("path/to/my_recipe.py:variant")
    config = load_config("path/to/SLOWFAST_8x8_R50.yaml")    # of PySlowFast
    model = build_model(config)

schema.py has the defaults, the meaning and the range of every field.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from absl import logging
from ml_collections import ConfigDict

from slowfast_jax.config import schema
from slowfast_jax.config.checks import (
    check_augmentation,
    check_ranges,
    check_test,
    check_training,
    check_values,
    clips_of_example,
    training_plan,
    training_problems,
)
from slowfast_jax.config.classes import follow
from slowfast_jax.config.completion import check_keys, complete, fields_of
from slowfast_jax.config.describe import describe, full_schema
from slowfast_jax.config.pyslowfast import is_pyslowfast, read_pyslowfast
from slowfast_jax.config.recipe_files import (
    ConfigError,
    closest,
    read_recipe,
    recipe_files,
    recipe_names,
    split_name,
    variants_of,
)
from slowfast_jax.config.schema_model import MODEL
from slowfast_jax.models import zoo
from slowfast_jax.models.dtypes import dtype_table
from slowfast_jax.models.zoo import FROM_PROTOCOL
from slowfast_jax.published import Row, problem, rows

__all__ = [
    "FROM_PROTOCOL", "ConfigError", "build_model", "check_augmentation", "check_ranges",
    "check_test", "check_training", "check_values", "clips_of_example", "closest", "describe",
    "follow", "full_schema", "is_pyslowfast", "load_config", "load_published", "read_pyslowfast",
    "recipe_files", "recipe_names", "restore_config", "split_name", "training_plan",
    "training_problems", "variants_of",
]
# Recipes whose data a published model is tested on, if it is not that of Kinetics.
DATA_RECIPES = ("ava", "ssv2", "charades", "imagenet")
# Keywords that build_model passes only to networks that declare them.
OPTIONAL_KEYWORDS = {*FROM_PROTOCOL, "group_size", "norm_splits"}


def load_config(
    spec: str, *, train: bool = False, overrides: Sequence[str] = ()
) -> ConfigDict:
    """The complete config of a spec, locked.

    A recipe is executed with its checkout importable (the folder that holds its `configs`), from
    any working directory. What it leaves out is filled in: config.model and config.protocol from
    the zoo entry that config.model.name names, other sections from the schema. A recipe without a
    `train` section gets, like a published model, only the fields that testing needs.

    Args:
      spec: a recipe (`FILE/VARIANT` of configs/FILE.py in the current folder or of the copy that is
        installed with this package, `path/to/file.py` or `path/to/file.py:variant`), a zoo name, or
        the name of another published checkpoint, or a YAML file of PySlowFast; what has no field
        here is then logged.
      train: for training. A zoo name then stands for the recipe of that name, if there is one;
        otherwise, it stands for the published model.
      overrides: of a YAML file of PySlowFast: KEY, VALUE, KEY, VALUE ...

    Raises:
      ConfigError: there is no such file, variant or model; a recipe has a key that does not exist
        or a value of the wrong type. The message names close matches.
    """
    file = re.fullmatch(r"(.*\.py)(?::(.*))?", spec)
    published = spec in zoo.ZOO and not (train and _recipe_of(spec))
    if published:
        config = ConfigDict({"name": spec, "model": {"name": spec}})
    elif is_pyslowfast(spec):
        config = _translated(Path(spec), overrides)
    elif file:
        config = read_recipe(Path(file[1]), file[2] or "")
    elif spec in rows() and not _recipe_of(spec):
        return load_published(rows()[spec])
    else:
        config = read_recipe(*(_recipe_of(spec) or _named_recipe(spec)))
    with config.unlocked():
        complete(config)
        if published:
            _describe_test(config)
    return config.lock()


def load_published(row: Row) -> ConfigDict:
    """The config that a published checkpoint is tested with, locked.

    Raises ConfigError, in one sentence, if this project cannot test it.
    """
    if reason := problem(row):
        raise ConfigError(reason)
    config = load_config(row.model)
    with config.unlocked():
        config.name = row.name
        config.protocol.update(clips=row.clips, crops=row.crops, test_crop=row.crop)
        config.update_from_flattened_dict(row.settings)
    return config.lock()


def restore_config(stored: ConfigDict) -> ConfigDict:
    """A config that an earlier run stored, locked, with the fields that were added since then.

    Raises ConfigError for fields that no longer exist, unless they have their old default.
    """
    config = ConfigDict(stored.to_dict())
    with config.unlocked():
        for path in schema.REMOVED:
            section, _, key = path.removeprefix("config.").rpartition(".")
            if key in config.get(section, ()) and not config[section][key]:
                del config[section][key]
        complete(config)
        config.class_names = stored.get("class_names", "")
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
    check_ranges(config.model, MODEL, "config.model")
    make = zoo.find(config.model.name)["make"]
    fields = fields_of(make)
    keywords = {key: config.protocol[name] for key, name in FROM_PROTOCOL.items()} | overrides
    keywords = {k: v for k, v in keywords.items() if k in fields or k not in OPTIONAL_KEYWORDS}
    keywords = config.model.to_dict() | keywords
    del keywords["name"]
    check_keys("config.model", keywords, fields)
    if keywords.get("dtypes"):
        try:
            dtype_table(keywords["dtypes"], make.parts)
        except ValueError as error:
            raise ConfigError(f"config.model.{error}") from error
    if isinstance(keywords.get("dtype"), str):
        keywords["dtype"] = jnp.dtype(keywords["dtype"])
    return make(**keywords)


def _translated(path: Path, overrides: Sequence[str]) -> ConfigDict:
    """The recipe of a YAML file of PySlowFast; logs what has no field here."""
    found = read_pyslowfast(path, overrides)
    if found.notes:
        logging.info("%s: keys without a field here:\n  %s", path, "\n  ".join(found.notes))
    for line in found.warnings:
        logging.warning("%s: %s", path, line)
    return found.recipe


def _recipe_of(name: str) -> tuple[Path, str] | None:
    """(file, variant) of the recipe FILE/VARIANT, or FILE/c2_VARIANT, whichever exists."""
    found = split_name(name)
    if found is None or not found[1]:
        return None
    path, variant = found
    variants = variants_of(path)
    return next(((path, v) for v in (variant, f"c2_{variant}") if v in variants), None)


def _named_recipe(spec: str) -> tuple[Path, str]:
    """(file, variant) of a name with an existing file; the variant may not exist."""
    found = split_name(spec)
    if found and found[1]:
        variants = [f"{found[0].stem}/{variant}" for variant in variants_of(found[0])]
        if not variants:
            return found
        raise ConfigError(
            f"{spec} is neither a recipe nor a published model"
            f"{closest(spec, {*zoo.ZOO, *rows(), *variants})} (--mode=config "
            f"--config={found[0].stem} lists the {len(variants)} variants of {found[0]})"
        )
    if found:
        path, variants = found[0], variants_of(found[0])
        raise ConfigError(
            f"{spec} is a recipe with {len(variants)} variants: name one, such as "
            f"{path.stem}/{variants[0] if variants else 'VARIANT'} (--mode=config "
            f"--config={path.stem} lists them)"
        )
    if Path(spec).is_file():
        raise ConfigError(
            f"{spec} is a file, but no recipe; if it has weights, name their network, such as "
            "kinetics/x3d_xs, and pass the file as its weights"
        )
    raise ConfigError(
        f"{spec!r} is neither a recipe (FILE/VARIANT, path/to/file.py or path/to/file.py:variant) "
        f"nor a published model{closest(spec, {*zoo.ZOO, *rows(), *recipe_names()})} (recipes: "
        f"{', '.join(recipe_files())}; --mode=config --config=FILE lists the variants of one)"
    )


def _describe_test(config: ConfigDict) -> None:
    """Sets task and data of a model that was loaded by its zoo name.

    The data is that of the model's recipe, or of the default variant for the same data set.
    """
    name = config.model.name
    config.task = "detection" if config.model.get("detection") else "classification"
    config.data.multi_label = config.model.get("activation") == "sigmoid"
    config.data.sampling = zoo.ZOO[name]["sampling"] or config.data.sampling
    ava = zoo.ZOO[name]["class_names"] == "ava"
    data_set = "ava" if ava else name.split("/")[0]
    path = recipe_files().get(data_set)
    if data_set not in DATA_RECIPES or path is None:
        return
    recipe = read_recipe(*(_recipe_of(name) or (path, "")))
    with recipe.unlocked():
        complete(recipe)
    needed = schema.testing_data(recipe.data.format)
    config.data.update({key: recipe.data[key] for key in needed if key in recipe.data})
