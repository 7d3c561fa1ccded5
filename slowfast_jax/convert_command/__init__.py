"""The command `python -m convert INPUT OUTPUT --config kinetics/x3d_xs`."""

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.exports import PROGRAMS, Exported
from convert.load import fit, strip_names
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.trees import not_finite
from convert.verify import compare_bytes, describe_outputs
from data_pipelines.command import Parser, explain, stop_printing
from data_pipelines.text_files import first_few
from slowfast_jax.convert_command.reports import describe_map, describe_report, list_tensors
from slowfast_jax.option_names import as_options, pattern
from slowfast_jax.published.hub import HubError, local_path

DESCRIPTION = """Converts weights of PySlowFast (PyTorch or Caffe2), PyTorchVideo, torchvision,
MMAction2, PaddleVideo and MindSpore to a checkpoint of this project, or to a file for PySlowFast,
PyTorchVideo, torchvision, MMAction2 or Caffe2. The format of INPUT is detected from its content.
PyTorch is not needed."""
# Values of --to whose output is a folder, which is a checkpoint of this project.
FOLDERS = ("orbax", "safetensors", "hub-folder")
EXAMPLES = """examples:
  {name} SLOWFAST_8x8_R50.pkl slowfast --config kinetics/slowfast_8x8_r50
  {name} x3d_xs.pyth x3d_xs --config configs/kinetics.py:x3d_xs --verify
  {name} x3d_xs back.pyth
  {name} RUN my_network.pyth
  {name} mvit_v2_s-ae3be167.pth mvitv2_s --config kinetics/mvitv2_s_16x4
  {name} RUN my_mvit.pth --to torchvision
  {name} RUN my_network.pth --to pytorchvideo
  {name} RUN my_network --to hub-folder
  {name} --list weights.pth
  {name} --report weights.pth --config kinetics/x3d_xs
"""
SCRIPT = "slowfast-jax-convert"  # the installed script
# Suffixes of formats that are read or used elsewhere but not written.
OTHER_FORMATS = {
    ".bin", ".ckpt", ".gz", ".h5", ".hdf5", ".json", ".msgpack", ".npy", ".npz", ".onnx", ".pb",
    ".pdparams", ".pickle", ".pkl", ".pt", ".pth", ".safetensors", ".tar", ".tflite", ".zip",
}
CHANGED_TOLERANCE = 1e-5  # of scores, where a program stores parameters in another form
INTERRUPTED = 130  # exit status after Ctrl-C, by the convention of shells


@dataclass
class Progress:
    """How far a conversion is.

    Attributes:
      began: everything that is read is right; what fails now is the writing.
      written: the output's name once it is complete.
    """

    began: bool = False
    written: str = ""


