"""Finds recipe files and executes them with their checkout importable; explains failures."""

import difflib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

PACKAGE = Path(__file__).resolve().parents[1]


class ConfigError(ValueError):
    """A spec, config or flag that cannot be used. The message says what to do.

    Attributes:
      problems: one line for each problem; the message has them one below the other.
    """

    def __init__(self, *problems: str):
        super().__init__("\n".join(problems))
        self.problems = problems


def closest(name: str, known: Iterable[str]) -> str:
    """Text for an error message: "; did you mean a, b?" with similar known names, or "" if none."""
    matches = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {', '.join(matches)}?" if matches else ""


def recipe_folders() -> list[Path]:
    """The folders in which recipes are looked for: `configs` in the current folder, then the copy
    that is installed with the program (in a checkout, its own `configs`)."""
    installed = [PACKAGE / "configs", PACKAGE.parent / "configs"]
    return [Path("configs").absolute(), *(f for f in installed if (f / "common.py").is_file())]


def recipe_files() -> dict[str, Path]:
    """Name -> file of every recipe: {"kinetics": .../configs/kinetics.py, ...}."""
    found: dict[str, Path] = {}
    for folder in recipe_folders():
        for path in sorted(folder.glob("*.py")):
            if path.stem not in ("__init__", "common"):
                found.setdefault(path.stem, path)
    return found


def split_name(name: str) -> tuple[Path, str] | None:
    """(file, variant) of a recipe's name FILE/VARIANT; None if there is no such file.

    The variant is "" in FILE and FILE/. It need not exist.
    """
    match = re.fullmatch(r"([\w-]+)(?:/([\w.-]*))?", name)
    path = recipe_files().get(match[1]) if match else None
    return (path, match[2] or "") if path else None


def variants_of(path: Path) -> list[str]:
    """Names of a recipe file's variants; [] if it does not list them in VARIANTS."""
    with _importable(_checkout_root(path)):
        try:
            return list(getattr(_execute(path), "VARIANTS", ()))
        except Exception as error:
            raise ConfigError(f"{path}: {type(error).__name__}: {error}") from error


def recipe_names() -> list[str]:
    """FILE/VARIANT of every variant of every recipe that loads."""
    names = []
    for stem, path in recipe_files().items():
        try:
            names += [f"{stem}/{variant}" for variant in variants_of(path)]
        except ConfigError:
            continue
    return names


def read_recipe(path: Path, variant: str) -> ConfigDict:
    """The config that a recipe returns for a variant; what it leaves out is not filled in.

    Args:
      path: the recipe file. Where configs/FILE.py does not exist, the installed copy is read.
      variant: name of the variant; "" calls the recipe without one.

    Raises:
      ConfigError: there is no such file or variant, or the recipe fails or returns no ConfigDict.
    """
    if not path.is_file() and path.parts[:-1] == ("configs",):
        path = recipe_files().get(path.stem, path)
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
    """Puts `root` first on the import path; afterwards restores path and modules `configs`.

    A `root` without a folder `configs`, and the installed package, get the installed `configs`.
    """

    def pop_modules() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.split(".")[0] == "configs"]
        return {name: sys.modules.pop(name) for name in names}

    before, path = pop_modules(), list(sys.path)
    if root != PACKAGE:  # whose modules would hide others of the same names
        sys.path.insert(0, str(root))
    if root == PACKAGE or not (root / "configs").is_dir():
        sys.modules.update(_installed_configs())
    try:
        yield
    finally:
        sys.path[:] = path
        pop_modules()
        sys.modules.update(before)


def _installed_configs() -> dict[str, ModuleType]:
    folders = recipe_folders()[1:]
    if not folders:
        return {}
    spec = importlib.util.spec_from_file_location(
        "configs", folders[0] / "__init__.py", submodule_search_locations=[str(folders[0])]
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {"configs": module}


def _no_file(path: Path, variant: str) -> str:
    """Error message for a recipe file that does not exist."""
    message = f"recipe {path} does not exist"
    if split_name(f"{path.stem}/{variant}"):
        return f"{message}; the recipe of this name that is installed is {path.stem}/{variant}"
    if not path.parent.is_dir():
        return f"{message}: no folder {path.parent} in {Path.cwd()}"
    return message + closest(path.name, (p.name for p in path.parent.glob("*.py")))
