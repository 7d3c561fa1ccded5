"""One command for all jobs; every field of the config is a flag.

    python -m slowfast_jax.main --config configs/ava.py:mini --workdir DIR
    python -m slowfast_jax.main --config configs/kinetics.py:x3d_xs --workdir DIR --mode eval \\
        --weights x3d_xs.pyth --config.data.root=LISTS --config.test.batch_size=8
    python -m slowfast_jax.main --config kinetics/slowfast_8x8_r50 --mode summary

--mode train (the default) trains, from the last checkpoint in --workdir on, and then tests; --mode
report makes a page of what that left in --workdir; bench_data tells how fast the training data
comes and what holds it up; compile tells what a step takes on the devices of --config.target, which
need not be there. Several --config run in turn, each in a process and a sub-folder of --workdir of
its own. Training and testing are spread over many processes where SLURM, Kubernetes, a TPU pod or
flags say so; see docs/scaling.md.
"""

import json
import logging as python_logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags import config_path

from slowfast_jax import distributed, malloc
from slowfast_jax.config import ConfigError, build_model, closest, load_config
from slowfast_jax.distributed.cluster_env import TPU_VM, ClusterError, find_place
from slowfast_jax.distributed.connect import DeviceError, require_devices

FLAGS = flags.FLAGS
FLAG_NAMES = (
    "workdir", "mode", "weights", "clips", "save_scores", "clips_per_second", "coordinator",
    "process_id", "num_processes", "meeting_seconds",
)
PRECISIONS = ("default", "high", "highest")
IN_MANY_PROCESSES = ("train", "eval")
ON_DEVICES = ("train", "eval", "summary", "compile")


def define_flags(flag_values: flags.FlagValues = FLAGS) -> None:
    """All flags but --config and its fields."""
    flags.DEFINE_string("workdir", None, "Folder for results.", flag_values=flag_values)
    flags.DEFINE_string("mode", "train", ", ".join(MODES), flag_values=flag_values)
    flags.DEFINE_string(
        "weights", None, "Checkpoint; default config.test.checkpoint.", flag_values=flag_values
    )
    flags.DEFINE_list(
        "clips", None, "eval: one test for each of these numbers of clips, as 1,3,5,7,10.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "save_scores", False, "eval: write all scores to scores.npz.", flag_values=flag_values
    )
    flags.DEFINE_float(
        "clips_per_second", None, "bench_data: the speed of the training step to be fed.",
        lower_bound=0.001, flag_values=flag_values,
    )
    flags.DEFINE_string(
        "coordinator", None, "host:port of process 0, where several processes meet.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "process_id", None, "Which of them this is, from 0.", flag_values=flag_values
    )
    flags.DEFINE_integer("num_processes", None, "How many there are.", flag_values=flag_values)
    flags.DEFINE_float(
        "meeting_seconds", distributed.MEETING_SECONDS, "How long they wait for each other.",
        lower_bound=1.0, flag_values=flag_values,
    )


def train(config: ConfigDict, options: flags.FlagValues) -> None:
    """Trains, and tests the result where the run came to its end."""
    from slowfast_jax.train import train as run

    if not options.workdir:
        raise ConfigError("--mode=train needs --workdir, the folder for its checkpoints")
    if options.weights:
        raise ConfigError(
            "--weights is for --mode=eval; weights to start from are --config.train.init_from.path"
        )
    if run(config, options.workdir):
        config.test.checkpoint = ""  # not what the recipe tests, but what was trained
        evaluate(config, options)


def evaluate(config: ConfigDict, options: flags.FlagValues) -> None:
    """Tests by the config's protocol; prints the metrics as JSON, a line for each test.

    The weights are --weights, else the config's, else the last checkpoint in --workdir.
    """
    from slowfast_jax.evaluate import evaluate as run
    from slowfast_jax.training.checkpoint_manager import latest_checkpoint

    weights = options.weights or config.test.checkpoint
    if not weights and options.workdir:
        weights = latest_checkpoint(options.workdir)
    for clips in options.clips or [config.protocol.clips]:
        config.protocol.clips = int(clips)
        workdir = options.workdir
        if options.clips and workdir:
            workdir = os.path.join(workdir, f"clips{clips}")
        results = run(config, workdir, weights, save_scores=options.save_scores)
        metrics = {k: v for k, v in results["metrics"].items() if not k.startswith("per_class")}
        counts = {k: v for k, v in results["fingerprint"].items() if k.startswith("videos_")}
        views = f"{config.protocol.clips}x{config.protocol.crops}"
        if distributed.first():
            print(json.dumps({"views": views} | counts | metrics), flush=True)