def cli(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status.

    The status is 0, or, after printing an error to stderr, 2 if the input, the config or another
    argument is wrong and 1 if writing or verifying failed; or 130 if Ctrl-C was pressed.
    """
    parser = _parser()
    args = parser.parse_args(arguments)
    if not args.output and not args.list and not args.report:
        parser.error("the following arguments are required: OUTPUT")
    try:
        args.input = os.fspath(local_path(args.input))
    except HubError as error:
        parser.error(str(error))
    if not args.list and not args.config and not Path(args.input).is_dir():
        if not Path(args.input).exists():
            parser.error(f"{args.input}: no such file or folder")
        parser.error(
            f"--config is required: {args.input} is not a folder of this project, which would "
            "store its config"
        )
    progress = Progress()
    try:
        if args.list:
            print("\n".join(list_tensors(args.input, _read(args.input, args.entry))))
        else:
            _convert(args, progress)
        sys.stdout.flush()
    except BrokenPipeError:
        return stop_printing()
    except (OSError, ValueError) as error:
        print(f"error: {as_options(explain(error))}", file=sys.stderr)
        return 1 if progress.began else 2
    except KeyboardInterrupt:
        done = progress.written
        outcome = f"{done} is written but not verified" if done else "nothing was written"
        print(f"interrupted; {outcome}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> Parser:
    name = SCRIPT if Path(sys.argv[0]).stem == SCRIPT else "python -m convert"
    parser = Parser(
        prog=name,
        description=DESCRIPTION,
        epilog=EXAMPLES.format(name=name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a .pyth, .pth, .pkl, .pdparams, .ckpt or .safetensors file, a checkpoint folder of "
        "this project, or the folder of a training run, of which the last checkpoint is read; or "
        "hf://ORGANIZATION/NAME[@REVISION][/FILE] on the hub",
    )
    parser.add_argument(
        "output",
        metavar="OUTPUT",
        nargs="?",
        help="checkpoint folder or .pyth file to write; must not exist, unless --force is given. "
        "Not needed with --list and --report",
    )
    parser.add_argument(
        "--list", action="store_true",
        help="only print what INPUT holds: entries, and names, types and shapes of the tensors",
    )
    parser.add_argument(
        "--report", action="store_true",
        help="also print which parameter each tensor in INPUT becomes, and which are not used",
    )
    parser.add_argument(
        "--config",
        help="network that the weights belong to: a zoo name (kinetics/x3d_xs) or a recipe "
        "(FILE/VARIANT of configs/FILE.py in the current folder or installed with the program, or "
        "path/to/file.py:VARIANT); not needed for a folder, which stores its config",
    )
    parser.add_argument(
        "--to",
        choices=(*FOLDERS, *PROGRAMS),
        help="format of OUTPUT; orbax: a checkpoint folder of this project; safetensors: the same "
        "as model.safetensors and config.json; hub-folder: the same with a model card, to upload "
        "to the hub; pyth: a file for PySlowFast and PyTorch; torchvision: a state dict of "
        "torchvision's MViT; pytorchvideo, mmaction2, caffe2: a file for that program (default: "
        "pyth if OUTPUT ends in .pyth, else orbax)",
    )
    parser.add_argument(
        "--skip",
        action="append",
        type=pattern,
        default=[],
        metavar="REGEX",
        help="parameters that may be missing in INPUT or have another shape there, as a regular "
        "expression that matches their whole path in this project (head/.*); they are initialized "
        "randomly, as for training. Can be repeated",
    )
    parser.add_argument(
        "--strip",
        action="append",
        default=[],
        metavar="TEXT",
        help="text to remove from the names in INPUT, such as backbone.; only the first occurrence "
        "in each name is removed. Can be repeated",
    )
    parser.add_argument(
        "--entry",
        default="",
        metavar="NAME",
        help="entry of INPUT that holds the weights, such as ema or model.state_dict (default: it "
        "is looked for)",
    )
    parser.add_argument(
        "--num-classes",
        type=int,
        metavar="K",
        help="number of classes of the weights, if it differs from the config's",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read OUTPUT again, convert back and compare byte by byte, and run the model on a "
        "random clip",
    )
    parser.add_argument("--force", action="store_true", help="replace OUTPUT if it exists")
    return parser


def _convert(args: argparse.Namespace, progress: Progress) -> None:
    output = Path(args.output) if args.output else None
    kind = _kind(output, args) if output else ""
    checkpoint = strip_names(_read(args.input, args.entry), args.strip)

    # Imported here because JAX is slow to import and not needed for --help or unreadable files.
    from data_pipelines.labels import unnamed
    from slowfast_jax.config import build_model
    from slowfast_jax.distributed.connect import require_devices
    from slowfast_jax.weights import check_origin, describe, initial_variables, variable_shapes
    from slowfast_jax.weights.folders import origin_of, recorded_test, write_folder

    require_devices()
    config, class_names = _config(args)
    model = build_model(config)
    shapes = variable_shapes(model)
    check_origin(args.input, checkpoint, config, args.skip)
    stored = checkpoint.metadata.get("class_names", [])
    class_names = class_names if stored == unnamed(len(stored)) else stored
    init = initial_variables(model, seed=0) if args.skip else None
    variables, report = fit(checkpoint, shapes, skip=args.skip, init=init, source=args.input)
    print("\n".join(describe_report(args.input, checkpoint, variables, report)))
    if args.report:
        print("\n".join(describe_map(checkpoint, variables, report)))

    if bad := not_finite(variables):
        print(
            f"warning: {len(bad)} parameters have values that are NaN or infinite, and will be "
            f"refused wherever they are loaded: {first_few(bad, 3)}", file=sys.stderr,
        )

    if output is None:
        return
    exported = PROGRAMS[kind].tensors(variables, vars(model)) if kind in PROGRAMS else Exported({})
    progress.began = True
    origin, tested = origin_of(args.input, checkpoint), recorded_test(args.input)
    if report.skipped:  # then it is another network than that of the file
        tested, origin = {}, origin | {"initialized": sorted(report.skipped)}
        origin.pop("published", None)
    if kind in PROGRAMS:
        cfg = {"cfg": origin["cfg"]} if kind == "pyth" and "cfg" in origin else {}
        PROGRAMS[kind].write(output, exported.tensors, **cfg)
    else:
        metadata = describe(config, class_names) | {"converted_from": origin}
        write_folder(output, kind, variables, metadata | tested, args.force)
    progress.written = str(output)
    print(f"wrote {output} ({kind})")
    for text in exported.changed:
        print(f"  {text}")
    for text in exported.settings:
        print(f"  to compute the same, {PROGRAMS[kind].title} needs: {text}")
    if args.verify:
        _verify(output, model, checkpoint, variables, report, class_names, exported.changed)


def _kind(output: Path, args: argparse.Namespace) -> str:
    """The format to write, one of --to; ValueError if `output` cannot be written in it."""
    suffix = output.suffix.lower()
    if not args.to and suffix in OTHER_FORMATS:
        raise ValueError(
            f"{output}: {suffix} is not a format that is written here; choose a name that ends in "
            ".pyth for a file of PySlowFast and PyTorch, or a name without suffix for a checkpoint "
            "folder of this project (--to safetensors: with model.safetensors in it), or pass --to "
            f"and the program that the file is for: {', '.join(PROGRAMS)}"
        )
    if args.to in FOLDERS and suffix in OTHER_FORMATS:
        raise ValueError(f"--to {args.to} writes a folder; choose a name without {suffix}")
    kind = args.to or ("pyth" if suffix == ".pyth" else "orbax")
    _check_output(output, kind, args.force)
    return kind


def _read(path: str | Path, entry: str = "") -> ForeignCheckpoint:
    """Reads a checkpoint file of any program or a folder of this project."""
    if not Path(path).is_dir():
        checkpoint = read_checkpoint(path, entry)
        if checkpoint.kind != "safetensors":
            return checkpoint  # without waiting for JAX
    from slowfast_jax.weights import read_any

    return read_any(path, entry)


def _check_output(output: Path, kind: str, force: bool) -> None:
    if output.exists() and not force:
        raise FileExistsError(f"{output} exists; choose another name, or pass --force")
    if output.exists() and output.is_dir() != (kind in FOLDERS):
        raise FileExistsError(
            f"--to {kind} cannot replace {output}, which is a "
            f"{'folder' if output.is_dir() else 'file'}; remove it or choose another name"
        )
    if output.is_dir() and not (output / "params").is_dir() and not _is_shared(output):
        raise FileExistsError(
            f"{output} is a folder but not a checkpoint; --force replaces only checkpoints"
        )
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"cannot write {output}: the folder {output.absolute().parent} does not exist"
        )


def _is_shared(folder: Path) -> bool:
    return (folder / "model.safetensors").is_file() and (folder / "config.json").is_file()


def _config(args: argparse.Namespace):
    """The config with --num-classes applied, and its class names ([] if unknown)."""
    from data_pipelines.labels import class_names
    from slowfast_jax.config import load_config
    from slowfast_jax.weights import stored_config

    if args.config:
        config = load_config(args.config)
        names = class_names(config.class_names) if config.class_names else []
    else:
        config, names = stored_config(args.input)
        config.test.checkpoint = ""
    if args.num_classes and args.num_classes != config.model.num_classes:
        with config.unlocked():
            config.model.num_classes = args.num_classes
            config.class_names = ""
        names = []
    return config, names


def _verify(output, model, checkpoint, variables, report, class_names, changed) -> None:
    """Reads the output again. `changed`: it does not hold all parameters as they are."""
    import jax

    again = fit(_read(output), variables, source=str(output))[0]
    equal = jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), again, variables)
    if not changed and not all(jax.tree.leaves(equal)):
        raise ValueError(f"{output}: reading it again does not give the arrays that were written")
    if not changed:
        print(f"{output}: reading it again gives the same arrays")
    if report.scheme != "slowfast_jax":
        compared, different = compare_bytes(checkpoint, variables, report)
        if different:
            raise ValueError(
                f"converting back changes {len(different)} of {compared} tensors: "
                f"{', '.join(different[:5])}"
            )
        print(f"converting back gives the same bytes for {compared} tensors of the file")
    size = model.crop_size
    shape = (1, model.num_frames, size, size, 3)
    clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    boxes = None
    if model.detection:
        boxes = np.array([[[0, 0, size, size], [0, 0, size / 2, size / 2]]], np.float32)
    apply = jax.jit(model.apply)
    _, endpoints = apply(variables, clip, boxes)
    if changed:
        difference = np.abs(endpoints["probs"] - apply(again, clip, boxes)[1]["probs"]).max()
        if not difference < CHANGED_TOLERANCE:
            raise ValueError(f"{output}: its scores differ by up to {difference:.2g}")
        print(f"{output}: reading it again gives the same scores within {difference:.1g}")
    print(f"forward pass with a random clip {clip.shape}")
    print("\n".join(describe_outputs(endpoints["probs"], endpoints, class_names)))
