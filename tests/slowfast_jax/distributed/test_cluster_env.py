"""Which process this is, as flags and clusters tell it."""

import contextlib
import http.server
import threading

import pytest

from slowfast_jax.distributed import cluster_env
from slowfast_jax.distributed.cluster_env import ClusterError, Place, find_place, first_host

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


@pytest.mark.parametrize(("environment", "expected"), [
    ({}, None),
    (JAX, Place("environment", "10.0.0.1:8476", 1, 4)),
    (JAX | SLURM, Place("environment", "10.0.0.1:8476", 1, 4)),
    (JAX | {"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}, None),
    (KUBERNETES, Place("Kubernetes", "10.0.0.1:8476", 2, 4)),
    ({"JOB_COMPLETION_INDEX": "2", "KUBERNETES_SERVICE_HOST": "10.1.0.1"}, None),
    (SLURM, Place("SLURM", "gpu07:62344", 3, 8)),
    (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, None),
    ({"SLURM_JOB_ID": "5000", "SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, None),  # the batch script
    (TPU, Place("TPU pod (Kubernetes)", "t-0:8482", 2, 4)),
    (SLICES, Place("TPU pod (Kubernetes)", "s-0:8482", 6, 8)),
    ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, None),
])
def test_the_environment_tells_the_place(environment, expected):
    assert find_place(environment=environment) == expected


def test_flags_come_before_the_environment():
    place = find_place("[::1]:70", 0, 2, environment=SLURM)
    assert place == Place("flags", "[::1]:70", 0, 2)


@pytest.mark.parametrize(("nodes", "host"), [
    ("n1", "n1"), ("n1,n2", "n1"), ("gpu[07-09,12],cpu1", "gpu07"), ("a-b[3,5]", "a-b3"),
])
def test_the_first_of_slurms_nodes(nodes, host):
    assert first_host(nodes) == host


@pytest.mark.parametrize(("flags", "message"), [
    (("h:1", None, None), "--coordinator without --process_id, --num_processes: many"),
    ((None, 0, 2), "--process_id, --num_processes without --coordinator: many"),
    (("h", 0, 2), "--coordinator is 'h', expected host:port of process 0"),
    (("h:0", 0, 2), "--coordinator is 'h:0'"),
    (("h:99999", 0, 2), "--coordinator is 'h:99999'"),
    (("h:1", 2, 2), r"--process_id is 2, expected 0..1 for 2 processes \(--num_processes\)"),
    (("h:1", -1, 2), "--process_id is -1"),
    (("h:1", 0, 0), "--num_processes is 0, expected at least 1"),
])
def test_flags_that_make_no_sense(flags, message):
    with pytest.raises(ClusterError, match=message):
        find_place(*flags, environment={})


@pytest.mark.parametrize(("environment", "message"), [
    ({"JAX_COORDINATOR_ADDRESS": "h:1"}, "_ADDRESS without JAX_PROCESS_ID, JAX_NUM_PROCESSES"),
    (JAX | {"JAX_PROCESS_ID": "one"}, "JAX_PROCESS_ID is 'one', expected a whole number"),
    (KUBERNETES | {"JOB_COMPLETION_INDEX": "4"}, r"JOB_COMPLETION_INDEX is 4, expected 0\.\.3"),
    (SLURM | {"SLURM_JOB_ID": ""}, "SLURM_JOB_ID is '', expected a number"),
    (SLURM | {"SLURM_STEP_NODELIST": "[1-2]"}, r"SLURM_STEP_NODELIST is '\[1-2\]'"),
    (TPU | {"TPU_WORKER_ID": ""}, "TPU_WORKER_ID is '', expected a whole number"),
    (SLICES | {"MEGASCALE_NUM_SLICES": "two"}, "MEGASCALE_NUM_SLICES is 'two'"),
])
def test_an_environment_that_makes_no_sense(environment, message):
    with pytest.raises(ClusterError, match=message):
        find_place(environment=environment)


@contextlib.contextmanager
def metadata_server(attributes):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = attributes.get(self.path.rpartition("/")[2])
            assert self.headers["Metadata-Flavor"] == "Google"
            self.send_response(404 if text is None else 200)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {"GCE_METADATA_IP": f"127.0.0.1:{server.server_port}"}
    finally:
        server.shutdown()
        server.server_close()


WORKER = {
    "agent-worker-number": "1", "worker-network-endpoints": "a:0:10.0.0.2,b:1:10.0.0.3",
    "tpu-env": "ACCELERATOR_TYPE: 'v5litepod-8'\nZONE: 'z'\n",
}


@pytest.mark.parametrize(("attributes", "expected"), [
    (WORKER, Place("TPU pod", "10.0.0.2:8482", 1, 2)),
    (WORKER | {"worker-network-endpoints": "t-0,t-1"}, Place("TPU pod", "t-0:8482", 1, 2)),
    (WORKER | {"tpu-env": "MEGASCALE_NUM_SLICES: '2'\nMEGASCALE_SLICE_ID: '1'\n"
               "MEGASCALE_COORDINATOR_ADDRESS: '10.0.1.1'\n"},
     Place("TPU pod", "10.0.1.1:8482", 3, 4)),
    ({}, None),  # a machine of Google's without a TPU
])
def test_a_tpu_machine_asks_its_metadata(attributes, expected):
    with metadata_server(attributes) as environment:
        assert cluster_env.read_metadata(environment) == expected


def test_metadata_that_are_not_all_there():
    attributes = {k: v for k, v in WORKER.items() if k != "tpu-env"}
    with metadata_server(attributes) as environment:
        with pytest.raises(ClusterError, match="does not tell the workers.*pass --coordinator"):
            cluster_env.read_metadata(environment)


def test_no_metadata_server():
    assert cluster_env.read_metadata({"GCE_METADATA_IP": "127.0.0.1:1"}) is None
