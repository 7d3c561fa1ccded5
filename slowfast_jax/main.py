"""Trains, tests and analyzes video models: one command, configured by a recipe.

    python -m slowfast_jax.main --config configs/ava.py:mini --workdir DIR
    python -m slowfast_jax.main --config configs/kinetics.py:x3d_xs --workdir DIR --mode eval \\
        --weights x3d_xs.pyth --config.data.root=LISTS --config.test.batch_size=8
    python -m slowfast_jax.main --config kinetics/slowfast_8x8_r50 --mode summary

--config is a recipe, FILE/VARIANT of configs/FILE.py in the current folder or of the copy that is
installed with this program, or path/to/file.py:VARIANT (`--mode config --config kinetics` lists the
variants of kinetics). Or it is the zoo name of a published network (slowfast_jax.list_models()
lists them); except for eval, extract, report and summary, this means the recipe of that name.
Or it is a YAML file of PySlowFast, which pairs KEY VALUE of its keys may follow
(docs/from_pyslowfast.md).
Without --config, the config is that of the run in --workdir.
If --config is given several times, the configs run one after the other, each in its own process and
subfolder of --workdir.

Every field of the config is a flag, such as --config.train.batch_size=32. `--config RECIPE --help`
lists them with their values, ranges and meaning; docs/training.md introduces the most important
ones.

Modes:
  train       Trains, then tests (default). Resumes from the last checkpoint in --workdir.
  eval        Tests --weights and prints the metrics as JSON. Exits with 1 if a video failed.
  reproduce   Tests each published checkpoint of --zoo by its published protocol, and prints the
              published figures beside the measured ones. Needs --config.data.root. The weights are
              downloaded, or those of --weights.
  extract     Writes features of the test list's videos to --workdir; see docs/features.md.
  report      Writes report.html about the last test in --workdir.
  config      Prints every field of the config with its value and meaning.
  summary     Prints parameters, multiply-adds and activations of the network and its parts.
  bench_data  Measures how fast training data is loaded, and which stage limits it.
  compile     Compiles the steps for the devices of --config.target, which need not be present, and
              prints the memory and the minimum time that they take.

train, eval, extract and reproduce can run in several processes, under SLURM, Kubernetes, on a TPU
pod or with the flags below; see docs/scaling.md.
"""

from slowfast_jax import interrupts, malloc

if __name__ == "__main__":  # before the imports below, which take seconds
    interrupts.end_at_once()
    malloc.restart_with_settings()

import logging as python_logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict

from data_pipelines.command import explain, stop_printing
from slowfast_jax import __version__, compilation_cache, distributed, log_file
from slowfast_jax.command_line import (
    FLAG_NAMES,
    WrongArguments,
    answer,
    as_flags,
    define_flags,
    parse,
    take_flag,
)
from slowfast_jax.config import (
    ConfigError,
    check_ranges,
    schema,
)
from slowfast_jax.distributed.cluster_env import TPU_VM, ClusterError, find_place
from slowfast_jax.distributed.connect import DeviceError, require_devices
from slowfast_jax.jobs.modes import MODES
from slowfast_jax.jobs.several_configs import run_in_turn
from slowfast_jax.log_file import show_log
from slowfast_jax.loop.memory import out_of_memory
from slowfast_jax.option_names import as_fields

FLAGS = flags.FLAGS
MULTI_PROCESS_MODES = ("train", "eval", "extract", "reproduce")
DEVICE_MODES = (*MULTI_PROCESS_MODES, "report", "summary", "bench_data")
KEPT = {  # what Ctrl-C leaves of the work of a mode; of training, see _outcome
    "eval": "; the results of this test were not written",
    "extract": "; the videos that are done have their files; the same command continues",
    "reproduce": "; the results of the last test were not written",
    "report": "; the report was not written",
}


def cli(argv: Sequence[str] | None = None) -> None:
    """The command. Exits with 2 if the arguments are wrong, 1 if the job fails."""
    argv = sys.argv if argv is None else list(argv)
    define_flags()
    if "--version" in argv:
        print(f"slowfast_jax {__version__}")
        sys.exit(0)
    command = command_name(argv[0])
    usage = "\n".join([
        f"usage: {command} --config CONFIG [--workdir DIR] [--mode MODE] ...\n", __doc__,
        *(f"  --{name}: {FLAGS[name].help}" for name in FLAG_NAMES),
    ])
    try:
        text = answer(argv, usage)
    except ConfigError as error:
        sys.exit(_report(error, 2))
    if text is not None:
        try:
            print(text, flush=True)
        except BrokenPipeError:
            sys.exit(stop_printing())
        sys.exit(0)
    show_log(logging.INFO)
    python_logging.getLogger("jax").setLevel(python_logging.WARNING)
    # At exit, asyncio repeats the errors of concurrent checkpoint writes.
    python_logging.getLogger("asyncio").setLevel(python_logging.CRITICAL)
    logging.get_absl_logger().addFilter(_is_ours)
    sys.unraisablehook = _unraisable
    try:
        specs, rest = take_flag("config", argv)
        if len(specs) > 1:
            sys.exit(run_in_turn(specs, rest))
        config, left = parse(argv)
    except WrongArguments as error:
        logging.set_verbosity(logging.ERROR)  # the error alone is the answer
        sys.exit(_report(_with_other_problems(error), 2))
    except ConfigError as error:
        sys.exit(_report(error, 2))
    app.run(lambda _: sys.exit(run(config)), argv=left[:1])


