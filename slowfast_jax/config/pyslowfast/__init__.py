"""PySlowFast's YAML files as recipes.

    --config path/SLOWFAST_8x8_R50.yaml TRAIN.BATCH_SIZE 16 DATA.PATH_TO_DATA_DIR lists

The file is merged over the original's defaults, the overrides over both, and the result becomes a
recipe that does what the original would do. keys_*.py say what becomes of every key of the
original; docs/from_pyslowfast.md shows them as tables.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from slowfast_jax.config.pyslowfast import notes, reading, translate
from slowfast_jax.config.recipe_files import ConfigError

__all__ = ["Translation", "is_pyslowfast", "read_pyslowfast"]


class Translation(NamedTuple):
    """A file of PySlowFast in the terms of this program.

    Attributes:
      recipe: the recipe; what it leaves out is not filled in.
      flags: flags of the command that the file stands for, where they are not given: workdir, mode,
        clips, save_scores.
      notes: a line for each key that is set but is no field here: what stands in its place.
      warnings: a line for each way in which the run may differ from the original's, and for each
        key that is unknown.
    """

    recipe: ConfigDict
    flags: dict[str, Any]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def is_pyslowfast(spec: str) -> bool:
    """Whether a --config is a YAML file, as the original's are."""
    return spec.endswith((".yaml", ".yml"))


def read_pyslowfast(path: Path, overrides: Sequence[str] = ()) -> Translation:
    """Translates a YAML file of PySlowFast or of a fork.

    Args:
      path: the file.
      overrides: KEY, VALUE, KEY, VALUE ..., as after the original's `--opts`.

    Raises:
      ConfigError: the file cannot be read, or asks for something that this program lacks.
    """
    setting = reading.read(path, overrides)
    # The original replaces the number in its files by that of --num_shards.
    machines = setting.values["NUM_SHARDS"] if "NUM_SHARDS" in setting.overridden else 1
    try:
        recipe = translate.recipe(setting.values, path.stem, machines)
    except ConfigError as error:
        raise ConfigError(*(f"{path}: {problem}" for problem in error.problems)) from error
    return Translation(
        recipe, notes.flags(setting), notes.notes(setting), notes.warnings(setting, machines)
    )