def report(config: ConfigDict, options: flags.FlagValues) -> None:
    """Writes report.html and annotated.mp4 on the last test in --workdir; prints where, as JSON."""
    from slowfast_jax.report.html import write_report
    from slowfast_jax.tasks import TASKS

    if not options.workdir:
        raise ConfigError("--mode=report needs --workdir, the folder of the run to report on")
    if options.weights:
        raise ConfigError("--weights is for --mode=eval; a report is on what was tested there")
    task = TASKS[config.task]
    path = write_report(options.workdir, **task.report(config, options.workdir))
    results = json.loads(path.with_name("results.json").read_text(encoding="utf-8"))
    headline = task.headline(config)
    print(json.dumps({"report": str(path), headline: results["metrics"][headline]}), flush=True)


def summary(config: ConfigDict, options: flags.FlagValues) -> None:
    """Prints parameters, multiply-adds and activations of the network."""
    from slowfast_jax.models.cost import table

    protocol = config.protocol
    print(config.name)
    print(table(
        build_model(config), protocol.num_frames, protocol.train_crop, protocol.test_crop
    ))


def bench_data(config: ConfigDict, options: flags.FlagValues) -> None:
    """Prints how fast the training data comes, stage by stage; see bench_data.py."""
    from slowfast_jax.analysis.bench_data import measure, table
    from slowfast_jax.config import check_training

    check_training(config)
    print(table(config, measure(config, options.workdir), options.clips_per_second))


def compile_ahead(config: ConfigDict, options: flags.FlagValues) -> None:
    """Prints what the steps will take on the devices of config.target; see compilation.py."""
    from slowfast_jax.analysis.compile_ahead import compile_steps, table, target_devices

    if not config.get("target"):
        raise ConfigError("--mode=compile needs --config.target, as v5e:4x4 or cpu:8")
    records = compile_steps(config, target_devices(config.target))
    print(table(records), flush=True)
    if options.workdir:
        os.makedirs(options.workdir, exist_ok=True)
        with open(os.path.join(options.workdir, "compiled.json"), "w", encoding="utf-8") as file:
            json.dump(records, file, indent=1)


MODES = {
    "train": train, "eval": evaluate, "report": report, "summary": summary,
    "bench_data": bench_data, "compile": compile_ahead,
}


