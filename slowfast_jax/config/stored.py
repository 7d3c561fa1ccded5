"""The config of a run in its folder, so that --workdir alone suffices to resume, test or report."""

import json
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from data_pipelines.atomic_files import whole
from slowfast_jax.config.recipe_files import ConfigError

CONFIG_FILE = "config.json"


def write_config(config: ConfigDict, workdir: str | os.PathLike) -> None:
    """Writes the complete config, as it is used, to `workdir`/config.json."""
    with whole(Path(workdir) / CONFIG_FILE) as part:
        text = json.dumps(json.loads(config.to_json_best_effort()), indent=1)
        part.write_text(text + "\n", encoding="utf-8")


def read_config(workdir: str | os.PathLike) -> ConfigDict | None:
    """The config that `write_config` wrote, locked; None if the folder has none.

    Raises:
      ConfigError: the file is not a config.
    """
    path = Path(workdir) / CONFIG_FILE
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError("expected an object")
        if not isinstance(stored.get("model"), dict):
            raise ValueError("it has no model")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is not the config of a run ({error}): pass --config, or restore the file"
        ) from error
    return ConfigDict(_with_tuples(stored)).lock()


def _with_tuples(value: Any) -> Any:
    """Restores tuples, which JSON stores as lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
