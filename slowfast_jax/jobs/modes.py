"""The modes of the command: what `--mode` runs, given the config and the flags."""

import json
import os
import sys

from absl import flags
from ml_collections import ConfigDict

from data_pipelines.text_files import counted
from slowfast_jax import distributed
from slowfast_jax.config import ConfigError, build_model, describe
from slowfast_jax.config.problems import Problems


def train(config: ConfigDict, options: flags.FlagValues) -> None:
    """Trains; tests the result unless the run was interrupted."""
    from slowfast_jax.train import train as run

    problems = []
    if not options.workdir:
        problems.append("--mode=train needs --workdir, the folder for its checkpoints")
    if options.weights:
        problems.append(
            "--weights is for --mode=eval; to train from weights, set "
            "--config.train.init_from.path"
        )
    _refuse(problems, config, options)
    if run(config, options.workdir, then_test=True):
        config.test.checkpoint = ""  # test what was trained, not the weights that the recipe names
        test(config, options)


def evaluate(config: ConfigDict, options: flags.FlagValues) -> int:
    """Tests; returns the exit status: 1 if examples failed, unless --allow_failed is given."""
    if options.scores:
        from slowfast_jax.evaluate import combine

        print(json.dumps(combine(config, options.scores, options.workdir)), flush=True)
        return 0
    return _status_of(test(config, options), options)


def reproduce(config: ConfigDict, options: flags.FlagValues) -> int:
    """Tests the checkpoints of --zoo; returns the exit status, as `evaluate`."""
    from slowfast_jax.jobs.reproduce import reproduce as run

    outcomes = run(
        options.zoo, options["config"].override_values, options.workdir, options.weights,
        save_scores=options.save_scores, backend=options.backend,
    )
    return _status_of(max(len(outcome.results["failed"]) for outcome in outcomes), options)


def _refuse(lines: list[str], config: ConfigDict, options: flags.FlagValues) -> None:
    """Raises an error with these problems, if there are any, and with all others of the run."""
    from slowfast_jax.loop.preflight import note_problems

    problems = Problems()
    with problems.noted():
        if lines:
            raise ConfigError(*lines)
    if problems:
        note_problems(problems, config, options.mode, options.workdir, options.weights)
    problems.report()


def _status_of(failed: int, options: flags.FlagValues) -> int:
    """The exit status of a test in which `failed` examples could not be read."""
    if not failed or options.allow_failed:
        return 0
    if distributed.first():
        examples = counted(failed, "example")
        print(f"error: {examples} of the test set could not be read, as logged above; the metrics "
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
    from slowfast_jax.training.checkpoint import latest_checkpoint
    from slowfast_jax.visualize.tensorboard import add_figures, check_figures

    check_figures(config)

    weights = options.weights or config.test.checkpoint
    if not weights and options.workdir:
        weights = latest_checkpoint(options.workdir)
    failed = 0
    for clips in options.clips or [config.protocol.clips]:
        config.protocol.clips = int(clips)
        workdir = options.workdir
        if options.clips and workdir:
            workdir = os.path.join(workdir, f"clips{clips}")
        results = run(
            config, workdir, weights, save_scores=options.save_scores, backend=options.backend
        )
        failed = max(failed, len(results["failed"]))
        if distributed.first():
            print(json.dumps(printed(results)), flush=True)
            if workdir:
                add_figures(config, workdir)
    return failed


def extract(config: ConfigDict, options: flags.FlagValues) -> int:
    """Extracts features; returns the exit status: 1 if videos failed, unless --allow_failed is
    given."""
    from slowfast_jax.inference.features import Options
    from slowfast_jax.jobs.extract import Shard
    from slowfast_jax.jobs.extract import extract as run

    if not options.workdir:
        _refuse(["--mode=extract needs --workdir, the folder for the features"], config, options)
    wanted = Options(options.endpoint, options.window, options.stride, options.whole)
    shard = Shard(*map(int, options.shard.split("/")))
    done = run(
        config, options.workdir, options.weights, wanted, shard, backend=options.backend
    )
    if not distributed.first():
        return 0
    print(json.dumps(done), flush=True)
    failed = done["videos_failed"] if not options.allow_failed else 0
    if failed:
        print(f"error: {counted(failed, 'video')} could not be read, as logged above and listed in "
              f"{options.workdir}; to exit with 0 nevertheless, add --allow_failed",
              file=sys.stderr)
    return int(failed > 0)


def report(config: ConfigDict, options: flags.FlagValues) -> None:
    """Writes report.html and annotated.mp4 on the last test in --workdir; prints its path and main
    metric as JSON."""
    from slowfast_jax.report.comparison import compare, comparison_html
    from slowfast_jax.report.html import write_report
    from slowfast_jax.report.items import read_results
    from slowfast_jax.tasks import make_task

    if not options.workdir:
        raise ConfigError("--mode=report needs --workdir, the folder of the run to report on")
    if options.weights:
        raise ConfigError("--weights is for --mode=eval; a report shows the last test in --workdir")
    task = make_task(config)
    headline = task.headline
    shown = task.report(options.workdir)
    if options.compare:
        earlier, later = (read_results(folder) for folder in (options.compare, options.workdir))
        names = os.path.normpath(options.compare), os.path.normpath(options.workdir)
        shown["comparison"] = comparison_html(
            compare(earlier, later), names, shown["class_names"]
        )
    path = write_report(options.workdir, headline=headline, **shown)
    results = json.loads(path.with_name("results.json").read_text(encoding="utf-8"))
    value = results["metrics"][headline]
    rounded = round(value, 2) if isinstance(value, float) else value
    print(json.dumps({"report": str(path), headline: rounded}), flush=True)


def show_config(config: ConfigDict, options: flags.FlagValues) -> None:
    """Prints the name of the config, and every field with its value and meaning."""
    print(config.name)
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
    "train": train, "eval": evaluate, "extract": extract, "reproduce": reproduce, "report": report,
    "config": show_config, "summary": summary, "bench_data": bench_data, "compile": compile_ahead,
}
