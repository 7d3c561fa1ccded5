"""Trains, tests and analyzes video models: one command, configured by a recipe.

    python -m slowfast_jax.main --config configs/ava.py:mini --workdir DIR
    python -m slowfast_jax.main --config configs/kinetics.py:x3d_xs --workdir DIR --mode eval \\
        --weights x3d_xs.pyth --config.data.root=LISTS --config.test.batch_size=8
    python -m slowfast_jax.main --config kinetics/slowfast_8x8_r50 --mode summary

--config is a recipe, FILE/VARIANT of configs/FILE.py in the current folder or of the copy that is
installed with this program, or path/to/file.py:VARIANT (`--mode config --config kinetics` lists the
variants of kinetics). Or it is the zoo name of a published network (slowfast_jax.list_models()
lists them); except for eval, extract, report and summary, this means the recipe of that name.
Without --config, the config is that of the run in --workdir.
If --config is given several times, the configs run one after the other, each in its own process and
subfolder of --workdir.

Every field of the config is a flag, such as --config.train.batch_size=32. `--config RECIPE --help`
lists them with their values, ranges and meaning; docs/training.md introduces the most important
ones.

Modes:
  train       Trains, then tests (default). Resumes from the last checkpoint in --workdir.
  eval        Tests --weights and prints the metrics as JSON. Exits with 1 if a video failed.
  extract     Writes features of the test list's videos to --workdir; see docs/features.md.
  report      Writes report.html about the last test in --workdir.
  config      Prints every field of the config with its value and meaning.
  summary     Prints parameters, multiply-adds and activations of the network and its parts.
  bench_data  Measures how fast training data is loaded, and which stage limits it.
  compile     Compiles the steps for the devices of --config.target, which need not be present, and
              prints the memory and the minimum time that they take.

train, eval and extract can run in several processes, under SLURM, Kubernetes, on a TPU pod or with
the flags below; see docs/scaling.md.
"""

from slowfast_jax import interrupts, malloc

if __name__ == "__main__":  # before the imports below, which take seconds
    interrupts.end_at_once()
    malloc.restart_with_settings()

import json
import logging as python_logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict

from slowfast_jax import __version__, compilation_cache, distributed, log_file
from slowfast_jax.command_line import (
    FLAG_NAMES,
    answer,
    as_flags,
    define_flags,
    parse,
    take_flag,
)
from slowfast_jax.config import (
    ConfigError,
    build_model,
    check_ranges,
    describe,
    schema,
)
from slowfast_jax.distributed.cluster_env import TPU_VM, ClusterError, find_place
from slowfast_jax.distributed.connect import DeviceError, require_devices
from slowfast_jax.interrupts import STATUS
from slowfast_jax.jobs.several_configs import run_in_turn
from slowfast_jax.loop.memory import out_of_memory

FLAGS = flags.FLAGS
MULTI_PROCESS_MODES = ("train", "eval", "extract")
DEVICE_MODES = (*MULTI_PROCESS_MODES, "report", "summary", "bench_data")
KEPT = {  # what Ctrl-C leaves of the work of a mode; of training, see _outcome
    "eval": "; the results of this test were not written",
    "extract": "; the videos that are done have their files; the same command continues",
    "report": "; the report was not written",
}


def train(config: ConfigDict, options: flags.FlagValues) -> None:
    """Trains; tests the result unless the run was interrupted."""
    from slowfast_jax.train import train as run

    if not options.workdir:
        raise ConfigError("--mode=train needs --workdir, the folder for its checkpoints")
    if options.weights:
        raise ConfigError(
            "--weights is for --mode=eval; to train from weights, set "
            "--config.train.init_from.path"
        )
    if run(config, options.workdir, then_test=True):
        config.test.checkpoint = ""  # test what was trained, not the weights that the recipe names
        test(config, options)


def evaluate(config: ConfigDict, options: flags.FlagValues) -> int:
    """Tests; returns the exit status: 1 if examples failed, unless --allow_failed is given."""
    if options.scores:
        from slowfast_jax.evaluate import combine

        print(json.dumps(combine(config, options.scores, options.workdir)), flush=True)
        return 0
    failed = test(config, options)
    if not failed or options.allow_failed:
        return 0
    if distributed.first():
        print(f"error: {failed} of the test set could not be read, as logged above; the metrics "
              "cover the others. To exit with 0 nevertheless, add --allow_failed", file=sys.stderr)
    return 1


