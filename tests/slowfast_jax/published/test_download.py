"""Downloads from a local server that misbehaves."""

import numpy as np
import pytest

from slowfast_jax.published import download as module
from slowfast_jax.published.download import DownloadError, download, sha256_of
from tests.support.file_server import serve

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.001)
    with serve(CONTENT) as served:
        yield served


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "weights.pyth"


def test_a_file_arrives_with_its_checksum(server, path):
    digest = download(server.address, path, size=len(CONTENT), sha256=server.sha256)
    assert path.read_bytes() == CONTENT and digest == server.sha256 == sha256_of(path)
    assert server.requests == [("", 200)] and list(path.parent.iterdir()) == [path]


def test_a_transfer_that_breaks_off_resumes(server, path):
    server.broken_after = [1_500_000, 700_000]
    download(server.address, path, sha256=server.sha256)
    assert path.read_bytes() == CONTENT
    assert server.requests == [
        ("", 200), ("bytes=1500000-", 206), ("bytes=2200000-", 206)
    ]


def test_a_later_call_resumes_what_an_earlier_one_received(server, path):
    server.broken_after, server.statuses = [1_500_000], []

    def fail_after_first(*args):
        server.statuses = [404]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.time, "sleep", fail_after_first)
        with pytest.raises(DownloadError, match="404 Not Found"):
            download(server.address, path)
    assert not path.exists()
    download(server.address, path)
    assert path.read_bytes() == CONTENT
    assert server.requests[-1] == ("bytes=1500000-", 206)


def test_another_version_of_the_file_is_not_appended_to_the_first(server, path, monkeypatch):
    server.broken_after = [1_500_000]

    def change(*args):
        server.content = CONTENT[::-1]

    monkeypatch.setattr(module.time, "sleep", change)
    download(server.address, path)
    assert path.read_bytes() == CONTENT[::-1]
    assert server.requests[-1] == ("bytes=1500000-", 200)


def test_a_server_that_ignores_ranges_sends_everything_again(server, path):
    server.ranges, server.broken_after = False, [1_500_000]
    download(server.address, path, sha256=server.sha256)
    assert path.read_bytes() == CONTENT and server.requests[-1] == ("bytes=1500000-", 200)


def test_a_complete_part_is_not_requested_again(server, path):
    path.parent.mkdir()
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(CONTENT)
    module._version_file(part).write_text(f'"{server.sha256[:8]}"')
    download(server.address, path, sha256=server.sha256)
    assert path.read_bytes() == CONTENT and server.requests == [(f"bytes={len(CONTENT)}-", 416)]


def test_a_missing_file_is_reported_at_once(server, path):
    server.statuses = [404]
    with pytest.raises(DownloadError, match=f"{server.address}: the server answers 404 Not Found"):
        download(server.address, path)
    assert len(server.requests) == 1 and not path.exists()


def test_errors_of_the_server_are_tried_again(server, path):
    server.statuses = [500, 503, 429]
    download(server.address, path)
    assert path.read_bytes() == CONTENT
    server.statuses = [500] * module.ATTEMPTS
    with pytest.raises(DownloadError, match="500 Internal Server Error, 5 times in a row"):
        download(server.address, path.with_name("other"))


def test_a_length_that_is_too_large_is_an_error(server, path):
    server.length, server.ranges = len(CONTENT) + 7, False
    with pytest.raises(DownloadError, match=f"stopped after {len(CONTENT)} of {len(CONTENT) + 7}"):
        download(server.address, path)
    assert not path.exists() and len(server.requests) == module.ATTEMPTS


def test_a_length_that_is_too_small_is_noticed_by_the_checksum(server, path):
    server.length = 1000
    with pytest.raises(DownloadError, match="its SHA-256 is .*, but the published one is"):
        download(server.address, path, sha256=server.sha256)
    assert not list(path.parent.iterdir())


def test_a_size_other_than_published_is_an_error_before_the_transfer(server, path):
    with pytest.raises(DownloadError, match=f"has {len(CONTENT)} bytes, expected 17"):
        download(server.address, path, size=17)
    assert not list(path.parent.iterdir())


def test_wrong_bytes_are_refused(server, path):
    with pytest.raises(DownloadError, match="sent another file than published: .* with 0123"):
        download(server.address, path, sha256="01234567")
    assert not list(path.parent.iterdir())


def test_a_web_page_is_not_a_file(server, path):
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="is a web page, not a file"):
        download(server.address, path)


def test_no_network(path):
    with pytest.raises(DownloadError, match="127.0.0.1:9/x cannot be reached"):
        download("http://127.0.0.1:9/x", path)
    assert not path.exists()
