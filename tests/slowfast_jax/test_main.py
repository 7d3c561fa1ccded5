import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

import slowfast_jax
from data_pipelines.mini import datasets
from slowfast_jax import main
from slowfast_jax.command_line import as_flags
from slowfast_jax.config import ConfigError, build_model
from slowfast_jax.jobs import modes, several_configs
from slowfast_jax.models import zoo
from slowfast_jax.training.checkpoint import save_checkpoint
from slowfast_jax.training.writers import read_metrics
from slowfast_jax.weights import describe, initial_variables
from tests.support.paths import REAL, ROOT, needs_real
from tests.support.tiny_models import norm_entry, training_config

CONFIG = "--config=kinetics/mini"


def parse(*arguments):
    values = flags.FlagValues()
    main.define_flags(values)
    return main.parse(["main", *arguments], values)[0], values


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "slowfast_jax.main", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )


def test_config_flag_in_both_spellings_and_any_position():
    for arguments in (
        [CONFIG, "--config.test.batch_size=3"],
        ["--config", "kinetics/mini", "--config.test.batch_size", "3"],
        ["--config.test.batch_size=3", "-config=kinetics/mini"],
    ):
        config, _ = parse(*arguments)
        assert config.name == "kinetics/mini" and config.test.batch_size == 3


def test_overrides_have_the_types_of_the_config():
    config, values = parse(
        CONFIG, "--config.protocol.mean=(0.1,0.2,0.3)", "--config.protocol.target_fps=25",
        "--config.data.multi_label", "--config.model.average=logits", "--workdir=w", "--mode=eval",
    )
    assert config.protocol.mean == (0.1, 0.2, 0.3) and config.protocol.target_fps == 25.0
    assert config.data.multi_label is True and config.model.average == "logits"
    assert values.workdir == "w"


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "--config is missing"),
    (["--config"], "--config is missing"),
    (["--config=kinetics/mimi"], "did you mean kinetics/mini"),
    ([CONFIG, "--config.test.batchsize=3"], r"batchsize does not exist; did you mean batch_size"),
    ([CONFIG, '--config.data.train_gt_box_lists=("bad.csv",)'],
     r"train_gt_box_lists does not exist here: it is for config\.data\.format=ava \(config\.data"),
    ([CONFIG, "--mode=eval", "--config.data.dummy=1"], "dummy does not exist here: it is for trai"),
    ([CONFIG, "--config.tset.batch_size=3"], r"did you mean test.*config has .*protocol"),
    (["--config=configs/kinetics.py:x3d_xs", "--config.schedule.scale_lr_by_hosts=False"],
     r"--config\.schedule\.scale_lr_by_hosts no longer exists: .*reference_batch"),
    ([CONFIG, "--config.test.batch_size.x=3"], "config.test.batch_size is a value, not a section"),
    ([CONFIG, "--config.test.batch_size=two"], r"batch_size is two, expected a whole number"),
    ([CONFIG, "--config.protocol.mean=1,2,a"], r"mean is \('1,2,a',\), expected something like"),
    ([CONFIG, "--config.model.name=kinetics/x3d_s"], "or --config=kinetics/x3d_s"),
    ([CONFIG, "--modus=eval"], "'modus'. Did you mean: mode"),
    ([CONFIG, "--mode=evla"], "--mode=evla does not exist; did you mean eval"),
    ([CONFIG, "--mode=trian"], "did you mean train"),
    ([CONFIG, "--clips=1,x"], "--clips has 'x'"),
    ([CONFIG, "video.mp4"], "video.mp4 is not a flag"),
])
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        parse(*arguments)


def answers(*arguments):
    """The problems that the command reports, for arguments of which some are wrong."""
    with pytest.raises(main.WrongArguments) as caught:
        parse(*arguments)
    head, *lines = str(main._with_other_problems(caught.value)).splitlines()
    assert not lines or head == f"{len(lines)} problems:"
    return [line.removeprefix("  - ") for line in lines] or [head]


