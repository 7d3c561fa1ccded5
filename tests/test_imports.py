"""Imports point one way: every room of the house imports only from the floors below its own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# From the ground up. A room is a sub-package or a module of the top level; it may import its own
# modules and every floor below. Rooms on the same floor do not know each other.
FLOORS = (
    ("convert", "data_pipelines.paths", "data_pipelines.cores"),
    ("data_pipelines.text_files", "data_pipelines.sampling", "data_pipelines.progress"),
    ("data_pipelines.transforms", "data_pipelines.labels", "data_pipelines.atomic_files",
     "data_pipelines.command"),
    ("data_pipelines.video",),
    ("data_pipelines.sources", "data_pipelines.loading", "data_pipelines.findings",
     "data_pipelines.frame_names"),
    ("data_pipelines.examples", "data_pipelines.mini", "data_pipelines.prepare",
     "data_pipelines.doctor", "data_pipelines.tfds_builders", "slowfast_jax.option_names"),
    ("slowfast_jax.ops", "slowfast_jax.metrics", "slowfast_jax.distributed",
     "slowfast_jax.malloc", "slowfast_jax.compilation_cache", "slowfast_jax.interrupts",
     "slowfast_jax.log_file", "slowfast_jax.fields", "slowfast_jax.onnxruntime_session"),
    ("slowfast_jax.models", "slowfast_jax.training", "slowfast_jax.progress"),
    ("slowfast_jax.published", "slowfast_jax.export"),
    ("slowfast_jax.config", "slowfast_jax.detectors"),
    ("slowfast_jax.data", "slowfast_jax.weights", "slowfast_jax.annotate"),
    ("slowfast_jax.report", "slowfast_jax.command_line"),
    ("slowfast_jax.display",),
    ("slowfast_jax.inference",),
    ("slowfast_jax.backends",),
    ("slowfast_jax.demo",),
    ("slowfast_jax.recognizer", "slowfast_jax.tasks"),
    ("slowfast_jax.loop",),
    ("slowfast_jax.analysis", "slowfast_jax.train", "slowfast_jax.evaluate", "slowfast_jax.predict",
     "slowfast_jax.convert_command", "slowfast_jax.export_command", "slowfast_jax.run_exported"),
    ("slowfast_jax.visualize",),
    ("slowfast_jax.jobs", "slowfast_jax.serve", "slowfast_jax.offline"),
    ("slowfast_jax.web",),
    ("slowfast_jax.main",),
    ("slowfast_jax.console_scripts",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# `python -m convert` and others hand over to commands above them.
ENTRY_POINTS = {
    "convert/__main__.py", "slowfast_jax/export/__main__.py", "slowfast_jax/demo/__main__.py",
}
# `import slowfast_jax` offers the library's entry points.
FACADE = {"slowfast_jax/__init__.py"}
# The command imports it if a user who has TensorFlow asks for its format.
WRITES_SAVED_MODELS = "slowfast_jax/export/saved_model.py"
CONSTANTS = {"slowfast_jax.__version__"}  # which every room may know
PACKAGES = ("slowfast_jax", "data_pipelines", "convert")
PROJECT = {*PACKAGES, "configs", "tests", "benchmarks", "launch"}
FRAMEWORKS = {"jax", "flax", "optax", "orbax"}
MOST_FILES = 15  # modules of a sub-package
MOST_LINES = 400


def imported_modules(path: Path) -> set[str]:
    """Full names of what a file imports, wherever in the file, except for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


def room_of(name: str) -> str:
    """ "slowfast_jax.loop.build.mesh_of" -> "slowfast_jax.loop"; convert is one room."""
    parts = name.split(".")
    return parts[0] if parts[0] == "convert" else ".".join(parts[:2])


def arrows() -> Iterator[tuple[Path, str]]:
    """(file, imported name) for every import of the project in its packages."""
    for package in PACKAGES:
        for path in files_of(package):
            relative = path.relative_to(ROOT)
            if str(relative) not in ENTRY_POINTS | FACADE:
                for name in sorted(imported_modules(path)):
                    if name.split(".")[0] in PROJECT and name not in CONSTANTS:
                        yield relative, name


def test_every_room_has_a_floor():
    rooms = {
        room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for package in PACKAGES for path in files_of(package)
    }
    assert {room for room in rooms if not room.endswith("__init__")} == set(FLOOR)


def test_imports_go_down():
    wrong = []
    for path, name in arrows():
        room, target = room_of(".".join(path.with_suffix("").parts)), room_of(name)
        if target != room and FLOOR.get(target, len(FLOORS)) >= FLOOR[room]:
            wrong.append(f"{path} (floor {FLOOR[room]}) imports {name}")
    assert not wrong, "\n".join(wrong)


def test_modules_import_each_other_in_no_circle():
    graph: dict[str, set[str]] = {}
    for path, name in arrows():
        module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        target = name
        while target and not is_module(target):
            target = target.rpartition(".")[0]
        if target and target != module:
            graph.setdefault(module, set()).add(target)
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module):], module])
        if module not in done:
            for target in graph.get(module, ()):
                visit(target, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_nobody_imports_configs():
    for part in (*PACKAGES, "benchmarks"):
        for path in files_of(part):
            found = {n for n in imported_modules(path) if n.split(".")[0] == "configs"}
            assert not found, f"{path.relative_to(ROOT)} imports {found}"


@pytest.mark.parametrize("part", ["data_pipelines", "convert", "slowfast_jax/metrics"])
def test_workers_and_readers_stay_free_of_accelerator_code(part):
    for path in files_of(part):
        found = {n for n in imported_modules(path) if n.split(".")[0] in FRAMEWORKS}
        assert not found, f"{path.relative_to(ROOT)} imports {found}; it must run without a device"


def test_torch_and_tensorflow_are_never_needed():
    for part in (*PACKAGES, "configs"):
        for path in {*files_of(part)} - {ROOT / WRITES_SAVED_MODELS}:
            names = imported_modules(path)
            found = {n for n in names if n.split(".")[0] in {"torch", "tensorflow"}}
            assert not found, f"{path.relative_to(ROOT)} imports {found}"


def test_private_names_of_jax_are_not_used():
    for part in (*PACKAGES, "benchmarks"):
        for path in files_of(part):
            found = {n for n in imported_modules(path) if n.startswith("jax._src")}
            assert not found, f"{path.relative_to(ROOT)} imports {found}"


@pytest.mark.parametrize("part", [*PACKAGES, "configs", "benchmarks", "tests", "launch"])
def test_rooms_and_files_stay_small(part):
    for path in files_of(part):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= MOST_LINES, f"{path.relative_to(ROOT)} has {lines} lines"
    if part in PACKAGES:
        for folder in {path.parent for path in files_of(part)}:
            modules = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
            assert len(modules) <= MOST_FILES, f"{folder.relative_to(ROOT)}: {len(modules)} files"
