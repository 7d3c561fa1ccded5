"""The command `python -m slowfast_jax.export SPEC OUT`."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from data_pipelines.command import Parser, explain, install
from slowfast_jax import __version__, compilation_cache, interrupts
from slowfast_jax.export.exported_file import ONNX_SUFFIX, is_onnx, write
from slowfast_jax.export.metadata import Metadata
from slowfast_jax.export.program import BACKENDS
from slowfast_jax.log_file import show_log
from slowfast_jax.option_names import as_options, whole_number

DYNAMIC = "dynamic"
STABLEHLO, ONNX, SAVED_MODEL = "stablehlo", "onnx", "savedmodel"  # formats
# Format -> the package that writes it, and how to get it.
NEEDED = {
    ONNX: ("onnx", install("onnx")),
    SAVED_MODEL: ("tensorflow", "install it: pip install tensorflow"),
}


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    The status is 0; 2 if an argument, the weights or OUT is wrong; 1 if the network cannot be
    exported; or 130 if Ctrl-C ended it. OUT is written only as a whole.
    """
    arguments = _parser().parse_args(argv)
    show_log(logging.WARNING)
    with interrupts.command(lambda: "; nothing was written"):
        try:
            arguments.format = _format(arguments)
            _check_output(arguments)
            recognizer = _load(arguments)
            _check_sizes(recognizer, arguments)
        except (OSError, ValueError, RuntimeError) as error:
            return _fail(error, 2)
        except KeyboardInterrupt:
            return interrupts.leave()
        try:
            _export(recognizer, arguments)
        except (OSError, ValueError, RuntimeError) as error:
            return _fail(error, 1)
        except KeyboardInterrupt:
            return interrupts.leave()
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="python -m slowfast_jax.export",
        description="Writes a network with its weights as one file that takes uint8 clips (and "
        "boxes) and returns class probabilities, with class names and test protocol: a StableHLO "
        "program, which JAX alone runs, or an ONNX graph; see docs/deploy.md.",
    )
    parser.add_argument(
        "spec", metavar="SPEC",
        help="zoo name (kinetics/x3d_xs), recipe (path/to/file.py:VARIANT), or the folder of a run "
        "or checkpoint, which stores its config and weights",
    )
    parser.add_argument(
        "out", metavar="OUT",
        help=f"file to write, of the format {SAVED_MODEL} a folder; must not exist without --force",
    )
    parser.add_argument(
        "--format", choices=tuple(FORMATS),
        help=f"default: {ONNX} if OUT ends in {ONNX_SUFFIX}, otherwise {STABLEHLO}",
    )
    parser.add_argument(
        "--weights",
        help="checkpoint file or folder; published: the published weights; random: random ones. "
        "Required unless SPEC is a folder",
    )
    parser.add_argument(
        "--batch", type=_count, default=DYNAMIC, metavar="N",
        help="clips per call, or dynamic for any number (default: dynamic)",
    )
    parser.add_argument(
        "--boxes", type=_count, default=DYNAMIC, metavar="B",
        help="boxes per clip of networks that classify boxes, or dynamic (default: dynamic)",
    )
    parser.add_argument(
        "--size", type=_size, metavar="HxW",
        help="height and width of the clips of networks that classify boxes, which are whole "
        "frames, such as 256x340 (default: squares of the config's test crop)",
    )
    parser.add_argument(
        "--platforms", type=_platforms, metavar="LIST",
        help=f"{STABLEHLO}, {SAVED_MODEL}: where the program runs, joined by commas: "
        f"{', '.join(BACKENDS)} (default: cpu). A program for a single platform has the operations "
        "that are fastest there",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"),
        help=f"{STABLEHLO}, {SAVED_MODEL}: dtype of the computation (default: the config's)",
    )
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    return parser


def _load(arguments: argparse.Namespace):
    """The recognizer of the arguments."""
    folder = os.path.isdir(arguments.spec)
    if not folder and not arguments.weights:
        raise ValueError(
            f"--weights is required: {arguments.spec} is not a folder, which would store its "
            "weights"
        )
    from slowfast_jax.recognizer import load

    compilation_cache.keep_compiled()
    return load(arguments.spec, arguments.weights, dtype=arguments.dtype)


def _export(recognizer, arguments: argparse.Namespace) -> None:
    import jax
    import jax.numpy as jnp

    from slowfast_jax.inference.digests import digest_of
    from slowfast_jax.inference.multiview import view_options

    config = recognizer.config
    side = config.protocol.test_crop
    height, width = arguments.size or (side, side)
    batch, box_count = (
        None if size == DYNAMIC else size for size in (arguments.batch, arguments.boxes)
    )
    checkpoint, weights = config.test.checkpoint, "random"
    if checkpoint:
        weights = f"{Path(checkpoint).name} {digest_of(Path(checkpoint))}"
    platforms, dtype = arguments.platforms or ("cpu",), jnp.dtype(recognizer.model.dtype).name
    metadata = Metadata(
        name=config.name, classes=recognizer.class_names, frames=config.protocol.num_frames,
        height=height, width=width, batch=batch, boxes=recognizer.takes_boxes,
        box_count=box_count if recognizer.takes_boxes else None,
        dtype=dtype, platforms=platforms, sampling=view_options(config),
        ensemble=config.protocol.ensemble, weights=weights,
        versions={"slowfast_jax": __version__, "jax": jax.__version__},
    )
    where = "" if arguments.format == ONNX else f" for {', '.join(platforms)}"
    print(f"exporting {config.name} as {arguments.format}{where}", file=sys.stderr)
    FORMATS[arguments.format](arguments.out, recognizer, metadata)
    print(f"wrote {arguments.out} ({_size_of(Path(arguments.out)) / 1e6:.1f} MB)")


