"""The convert command: `python -m convert INPUT OUTPUT --config kinetics/x3d_xs`."""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convert import ports
from convert.load import CheckpointMismatch, Report, fit, strip_names
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.torch_file import export_pyth
from convert.trees import flatten
from convert.verify import compare_bytes, describe_outputs

EXAMPLES = """examples:
  python -m convert SLOWFAST_8x8_R50.pkl slowfast --config kinetics/slowfast_8x8_r50
  python -m convert X3D_XS.pyth x3d_xs --config configs/kinetics.py:x3d_xs --verify
  python -m convert x3d_xs X3D_XS.pyth --config kinetics/x3d_xs
"""


def cli(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status: 0, or 1 with a message on the standard error stream."""
    args = _parser().parse_args(arguments)
    try:
        _convert(args)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, CheckpointMismatch):
            flags = "--num-classes K, --skip REGEX, --strip TEXT"
            print(f"On this command line: {flags}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m convert",
        description="Converts weights of PySlowFast (PyTorch or Caffe2), PyTorchVideo, MMAction2, "
        "PaddleVideo and MindSpore to this project, and to PySlowFast. "
        "The format of INPUT is found from its content; PyTorch is not needed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "input",
        help="a .pyth, .pth, .pkl, .pdparams or .ckpt file, or a checkpoint directory of this "
        "project",
    )
    parser.add_argument("output", help="the directory or .pyth file to write; must not exist")
    parser.add_argument(
        "--config",
        required=True,
        help="the model the weights belong to: a zoo name (kinetics/x3d_xs) or a recipe "
        "(configs/kinetics.py:x3d_xs)",
    )
    parser.add_argument(
        "--to",
        choices=("orbax", "pyth"),
        help="orbax: a checkpoint directory of this project; pyth: a file for PySlowFast and "
        "PyTorch (default: pyth where OUTPUT ends in .pyth, else orbax)",
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="REGEX",
        help="parameters, by their whole path here (head/.*), that may be missing in INPUT or of "
        "another shape there; they are initialised as for training. May be repeated",
    )
    parser.add_argument(
        "--strip",
        action="append",
        default=[],
        metavar="TEXT",
        help="a piece to remove from the names in INPUT (backbone.), where it first occurs in "
        "each. May be repeated",
    )
    parser.add_argument(
        "--num-classes",
        type=int,
        metavar="K",
        help="classes of the weights, where they are not those of the config",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read OUTPUT again, compare the way back byte by byte, run the model on a random clip",
    )
    parser.add_argument("--force", action="store_true", help="replace OUTPUT if it exists")
    return parser


def _convert(args: argparse.Namespace) -> None:
    output = Path(args.output)
    kind = args.to or ("pyth" if output.suffix == ".pyth" else "orbax")
    _check_output(output, kind, args.force)
    checkpoint = strip_names(_read(args.input), args.strip)

    # Slow to import, and needed only for a file that can be read.
    from slowfast_jax.config import build_model
    from slowfast_jax.training.checkpoint import save_checkpoint
    from slowfast_jax.weights import check_origin, describe, initial_variables, variable_shapes

    config, class_names = _config(args)
    model = build_model(config)
    shapes = variable_shapes(model)
    check_origin(args.input, checkpoint, config, args.skip)
    class_names = checkpoint.metadata.get("class_names") or class_names
    init = initial_variables(model, seed=0) if args.skip else None
    variables, report = fit(checkpoint, shapes, skip=args.skip, init=init, source=args.input)
    print("\n".join(describe_report(args.input, checkpoint, variables, report)))

    origin = checkpoint.metadata.get("converted_from", {}) | {
        name: value
        for name, value in checkpoint.metadata.items()
        if (name, type(value)) in (("cfg", str), ("epoch", int))
    }
    if kind == "pyth":
        export_pyth(output, variables, cfg=origin.get("cfg", ""))
    else:
        origin |= {"file": Path(args.input).name, "format": checkpoint.kind}
        metadata = describe(config, class_names) | {"converted_from": origin}
        save_checkpoint(output, variables, metadata, overwrite=args.force)
    print(f"wrote {output} ({kind})")
    if args.verify:
        _verify(output, model, checkpoint, variables, report, class_names)


def _read(path: str | Path) -> ForeignCheckpoint:
    if not Path(path).is_dir():
        return read_checkpoint(path)
    from slowfast_jax.weights import read_checkpoint_folder

    return read_checkpoint_folder(path)


def _check_output(output: Path, kind: str, force: bool) -> None:
    if output.exists() and not force:
        raise FileExistsError(f"{output} exists; choose another name, or pass --force")
    if output.exists() and output.is_dir() != (kind == "orbax"):
        raise FileExistsError(
            f"{output} is a {'directory' if output.is_dir() else 'file'} and --to {kind} writes "
            "the other; remove it or choose another name"
        )
    if output.is_dir() and not (output / "params").is_dir():
        raise FileExistsError(
            f"{output} is a directory and no checkpoint; --force replaces only checkpoints"
        )
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no directory {output.absolute().parent} to write to")


def _config(args: argparse.Namespace):
    """The complete config with --num-classes in it, and the class names it has ([]: unknown)."""
    from data_pipelines.labels import class_names
    from slowfast_jax.config import load_config

    config = load_config(args.config)
    with config.unlocked():
        if args.num_classes and args.num_classes != config.model.num_classes:
            config.model.num_classes = args.num_classes
            config.class_names = ""
    return config, class_names(config.class_names) if config.class_names else []


def describe_report(
    source: str, checkpoint: ForeignCheckpoint, variables: Mapping, report: Report
) -> list[str]:
    """Lines about what was read, where it went, and what was left alone and why."""
    lines = [f"{source}: {checkpoint.kind}, names of {report.scheme}"]
    entry, other = (checkpoint.metadata.get(key) for key in ("container", "other"))
    inside = f" from its entry {entry!r}" if entry else ""
    left = f"; left alone: {', '.join(other)}" if other else ""
    lines.append(f"  read      {len(checkpoint.tensors)} tensors{inside}{left}")
    direct = len(report.mapped.keys() - report.derived.keys())
    lines.append(f"  mapped    {direct}, one to one")
    if report.inflated:
        lines.append(f"  inflated  {len(report.inflated)} of these, 2-D kernels, over time")
    for reason, count in Counter(report.ignored.values()).items():
        lines.append(f"  ignored   {count}: {reason}")
    for path, how in report.derived.items():
        lines.append(f"  derived   {path}: {how}")
    if report.scheme in ports.NOTES:
        lines.append(f"  note      {ports.NOTES[report.scheme]}")
    for path, why in report.skipped.items():
        lines.append(f"  skipped   {path}: {why}; initialised anew")
    sizes = Counter()
    for (collection, _), leaf in flatten(variables).items():
        sizes[collection] += leaf.size
    totals = ", ".join(f"{size:,} in {name}" for name, size in sizes.items())
    lines.append(f"  gives     {totals}")
    return lines


def _verify(output, model, checkpoint, variables, report, class_names) -> None:
    import jax

    again = fit(_read(output), variables, source=str(output))[0]
    equal = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), again, variables)
    if not all(jax.tree.leaves(equal)):
        raise ValueError(f"{output} read again does not hold the arrays that were written")
    print(f"{output} read again holds the same arrays")
    if report.scheme != "slowfast_jax":
        compared, different = compare_bytes(checkpoint, variables, report)
        if different:
            raise ValueError(f"the way back changes the tensors {', '.join(different[:5])}")
        print(f"the way back gives the same bytes for {compared} tensors of the file")
    size = model.crop_size
    shape = (1, model.num_frames, size, size, 3)
    clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    boxes = None
    if getattr(model, "detection", False):
        boxes = np.array([[[0, 0, size, size], [0, 0, size / 2, size / 2]]], np.float32)
    _, endpoints = jax.jit(model.apply)(variables, clip, boxes)
    print(f"forward pass of a random clip {clip.shape}")
    print("\n".join(describe_outputs(endpoints["probs"], endpoints, class_names)))
