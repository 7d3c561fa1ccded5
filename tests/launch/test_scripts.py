"""The launch scripts, run with stand-ins for the programs that they call."""

import os
import re
import signal
import subprocess
import time

import pytest
import yaml

from tests.support.paths import ROOT

LAUNCH = ROOT / "launch"
# The stand-ins append their arguments to the file `calls`.
GCLOUD = """
echo "$@" >> calls
case "$*" in
  *describe*) cat state ;;
  *create*) echo READY > state ;;
  *delete*) echo NONE > state ;;
  *"tpu-vm scp"*) tar tzf "$5" > archive ;;
  *slowfast_jax.main*)
    if [ -e preempt ]; then rm preempt; echo PREEMPTED > state; exit 1; fi
    exit "$(cat status)" ;;
esac
"""
SRUN = """
echo "$@" >> calls
trap 'echo saved >> calls; exit 0' TERM
echo $$ > srun.pid
for _ in $(seq 100); do sleep 0.1; done
exit 3
"""


def stand_in(folder, **programs):
    for name, text in programs.items():
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\ncd {folder}\n{text}")
        path.chmod(0o755)
    return os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


def calls(folder, word):
    return [line for line in (folder / "calls").read_text().splitlines() if word in line]


@pytest.mark.parametrize("name", ["tpu_pod.sh", "slurm.sbatch"])
def test_the_scripts_are_valid_bash_and_print_their_usage(name, tmp_path):
    subprocess.run(["bash", "-n", LAUNCH / name], check=True)
    environment = os.environ | {"NAME": "n", "ZONE": "z", "TYPE": "t"}
    result = subprocess.run(
        ["bash", LAUNCH / name], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 2 and "usage:" in result.stderr


def run_on_tpu(folder, **files):
    for name, text in files.items():
        (folder / name).write_text(text)
    environment = stand_in(folder, gcloud=GCLOUD) | {
        "NAME": "sf", "ZONE": "z", "TYPE": "v5litepod-16", "RETRY": "0",
    }
    return subprocess.run(
        ["bash", LAUNCH / "tpu_pod.sh", "--config", "a b"], env=environment, text=True,
        capture_output=True,
    )


def test_a_tpu_slice_is_created_and_used(tmp_path):
    result = run_on_tpu(tmp_path, state="NONE", status="0")
    assert result.returncode == 0, result.stderr
    assert len(calls(tmp_path, "create")) == 1 and not calls(tmp_path, "delete")
    (command,) = calls(tmp_path, "slowfast_jax.main")
    assert r"--config a\ b" in command and "--worker all" in command
    (copy,) = calls(tmp_path, "tpu-vm scp")
    assert re.search(r"scp /\S+\.tar\.gz sf:slowfast_jax\.tar\.gz --zone z --worker all", copy)
    files = (tmp_path / "archive").read_text().splitlines()
    assert {"setup.py", "slowfast_jax/main.py", "configs/ava.py"} <= set(files)
    assert not any("__pycache__" in file for file in files)


def test_a_preempted_tpu_slice_is_created_again(tmp_path):
    result = run_on_tpu(tmp_path, state="READY", status="0", preempt="")
    assert result.returncode == 0, result.stderr
    assert len(calls(tmp_path, "delete")) == len(calls(tmp_path, "create")) == 1
    assert len(calls(tmp_path, "slowfast_jax.main")) == 2


def test_a_failed_run_on_a_tpu_is_not_retried(tmp_path):
    result = run_on_tpu(tmp_path, state="READY", status="7")
    assert result.returncode == 7 and "the slice was not preempted" in result.stderr
    assert len(calls(tmp_path, "slowfast_jax.main")) == 1


def test_a_slurm_job_saves_and_is_requeued(tmp_path):
    environment = stand_in(
        tmp_path, srun=SRUN, scancel='echo "scancel $@" >> calls; kill -TERM "$(cat srun.pid)"',
        scontrol='echo "scontrol $@" >> calls',
    ) | {"SLURM_JOB_ID": "17"}
    job = subprocess.Popen(
        ["bash", LAUNCH / "slurm.sbatch", "--config", "c"], env=environment
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "srun.pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    assert job.wait(30) == 0
    lines = (tmp_path / "calls").read_text().splitlines()
    assert lines[0].endswith("python -u -m slowfast_jax.main --config c")
    assert lines[1:] == ["scancel --signal=TERM 17.0", "saved", "scontrol requeue 17"]


def pod():
    jobs = yaml.safe_load((LAUNCH / "k8s.yaml").read_text())["spec"]["replicatedJobs"]
    return jobs[0]["template"]["spec"]


def test_the_jobset_states_one_number_of_processes_everywhere():
    job = pod()
    (container,) = job["template"]["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert variables["JAX_NUM_PROCESSES"] == str(job["parallelism"]) == str(job["completions"])
    assert variables["JAX_COORDINATOR_ADDRESS"] == "slowfast-train-0-0.slowfast:8476"
    assert job["completionMode"] == "Indexed"


@pytest.mark.parametrize(("program", "done", "status"), [
    ("exit 0", True, 0), ("exit 0", False, 1), ("exit 5", False, 5),
    ("trap 'exit 0' TERM; kill -TERM $PPID; for _ in 1 2 3 4 5 6; do sleep 0.1; done; exit 9",
     False, 1),
])
def test_a_pod_fails_unless_its_run_is_complete(tmp_path, program, done, status):
    (container,) = pod()["template"]["spec"]["containers"]
    command = [word.replace("/data/RUN", str(tmp_path)) for word in container["command"]]
    if done:
        (tmp_path / "results.json").touch()
    environment = stand_in(tmp_path, python=f'echo "$@" >> calls\n{program}')
    result = subprocess.run([*command, *container["args"]], env=environment)
    assert result.returncode == status
    assert calls(tmp_path, f"--workdir={tmp_path} --config=configs/kinetics.py")
