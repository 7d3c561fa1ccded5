"""The whole server under abuse: it refuses in words, keeps nothing, and never answers 500."""

import http.client
import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import slowfast_jax
from slowfast_jax.web.networks import Network
from slowfast_jax.web.store import Limits, Store
from tests.support.films import gray_pictures, write_film
from tests.support.web_page import ADMIT, CLAIM, RUN, STOP, Tab, serve_page

pytest.importorskip("gradio")
pytestmark = pytest.mark.slow


@pytest.fixture
def store():
    store = Store(Limits(megabytes=1, seconds=60, waiting=4, stored=12))
    yield store
    store.close()
    assert not store.folder.exists()


@pytest.fixture
def sample(tmp_path):
    write_film(tmp_path / "a.mp4", gray_pictures(60))
    return tmp_path / "a.mp4"


@pytest.fixture
def port(tiny, store, sample):
    network = Network(slowfast_jax.load("test/tiny", weights="random"))
    with serve_page(store, {"tiny": network}, {"a": sample}) as port:
        yield port


def left(store):
    # Folders may vanish meanwhile, which os.walk passes over.
    return [name for _, _, names in os.walk(store.folder) for name in names]


def wait_until(done, seconds=30):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_video_is_recognized(port, store, sample):
    tab = Tab(port, "tab")
    status, found = tab.upload(sample.read_bytes())
    assert status == 200
    assert "error" not in tab.call(ADMIT, [found["token"], None])
    html = tab.call(RUN, [found["token"], None, "tiny", False])["data"][0]
    film = html.split('src="')[1].split('"')[0]
    status, content = tab.ask("GET", f"/{film}")
    assert status == 200 and b"ftyp" in content[:16]
    assert len(left(store)) == 3  # the upload, the film and the table
    tab.close()
    wait_until(lambda: not left(store))


def test_refusals_are_sentences(port, sample):
    tab = Tab(port, "tab")
    status, found = tab.upload(b"this is a text")
    assert status == 400 and "not a video that can be read" in found["detail"]
    status, found = tab.upload(b"0" * 1_000_001)
    assert (status, found["detail"]) == (413, "The file has more than 1 MB.")
    assert "Choose a video first" in tab.call(ADMIT, ["", None])["error"]
    assert "no longer there" in tab.call(ADMIT, ["0" * 32, None])["error"]
    output = tab.call(ADMIT, ["", "../../etc/passwd"])  # Gradio knows the choices
    assert "error" in output


def test_twenty_uploads_at_once(port, store, sample):
    content = sample.read_bytes()
    tabs = [Tab(port, f"tab{number}") for number in range(20)]

    def use(tab):
        status, found = tab.upload(content)
        if status != 200:
            return found["detail"]
        refused = tab.call(ADMIT, [found["token"], None]).get("error")
        if refused:
            return refused
        return tab.call(RUN, [found["token"], None, "tiny", False])["data"][0]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(use, tabs))
    films = [answer for answer in answers if "<video" in answer]
    refusals = {answer for answer in answers if "<video" not in answer}
    assert len(films) >= 4  # those that may wait
    assert refusals <= {
        "12 videos are waiting already. Try again in a few minutes.",
        "4 videos are waiting already. Try again in a few minutes.",
    }
    assert refusals
    for tab in tabs:
        tab.close()
    wait_until(lambda: not any(entry.names for entry in store._entries.values()))


def test_a_tab_that_is_closed_midway(port, store, sample):
    tab = Tab(port, "tab")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", "/upload")
    connection.putheader("Content-Length", "900000")
    connection.endheaders(b"0" * 200_000)
    wait_until(lambda: left(store))
    connection.sock.close()  # in the middle of an upload
    wait_until(lambda: not left(store))
    token = tab.upload(sample.read_bytes())[1]["token"]
    tab.call(CLAIM, [token])
    tab.close()  # after an upload
    wait_until(lambda: not left(store))
    tab = Tab(port, "tab")
    token = tab.upload(sample.read_bytes())[1]["token"]
    tab.call(ADMIT, [token, None])
    assert not tab.start(RUN, [token, None, "tiny", False])
    for message in tab.messages():
        if message["msg"] == "progress":
            break
    tab.close()  # in the middle of a job
    wait_until(lambda: not left(store))
    other = Tab(port, "other")  # the server goes on
    other.call(ADMIT, ["", "a"])
    assert "<video" in other.call(RUN, ["", "a", "tiny", False])["data"][0]
    other.close()
    wait_until(lambda: not left(store))


def test_a_job_can_be_stopped(port, store):
    tab = Tab(port, "tab")
    tab.call(ADMIT, ["", "a"])
    tab.call(STOP, [])
    assert "Stopped" in tab.call(RUN, ["", "a", "tiny", False])["data"][0]
    tab.close()


PATHS = (
    "/", "/config", "/upload", "/gradio_api/queue/join", "/gradio_api/queue/data?session_hash=a",
    "/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/run/predict", "/theme.css",
    "/gradio_api/cancel", "/gradio_api/heartbeat/a", "/media/" + "0" * 32 + "/film.mp4",
    "/discard/" + "0" * 32, "/assets/index.js", "/gradio_api/info", "/gradio_api/startup-events",
    "/static/img/logo.svg", "/gradio_api/component_server", "/gradio_api/call/run",
)
JOB = {
    "data": ["", "a", "tiny", False], "event_data": None, "fn_index": 0, "trigger_id": None,
    "session_hash": "fuzz",
}
VALUES = (
    None, True, -1, 10**30, 1e308, "", "\x00", "é" * 200, "../../etc/passwd", [], {}, [[]],
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "http://127.0.0.1/", "a" * 9000,
)


def fuzzed(source):
    """A request: method, path, body and headers."""
    path = source.choice(PATHS)
    if source.random() < 0.3:
        place = source.randrange(len(path))
        odd = source.choice(["%00", "%2e%2e/", "//", "?", "%c3%a9", "%ff", "%", ";", "#"])
        path = path[:place] + odd + path[place:]
    job = dict(JOB)
    for _ in range(source.randrange(3)):
        job[source.choice([*JOB, "event_id", "simple_format"])] = source.choice(VALUES)
    if source.random() < 0.3:
        job["data"] = [source.choice(VALUES) for _ in range(source.randrange(20))]
    body = json.dumps(job).encode() if source.random() < 0.7 else source.randbytes(300)
    headers = source.choice([
        {}, {"Content-Type": "application/json"}, {"Content-Type": "multipart/form-data"},
        {"Range": "bytes=9-1"}, {"X-Forwarded-Host": "a b"}, {"Origin": "http://["},
        {"Host": "["}, {"Content-Encoding": "gzip"}, {"Cookie": "access-token=1"},
    ])
    method = source.choice(["GET", "GET", "POST", "POST", "POST", "PUT", "HEAD", "OPTIONS"])
    return method, path, body, headers


def test_a_hundred_fuzzed_requests(port, store):
    source = random.Random(0)
    statuses = []
    for _ in range(100):
        method, path, body, headers = fuzzed(source)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        assert answer.status not in (500, 502, 504), (method, path, body, headers)
        statuses.append(answer.status)
        connection.close()
    assert len(set(statuses)) > 4
    tab = Tab(port, "tab")  # the server goes on
    tab.call(ADMIT, ["", "a"])
    assert "<video" in tab.call(RUN, ["", "a", "tiny", False])["data"][0]
    tab.close()
    wait_until(lambda: not left(store))
    assert threading.active_count() < 100