def _write_program(out: str, recognizer, metadata: Metadata) -> None:
    from slowfast_jax.export.program import export_program

    program = export_program(
        recognizer.model, recognizer.variables, metadata.clip_size, batch=metadata.batch,
        box_count=metadata.box_count, platforms=metadata.platforms,
    )
    write(out, program, metadata)


def _write_onnx(out: str, recognizer, metadata: Metadata) -> None:
    from slowfast_jax.export.onnx_file import write_onnx
    from slowfast_jax.export.onnx_network import to_onnx

    graph = to_onnx(
        recognizer.model, recognizer.variables, (metadata.batch or 1, *metadata.clip_size, 3),
        boxes=metadata.box_count or 0, any_batch=metadata.batch is None,
    )
    write_onnx(out, graph, metadata)


def _write_saved_model(out: str, recognizer, metadata: Metadata) -> None:
    from slowfast_jax.export.saved_model import write_saved_model

    write_saved_model(out, recognizer.model, recognizer.variables, metadata)


def _format(arguments: argparse.Namespace) -> str:
    """The format to write; ValueError if other arguments do not go with it."""
    chosen = arguments.format or (ONNX if is_onnx(arguments.out) else STABLEHLO)
    if chosen != ONNX and is_onnx(arguments.out):
        raise ValueError(
            f"--format {chosen} does not go with the name {arguments.out}: choose one that does "
            f"not end in {ONNX_SUFFIX}"
        )
    for flag, given in (("--platforms", arguments.platforms), ("--dtype", arguments.dtype)):
        if chosen == ONNX and given:
            raise ValueError(
                f"{flag} does not apply to ONNX graphs, which compute in float32 wherever their "
                f"runtime does: leave it out, or pass --format {STABLEHLO}"
            )
    package, advice = NEEDED.get(chosen, ("jax", ""))
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"--format {chosen} needs {package}, which cannot be imported; {advice}"
        )
    return chosen


def _check_sizes(recognizer, arguments: argparse.Namespace) -> None:
    """ValueError if the sizes do not fit the network."""
    name, boxes = recognizer.config.name, arguments.boxes
    if not recognizer.takes_boxes:
        for flag, given in (("--boxes", boxes != DYNAMIC), ("--size", arguments.size)):
            if given:
                raise ValueError(f"{flag} is for networks that classify boxes; {name} does not")
    elif arguments.format == ONNX and DYNAMIC in (arguments.batch, boxes):
        raise ValueError(
            f"{name} classifies boxes, and such an ONNX graph has a fixed number of clips and "
            "boxes: pass both, such as --batch 1 --boxes 8"
        )


def _size_of(out: Path) -> int:
    files = [path for path in out.rglob("*") if path.is_file()] if out.is_dir() else [out]
    return sum(path.stat().st_size for path in files)


def _check_output(arguments: argparse.Namespace) -> None:
    out = Path(arguments.out)
    if arguments.format == SAVED_MODEL and out.exists():
        raise FileExistsError(
            f"{out} exists, and a folder is not replaced, even with --force: remove it, or choose "
            "another name"
        )
    if out.is_dir():
        raise FileExistsError(f"{out} is a folder; expected the name of a file to write")
    if out.exists() and not arguments.force:
        raise FileExistsError(f"{out} exists; choose another name, or pass --force")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"cannot write {out}: the folder {out.absolute().parent} does not exist"
        )


def _fail(error: Exception, status: int) -> int:
    print(f"error: {as_options(explain(error))}", file=sys.stderr)
    return status


def _count(text: str) -> int | str:
    return text if text == DYNAMIC else whole_number(text)


def _size(text: str) -> tuple[int, int]:
    sizes = text.split("x")
    if len(sizes) != 2 or not all(size.isdecimal() and int(size) for size in sizes):
        raise argparse.ArgumentTypeError(f"{text!r}, expected HEIGHTxWIDTH, such as 256x340")
    return int(sizes[0]), int(sizes[1])


def _platforms(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in BACKENDS]:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is no platform, expected some of {', '.join(BACKENDS)}, "
            "joined by commas"
        )
    return names


FORMATS: dict[str, Callable[[str, Any, Metadata], None]] = {
    STABLEHLO: _write_program, ONNX: _write_onnx, SAVED_MODEL: _write_saved_model,
}
