"""The commands as programs: names, one-line errors, the version, Ctrl-C."""

import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from data_pipelines import command
from data_pipelines.doctor import __main__ as doctor
from data_pipelines.prepare import __main__ as prepare
from tests.data_pipelines.video.test_extracting import write
from tests.support.paths import ROOT

CLIS = {"prepare": prepare.cli, "doctor": doctor.cli}


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("name", CLIS)
def test_usage_names_the_command_that_was_called(name, monkeypatch, capsys):
    for called, shown in (
        (f"/venv/bin/slowfast-jax-{name}", f"slowfast-jax-{name}"),
        (f"{ROOT}/data_pipelines/{name}/__main__.py", f"python -m data_pipelines.{name}"),
    ):
        monkeypatch.setattr(sys, "argv", [called])
        with pytest.raises(SystemExit):
            CLIS[name](["--help"])
        assert " ".join(capsys.readouterr().out.split()).startswith(f"usage: {shown} [-h]")


def test_installed_scripts_lead_to_the_commands():
    found = re.findall(
        r'"slowfast-jax-(\w+)=(data_pipelines[\w.]+):(\w+)"', (ROOT / "setup.py").read_text()
    )
    assert [name for name, *_ in found] == list(CLIS)
    for name, module, function in found:
        assert module == CLIS[name].__module__
        assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", CLIS)
def test_version(name, monkeypatch, capsys):
    monkeypatch.setattr(command.metadata, "version", lambda package: "1.2.3")
    with pytest.raises(SystemExit) as end:
        CLIS[name](["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == "slowfast_jax 1.2.3\n"


@pytest.mark.parametrize(("name", "arguments", "message"), [
    ("prepare", [], "the following arguments are required: KIND"),
    ("prepare", ["owm", "OUT"], "invalid choice: 'owm'"),
    ("prepare", ["own", "OUT"], "required: --videos"),
    ("prepare", ["own", "OUT", "--video", "V", "--videos", "V"], "--video V (perhaps --videos)"),
    ("prepare", ["own", "OUT", "--videos", "V", "--short-sid=3"], "(perhaps --short-side)"),
    ("prepare", ["own", "OUT", "--videos", "V", "--short-side", "x"], "'x'; expected a whole num"),
    ("prepare", ["own", "OUT", "--videos", "V", "--every", "-1"], "expected a number above 0"),
    ("doctor", [], "the following arguments are required: DATA"),
    ("doctor", ["a.csv", "--clases", "3"], "(perhaps --classes)"),
])
def test_wrong_flags_take_one_line(name, arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        CLIS[name](arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2 and message in error
    assert error.startswith("error: ") and error.count("\n") == 1 and "--help" in error


@pytest.mark.parametrize("kind", ["own", "kinetics", "ava", "charades"])
@pytest.mark.parametrize(("place", "message"), [
    ("none", "none: no such"), ("file", "file: is a file; expected a folder of videos"),
    ("empty", "empty: contains no videos"),
])
def test_wrong_folders_take_one_line(tmp_path, capsys, kind, place, message):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for split in ("train", "test"):
        (tmp_path / f"Charades_v1_{split}.csv").write_text("id,actions\nA,\n")
    options = {
        "ava": ["--films"], "charades": ["--annotations", str(tmp_path), "--videos"],
    }.get(kind, ["--videos"])
    status = prepare.cli([kind, str(tmp_path / "out"), *options, str(tmp_path / place)])
    error = capsys.readouterr().err
    assert status == 2 and message in error and error.count("\n") == 1


def test_an_interrupted_preparation_says_what_is_done_and_goes_on(tmp_path):
    for label in ("jump", "run"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for number in range(3):
            write(tmp_path / "mine" / label / f"{number}.mp4", 30)
    write(tmp_path / "mine/run/9.mp4", 15_000)  # takes long
    shutil.copy(tmp_path / "mine/run/9.mp4", tmp_path / "mine/jump/9.mp4")
    process = start(
        "data_pipelines.prepare", "own", tmp_path / "out", "--videos", tmp_path / "mine"
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/videos/*/*/.*.part")) and time.monotonic() < deadline:
        time.sleep(0.02)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130 and time.monotonic() - begin < 5
    assert re.search(  # train may be complete by then
        r"\ninterrupted: encoding (train|val|test): \d of \d done; finished files are kept; run "
        r"the same command again to continue\n$", error
    ), error
    for label in ("jump", "run"):
        (tmp_path / "mine" / label / "9.mp4").unlink()
    assert prepare.cli(["own", str(tmp_path / "out"), "--videos", str(tmp_path / "mine")]) == 0


def test_a_reader_that_stops_ends_the_command_quietly(tmp_path):
    (tmp_path / "list.csv").write_text("".join(f"none{n}.mp4 0\n" for n in range(3000)))
    process = start("data_pipelines.doctor", tmp_path / "list.csv")
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait() == 1 and "Traceback" not in error and "Broken pipe" not in error


def test_errors_of_the_system_are_explained(tmp_path):
    with pytest.raises(OSError) as error:
        open(tmp_path / "none")
    assert command.explain(error.value) == f"{tmp_path / 'none'}: No such file or directory"
    assert command.explain(ValueError("text")) == "text"
