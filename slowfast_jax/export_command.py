"""The command `python -m slowfast_jax.export SPEC OUT`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from data_pipelines.command import Parser
from slowfast_jax import __version__, compilation_cache, interrupts
from slowfast_jax.export.exported_file import Metadata, write
from slowfast_jax.export.program import BACKENDS
from slowfast_jax.log_file import show_log
from slowfast_jax.option_names import as_options, whole_number

DYNAMIC = "dynamic"


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    The status is 0; 2 if an argument, the weights or OUT is wrong; 1 if the network cannot be
    exported; or 130 if Ctrl-C ended it. OUT is written only as a whole.
    """
    arguments = _parser().parse_args(argv)
    show_log(logging.WARNING)
    with interrupts.command(lambda: "; nothing was written"):
        try:
            _check_output(Path(arguments.out), arguments.force)
            recognizer = _load(arguments)
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
        description="Writes a network with its weights as one file: a StableHLO program that takes "
        "uint8 clips (and boxes) and returns class probabilities, with class names and test "
        "protocol. JAX alone runs it; see docs/deploy.md.",
    )
    parser.add_argument(
        "spec", metavar="SPEC",
        help="zoo name (kinetics/x3d_xs), recipe (path/to/file.py:VARIANT), or the folder of a run "
        "or checkpoint, which stores its config and weights",
    )
    parser.add_argument("out", metavar="OUT", help="file to write; must not exist without --force")
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
        "--platforms", type=_platforms, default=("cpu",), metavar="LIST",
        help=f"where the program runs, joined by commas: {', '.join(BACKENDS)} (default: cpu). A "
        "program for a single platform has the operations that are fastest there",
    )
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"),
        help="dtype of the computation (default: the config's)",
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

    from slowfast_jax.export.program import export_program
    from slowfast_jax.inference.digests import digest_of
    from slowfast_jax.inference.multiview import view_options

    model, config = recognizer.model, recognizer.config
    frames, side = config.protocol.num_frames, config.protocol.test_crop
    print(f"exporting {config.name} for {', '.join(arguments.platforms)}", file=sys.stderr)
    batch, box_count = (
        None if size == DYNAMIC else size for size in (arguments.batch, arguments.boxes)
    )
    program = export_program(
        model, recognizer.variables, (frames, side, side), batch=batch, box_count=box_count,
        platforms=arguments.platforms,
    )
    checkpoint, weights = config.test.checkpoint, "random"
    if checkpoint:
        weights = f"{Path(checkpoint).name} {digest_of(Path(checkpoint))}"
    metadata = Metadata(
        name=config.name, classes=recognizer.class_names, frames=frames, height=side, width=side,
        batch=batch, boxes=recognizer.takes_boxes,
        box_count=box_count if recognizer.takes_boxes else None,
        dtype=jnp.dtype(model.dtype).name, platforms=arguments.platforms,
        sampling=view_options(config), ensemble=config.protocol.ensemble,
        weights=weights,
        versions={"slowfast_jax": __version__, "jax": jax.__version__},
    )
    write(arguments.out, program, metadata)
    print(f"wrote {arguments.out} ({os.path.getsize(arguments.out) / 1e6:.1f} MB)")


def _check_output(out: Path, force: bool) -> None:
    if out.is_dir():
        raise FileExistsError(f"{out} is a folder; expected the name of a file to write")
    if out.exists() and not force:
        raise FileExistsError(f"{out} exists; choose another name, or pass --force")
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"cannot write {out}: the folder {out.absolute().parent} does not exist"
        )


def _fail(error: Exception, status: int) -> int:
    print(f"error: {as_options(str(error))}", file=sys.stderr)
    return status


def _count(text: str) -> int | str:
    return text if text == DYNAMIC else whole_number(text)


def _platforms(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in BACKENDS]:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is no platform, expected some of {', '.join(BACKENDS)}, "
            "joined by commas"
        )
    return names