@pytest.mark.parametrize("wrong", [
    ["--config.train.epochs=three"], ["--config.train.epoch=3"], ["--config.data.random_flip=7"],
    ["--wrokdir=w"], ["--mode=train", "--clips=x"], ["--mode=eval", "--config.test.batchsize=3"],
    ["--mode=eval", "--config.protocol.crops=7"], ["--mode=extract", "--shard=8/8"],
    ["--mode=train", "--zoo=kinetics/x3d_m"], ["--config.train.batch_size=0"],
], ids=" ".join)
def test_wrong_flags_and_wrong_data_are_in_one_list(tmp_path, wrong):
    (tmp_path / "file").write_text("")
    found = answers(
        "--config=kinetics/x3d_xs_finetune", f"--config.data.root={tmp_path}",
        f"--workdir={tmp_path}/file/run", "--config.model.num_classes=3", *wrong,
    )
    trains = not {"--mode=eval", "--mode=extract"} & {*wrong}
    for text in ("train.csv", "val.csv") if trains else ():
        assert sum(f"/{text}: no such list" in line for line in found) == 1, found
    for text in ("/test.csv: no such list", "file/run cannot be written to"):
        assert sum(text in line for line in found) == 1, found
    assert sum(wrong[-1].partition("=")[0].strip("-").split(".")[-1] in line for line in found) == 1


@pytest.mark.parametrize("wrong", [
    "--config.data.rot=nowhere", "--config.data.xyz=nowhere", "--config.data.format=nonsense",
    "--config.model.num_classes=three", "--config.dta.root=nowhere", "--mode=evla",
])
def test_checks_that_need_a_wrong_flag_are_left_out(tmp_path, wrong):
    root = [f"--config.data.root={tmp_path}/gone"] if "nowhere" not in wrong else []
    (line,) = answers("--config=kinetics/x3d_xs", "--mode=eval", "--weights=random", wrong, *root)
    assert wrong.partition("=")[0].removesuffix(".root") in as_flags(line)


def test_generated_data_is_not_made_for_wrong_flags(tmp_path):
    found = answers(CONFIG, f"--workdir={tmp_path}/run", "--config.train.epochs=0")
    assert len(found) == 1 and not (tmp_path / "run").exists()


def test_the_command_exits_with_2_and_one_line():
    result = run("--config=configs/kinetics.py:x3d_sx", "--mode=eval")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and "x3d_xs" in result.stderr
    assert result.stderr.count("\n") == 1


def test_mode_config_prints_every_field_with_value_and_meaning(capsys):
    config, values = parse(CONFIG, "--mode=config", "--config.train.epochs=5")
    modes.MODES["config"](config, values)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == config.name
    at = lines.index("--config.train.epochs=5")
    assert lines[at + 1 : at + 3] == [
        "    (set by a flag; default: 196; expected: 1..100000)", "    Length of the training."
    ]
    assert "--config.model.width=8" in lines and "--config.protocol.crops=1" in lines


def test_errors_name_the_flags(capsys):
    error = ConfigError("config.train.epochs is 0", "config.test.batch_size is 0")
    assert main._report(error, 2) == 2
    text = capsys.readouterr().err
    assert text == "error: --config.train.epochs is 0\n--config.test.batch_size is 0\n"


def test_summary_prints_the_size_of_the_network():
    result = run("--config", "configs/kinetics.py:x3d_xs", "--mode", "summary")
    assert result.returncode == 0, result.stderr
    assert "3,794,322" in result.stdout and "head" in result.stdout


def test_several_configs_run_in_turn():
    result = run("--config=kinetics/mini", "--mode=summary", "--config", "kinetics/x3d_xs")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines.index("kinetics/mini") < lines.index("kinetics/x3d_xs")


