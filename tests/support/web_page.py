"""The server of the page with a tiny network, and tabs that talk to it as a browser does."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ADMIT, CLAIM, RUN, STOP = "admit", "claim", "run", "of_session"  # names of the page's functions


@contextmanager
def serve_page(store, networks, samples: dict[str, Path]) -> Iterator[int]:
    """Serves the page in a thread; yields the port."""
    from slowfast_jax.web.app import Server, make_app

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    app = make_app(store, networks, samples, {"127.0.0.1", "localhost"})
    server = Server(app, "127.0.0.1", port)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join()


class Tab:
    """A tab of a browser: it has a session, which ends when it is closed."""

    def __init__(self, port: int, name: str):
        self.port, self.session = port, name
        config = json.loads(self.ask("GET", "/config")[1])
        self._functions = {
            dependency["api_name"]: dependency["id"] for dependency in config["dependencies"]
        }
        self._heart = self._connect()
        self._heart.request("GET", f"/gradio_api/heartbeat/{name}")
        self._beats = self._heart.getresponse()
        self._beats.read(1)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of an answer."""
        connection = self._connect()
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def upload(self, content: bytes) -> tuple[int, dict[str, Any]]:
        """Status of an upload, and what the server says about it."""
        status, answer = self.ask("POST", "/upload", content)
        return status, json.loads(answer)

    def start(self, function: str, data: list[Any]) -> bytes:
        """Asks for one of the page's functions; returns the answer, b"" if it will be done."""
        body = {
            "data": data, "event_data": None, "fn_index": self._functions[function],
            "trigger_id": None, "session_hash": self.session,
        }
        status, answer = self.ask("POST", "/gradio_api/queue/join", json.dumps(body).encode())
        return b"" if status == 200 else answer

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the server says about the functions that were started, until they have ended."""
        connection = self._connect()
        connection.request("GET", f"/gradio_api/queue/data?session_hash={self.session}")
        answer = connection.getresponse()
        while line := answer.readline():
            if line.startswith(b"data: "):
                message = json.loads(line[6:])
                yield message
                if message["msg"] == "close_stream":
                    break
        connection.close()

    def call(self, function: str, data: list[Any]) -> dict[str, Any]:
        """The output of one of the page's functions; {"error": ...} if it refuses."""
        refused = self.start(function, data)
        assert not refused, refused
        (output,) = [m["output"] for m in self.messages() if m["msg"] == "process_completed"]
        return output

    def close(self) -> None:
        """Closes the tab."""
        self._heart.sock.close()
        self._beats.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
