"""The tree has floors: a module imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# What a part may import of this project. A part not listed here may import anything below it.
ALLOWED = {
    "slowfast_jax/ops": {"slowfast_jax.ops"},
    "slowfast_jax/models": {"slowfast_jax.models", "slowfast_jax.ops"},
    "slowfast_jax/metrics": {"slowfast_jax.metrics"},
    "slowfast_jax/distributed": {"slowfast_jax.distributed"},
    "slowfast_jax/training": {
        "slowfast_jax.training", "slowfast_jax.ops", "slowfast_jax.distributed",
        "data_pipelines",
    },
    "slowfast_jax/tasks": {
        "slowfast_jax.tasks", "slowfast_jax.models", "slowfast_jax.ops",
        "slowfast_jax.training", "slowfast_jax.metrics", "slowfast_jax.config",
        "slowfast_jax.data", "slowfast_jax.inference", "slowfast_jax.report",
        "slowfast_jax.distributed", "slowfast_jax.progress", "data_pipelines",
    },
    "data_pipelines": {"data_pipelines"},
    "convert": {"convert"},
    "configs": {"configs"},
}
# Entry points hand over to the floors above their own, inside a function.
ENTRY_POINTS = {"convert/__main__.py"}
PROJECT = {"slowfast_jax", "data_pipelines", "convert", "configs", "tests", "benchmarks", "launch"}
FRAMEWORKS = {"jax", "flax", "optax", "orbax"}


def imported_modules(path: Path) -> set[str]:
    """Full names of the modules a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_go_down(part):
    for path in files_of(part):
        if str(path.relative_to(ROOT)) in ENTRY_POINTS:
            continue
        for name in imported_modules(path):
            if name.split(".")[0] in PROJECT:
                allowed = any(name == a or name.startswith(a + ".") for a in ALLOWED[part])
                assert allowed, f"{path.relative_to(ROOT)} imports {name}, which is not below it"


def test_nobody_imports_configs():
    for part in ("slowfast_jax", "data_pipelines", "convert", "benchmarks"):
        for path in files_of(part):
            found = {n for n in imported_modules(path) if n.split(".")[0] == "configs"}
            assert not found, f"{path.relative_to(ROOT)} imports {found}"


@pytest.mark.parametrize("part", ["convert", "data_pipelines", "slowfast_jax/metrics"])
def test_workers_stay_free_of_accelerator_code(part):
    for path in files_of(part):
        found = {n for n in imported_modules(path) if n.split(".")[0] in FRAMEWORKS}
        assert not found, f"{path.relative_to(ROOT)} imports {found}; it must run without a device"


def test_torch_and_tensorflow_are_never_needed():
    for part in ("slowfast_jax", "data_pipelines", "convert", "configs"):
        for path in files_of(part):
            names = imported_modules(path)
            found = {n for n in names if n.split(".")[0] in {"torch", "tensorflow"}}
            assert not found, f"{path.relative_to(ROOT)} imports {found}"
