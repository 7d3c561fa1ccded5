"""The HTTP service: answers, limits, and errors of clients."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from fastapi.testclient import TestClient

from slowfast_jax import load
from slowfast_jax.metrics.topk import labeled
from slowfast_jax.serve.__main__ import cli
from slowfast_jax.serve.app import Limits, make_app
from slowfast_jax.serve.network import Served, find_network

LIMITS = Limits()
SAMPLING = dict(num_frames=4, sampling_rate=2, target_fps=30.0, test_crop=32, clips=2, crops=1)


class Network:
    """Mean color as scores; waits while `gate` is closed."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.entered = 0

    def __call__(self, clips):
        self.entered += 1
        self.gate.wait(20)
        return np.float32(clips.mean((1, 2, 3)) / 255)


def served(run):
    return Served(run, [(4, 32, 32, 3)], "test/mean", ["r", "g", "b"], SAMPLING, "sum", None)


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_until_ready(client):
    wait_for(lambda: client.get("/readyz").status_code == 200)


@contextmanager
def client(run, limits=LIMITS, token=None):
    """A client of a service that is ready."""
    with TestClient(make_app(served(run), [2], limits, token)) as one:
        wait_until_ready(one)
        yield one


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def service(network):
    with client(network) as one:
        yield one


@pytest.fixture(scope="module")
def video(colors):
    return next(colors.glob("**/*.mp4")).read_bytes()


def test_scores_are_those_of_the_recognizer(tiny, colors):
    recognizer = load("test/tiny", weights="random")
    path = next(colors.glob("**/*.mp4"))
    (result,) = recognizer.score_videos(path)
    with TestClient(make_app(find_network("test/tiny", "random"), [4], LIMITS)) as one:
        wait_until_ready(one)
        answer = one.post("/predict?top_k=2", content=path.read_bytes())
    found = answer.json()
    assert found["model"] == "test/tiny"
    for mine, wanted in zip(
        found["predictions"], labeled(result.scores, recognizer.class_names, 2), strict=True
    ):
        assert mine["label"] == wanted["label"]
        assert mine["score"] == pytest.approx(wanted["score"], abs=1e-6)


def test_an_answer_and_its_figures(service, video):
    answer = service.post("/predict?top_k=3", content=video)
    assert answer.status_code == 200
    found = answer.json()
    assert {row["label"] for row in found["predictions"]} == {"r", "g", "b"}
    assert found["video"]["frames"] > 0 and found["video"]["seconds"] > 0
    figures = service.get("/metrics").text
    assert 'slowfast_requests_total{status="200"} 1.0' in figures
    assert "slowfast_clips_total 2.0" in figures and "slowfast_active_requests 0.0" in figures


def test_health(service):
    assert service.get("/healthz").json() == {"status": "alive"}
    assert service.get("/readyz").json()["status"] == "ready"
    schema = service.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert schema["requestBody"]["content"]["application/octet-stream"]
    assert {"400", "401", "413", "415", "503", "504"} <= schema["responses"].keys()
    example = schema["responses"]["200"]["content"]["application/json"]["example"]
    assert example["predictions"][0]["label"] == "archery"


def test_it_is_not_ready_while_the_network_compiles(network, video):
    network.gate.clear()
    with TestClient(make_app(served(network), [2], LIMITS)) as one:
        assert one.get("/healthz").status_code == 200
        for answer in (one.get("/readyz"), one.post("/predict", content=video)):
            assert answer.status_code == 503 and answer.headers["retry-after"] == "10"
        network.gate.set()


def test_a_network_that_cannot_be_compiled_makes_the_service_unhealthy():
    def run(clips):
        raise MemoryError("too large")

    with TestClient(make_app(served(run), [2], LIMITS)) as one:
        wait_for(lambda: one.get("/healthz").status_code == 500)
        assert one.get("/readyz").status_code == 503


@pytest.mark.parametrize("body, status", [
    (b"", 400), (b"no video", 400), (b"#EXTM3U\nhttp://example.org/a.ts", 400),
])
def test_bodies_that_are_no_videos(service, body, status):
    answer = service.post("/predict", content=body)
    assert answer.status_code == status and answer.json()["detail"]


