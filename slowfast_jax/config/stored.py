"""Configs and settings in the folder of a run.

With its config, --workdir alone suffices to resume, test or report. Settings tell whether files of
an earlier attempt can be kept.
"""

import json
import os
import tempfile
from collections.abc import Mapping
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


def check_settings(path: Path, settings: Mapping[str, Any], what: str) -> None:
    """Writes what the files of a folder depend on; ConfigError if `path` has other settings.

    what: the files, such as "features".
    """
    text = json.dumps(settings, indent=1) + "\n"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key, value in json.loads(text).items() if before.get(key) != value]
        if other:
            first = other[0]
            raise ConfigError(
                f"{path.parent} has {what} with another {' and '.join(other)} ({first} is "
                f"{before.get(first)!r} there and {settings[first]!r} now): choose another "
                "--workdir"
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Jobs of several shards may write it at once, so each has a temporary file of its own.
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(part, 0o644)
    os.replace(part, path)


def _with_tuples(value: Any) -> Any:
    """Restores tuples, which JSON stores as lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