def _with_other_problems(error: WrongArguments) -> Exception:
    """The error, with the problems of the data and files that the run would read or write."""
    from slowfast_jax.loop.preflight import note_problems

    note_problems(error.found, error.config, unset=error.unset, **error.flags)
    return error.found.error()


def command_name(program: str) -> str:
    """How this command was called: by the name of its installed script, or as a module."""
    name = os.path.basename(program)
    return "python -m slowfast_jax.main" if name.endswith(".py") else name


def run(config: ConfigDict) -> int:
    """Runs the mode of --mode; returns the exit status."""
    with ExitStack() as stack:
        stack.enter_context(interrupts.command(_outcome, _end_others))
        return _run(config, stack)


def _run(config: ConfigDict, stack: ExitStack) -> int:
    try:
        set_up_jax(config)
        start_processes(config)
        if FLAGS.workdir and FLAGS.mode in MULTI_PROCESS_MODES and distributed.first():
            stack.enter_context(log_file.log_file(FLAGS.workdir))
        status = MODES[FLAGS.mode](config, FLAGS) or 0
        distributed.finish()
    except KeyboardInterrupt as error:  # the line that says so was printed when the signal arrived
        distributed.fail(error, interrupts.STATUS)
        stack.close()
        status = interrupts.leave()
    except BrokenPipeError:  # the reader of the output, such as head, has enough
        status = stop_printing()
    except (ConfigError, ClusterError, DeviceError) as error:
        status = _report(error, 2)
        distributed.fail(error, status)
    except (OSError, ValueError, RuntimeError, FloatingPointError, MemoryError) as error:
        explained = out_of_memory(error, config, FLAGS.mode) or error
        status = _report(explained, 2 if getattr(error, "before_start", False) else 1)
        distributed.fail(error, status)
    except BaseException as error:
        distributed.fail(error)
        raise
    return status


def _end_others() -> None:
    distributed.fail(KeyboardInterrupt(), interrupts.STATUS)


def _outcome() -> str:
    """What the line says that answers Ctrl-C: what was kept of the work."""
    text = KEPT.get(FLAGS.mode, "")
    if FLAGS.mode == "eval" and FLAGS.workdir:
        text += "; the same command resumes it"
    if FLAGS.mode == "train" and FLAGS.workdir:
        # Orbax gives a folder its number when it is complete.
        folders = Path(FLAGS.workdir, "checkpoints").glob("*")
        steps = [int(folder.name) for folder in folders if folder.name.isdecimal()]
        text = "; no step was saved yet; the same command starts again"
        if steps:
            text = f"; step {max(steps)} is saved; the same command resumes from there"
    log_file.note(f"interrupted{text}", python_logging.WARNING)
    return text


def set_up_jax(config: ConfigDict) -> None:
    """Applies config.matmul_precision and config.compilation_cache to JAX."""
    import jax

    check_ranges(config, schema.RUNTIME)
    precision = config.get("matmul_precision", "default")
    if precision != "default":
        jax.config.update("jax_default_matmul_precision", precision)
    if config.get("compilation_cache") == "off":
        jax.config.update("jax_enable_compilation_cache", False)
    else:
        compilation_cache.keep_compiled(config.get("compilation_cache") or None)


def start_processes(config: ConfigDict) -> None:
    """Connects to the other processes of a multi-process run, if flags or environment ask for one.
    """
    place = find_place(FLAGS.coordinator, FLAGS.process_id, FLAGS.num_processes)
    if place is not None and FLAGS.mode not in MULTI_PROCESS_MODES and place.cluster != TPU_VM:
        raise ConfigError(
            f"--mode={FLAGS.mode} runs in a single process, but {place.cluster} started several. "
            "Start it once, with --num_processes=1 --process_id=0 --coordinator=localhost:1"
        )
    if place is None or FLAGS.mode not in MULTI_PROCESS_MODES:
        if FLAGS.mode in DEVICE_MODES:
            require_devices()
        return
    watchdog = distributed.WATCHDOG_SECONDS
    if "train" in config:
        watchdog = config.train.watchdog_seconds
    distributed.start(
        place, seconds=FLAGS.meeting_seconds, watchdog=watchdog,
        folder=os.path.join(FLAGS.workdir, "processes") if FLAGS.workdir else None,
    )
    if not distributed.first():  # the log of one process is enough
        logging.set_verbosity(logging.WARNING)


def _is_ours(record: python_logging.LogRecord) -> bool:
    """Whether to show a log line. Orbax's are hidden: it logs each step of a save, and each error
    several times with its traceback before raising it."""
    return "orbax" not in record.pathname


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Shows errors that cannot be caught, except those that follow a failed checkpoint: once one of
    its concurrent writes has failed, the others find their event loop closed."""
    if "Event loop is closed" not in str(unraisable.exc_value):
        sys.__unraisablehook__(unraisable)


def _report(error: Exception | str, status: int) -> int:
    training = "mode" in FLAGS and FLAGS.mode == "train"
    text = error if isinstance(error, str) else explain(error)
    message = as_fields(as_flags(text), training=training)
    print(f"error: {message}", file=sys.stderr)
    log_file.note(f"error: {message}", python_logging.ERROR)
    return status


if __name__ == "__main__":
    cli()