def test_each_config_has_its_own_folder(monkeypatch):
    commands = []

    def ran(command):
        commands.append(command[3:])
        return 3 if "x3d_s" in command[3] else 0, False

    monkeypatch.setattr(several_configs, "_run_alone", ran)
    specs = ["kinetics/mini", "kinetics/x3d_s", "kinetics/x3d_xs"]
    argv = ["main", "--workdir", "runs", "--config.test.batch_size=3"]
    assert several_configs.run_in_turn(specs, argv) == 3
    override = "--config.test.batch_size=3"
    assert commands == [
        [f"--config={spec}", override, f"--workdir={os.path.join('runs', spec)}"]
        for spec in specs[:2]
    ]
    with pytest.raises(ConfigError, match="did you mean kinetics/mini"):
        several_configs.run_in_turn(["kinetics/mini", "kinetics/mimi"], argv)
    with pytest.raises(ConfigError, match="the same name, so their results would share a folder"):
        several_configs.run_in_turn(["kinetics/mini", "kinetics/mini"], argv)
    assert len(commands) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_config_of_several_is_left_time_to_save(number):
    """Ctrl-C comes to both processes from the terminal; SIGTERM only to the first."""
    code = "import signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    code += "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    code += "import os; os.kill(os.getppid(), int(sys.argv[1])); time.sleep(1)"
    status = 7 if number == signal.SIGTERM else 0
    command = [sys.executable, "-c", code, str(int(number))]
    assert several_configs._run_alone(command) == (status, True)


@pytest.mark.parametrize(("mode", "moment", "line"), [
    ("compile", "compiling the train step", "interrupted"),
    ("bench_data", "timing the whole pipeline", "interrupted"),
    ("eval", "running on", "interrupted; the results of this test were not written"),
    ("extract", "this process extracts", "interrupted; the videos that are done have their files; "
     "the same command continues"),
])
def test_ctrl_c_is_one_line_and_status_130(mode, moment, line, colors, tmp_path):
    save_checkpoint(tmp_path / "weights", *_weights(colors))
    # The tiny network could be compiled before the signal arrives.
    config = "kinetics/x3d_xs" if mode == "compile" else "tests/recipes/tiny.py"
    process = subprocess.Popen(
        [sys.executable, "-m", "slowfast_jax.main", f"--config={config}",
         f"--mode={mode}", f"--config.data.root={colors}", f"--config.data.path_prefix={colors}",
         "--config.target=cpu:1", f"--config.test.checkpoint={tmp_path / 'weights'}",
         *([f"--workdir={tmp_path / 'run'}"] if mode == "extract" else [])],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "SLOWFAST_JAX_CACHE": str(tmp_path / "cache")},
    )
    lines = iter(process.stderr.readline, "")
    assert any(moment in text for text in lines), process.wait()
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=100)
    assert process.returncode == 130 and out == ""
    assert errors.splitlines()[-1] == line and "Traceback" not in errors


def _weights(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.ZOO, "test/tiny_norm", norm_entry())
        config = training_config(data)
        return initial_variables(build_model(config), 0), describe(config, list("abcd"))


def test_the_version():
    result = run("--version")
    assert result.stdout == f"slowfast_jax {slowfast_jax.__version__}\n"
    result = run("--help")
    assert result.stdout.startswith("usage: python -m slowfast_jax.main --config CONFIG")


def test_problems_are_listed_with_status_2(tmp_path):
    where = ["--config=tests/recipes/tiny.py", "--config.data.root=nowhere"]
    result = run(*where, "--mode=eval", "--weights=random")
    assert result.returncode == 2
    begun, error = result.stderr.splitlines()
    assert begun.endswith("tiny: checking the settings, lists and weights")
    assert error.startswith(
        "error: --config.data.root is 'nowhere', and there is no such folder in /"
    )
    where[1] = f"--config.data.root={tmp_path}"
    result = run(*where, f"--workdir={tmp_path}", "--config.train.init_from.path=gone.pyth")
    assert result.returncode == 2
    begun, head, *lines = result.stderr.splitlines()
    assert begun.endswith("tiny: checking the settings, lists and weights")
    assert head == "error: 4 problems:"
    for line, text in zip(
        lines, ("train.csv", "val.csv", "test.csv", "weights gone.pyth: no such file"), strict=True
    ):
        assert line.startswith("  - ") and text in line


def test_a_missing_folder_hides_no_other_problem(tmp_path):
    result = run("--config=kinetics/x3d_xs_finetune", "--config.data.root=nowhere",
                 f"--workdir={tmp_path}", "--config.train.init_from.path=gone.pyth",
                 "--config.train.epochs=1")
    lines = result.stderr.splitlines()[2:]
    assert result.returncode == 2 and "classes.txt" not in result.stderr
    for text in ("'nowhere'", "gone.pyth, which does not exist", "warmup_epochs"):
        assert sum(text in line for line in lines) == 1, result.stderr


