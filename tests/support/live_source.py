"""A stand-in for a camera on the network: MPEG-TS over TCP, sent on this machine."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial

import av
import numpy as np

from tests.support.films import gray_pictures
from tests.support.one_connection import serve_one


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
    with serve_one(partial(_send, gray_pictures(count, *size), fps), stall=stall) as port:
        yield f"tcp://127.0.0.1:{port}"


def _send(
    pictures: list[np.ndarray], fps: int, connection: socket.socket, ended: threading.Event
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
