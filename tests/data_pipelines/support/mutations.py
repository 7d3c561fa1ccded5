"""Reproducible random damage to files, for fuzz tests."""

import struct
import zlib
from collections.abc import Callable

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]
# Values of header fields that malicious or faulty programs write: 8 bytes each, cut to the size of
# the field.
HOSTILE = tuple(
    struct.pack(">Q", value * 0x100000001 & 2**64 - 1)
    for value in (0, 1, 7, 0x7FFF, 0xFFFF, 0x10000, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
) + (b"\xff\xff\x00\x00\xff\xff\x00\x00", b"\x40\x00\x40\x00\x40\x00\x40\x00")
# Marks followed by numbers of headers: boxes of MP4, elements of Matroska, chunks of AVI.
MARKS = (
    b"tkhd", b"mvhd", b"mdhd", b"stsd", b"avc1", b"avcC", b"stts", b"ctts", b"stsc", b"stsz",
    b"stco", b"stss", b"elst", b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mdat", b"ftyp",
    b"hdlr", b"dref",
    b"\xb0\x82", b"\xb0\x81", b"\xba\x82", b"\xba\x81", b"\x44\x89", b"\x2a\xd7\xb1",
    b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\x63\xa2", b"\x16\x54\xae\x6b", b"\x1c\x53\xbb\x6b",
    b"\x11\x4d\x9b\x74", b"\x23\xe3\x83", b"\x55\xb0", b"\xae", b"\xe7", b"\xa3",
    b"RIFF", b"LIST", b"avih", b"strh", b"strf", b"idx1", b"movi", b"00dc", b"vids", b"JUNK",
)
# Beginnings of files of various formats.
STARTS = (
    b"\x00\x00\x00\x20ftypisom", b"RIFF\xff\xff\xff\x7fAVI LIST", b"\x1a\x45\xdf\xa3\x9f\x42\x86",
    b"\x47\x40\x00\x10", b"GIF89a\xff\xff\xff\xff", b"FLV\x01\x05\x00\x00\x00\x09", b"OggS\x00\x02",
    b"\x00\x00\x01\xba", b"\x00\x00\x00\x01\x67", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"",
    b"#EXTM3U\n#EXTINF:9,\nhttp://192.0.2.1/a.ts\n", b"ffconcat version 1.0\nfile video.mp4\n",
    b"v=0\no=- 0 0 IN IP4 192.0.2.1\ns=a\nt=0 0\nm=video 5004 RTP/AVP 96\n", b"DKIF\x00\x00\x20",
    b"YUV4MPEG2 W99999 H99999 F30:1 C420\nFRAME\n",
)


def flip_bits(content: bytes, random: np.random.Generator) -> bytes:
    """Flips a few or many bits of the header or of the whole file."""
    changed = np.frombuffer(content, np.uint8).copy()
    reach = len(changed) if random.random() < 0.5 else min(len(changed), 1024)
    places = random.integers(reach, size=int(random.choice([1, 3, 20, 200])))
    changed[places] ^= (1 << random.integers(8, size=len(places))).astype(np.uint8)
    return changed.tobytes()


def cut_off(content: bytes, random: np.random.Generator) -> bytes:
    """Keeps only the beginning or only the end."""
    at = int(random.integers(len(content)))
    return content[:at] if random.random() < 0.8 else content[at:]


def overwrite(content: bytes, random: np.random.Generator) -> bytes:
    """Overwrites a part with zeros, ones or random bytes."""
    at = int(random.integers(len(content)))
    length = int(min(random.choice([4, 64, 1000, 20000]), len(content) - at))
    block = (bytes(length), b"\xff" * length, random.bytes(length))[random.integers(3)]
    return content[:at] + block + content[at + length :]


def shift(content: bytes, random: np.random.Generator) -> bytes:
    """Removes a part, repeats it, or inserts it elsewhere."""
    start, stop = sorted(random.integers(len(content), size=2).tolist())
    to = int(random.integers(len(content)))
    part = content[start:stop]
    return (
        content[:start] + content[stop:], content[:stop] + part + content[stop:],
        content[:to] + part + content[to:],
    )[random.integers(3)]


def random_bytes(content: bytes, random: np.random.Generator) -> bytes:
    """Replaces the file with random bytes, after the beginning of a random format."""
    start = STARTS[random.integers(len(STARTS))]
    return start + random.bytes(int(random.choice([0, 16, 300, 20000])))


def hostile_numbers(content: bytes, random: np.random.Generator) -> bytes:
    """Writes huge, negative or zero numbers into fields of headers."""
    changed = bytearray(content)
    found = [at for mark in MARKS for at in _places(content, mark)[:4]]
    for _ in range(int(random.choice([1, 1, 2, 5]))):
        number = HOSTILE[random.integers(len(HOSTILE))][: int(random.choice([2, 4, 8]))]
        mark = found[random.integers(len(found))] if found else int(random.integers(len(content)))
        # The size of a box of MP4 precedes its name.
        at = max(mark + int(random.choice([-4, 1, 2, 3, 4, *range(8, 100, 4)])), 0)
        changed[at : at + len(number)] = number
    return bytes(changed)


def huge_picture(content: bytes, random: np.random.Generator) -> bytes:
    """Changes width and height in the headers of the codecs."""
    sides = [1, 2, 15, 64, 4000, 4352, 8000, 8192, 16000, 16383, 30000, 65535]
    width, height = (int(random.choice(sides)) for _ in range(2))
    changed = bytearray(content)
    for mark in (b"\x67\x42", b"\x67\x4d", b"\x67\x64", b"\x67\xf4"):  # H.264's parameters
        for at in _places(content, mark):
            parameters = h264_parameters(width, height)
            changed[at : at + len(parameters)] = parameters
    for at in _places(content, b"\x9d\x01\x2a"):  # VP8
        changed[at + 3 : at + 7] = struct.pack("<HH", width & 0x3FFF, height & 0x3FFF)
    for at in _places(content, b"\x00\x00\x01\xb3"):  # MPEG-1 and MPEG-2
        changed[at + 4 : at + 7] = ((width & 0xFFF) << 12 | height & 0xFFF).to_bytes(3, "big")
    for at in _places(content, b"\xff\xc0\x00\x11"):  # JPEG
        changed[at + 5 : at + 9] = struct.pack(">HH", height, width)
    for at in _places(content, b"GIF89a"):
        changed[at + 6 : at + 10] = struct.pack("<HH", width, height)
    for at in _places(content, b"IHDR"):  # PNG, whose headers have a checksum
        changed[at + 4 : at + 12] = struct.pack(">II", width, height)
        changed[at + 17 : at + 21] = struct.pack(">I", zlib.crc32(changed[at : at + 17]))
    return bytes(changed)


def h264_parameters(width: int, height: int) -> bytes:
    """A sequence parameter set of H.264 for a picture of up to 65536 pixels per side."""
    bits = f"{0x67:08b}{66:08b}{0:08b}{62:08b}"  # baseline, level 6.2
    # Id, log2 of the largest frame number - 4, decoding order, number of reference frames.
    numbers = (0, 0, 2, 1)
    bits += "".join(map(_golomb, numbers)) + "0"
    bits += _golomb(max(width // 16, 1) - 1) + _golomb(max(height // 16, 1) - 1)
    # Frames only, direct inference, no cropping, no further parameters, stop bit.
    bits += "11" + "00" + "1"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _golomb(number: int) -> str:
    binary = f"{number + 1:b}"
    return "0" * (len(binary) - 1) + binary


def _places(content: bytes, mark: bytes) -> list[int]:
    places, at = [], content.find(mark)
    while at >= 0:
        places.append(at)
        at = content.find(mark, at + 1)
    return places


OF_BYTES: tuple[Mutation, ...] = (flip_bits, cut_off, overwrite, shift, random_bytes)
OF_VIDEOS: tuple[Mutation, ...] = (
    *OF_BYTES, hostile_numbers, hostile_numbers, hostile_numbers, huge_picture,
)


def mutate(
    content: bytes, random: np.random.Generator, mutations: tuple[Mutation, ...]
) -> tuple[str, bytes]:
    """Applies one or two random mutations; returns (their names, the damaged content)."""
    names = []
    for _ in range(1 if random.random() < 0.7 else 2):
        if content:
            mutation = mutations[random.integers(len(mutations))]
            content = mutation(content, random)
            names.append(mutation.__name__)
    return " ".join(names), content
