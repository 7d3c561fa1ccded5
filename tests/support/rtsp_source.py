"""A stand-in for an RTSP camera: H.264 in RTP, on the TCP connection of its replies."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial

import av

from tests.support.films import gray_pictures
from tests.support.one_connection import serve_one

SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
    "a=control:track0\r\n"
)
PACKET = 1300  # bytes of a picture in a packet at most


@contextmanager
def rtsp_source(
    count: int, *, fps: int = 25, stall: bool = False, size: tuple[int, int] = (240, 320)
) -> Iterator[str]:
    """Plays `count` pictures to the first who connects; then it hangs up, or falls silent.

    Yields the address, with a name and a password, which are not checked.
    """
    with serve_one(partial(_send, gray_pictures(count, *size), fps), stall=stall) as port:
        yield f"rtsp://user:secret@127.0.0.1:{port}/live"


def _send(pictures: list, fps: int, connection: socket.socket, ended: threading.Event) -> None:
    with connection.makefile("rb") as requests:
        while _answer(connection, requests) != "PLAY":
            pass
    _play(connection, pictures, fps, ended)


def _answer(connection: socket.socket, requests) -> str:
    """Answers a request; returns its method."""
    line = requests.readline().decode()
    if not line:
        raise ConnectionResetError
    headers = {}
    while row := requests.readline().decode().strip():
        name, _, value = row.partition(":")
        headers[name.lower()] = value.strip()
    method, address, _ = line.split()
    rows, body = [f"CSeq: {headers['cseq']}"], ""
    if method == "OPTIONS":
        rows.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
    elif method == "DESCRIBE":
        body = SDP
        rows += ["Content-Type: application/sdp", f"Content-Base: {address}/"]
    elif method == "SETUP":
        rows += [f"Transport: {headers['transport']};ssrc=00000001", "Session: 1"]
    else:
        rows.append("Session: 1")
    rows.append(f"Content-Length: {len(body)}")
    connection.sendall(("RTSP/1.0 200 OK\r\n" + "\r\n".join(rows) + "\r\n\r\n" + body).encode())
    return method


def _play(connection: socket.socket, pictures: list, fps: int, ended: threading.Event) -> None:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, fps)
    encoder.options = {
        "preset": "ultrafast", "tune": "zerolatency", "threads": "1", "g": "10",
        "x264-params": "repeat-headers=1:sliced-threads=0",
    }
    number, begun = 0, time.monotonic()
    for index, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = index
        for packet in encoder.encode(frame):
            units = [unit.rstrip(b"\0") for unit in bytes(packet).split(b"\0\0\1") if unit]
            for unit in filter(None, units):
                parts = _fragments(unit)
                for position, part in enumerate(parts):
                    last = unit is units[-1] and position == len(parts) - 1
                    connection.sendall(_packet(part, number, index * 90000 // fps, last))
                    number += 1
        if ended.wait(max(0.0, begun + (index + 1) / fps - time.monotonic())):
            return


def _fragments(unit: bytes) -> list[bytes]:
    """A unit of H.264 as payloads of RTP (RFC 6184): itself, or fragments FU-A."""
    if len(unit) <= PACKET:
        return [unit]
    head, body = unit[0], unit[1:]
    pieces = [body[begin : begin + PACKET] for begin in range(0, len(body), PACKET)]
    return [
        bytes([head & 0xE0 | 28, head & 0x1F | (0x80 if piece is pieces[0] else 0)
               | (0x40 if piece is pieces[-1] else 0)]) + piece
        for piece in pieces
    ]


def _packet(payload: bytes, number: int, ticks: int, last: bool) -> bytes:
    """An RTP packet on channel 0 of the connection."""
    header = bytes([0x80, 96 | (0x80 if last else 0)]) + (number & 0xFFFF).to_bytes(2, "big")
    header += ticks.to_bytes(4, "big") + (1).to_bytes(4, "big")
    return b"$\0" + (len(header) + len(payload)).to_bytes(2, "big") + header + payload
