"""Which of how many processes this is, and where they meet: from flags, or from what started it.

    find_place() -> Place("SLURM", "node01:62000", 3, 8), or None for a single process
"""

import glob
import importlib.util
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import NamedTuple

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID", "JAX_NUM_PROCESSES")
FLAGS = ("--coordinator", "--process_id", "--num_processes")
TPU_PORT = 8482  # nothing else listens there on a worker
# Ports of SLURM jobs: as many as there are above the ephemeral ones most systems hand out.
SLURM_PORTS = range(61440, 65536)


class ClusterError(ValueError):
    """Flags or variables of the environment that do not say which process this is."""


class Place(NamedTuple):
    """cluster: what told it. coordinator: host:port of process 0."""

    cluster: str
    coordinator: str
    process: int
    processes: int


def find_place(
    coordinator: str | None = None, process_id: int | None = None,
    num_processes: int | None = None, environment: Mapping[str, str] = os.environ,
) -> Place | None:
    """The place of this process by the flags, else by the environment; None where it is alone.

    In this order: the flags; JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID and JAX_NUM_PROCESSES (an
    indexed job of Kubernetes has JOB_COMPLETION_INDEX for the second); a step of SLURM (srun); the
    workers of a TPU pod, by the variables that Kubernetes sets or the machine's metadata.

    Raises ClusterError where some of these are missing or make no sense.
    """
    flags = (coordinator, process_id, num_processes)
    if any(value is not None for value in flags):
        return _checked("flags", flags, FLAGS)
    for find in (_variables, _slurm, _tpu_variables, _tpu_metadata):
        place = find(environment)
        if place is not None:
            return place if place.processes > 1 else None
    return None


def _variables(environment: Mapping[str, str]) -> Place | None:
    values, names = [environment.get(name) or None for name in VARIABLES], list(VARIABLES)
    index = environment.get("JOB_COMPLETION_INDEX")
    if values[0] is None and values[2] is None:
        return None  # the index alone is of a job whose processes are each on their own
    if values[1] is None and index:
        values[1], names[1] = index, "JOB_COMPLETION_INDEX"
    kubernetes = "KUBERNETES_SERVICE_HOST" in environment or index
    return _checked("Kubernetes" if kubernetes else "environment", values, names)


def _slurm(environment: Mapping[str, str]) -> Place | None:
    nodes = environment.get("SLURM_STEP_NODELIST")
    if not nodes:  # no SLURM, or the batch script itself, which srun starts the processes of
        return None
    tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS")
    if tasks in (None, "1"):
        return None
    job = environment.get("SLURM_JOB_ID", "")
    if not job.isdecimal():
        raise ClusterError(f"SLURM_JOB_ID is {job!r}, expected a number: start with srun in a job")
    port = SLURM_PORTS[int(job) % len(SLURM_PORTS)]
    values = (f"{first_host(nodes)}:{port}", environment.get("SLURM_PROCID"), tasks)
    names = ("SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    return _checked("SLURM", values, names)


def first_host(nodes: str) -> str:
    """The first of SLURM's list of nodes: "gpu[07-09,12],cpu1" -> "gpu07"."""
    match = re.match(r"([^,\[]+)(?:\[(\w+))?", nodes)
    if not match:
        raise ClusterError(f"SLURM_STEP_NODELIST is {nodes!r}, expected names of nodes, as n[1-4]")
    return match[1] + (match[2] or "")


def _tpu_variables(environment: Mapping[str, str]) -> Place | None:
    """Kubernetes' pods with TPUs."""
    hosts = environment.get("TPU_WORKER_HOSTNAMES", "")
    if "," not in hosts and not environment.get("MEGASCALE_NUM_SLICES"):
        return None
    return _tpu("TPU pod (Kubernetes)", hosts, environment.get("TPU_WORKER_ID"), environment.get)


def _tpu_metadata(environment: Mapping[str, str]) -> Place | None:
    """Virtual machines with TPUs, which ask the metadata server who they are."""
    chips = glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*")
    if environment.get("JAX_PLATFORMS", "").startswith("cpu") or not chips:
        return None
    if environment.get("TPU_SKIP_MDS_QUERY") or not importlib.util.find_spec("libtpu"):
        return None
    return read_metadata(environment)


def read_metadata(environment: Mapping[str, str]) -> Place | None:
    """The place that the metadata server of a TPU's virtual machine tells, None where it has none.
    """
    server = environment.get("GCE_METADATA_IP", "metadata.google.internal")

    def ask(key: str) -> str:
        request = urllib.request.Request(
            f"http://{server}/computeMetadata/v1/instance/attributes/{key}",
            headers={"Metadata-Flavor": "Google"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    try:
        worker = ask("agent-worker-number")
    except (urllib.error.HTTPError, urllib.error.URLError, TimeoutError):
        return None
    try:
        # Host names, or id:name:address of each.
        hosts = ",".join(e.split(":")[-1] for e in ask("worker-network-endpoints").split(","))
        lines = dict(re.findall(r"^\s*(\w+)\s*:\s*'?([^'\n]*)'?\s*$", ask("tpu-env"), re.M))
    except (urllib.error.URLError, TimeoutError) as error:
        raise ClusterError(
            f"the metadata server {server} does not tell the workers of this TPU ({error}): pass "
            f"{', '.join(FLAGS)}"
        ) from error
    return _tpu("TPU pod", hosts, worker, lambda key: environment.get(key) or lines.get(key))


def _tpu(
    cluster: str, hosts: str, worker: str | None, get: Callable[[str], str | None]
) -> Place:
    """Of one slice, or of several, whose workers are numbered slice by slice."""
    names = ("TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID", "MEGASCALE_NUM_SLICES")
    workers = len(hosts.split(","))
    slices = _number(get("MEGASCALE_NUM_SLICES") or "1", "MEGASCALE_NUM_SLICES")
    number = _number(get("MEGASCALE_SLICE_ID") or "0", "MEGASCALE_SLICE_ID")
    first = (get("MEGASCALE_COORDINATOR_ADDRESS") or hosts.split(",")[0]).split(":")[0]
    process = number * workers + _number(worker, "TPU_WORKER_ID")
    return _checked(cluster, (f"{first}:{TPU_PORT}", process, workers * slices), names)


def _checked(cluster: str, values, names) -> Place:
    missing = [name for name, value in zip(names, values, strict=True) if value is None]
    if missing:
        given = [name for name in names if name not in missing]
        raise ClusterError(
            f"{', '.join(given)} without {', '.join(missing)}: many processes need where they "
            f"meet, which one this is (0..N-1) and how many there are: {', '.join(FLAGS)}, or "
            f"{', '.join(VARIABLES)}"
        )
    coordinator = str(values[0])
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ClusterError(
            f"{names[0]} is {coordinator!r}, expected host:port of process 0, as 10.0.0.1:8476"
        )
    process, processes = _number(values[1], names[1]), _number(values[2], names[2])
    if processes < 1:
        raise ClusterError(f"{names[2]} is {processes}, expected at least 1")
    if not 0 <= process < processes:
        raise ClusterError(
            f"{names[1]} is {process}, expected 0..{processes - 1} for {processes} processes "
            f"({names[2]})"
        )
    return Place(cluster, coordinator, process, processes)


def _number(value: str | int | None, name: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ClusterError(f"{name} is {value!r}, expected a whole number") from None


