"""Rank and number of processes, from flags, environment variables and clusters."""

import pytest

from slowfast_jax.distributed import cluster_env
from slowfast_jax.distributed.cluster_env import ClusterError, Place, find_place

SLURM = {
    "SLURM_JOB_ID": "5000", "SLURM_STEP_NODELIST": "gpu[07-09,12],cpu1", "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "16",
}
JAX = {
    "JAX_COORDINATOR_ADDRESS": "10.0.0.1:8476", "JAX_PROCESS_ID": "1", "JAX_NUM_PROCESSES": "4",
}
KUBERNETES = {k: v for k, v in JAX.items() if k != "JAX_PROCESS_ID"} | {
    "JOB_COMPLETION_INDEX": "2", "KUBERNETES_SERVICE_HOST": "10.1.0.1",
}
TPU = {"TPU_WORKER_HOSTNAMES": "t-0,t-1,t-2,t-3", "TPU_WORKER_ID": "2"}
SLICES = TPU | {
    "MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1",
    "MEGASCALE_COORDINATOR_ADDRESS": "s-0:8080",
}

MPI = {"OMPI_MCA_orte_hnp_uri": "4096.0;tcp://10.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "4"}


@pytest.fixture(autouse=True)
def no_tpu(monkeypatch):
    monkeypatch.setattr(cluster_env.glob, "glob", lambda pattern: [])


@pytest.mark.parametrize(("environment", "expected"), [
    ({}, None),
    (JAX, Place("environment", "10.0.0.1:8476", 1, 4)),
    (JAX | SLURM, Place("environment", "10.0.0.1:8476", 1, 4)),
    (JAX | {"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}, None),
    (KUBERNETES, Place("Kubernetes", "10.0.0.1:8476", 2, 4)),
    ({"JOB_COMPLETION_INDEX": "2", "KUBERNETES_SERVICE_HOST": "10.1.0.1"}, None),
    (SLURM, Place("SLURM")),
    (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, None),
    ({"SLURM_JOB_ID": "5000", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, None),  # the batch script
    (TPU, Place("TPU pod")),
    (SLICES, Place("TPU pod")),
    (MPI, Place("Open MPI")),
    (MPI | {"OMPI_COMM_WORLD_SIZE": "1"}, None),
    ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, None),
])
def test_place_from_the_environment(environment, expected):
    assert find_place(environment=environment) == expected


def test_flags_precede_the_environment():
    place = find_place("[::1]:70", 0, 2, environment=SLURM)
    assert place == Place("flags", "[::1]:70", 0, 2)


@pytest.mark.parametrize(("flags", "message"), [
    (("h:1", None, None), "--coordinator without --process_id, --num_processes: a multi-process"),
    ((None, 0, 2), "--process_id, --num_processes without --coordinator: a multi-process"),
    (("h", 0, 2), "--coordinator is 'h', expected host:port of process 0"),
    (("h:0", 0, 2), "--coordinator is 'h:0'"),
    (("h:99999", 0, 2), "--coordinator is 'h:99999'"),
    (("h:1", 2, 2), r"--process_id is 2, expected 0..1 for 2 processes \(--num_processes\)"),
    (("h:1", -1, 2), "--process_id is -1"),
    (("h:1", 0, 0), "--num_processes is 0, expected at least 1"),
])
def test_invalid_flags(flags, message):
    with pytest.raises(ClusterError, match=message):
        find_place(*flags, environment={})


@pytest.mark.parametrize(("environment", "message"), [
    ({"JAX_COORDINATOR_ADDRESS": "h:1"}, "_ADDRESS without JAX_PROCESS_ID, JAX_NUM_PROCESSES"),
    (JAX | {"JAX_PROCESS_ID": "one"}, "JAX_PROCESS_ID is 'one', expected a whole number"),
    (KUBERNETES | {"JOB_COMPLETION_INDEX": "4"}, r"JOB_COMPLETION_INDEX is 4, expected 0\.\.3"),
])
def test_invalid_environment(environment, message):
    with pytest.raises(ClusterError, match=message):
        find_place(environment=environment)


@pytest.mark.parametrize(("more", "expected"), [
    ({}, Place("TPU VM")), ({"JAX_PLATFORMS": "cpu"}, None), ({"TPU_SKIP_MDS_QUERY": "1"}, None),
])
def test_a_tpu_vm_is_left_to_jax(monkeypatch, more, expected):
    monkeypatch.setattr(cluster_env.glob, "glob", lambda pattern: ["/dev/accel0"])
    monkeypatch.setattr(cluster_env.importlib.util, "find_spec", lambda name: object())
    assert find_place(environment=more) == expected