def test_the_mini_recipe_generates_its_data_and_runs(tmp_path):
    result = run("--config=configs/kinetics.py:mini", f"--workdir={tmp_path}", "--mode=eval",
                 "--weights=random")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed["videos_used"] == 8 and printed["views"] == "2x1"
    results = json.loads((tmp_path / "results.json").read_text())
    assert round(results["metrics"]["top1_acc"], 2) == printed["top1_acc"]
    assert set(results["metrics"]["per_class_acc"]) == set(datasets.CLASS_NAMES)
    assert (tmp_path / "kinetics_mini/test.csv").is_file()
    assert "random" in result.stderr and "testing: 8/8" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [
    "ssv2.py:mini", "charades.py:mini", "imagenet.py:mini", "kinetics.py:mini_mvit",
    "imagenet.py:mini_mvit",
])
def test_the_other_mini_recipes_generate_data_train_and_test(tmp_path, recipe):
    result = run(f"--config=configs/{recipe}", f"--workdir={tmp_path}")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert read_metrics(tmp_path)[-1]["epoch"] >= 2
    assert printed["videos_used"] == printed["videos_listed"] and printed["videos_failed"] == 0
    assert 0 < printed["map" if recipe == "charades.py:mini" else "top1_acc"] <= 100


def test_eval_tests_each_number_of_clips(tiny, tmp_path, capsys):
    datasets.write_videos(tmp_path, count=2, seed=0, frames=12, height=40, width=48)
    config, values = parse(
        "--config=test/tiny", f"--workdir={tmp_path}", "--clips=1,3", "--weights=random",
        f"--config.data.root={tmp_path}", f"--config.data.path_prefix={tmp_path}",
    )
    assert modes.evaluate(config, values) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["views"] for line in printed] == ["1x3", "3x3"]
    results = json.loads((tmp_path / "clips3/results.json").read_text())
    assert results["fingerprint"]["protocol"]["clips"] == 3


def test_eval_fails_if_a_video_failed(tiny, tmp_path, capsys):
    datasets.write_videos(tmp_path, count=3, seed=0, frames=12, height=40, width=48)
    (tmp_path / "videos/001.mp4").write_text("no video")
    arguments = [
        "--config=test/tiny", f"--workdir={tmp_path / 'run'}", "--weights=random",
        f"--config.data.root={tmp_path}", f"--config.data.path_prefix={tmp_path}",
    ]
    assert modes.evaluate(*parse(*arguments)) == 1
    out, err = capsys.readouterr()
    printed = json.loads(out)
    assert printed["videos_listed"] == 3 and printed["videos_failed"] == 1
    assert err.splitlines()[-1].startswith("error: 1 example of the test set could not")
    assert (tmp_path / "run/results.json").is_file()
    assert modes.evaluate(*parse(*arguments, "--allow_failed")) == 0
    assert "error: " not in capsys.readouterr().err


@needs_real
@pytest.mark.slow
def test_real_videos_equal_the_original(tmp_path):
    expected = json.loads((REAL / "expected.json").read_text())
    views = np.load(REAL / "view_probs.npz")
    rows = [f"{name} {video['top5'][0][1]}\n" for name, video in expected.items()]
    (tmp_path / "test.csv").write_text("".join(rows) + "lost.mp4 0\n")
    result = run(
        "--config=configs/kinetics.py:x3d_xs", "--mode=eval", f"--workdir={tmp_path}",
        f"--weights={REAL / 'weights/X3D_XS_k400_pyslowfast.pyth'}", "--save_scores",
        "--allow_failed",
        f"--config.data.root={tmp_path}", f"--config.data.path_prefix={REAL / 'videos'}",
    )
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed["top1_acc"] == 100 and printed["videos_failed"] == 1
    saved = np.load(tmp_path / "scores.npz")
    for name, scores in zip(expected, saved["scores"], strict=True):
        average = views[name].reshape(30, 400).mean(0)
        np.testing.assert_allclose(scores, average, atol=0.006, err_msg=name)
