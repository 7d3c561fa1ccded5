"""Detects a multi-process run and this process's rank from flags, variables or the cluster.

    find_place() -> Place("flags", "10.0.0.1:8476", 1, 2), or None for a single process

Clusters that `jax.distributed.initialize` detects by itself are only recognized here; JAX then
finds the coordinator, the rank and the number of processes.
"""

import glob
import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID", "JAX_NUM_PROCESSES")
FLAGS = ("--coordinator", "--process_id", "--num_processes")
TPU_VM = "TPU VM"  # possibly the only one of its slice: JAX asks the machine's metadata server


class ClusterError(ValueError):
    """Flags or environment variables that do not say which process this is."""


class Place(NamedTuple):
    """Rank of this process, number of processes, and host:port of process 0.

    All three are None where JAX detects them. cluster: where they come from, for messages.
    """

    cluster: str
    coordinator: str | None = None
    process: int | None = None
    processes: int | None = None


def find_place(
    coordinator: str | None = None, process_id: int | None = None,
    num_processes: int | None = None, environment: Mapping[str, str] = os.environ,
) -> Place | None:
    """This process's place in a multi-process run; None for a single process.

    The first of these decides: the flags; JAX_COORDINATOR_ADDRESS, JAX_PROCESS_ID and
    JAX_NUM_PROCESSES (JOB_COMPLETION_INDEX, which Kubernetes sets in indexed jobs, replaces the
    second); Open MPI; SLURM (srun); a TPU pod.

    Raises:
      ClusterError: some of the flags or variables are missing or out of range.
    """
    flags = (coordinator, process_id, num_processes)
    if any(value is not None for value in flags):
        place = _checked("flags", flags, FLAGS)
    else:
        place = _from_variables(environment) or _from_cluster(environment)
    return None if place is None or place.processes == 1 else place


def _from_variables(environment: Mapping[str, str]) -> Place | None:
    values, names = [environment.get(name) or None for name in VARIABLES], list(VARIABLES)
    index = environment.get("JOB_COMPLETION_INDEX")
    if values[0] is None and values[2] is None:
        return None  # an index alone belongs to a job of independent processes
    if values[1] is None and index:
        values[1], names[1] = index, "JOB_COMPLETION_INDEX"
    kubernetes = "KUBERNETES_SERVICE_HOST" in environment or index
    return _checked("Kubernetes" if kubernetes else "environment", values, names)


def _from_cluster(environment: Mapping[str, str]) -> Place | None:
    """A cluster that JAX detects, if it started more than one process."""
    # Kubernetes is left out: JAX needs the kubernetes package and permission to read pods, and
    # would also join processes of an indexed job that are independent.
    if "OMPI_MCA_orte_hnp_uri" in environment and environment.get("OMPI_COMM_WORLD_SIZE") != "1":
        return Place("Open MPI")
    tasks = environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS") or "1"
    # The batch script itself has no step: srun starts the processes.
    if environment.get("SLURM_STEP_NODELIST") and tasks != "1":
        return Place("SLURM")
    hosts = environment.get("TPU_PROCESS_ADDRESSES") or environment.get("TPU_WORKER_HOSTNAMES", "")
    if "," in hosts or environment.get("MEGASCALE_NUM_SLICES"):
        return Place("TPU pod")
    chips = glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*")
    if not chips or not importlib.util.find_spec("libtpu"):
        return None
    if environment.get("JAX_PLATFORMS", "").startswith("cpu"):
        return None
    return None if environment.get("TPU_SKIP_MDS_QUERY") else Place(TPU_VM)


def _checked(cluster: str, values: Sequence[Any], names: Sequence[str]) -> Place:
    missing = [name for name, value in zip(names, values, strict=True) if value is None]
    if missing:
        given = [name for name in names if name not in missing]
        raise ClusterError(
            f"{', '.join(given)} without {', '.join(missing)}: a multi-process run needs the "
            "coordinator's address, the rank of this process (0..N-1) and the number of "
            f"processes: {', '.join(FLAGS)}, or {', '.join(VARIABLES)}"
        )
    coordinator = str(values[0])
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ClusterError(
            f"{names[0]} is {coordinator!r}, expected host:port of process 0, such as "
            "10.0.0.1:8476"
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
