import anyio
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from data_pipelines.video.encoding import write_video
from slowfast_jax.web.routes import routes
from slowfast_jax.web.store import Limits, Store


@pytest.fixture
def store():
    store = Store(Limits(megabytes=0.05, seconds=2, stored=2))
    yield store
    store.close()


@pytest.fixture
def client(store):
    return TestClient(Starlette(routes=routes(store)))


@pytest.fixture
def video(tmp_path):
    def write(frames):
        write_video(tmp_path / "a.mp4", np.zeros((frames, 32, 48, 3), np.uint8), fps=10)
        return (tmp_path / "a.mp4").read_bytes()

    return write


def left(store):
    return list(store.folder.iterdir())


def test_an_upload_gets_a_token(client, store, video):
    content = video(10)
    answer = client.post("/upload", content=content)
    found = answer.json()
    assert (answer.status_code, found["seconds"], found["width"], found["height"]) == (
        200, 1.0, 48, 32
    )
    assert store.get(found["token"]).video.read_bytes() == content
    assert client.get(f"/media/{found['token']}/video").status_code == 404
    client.post(f"/discard/{found['token']}")
    assert not left(store)
    assert client.post(f"/discard/{found['token']}").status_code == 204


@pytest.mark.parametrize(("content", "status", "why"), [
    (b"this is text, whatever its name", 400, "not a video that can be read"),
    (b"", 400, "that can be read: the file is empty."),
    (b"a" * 50_001, 413, "more than 0.05 MB"),
    (iter([b"a" * 30_000] * 2), 413, "more than 0.05 MB"),  # no length is announced
])
def test_refused_uploads_leave_nothing(client, store, content, status, why):
    answer = client.post("/upload", content=content)
    assert answer.status_code == status and why in answer.json()["detail"]
    assert not left(store)


def test_an_upload_that_stalls_is_given_up(store, monkeypatch):
    monkeypatch.setattr("slowfast_jax.web.routes.STALLED", 0.05)
    app = Starlette(routes=routes(store))
    parts = iter([{"type": "http.request", "body": b"a", "more_body": True}])
    sent = []

    async def receive():
        for part in parts:
            return part
        await anyio.sleep(60)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/upload", "headers": []}
    anyio.run(app, scope | {"query_string": b""}, receive, send)
    assert sent[0]["status"] == 408 and b"No more of the file came" in sent[1]["body"]
    assert not left(store)


def test_long_videos_are_refused(client, store, video):
    answer = client.post("/upload", content=video(30))
    assert answer.status_code == 413
    assert answer.json()["detail"] == "The video has 3 seconds, more than 2."
    assert not left(store)


def test_too_many_uploads(client, store, video):
    content = video(5)
    assert [client.post("/upload", content=content).status_code for _ in range(4)] == [
        200, 200, 503, 503
    ]
    assert len(left(store)) == 2


def test_films_can_be_read_in_parts(client, store):
    entry = store.get(token := store.new_results("tab"))
    (entry.folder / "film.mp4").write_bytes(b"0123456789")
    entry.names.add("film.mp4")
    answer = client.get(f"/media/{token}/film.mp4", headers={"range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")
    assert answer.headers["content-type"] == "video/mp4"
    for other in (f"/media/{token}/actions.json", f"/media/{'0' * 32}/film.mp4"):
        assert client.get(other).status_code == 404