@pytest.mark.parametrize("count", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_damaged_videos_are_errors_of_the_client_or_answered(service, video, count):
    random = np.random.default_rng(0)
    for _ in range(count):
        content = bytearray(video)
        for place in random.integers(0, len(content), 40):
            content[place] = random.integers(256)
        answer = service.post("/predict", content=bytes(content[: random.integers(len(video))]))
        assert answer.status_code in (200, 400), answer.text
    assert service.post("/predict", content=video).status_code == 200


def test_forms_and_wrong_numbers(service, video):
    assert service.post("/predict", files={"video": video}).status_code == 415
    assert service.post("/predict?top_k=0", content=video).status_code == 422
    assert service.post("/predict?top_k=x", content=video).status_code == 422
    assert service.get("/predict").status_code == 405


def test_limits_of_size_and_duration(network, video):
    with client(network, Limits(megabytes=len(video) / 1e6 - 1e-5)) as one:
        assert one.post("/predict", content=video).status_code == 413
        parts = (video[i:i + 100] for i in range(0, len(video), 100))  # no Content-Length
        assert one.post("/predict", content=parts).status_code == 413
    with client(network, Limits(video_seconds=0.01)) as one:
        answer = one.post("/predict", content=video)
        assert answer.status_code == 413 and "seconds" in answer.json()["detail"]


def test_a_full_queue_and_the_time_limit(network, video):
    with client(network, Limits(requests=2, seconds=1.0)) as one:
        network.entered = 0
        network.gate.clear()
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(one.post, "/predict", content=video) for _ in range(2)]
            wait_for(lambda: "slowfast_active_requests 2.0" in one.get("/metrics").text)
            answer = one.post("/predict", content=video)
            assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
            assert [future.result().status_code for future in waiting] == [504, 504]
        network.gate.set()
        assert one.post("/predict", content=video).status_code == 200


def test_the_token(network, video):
    with client(network, token="secret") as one:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            answer = one.post("/predict", content=video, headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        right = {"Authorization": "Bearer secret"}
        assert one.post("/predict", content=video, headers=right).status_code == 200
        assert one.get("/healthz").status_code == 200


def test_an_error_of_the_network_is_one_failed_request(network, video):
    with client(network) as one:
        broken, network.gate = network.gate, None  # so that the network fails
        with pytest.raises(AttributeError):
            one.post("/predict", content=video)
        network.gate = broken
        assert one.post("/predict", content=video).status_code == 200
        assert 'status="500"' in one.get("/metrics").text


def test_views_are_options(tiny):
    network = find_network("test/tiny", "random", clips=1, crops=1, backend=None)
    assert (network.sampling["clips"], network.sampling["crops"]) == (1, 1)


@pytest.mark.parametrize("spec, weights, message", [
    ("test/tiny", None, "--weights is required"),
    ("test/nothing", "random", "test/nothing"),
])
def test_networks_that_cannot_be_served(tiny, spec, weights, message):
    with pytest.raises(ValueError, match=message):
        find_network(spec, weights)


def test_an_exported_file_is_served(tiny, tmp_path, colors, capsys):
    from slowfast_jax.export_command import cli as export

    path = str(tmp_path / "net")
    assert export(["test/tiny", path, "--weights", "random", "--batch", "3"]) == 0
    network = find_network(path, None)
    assert network.batch == 3 and network.shapes == [(4, 32, 32, 3)]
    assert json.loads(json.dumps(network.sampling))["clips"] == 3
    with pytest.raises(ValueError, match="holds its weights"):
        find_network(path, "x.pyth")
    with pytest.raises(ValueError, match="--clips, --backend: .* is run as it was exported"):
        find_network(path, None, clips=1, crops=None, backend="jax")
    assert cli([path, "--batch-sizes", "1,4"]) == 2
    assert f"{path} was exported for batches of 3 only" in capsys.readouterr().err


def test_an_occupied_port_is_found_before_the_network_is_loaded(capsys):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        assert cli(["kinetics/none", "--port", str(one.getsockname()[1])]) == 2
    assert "--host and --port name another address" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "-1", "99999", "http"])
def test_no_port(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli(["kinetics/none", "--port", port])
    assert "expected a number from 1 to 65535" in capsys.readouterr().err


def test_unknown_parameters_are_refused(service, video):
    answer = service.post("/predict?topk=3", content=video)
    assert answer.status_code == 400
    assert answer.json()["detail"] == "unknown parameter topk; the only one is top_k"
