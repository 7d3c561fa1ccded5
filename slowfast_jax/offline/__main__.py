"""Inference elsewhere, between two commands: inputs as files, and metrics of the scores.

    python -m slowfast_jax.offline prepare --config kinetics/x3d_xs --workdir INPUTS \\
        --config.data.root=LISTS
    (run the network on INPUTS/clip/*.npy, and write its scores to SCORES/*.npy)
    python -m slowfast_jax.offline score INPUTS SCORES
"""

from slowfast_jax import interrupts, malloc

if __name__ == "__main__":  # before the imports below, which take seconds
    interrupts.end_at_once()
    malloc.restart_with_settings()

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags, logging

from data_pipelines.command import Parser, explain, stop_printing
from slowfast_jax.command_line import FLAG_NAMES, as_flags, define_flags, parse
from slowfast_jax.config import ConfigError
from slowfast_jax.log_file import show_log
from slowfast_jax.option_names import whole_number

OPTIONS = ("workdir", "allow_failed")  # flags of slowfast_jax.main that prepare has, too
KEPT = "; the inputs that are written stay; the same command continues"


def cli(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    The status is 0; 1 if examples cannot be read; 2 if an argument, a list or the scores are wrong,
    or a file cannot be written; or 130 if Ctrl-C ended it.
    """
    arguments, rest = _parser().parse_known_args(argv)
    show_log(logging.INFO)
    preparing = arguments.command == "prepare"
    with interrupts.command(lambda: KEPT if preparing else ""):
        try:
            return _prepare(arguments, rest) if preparing else _score(arguments, rest)
        except BrokenPipeError:  # the reader of the output, such as head, has enough
            return stop_printing()
        except (OSError, ValueError, RuntimeError) as error:
            print(f"error: {as_flags(explain(error))}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return interrupts.leave()


def _parser() -> Parser:
    parser = Parser(
        prog="python -m slowfast_jax.offline",
        description="Inference elsewhere, between two commands; see docs/deploy.md.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "prepare", help="write the inputs of a test set as files, with an index",
        usage="python -m slowfast_jax.offline prepare --config CONFIG --workdir FOLDER "
        "[--config.FIELD=VALUE ...] [--raw] [--boxes B] [--allow_failed]",
        description="Writes the inputs that --mode eval gives to the network: FOLDER/clip/*.npy, "
        "with boxes also FOLDER/boxes/*.npy, and FOLDER/index.json. An interrupted command "
        "continues when it is repeated. --config, its fields, --workdir and --allow_failed are "
        "those of python -m slowfast_jax.main.",
    )
    command.add_argument(
        "--raw", action="store_true", help="write .bin files, which hold the elements alone"
    )
    command.add_argument(
        "--boxes", type=whole_number, metavar="B",
        help="pad the boxes of each keyframe to this number (default: as many as it has)",
    )
    command = commands.add_parser(
        "score", help="print the metrics of scores of these inputs",
        description="Prints what --mode eval prints, from scores in files of the same names as "
        "the inputs (.npy, or .bin with float32 numbers).",
    )
    command.add_argument("folder", metavar="FOLDER", help="what prepare wrote")
    command.add_argument("scores", metavar="SCORES", help="folder with the scores")
    return parser


def _prepare(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from slowfast_jax.offline.prepare import prepare

    config, options = _parsed(rest)
    done = prepare(config, options.workdir, raw=arguments.raw, box_rows=arguments.boxes)
    print(json.dumps(done), flush=True)
    failed = next(number for name, number in done.items() if name.endswith("_failed"))
    if failed and not options.allow_failed:
        print(f"error: {failed} of the examples could not be read, as logged above, and "
              "have no inputs; to exit with 0 nevertheless, add --allow_failed", file=sys.stderr)
        return 1
    return 0


def _parsed(rest: Sequence[str]) -> tuple[Any, flags.FlagValues]:
    """The config, and the flags that `slowfast_jax.main` has, too.

    Raises ConfigError if they are wrong, or if there are others.
    """
    values = flags.FlagValues()
    define_flags(values)
    config, _ = parse(["prepare", "--mode=eval", *rest], values)
    others = [
        name for name in FLAG_NAMES
        if name not in OPTIONS and values[name].present > (name == "mode")
    ]
    if others:
        raise ConfigError(f"--{others[0]} is not a flag of prepare; see prepare --help")
    if not values.workdir:
        raise ConfigError("--workdir is missing: the folder for the inputs")
    return config, values


def _score(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from slowfast_jax.offline.score import score

    if rest:
        raise ConfigError(f"unrecognized arguments: {' '.join(rest)}; see score --help")
    print(json.dumps(score(arguments.folder, arguments.scores)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(cli())
