"""Counts the empty chunks of AVI files, which FFmpeg leaves out.

An AVI file is a tree of chunks, each with a code of four letters and its size. The lists "movi"
hold a chunk for each frame, such as "00dc" for stream 0. In a dropped frame, which repeats the one
before it, the chunk is empty.
"""

import io
import struct
from typing import BinaryIO

LISTS = (b"RIFF", b"LIST")
WITH_FRAMES = (b"AVI ", b"AVIX", b"movi", b"rec ")  # the kinds of lists that lead to frames
FRAME_CODES = (b"dc", b"db")  # compressed and uncompressed


def empty_chunks(container, stream) -> int:
    """The number of dropped frames of the stream in an open AVI file.

    A truncated or damaged file is read as far as its chunks follow each other.
    """
    held = container.file  # None: FFmpeg opened the file by its name
    codes = [b"%02d%s" % (stream.index, code) for code in FRAME_CODES]
    if held is None:
        with open(container.name, "rb") as file:
            return _count(file, codes)
    place = held.file.tell()
    try:
        return _count(held.file, codes)
    finally:
        held.file.seek(place)  # where FFmpeg expects it


def _count(file: BinaryIO, codes: list[bytes]) -> int:
    place, count = 0, 0
    end = file.seek(0, io.SEEK_END)
    while place + 8 <= end:
        file.seek(place)
        code, size = struct.unpack("<4sI", file.read(8))
        if code in LISTS and file.read(4) in WITH_FRAMES:
            place += 12  # into the list
            continue
        if not code.strip().isalnum():  # damaged
            break
        count += size == 0 and code in codes
        place += 8 + size + size % 2
    return count
