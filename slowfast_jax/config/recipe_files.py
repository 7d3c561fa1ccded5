"""Finds recipe files and executes them with their checkout importable; explains failures."""

import difflib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from slowfast_jax.models import zoo


class ConfigError(ValueError):
    """A spec, config or flag that cannot be used. The message says what to do."""


def closest(name: str, known: Iterable[str]) -> str:
    """Text for an error message: "; did you mean a, b?" with similar known names, or "" if none."""
    matches = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {', '.join(matches)}?" if matches else ""


def read_recipe(path: Path, variant: str) -> ConfigDict:
    """The config that a recipe returns for a variant; what it leaves out is not filled in.

    Args:
      path: the recipe file.
      variant: name of the variant; "" calls the recipe without one.

    Raises:
      ConfigError: there is no such file or variant, or the recipe fails or returns no ConfigDict.
    """
    if not path.is_file():
        raise ConfigError(_no_file(path, variant))
    path = path.resolve()
    with _importable(_checkout_root(path)):
        try:
            config = _get_config(_execute(path), path, variant)
        except ConfigError:
            raise
        except Exception as error:
            # The recipes raise ValueError, with a message for the user, for unknown variants.
            explained = isinstance(error, ValueError)
            reason = str(error) if explained else f"{path}: {type(error).__name__}: {error}"
            raise ConfigError(reason) from error
    if not isinstance(config, ConfigDict):
        raise ConfigError(
            f"{path}: get_config returned a {type(config).__name__}, expected an "
            "ml_collections.ConfigDict"
        )
    return config


def _execute(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _get_config(module: ModuleType, path: Path, variant: str) -> Any:
    get_config = getattr(module, "get_config", None)
    if get_config is None:
        raise ConfigError(f"{path} is not a recipe: it has no function get_config(variant)")
    arguments = (variant,) if variant else ()
    try:
        inspect.signature(get_config).bind(*arguments)
    except TypeError:
        raise ConfigError(
            f"{path} has no variants: leave out ':{variant}'" if variant
            else f"{path} needs a variant: {path.name}:VARIANT"
        ) from None
    return get_config(*arguments)


def _checkout_root(path: Path) -> Path:
    """The folder that holds the recipe's `configs` folder; without one, the recipe's own folder."""
    for folder in path.parents:
        if folder.name == "configs":
            return folder.parent
    return path.parent


@contextmanager
def _importable(root: Path) -> Iterator[None]:
    """Puts `root` first on the import path; afterwards restores path and modules `configs`."""

    def pop_modules() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.split(".")[0] == "configs"]
        return {name: sys.modules.pop(name) for name in names}

    before = pop_modules()
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
        pop_modules()
        sys.modules.update(before)


def _no_file(path: Path, variant: str) -> str:
    """Error message for a recipe file that does not exist."""
    message = f"recipe {path} does not exist"
    in_zoo = f"{path.stem}/{variant}"
    if in_zoo in zoo.ZOO:
        return f"{message}; outside a checkout use the model's zoo name, {in_zoo}"
    if not path.parent.is_dir():
        return f"{message}: no folder {path.parent} in {Path.cwd()}"
    return message + closest(path.name, (p.name for p in path.parent.glob("*.py")))