def take_flag(name: str, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The values of every --name (or --name=), and the arguments without them."""
    rest, values = [], []
    arguments = iter(argv)
    for argument in arguments:
        match = re.fullmatch(rf"--?{name}(?:=(.*))?", argument)
        if match:
            values.append(match[1] if match[1] is not None else next(arguments, ""))
        else:
            rest.append(argument)
    return values, rest


def parse(
    argv: Sequence[str], flag_values: flags.FlagValues = FLAGS
) -> tuple[ConfigDict, list[str]]:
    """The config with its overrides applied, other flags in `flag_values`, and what is left over.

    Raises ConfigError, naming the flag and what is close, for anything that is not understood.
    """
    specs, rest = take_flag("config", argv)
    if not any(specs):
        raise ConfigError(
            "--config is missing: a recipe (configs/kinetics.py:x3d_xs) or a zoo name "
            "(kinetics/x3d_xs)"
        )
    config = load_config(specs[-1])
    before = config.copy_and_resolve_references()
    for argument in rest:
        _check_field(argument, config)
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=flag_values, sys_argv=rest)
        left = flag_values(rest)
    except (flags.Error, TypeError, ValueError) as error:
        raise ConfigError(str(error)) from None
    if len(left) > 1:
        raise ConfigError(f"{left[1]} is not understood: flags begin with --")
    _check_tuples(flag_values["config"].override_values, before)
    if config.model.name != before.model.name:
        raise ConfigError(
            f"--config.model.name does not change the network's other keywords: use a recipe for "
            f"{config.model.name}, or --config={config.model.name}"
        )
    mode = flag_values.mode
    if mode not in MODES:
        known = ", ".join(MODES)
        raise ConfigError(f"--mode={mode} does not exist{closest(mode, MODES)} ({known})")
    for clips in flag_values.clips or ():
        if not clips.isdecimal() or int(clips) < 1:
            raise ConfigError(f"--clips has {clips!r}, expected numbers of clips, as 1,3,5,7,10")
    return config, left


def _check_field(argument: str, config: ConfigDict) -> None:
    """ConfigError where a flag like --config.test.batch_size=8 names no field there is."""
    match = re.match(r"--?(?:no)?config\.([^=\[]+)", argument)
    section, walked = config, "config"
    for key in match[1].split(".") if match else ():
        if not isinstance(section, ConfigDict):
            raise ConfigError(f"--config.{match[1]} does not exist: {walked} is a value")
        if key not in section:
            raise ConfigError(
                f"--config.{match[1]} does not exist{closest(key, section)} ({walked} has "
                f"{', '.join(sorted(section))})"
            )
        section, walked = section[key], f"{walked}.{key}"


def _check_tuples(overrides: Mapping[str, Any], before: ConfigDict) -> None:
    """ConfigError where a tuple got elements of another type: the flag takes anything."""
    for field, value in overrides.items():
        if not isinstance(value, tuple):
            continue
        old = config_path.get_value(field, before)
        types = {type(element) for element in old} | ({int} if float in map(type, old) else set())
        if old and not {type(element) for element in value} <= types:
            raise ConfigError(f"--config.{field} is {value!r}, expected something like {old!r}")


def cli(argv: Sequence[str] | None = None) -> None:
    """The command. Exit status 2 for arguments that are not understood, 1 where the job failed."""
    argv = sys.argv if argv is None else list(argv)
    define_flags()
    if not {"--help", "-h"}.isdisjoint(argv):
        print(__doc__)
        for name in FLAG_NAMES:
            print(f"  --{name}: {FLAGS[name].help}")
        sys.exit(0)
    logging.set_verbosity(logging.INFO)
    python_logging.getLogger("jax").setLevel(python_logging.WARNING)
    # It repeats, at the end, what went wrong in each of several writes at once.
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


def run(config: ConfigDict) -> int:
    """Runs the mode that the flags name; the exit status."""
    try:
        set_up_jax(config)
        join_the_others(config)
        MODES[FLAGS.mode](config, FLAGS)
        distributed.finish()
    except (ConfigError, ClusterError, DeviceError) as error:
        status = _report(error, 2)
        distributed.fail(error, status)
    except (OSError, ValueError, RuntimeError, FloatingPointError) as error:
        status = _report(error, 1)
        distributed.fail(error, status)
    except BaseException as error:
        distributed.fail(error)
        raise
    else:
        status = 0
    return status


def set_up_jax(config: ConfigDict) -> None:
    """What the config says of JAX itself."""
    import jax

    precision = config.get("matmul_precision", "default")
    if precision not in PRECISIONS:
        raise ConfigError(
            f"config.matmul_precision is {precision!r}, expected {', '.join(PRECISIONS)}"
        )
    if precision != "default":
        jax.config.update("jax_default_matmul_precision", precision)
    if config.get("compilation_cache"):
        jax.config.update("jax_compilation_cache_dir", config.compilation_cache)


def join_the_others(config: ConfigDict) -> None:
    """Connects this process to the others of a run, if the flags or the environment say so."""
    place = find_place(FLAGS.coordinator, FLAGS.process_id, FLAGS.num_processes)
    if place is not None and FLAGS.mode not in IN_MANY_PROCESSES and place.cluster != TPU_VM:
        raise ConfigError(
            f"--mode={FLAGS.mode} runs in one process, and {place.cluster} started several: start "
            "it once, with --num_processes=1 --process_id=0 --coordinator=localhost:1"
        )
    if place is None or FLAGS.mode not in IN_MANY_PROCESSES:
        if FLAGS.mode in ON_DEVICES:
            require_devices()
        return
    watchdog = distributed.WATCHDOG_SECONDS
    if "train" in config:
        watchdog = config.train.watchdog_seconds
    distributed.start(
        place, seconds=FLAGS.meeting_seconds, watchdog=watchdog,
        folder=os.path.join(FLAGS.workdir, "processes") if FLAGS.workdir else None,
    )
    if not distributed.first():  # the others would only repeat the messages of the first
        logging.set_verbosity(logging.WARNING)


def run_in_turn(specs: Sequence[str], argv: Sequence[str]) -> int:
    """This command for one config after the other, until one fails; the exit status.

    Raises ConfigError, before the first begins, for a config that does not exist and for two of the
    same name, whose results would share a folder.
    """
    names = [load_config(spec).name for spec in specs]
    if len(set(names)) < len(names):
        raise ConfigError(f"--config: two of {', '.join(names)} have the same name and folder")
    workdirs, arguments = take_flag("workdir", argv[1:])
    for spec, name in zip(specs, names, strict=True):
        workdir = [f"--workdir={os.path.join(workdirs[-1], name)}"] if workdirs else []
        command = [sys.executable, "-m", "slowfast_jax.main", f"--config={spec}"]
        status = subprocess.run([*command, *arguments, *workdir]).returncode
        if status:
            return status
    return 0


def _is_ours(record: python_logging.LogRecord) -> bool:
    """Whether a log line is worth showing: Orbax tells every step of a save, and logs an error
    with all that led to it, several times, before it raises it."""
    return "orbax" not in record.pathname


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Shows errors in threads that nobody can catch, but those of the writes of a checkpoint that
    failed: whichever ends after the first that fails finds the event loop of them all closed."""
    if "Event loop is closed" not in str(unraisable.exc_value):
        sys.__unraisablehook__(unraisable)


def _report(error: Exception, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    malloc.restart_with_settings()
    cli()
