"""A local HTTP server with one file, which can misbehave like servers on the internet do."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server does; tests change the fields.

    statuses: statuses of the next answers, each without the file; then the file is served.
    broken_after: bytes after which the next answers break off.
    ranges: whether parts of the file are served.
    length: the Content-Length, if it is not that of the content.
    requests: (headers' Range or "", status) of each request.
    """

    content: bytes
    statuses: list[int] = field(default_factory=list)
    broken_after: list[int] = field(default_factory=list)
    ranges: bool = True
    length: int | None = None
    kind: str = "application/octet-stream"
    tag: str = ""
    requests: list[tuple[str, int]] = field(default_factory=list)
    address: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@contextmanager
def serve(content: bytes) -> Iterator[Served]:
    """Serves the content at `address` within the block."""
    served = Served(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            _answer(self, served)

        def log_message(self, *args):
            pass

    with running(Handler) as address:
        served.address = f"{address}/folder/weights.pyth"
        yield served


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Runs an HTTP server on this machine in the block; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, served: Served) -> None:
    wanted = handler.headers.get("Range", "")
    if served.statuses:
        status = served.statuses.pop(0)
        served.requests.append((wanted, status))
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    tag = served.tag or f'"{served.sha256[:8]}"'
    content, total = served.content, len(served.content)
    start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted and served.ranges else 0
    if start and handler.headers.get("If-Range") != tag:
        start = 0  # another version than the client has
    status = 416 if start and start >= total else 206 if start else 200
    served.requests.append((wanted, status))
    handler.send_response(status)
    handler.send_header("ETag", tag)
    handler.send_header("Content-Type", served.kind)
    if status == 416:
        handler.send_header("Content-Range", f"bytes */{total}")
        content = b""
    if status == 206:
        handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        content = content[start:]
    length = len(content) if served.length is None else served.length
    handler.send_header("Content-Length", str(length))
    handler.end_headers()
    if served.broken_after:
        content = content[: served.broken_after.pop(0)]
    handler.wfile.write(content)
    handler.close_connection = True