def test(config: ConfigDict, options: flags.FlagValues) -> int:
    """Tests with the config's protocol; prints the metrics as JSON, one line per test.

    The weights are those of --weights, else of config.test.checkpoint, else of the last checkpoint
    in --workdir, else of config.train.init_from.path.

    Returns:
      The number of examples that could not be read.
    """
    from slowfast_jax.evaluate import evaluate as run
    from slowfast_jax.evaluate import printed
    from slowfast_jax.training.checkpoint_folders import latest_checkpoint

    weights = options.weights or config.test.checkpoint
    if not weights and options.workdir:
        weights = latest_checkpoint(options.workdir)
    failed = 0
    for clips in options.clips or [config.protocol.clips]:
        config.protocol.clips = int(clips)
        workdir = options.workdir
        if options.clips and workdir:
            workdir = os.path.join(workdir, f"clips{clips}")
        results = run(config, workdir, weights, save_scores=options.save_scores)
        failed = max(failed, len(results["failed"]))
        if distributed.first():
            print(json.dumps(printed(results)), flush=True)
    return failed


def extract(config: ConfigDict, options: flags.FlagValues) -> int:
    """Extracts features; returns the exit status: 1 if videos failed, unless --allow_failed is
    given."""
    from slowfast_jax.inference.features import Options
    from slowfast_jax.jobs.extract import Shard
    from slowfast_jax.jobs.extract import extract as run

    if not options.workdir:
        raise ConfigError("--mode=extract needs --workdir, the folder for the features")
    wanted = Options(options.endpoint, options.window, options.stride, options.whole)
    shard = Shard(*map(int, options.shard.split("/")))
    done = run(config, options.workdir, options.weights, wanted, shard)
    if not distributed.first():
        return 0
    print(json.dumps(done), flush=True)
    failed = done["videos_failed"] if not options.allow_failed else 0
    if failed:
        print(f"error: {failed} videos could not be read, as logged above and listed in "
              f"{options.workdir}; to exit with 0 nevertheless, add --allow_failed",
              file=sys.stderr)
    return int(failed > 0)


def report(config: ConfigDict, options: flags.FlagValues) -> None:
    """Writes report.html and annotated.mp4 on the last test in --workdir; prints its path and main
    metric as JSON."""
    from slowfast_jax.report.html import write_report
    from slowfast_jax.tasks import make_task

    if not options.workdir:
        raise ConfigError("--mode=report needs --workdir, the folder of the run to report on")
    if options.weights:
        raise ConfigError("--weights is for --mode=eval; a report shows the last test in --workdir")
    task = make_task(config)
    headline = task.headline
    path = write_report(options.workdir, headline=headline, **task.report(options.workdir))
    results = json.loads(path.with_name("results.json").read_text(encoding="utf-8"))
    print(json.dumps({"report": str(path), headline: results["metrics"][headline]}), flush=True)


def show_config(config: ConfigDict, options: flags.FlagValues) -> None:
    """Prints every field with its value and meaning."""
    print(describe(config, options["config"].override_values), flush=True)


def summary(config: ConfigDict, options: flags.FlagValues) -> None:
    """Prints parameters, multiply-adds and activations of the network and its parts."""
    from slowfast_jax.models.cost import table

    protocol = config.protocol
    print(config.name)
    print(table(
        build_model(config), protocol.num_frames, protocol.train_crop, protocol.test_crop
    ))


def bench_data(config: ConfigDict, options: flags.FlagValues) -> None:
    """Prints how fast training data is loaded, stage by stage; see analysis/bench_data.py."""
    from slowfast_jax.analysis.bench_data import measure, table
    from slowfast_jax.config import check_training

    check_training(config)
    print(table(config, measure(config, options.workdir), options.clips_per_second))


def compile_ahead(config: ConfigDict, options: flags.FlagValues) -> None:
    """Prints memory and time of the steps compiled for config.target; see
    analysis/compile_ahead.py."""
    from slowfast_jax.analysis.compile_ahead import compile_steps, table, target_devices

    if not config.get("target"):
        raise ConfigError("--mode=compile needs --config.target, such as v5e:4x4 or cpu:8")
    records = compile_steps(config, target_devices(config.target))
    print(table(records), flush=True)
    if options.workdir:
        os.makedirs(options.workdir, exist_ok=True)
        with open(os.path.join(options.workdir, "compiled.json"), "w", encoding="utf-8") as file:
            json.dump(records, file, indent=1)


MODES = {
    "train": train, "eval": evaluate, "extract": extract, "report": report, "config": show_config,
    "summary": summary, "bench_data": bench_data, "compile": compile_ahead,
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
        print(text)
        sys.exit(0)
    logging.set_verbosity(logging.INFO)
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
    except ConfigError as error:
        sys.exit(_report(error, 2))
    app.run(lambda _: sys.exit(run(config)), argv=left[:1])


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
    except KeyboardInterrupt as error:
        status = STATUS  # the line that says so was printed when the signal arrived
        distributed.fail(error, status)
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
    distributed.fail(KeyboardInterrupt(), STATUS)


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
    message = as_flags(str(error))
    print(f"error: {message}", file=sys.stderr)
    log_file.note(f"error: {message}", python_logging.ERROR)
    return status


if __name__ == "__main__":
    cli()
