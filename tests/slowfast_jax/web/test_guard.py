"""The guard lets through what the page sends, and nothing else."""

import json

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from slowfast_jax.web.guard import JOIN, JSON_BYTES, Guard

JOB = {
    "data": ["0" * 32, None, "kinetics/x3d_xs", False], "event_data": None, "fn_index": 2,
    "trigger_id": 9, "session_hash": "abc123",
}


async def echo(scope, receive, send):
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{scope['path']} {body.decode()}")(scope, receive, send)


@pytest.fixture
def client():
    guard = Guard(echo, {"localhost", "127.0.0.1", "::1"}, [0, 1, 2])
    return TestClient(guard, base_url="http://localhost:7860")


@pytest.mark.parametrize("path", [
    "/", "/config", "/assets/index-DphvyggB.js", "/static/fonts/Lora/Lora-Regular.woff2",
    "/gradio_api/heartbeat/abc123", "/gradio_api/queue/data?session_hash=abc123",
    f"/media/{'0' * 32}/film.mp4",
])
def test_what_the_page_reads(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", [
    "/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd", "/file=/etc/passwd",
    "/gradio_api/proxy=http://example.com/", "/gradio_api/stream/1", "/docs", "/openapi.json",
    "/gradio_api/runs", "/gradio_api/openapi.json", "/monitoring", "/login_check",
    "/gradio_api/custom_component/1/client/component/style.css", "/svelte/a.js",
    "/assets/../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2f..%2fetc/passwd",
    "/static/../secret", "/media/../../etc/passwd", f"/media/{'0' * 32}/../video",
    f"/media/{'0' * 32}/video", "/%00", "/gradio_api/heartbeat/" + "a" * 65,
    "/gradio_api/mcp/sse", "/gradio_api/deep_link", "/gradio_api/component_server",
])
def test_what_nobody_reads(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", [
    "/gradio_api/upload", "/gradio_api/run/predict", "/gradio_api/api/predict",
    "/gradio_api/call/predict", "/gradio_api/call/v2/predict", "/gradio_api/component_server",
    "/gradio_api/process_recording", "/gradio_api/vibe-edit", "/login", "/gradio_api/cancel",
])
def test_what_nobody_writes(client, path):
    assert client.post(path, json={}).status_code == 404


def test_methods(client):
    assert client.post("/upload", content=b"video").text == "/upload video"
    assert client.post(f"/discard/{'0' * 32}").status_code == 200
    for method, path in (("GET", "/upload"), ("PUT", "/upload"), ("POST", "/"), ("GET", JOIN)):
        assert client.request(method, path).status_code == 405
    assert client.request("OPTIONS", "/").status_code == 405


def test_a_job_reaches_the_server_whole(client):
    for job in (JOB, JOB | {"event_data": {}}):
        answer = client.post(JOIN, content=json.dumps(job))
        assert answer.text == f"{JOIN} {json.dumps(job)}"


@pytest.mark.parametrize("wrong", [
    b"", b"{", b"[1]", b"\xff\xfe", b"null", b"[" * 5000,
    {"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]},
    {"data": [{"path": "http://169.254.169.254/", "meta": {"_type": "gradio.FileData"}}]},
    {"data": [["/etc/passwd"]]}, {"data": ["a" * 301]}, {"data": [None] * 17}, {"data": "text"},
    {"fn_index": 3}, {"fn_index": -1}, {"fn_index": True}, {"fn_index": "0"}, {"fn_index": None},
    {"session_hash": ""}, {"session_hash": "../etc"}, {"session_hash": None},
    {"event_data": {"path": "/etc/passwd"}}, {"trigger_id": "9"}, {"event_id": "1"},
    {"oauth_token": "x"}, {"batched": True},
])
def test_jobs_that_the_page_does_not_send(client, wrong):
    content = wrong if isinstance(wrong, bytes) else json.dumps(JOB | wrong)
    answer = client.post(JOIN, content=content)
    assert answer.status_code == 400 and answer.json()["detail"]


def test_long_jobs_are_not_read(client):
    assert client.post(JOIN, content=b" " * (JSON_BYTES + 1)).status_code == 413


@pytest.mark.parametrize(("headers", "status"), [
    ({"host": "evil.example"}, 421), ({"host": ""}, 421), ({"host": "localhost.evil.example"}, 421),
    ({"host": "[::1]:7860"}, 200), ({"host": "127.0.0.1"}, 200), ({"host": "[:"}, 421),
    ({"origin": "http://localhost:7860"}, 200), ({"origin": "http://evil.example"}, 403),
    ({"origin": "http://localhost:8080"}, 403), ({"origin": "null"}, 403),
    ({"x-forwarded-host": "evil.example"}, 400), ({"forwarded": "host=evil.example"}, 400),
])
def test_other_sites_and_names(client, headers, status):
    assert client.get("/", headers=headers).status_code == status


def test_any_name_if_none_is_known():
    client = TestClient(Guard(echo, (), []), base_url="http://anything.example")
    assert client.get("/").status_code == 200
