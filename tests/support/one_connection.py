"""A server on this machine that serves the first who connects."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import av

LONGEST = 60  # seconds that it waits for a connection

Send = Callable[[socket.socket, threading.Event], None]


@contextmanager
def serve_one(send: Send, *, stall: bool) -> Iterator[int]:
    """Calls `send(connection, ended)` in a thread; then hangs up, or, with `stall`, falls silent.

    `ended` is set when the block ends. Yields the port.
    """
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, send, stall, ended))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            server.close()
            thread.join()


def _serve(server: socket.socket, send: Send, stall: bool, ended: threading.Event) -> None:
    server.settimeout(LONGEST)
    try:
        connection, _ = server.accept()
        with connection:
            send(connection, ended)
            if stall:
                ended.wait()
    except (OSError, av.error.FFmpegError):  # the reader has left
        pass
