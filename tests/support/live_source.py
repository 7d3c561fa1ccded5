"""A stand-in for a camera on the network: MPEG-TS over TCP, sent on this machine."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np

from tests.support.films import gray_pictures


class _Sender:
    """What FFmpeg writes to; `write` goes to the socket."""

    def __init__(self, connection: socket.socket):
        self._connection = connection

    def write(self, content: bytes) -> int:
        self._connection.sendall(content)
        return len(content)


@contextmanager
def live_source(
    count: int, *, fps: int = 50, stall: bool = False, size: tuple[int, int] = (48, 64)
) -> Iterator[str]:
    """Sends `count` pictures of a stream, at most `fps` per second, to the first who connects.

    Then the connection is closed, or, with `stall`, stays open without a word. Yields the address.
    """
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, count, fps, stall, size, ended))
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            server.close()
            thread.join()


def _serve(
    server: socket.socket, count: int, fps: int, stall: bool, size: tuple[int, int],
    ended: threading.Event,
) -> None:
    server.settimeout(30)
    try:
        connection, _ = server.accept()
        with connection:
            _send(connection, gray_pictures(count, *size), fps, ended)
            if stall:
                ended.wait()
    except (OSError, av.error.FFmpegError):  # the reader has left
        pass


def _send(
    connection: socket.socket, pictures: list[np.ndarray], fps: int, ended: threading.Event
) -> None:
    with av.open(_Sender(connection), "w", format="mpegts", options={"flush_packets": "1"}) as out:
        stream = out.add_stream("libx264", rate=fps, options={
            "preset": "ultrafast", "tune": "zerolatency", "threads": "1", "g": "10",
        })
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        begun = time.monotonic()
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            out.mux(stream.encode(frame))
            if ended.wait(max(0.0, begun + (number + 1) / fps - time.monotonic())):
                return
        out.mux(stream.encode(None))
