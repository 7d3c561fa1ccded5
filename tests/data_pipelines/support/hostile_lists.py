"""Small annotation files of every format, with their readers and kinds of damage."""

import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipelines.labels import class_names
from data_pipelines.prepare import via
from data_pipelines.sources import ava, box_pickles, box_tables, video_lists
from data_pipelines.sources.frame_lists import read_charades, read_ssv2
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from slowfast_jax.metrics import ava_files
from tests.data_pipelines.support.mutations import OF_BYTES, Mutation
from tests.data_pipelines.support.watched import Wrong, serve

FRAME_ROWS = "original_vido_id video_id frame_id path labels\n" + "".join(
    f'V{video} {video} {frame} V{video}/V{video}-{frame:06d}.jpg "{frame % 3},{video}"\n'
    for video in range(2) for frame in range(3)
)
TEMPLATES = ("Moving [something] up", "Holding [something]")
ANNOTATED = "".join(
    f"v{v},{902 + s:04d},0.1,0.2,0.5,0.6,{s + 1},{v}\n" for v in (0, 1) for s in range(2)
)
PREDICTED = "v,0902,0.100,0.200,0.500,0.600,,0.95\nv,0903,0.1,0.2,0.5,0.6,12,0.91\n" * 2
OWN = "video,time,x1,y1,x2,y2,action,person,score\nv.mp4,1.5,0.1,0.2,0.5,0.6,run,1,0.9\n" + (
    "v,2,0.1,0.2,0.5,0.6,sit,1,0.9\n" * 2
)
PBTXT = "".join(f'item {{\n  name: "act {i}"\n  id: {i}\n}}\n' for i in (1, 2, 5))
VIA = {
    "project": {"pid": "a"}, "config": {},
    "attribute": {"1": {"aname": "act", "type": 3, "options": {"0": "sit", "1": "run"}}},
    "file": {"1": {"fid": "1", "fname": "v.mp4", "type": 4}},
    "view": {"1": {"fid_list": ["1"]}},
    "metadata": {"1_a": {"vid": "1", "z": [0.1], "xy": [2, 6, 12, 32, 24], "av": {"1": "0"}}},
}
BOXES = {f"v,{902 + i:04d}": np.full((2, 5), [0.1, 0.2, 0.5, 0.6, 0.95]) for i in range(3)}


class Format(NamedTuple):
    """A format: `content` of a file `name`, and the function that reads it."""

    name: str
    content: bytes
    read: Callable[[Path], object]


def _ssv2(part: str) -> Callable[[Path], object]:
    """A reader of three files: the one given may be damaged, the others are intact."""
    whole = {
        "frames.csv": FRAME_ROWS,
        "classes.json": json.dumps({re.sub(r"[\[\]]", "", t): str(i) for i, t in
                                    enumerate(TEMPLATES)}),
        "labels.json": json.dumps([{"id": f"V{i}", "template": t} for i, t in
                                   enumerate(TEMPLATES)]),
    }

    def read(path: Path) -> object:
        for name, text in whole.items():
            (path.parent / name).write_text(text)
        files = {name: path.parent / name for name in whole} | {part: path}
        return read_ssv2(
            files["frames.csv"], class_list=files["classes.json"], labels=files["labels.json"]
        )

    read.content = whole[part].encode()
    return read


def _tables(path: Path) -> object:
    (path.parent / "v.mp4").touch()
    return box_tables.read_tables([path], folder=path.parent)


def _convert(path: Path) -> object:
    return box_pickles.convert(path, path.parent / "converted.csv")


def _via(path: Path) -> object:
    video = path.parent / "v.mp4"
    if not video.exists() or not os.path.getsize(video):
        write_video(video, [np.zeros((48, 64, 3), np.uint8)] * 3, codec="mpeg4")
    return via.convert(path, path.parent, path.parent / "via.csv")


def _multi(path: Path) -> object:
    return video_lists.read_list(path, multi_label=True, separator=",", num_classes=9)


def formats() -> list[Format]:
    rows = "".join(f"videos/{i}.mp4 {i}\n" for i in range(5))
    entries = [{"filename": f"{i}.mp4", "label": i} for i in range(4)]
    folders = [{"frame_dir": f"{i}", "total_frames": 9, "label": [i]} for i in range(4)]
    ssv2 = {name: _ssv2(name) for name in ("frames.csv", "classes.json", "labels.json")}
    listed = [
        ("list.txt", rows, video_lists.read_list),
        ("list.csv", rows.replace(" ", ","),
         lambda path: video_lists.read_list(path, separator=",")),
        ("multi.csv", "a.mp4,1,2,3\nb.mp4,1\n", _multi),
        ("list.json", json.dumps(entries), video_lists.read_list),
        ("frames.txt", "a 30 1\nb 9 0\nc/d 5 2\n", video_lists.read_frame_list),
        ("frames.json", json.dumps(folders),
         lambda path: video_lists.read_frame_list(path, multi_label=True, num_classes=9)),
        ("charades.csv", FRAME_ROWS, lambda path: read_charades(path, per_frame=True)),
        *((f"ssv2 {name}", read.content, read) for name, read in ssv2.items()),
        ("ava frames.csv", FRAME_ROWS, ava.read_frame_list),
        ("ava.csv", ANNOTATED, lambda path: ava.read_boxes([path])),
        ("ava predicted.csv", PREDICTED, lambda path: ava.read_boxes(predicted=[path])),
        ("ava.pbtxt", PBTXT, ava.read_label_map),
        ("ava excluded.csv", "v,0902\nw,0903\n", ava.read_exclusions),
        ("boxes.pkl", pickle.dumps(BOXES, 4), lambda path: ava.read_boxes(predicted=[path])),
        ("old boxes.pkl", pickle.dumps(BOXES, 2), _convert),
        ("boxes to.csv", PREDICTED,
         lambda path: box_pickles.convert(path, path.parent / "converted.pkl")),
        ("own.csv", OWN, _tables),
        ("via.json", json.dumps(VIA), _via),
        ("names.txt", "run\nsit\nwave\n", class_names),
        ("numbered.txt", "1: run\n2: sit\n5: wave\n", class_names),
        ("charades.txt", "c000 run\nc001 sit\n", class_names),
        ("names.json", json.dumps({"run": 0, "sit": 1, "wave": "2"}), class_names),
        ("names.pbtxt", PBTXT, class_names),
        ("detections.csv", PREDICTED.replace(",,", ",3,"), ava_files.read_detections),
        ("truth.csv", ANNOTATED, ava_files.read_ground_truth),
        ("excluded.csv", "v,0902\nw,0903\n", ava_files.read_exclusions),
        ("map.pbtxt", PBTXT, ava_files.read_label_map),
    ]
    return [
        Format(name, content if isinstance(content, bytes) else content.encode(), read)
        for name, content, read in listed
    ]


# Replacements for a number or word (WORDS) and for a whole file (WHOLE).
LONG = 10_000_000
WORDS = (
    b"0", b"-1", b"-0", b"1.5", b"1e999", b"-1e308", b"1e308", b"nan", b"NaN", b"Infinity",
    b"2147483648", b"9223372036854775808", b"999999999999", b"9" * 400, b"9" * 6000, b"1_0", b"",
    b"null", b"true", b"[]", b"{}", b'""', b"[[[1]]]", b'{"a": [1]}', b"\xff\xfe", b"\x00",
    "\u0661\u0662".encode(), "\u00b2".encode(), "\u2028".encode(), b"\\ud800", b'"', b"{0}", b"%d",
    b"../../../etc", b"/dev/zero", b"a" * 300, b"x" * 50_000,
)
WHOLE = (
    lambda: b"[" * 100_000, lambda: b"[" * 900 + b"1" + b"]" * 900, lambda: b'{"a":' * 50_000,
    lambda: b"a" * LONG, lambda: b" " * LONG + b"x", lambda: b"a " + b"1" * LONG,
    lambda: b"a" + b" " * LONG + b"b", lambda: b"1 " * (LONG // 2), lambda: b"1," * (LONG // 2),
    lambda: b"{" * LONG, lambda: b"1" * 50_000 + b"x1", lambda: b'"' + b"a,\n" * (LONG // 30),
    lambda: b"(" * 50_000, lambda: b"\x80\x04" + b"(" * LONG,
    lambda: b"\x80\x04" + b"]" * 100_000,
    lambda: b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f",
    lambda: b"\x80\x04\x8e" + b"\0\0\0\0\x02\0\0\0",
    lambda: b"\x80\x04]r\xff\xff\xff\x3f.",
    lambda: b"\x80\x04\x8d" + b"\0\0\0\0\x02\0\0\0", lambda: b"\0" * 100_000,
    lambda: b"\n" * 1_000_000, lambda: b'name: "' * 200_000,
    lambda: b'item { name: "a' + b"\\a" * LONG,
    lambda: b"".join(b'item { name: "a%d" id: %d }\n' % (i, i // 2) for i in range(50_000, 0, -1)),
    lambda: b"original_vido_id " + b"a" * LONG,
    lambda: b"original_vido_id\na 0 0 " + b"1" * 60_000 + b'x1 "1"\n',
    lambda: b"original_vido_id\na 0 0 " + b"9" * 5000 + b'.jpg "1"\n',
    lambda: OWN.encode() + b"v,2,0.1,0.2,0.5,0.6," + b"ab" * 60_000 + b",1,0.9\n",
)


def replace_word(content: bytes, random: np.random.Generator) -> bytes:
    """Replaces a number or a word with one that does not belong there."""
    for _ in range(int(random.choice([1, 1, 2]))):
        words = list(re.finditer(rb'"[^"]*"|[\w.\-]+', content))
        if words:
            word = words[random.integers(len(words))]
            new = WORDS[random.integers(len(WORDS))]
            if word[0][:1] == b'"' and random.random() < 0.5:
                new = b'"' + new + b'"'
            content = content[: word.start()] + new + content[word.end() :]
    return content


def replace_value(content: bytes, random: np.random.Generator) -> bytes:
    """Replaces a value of JSON with one of another type; in other files, a word."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return replace_word(content, random)
    place, holders = tree, []
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = keys[random.integers(len(keys))]
        holders.append((place, key))
        place = place[key]
    if holders:
        holder, key = holders[random.integers(len(holders))]
        values = (None, True, -1, 1.5, 10**30, "", "x", "1", [], {}, [1], ["1"], [[]], {"1": 2},
                  {"1": {}}, "a" * 5000, [0, "a", None], "\ud800")
        holder[key] = values[random.integers(len(values))]
    return json.dumps(tree).encode()


def other_encoding(content: bytes, random: np.random.Generator) -> bytes:
    """Adds letters outside ASCII and changes the encoding."""
    text = content.decode("latin1").replace("a", "\u00e9", 3)
    encoding = ("latin1", "utf-16", "utf-8-sig", "utf-32", "utf-8")[random.integers(5)]
    return text.encode(encoding)


def whole(content: bytes, random: np.random.Generator) -> bytes:
    """Replaces the file with one that is long or deeply nested."""
    return WHOLE[random.integers(len(WHOLE))]()


def many(content: bytes, random: np.random.Generator) -> bytes:
    """Repeats the content many times."""
    return content * min(int(random.choice([2, 100, 3000])), LONG // 10 // len(content) + 1)


OF_LISTS: tuple[Mutation, ...] = (
    *OF_BYTES, replace_word, replace_word, replace_word, replace_value, replace_value,
    replace_value, other_encoding, whole, many,
)


def read(path: Path) -> str:
    """"read", or the text of a documented error; raises Wrong for any other error."""
    form = next(form for form in FORMATS if form.name == path.name)
    try:
        form.read(path)
    except (ValueError, FileNotFoundError) as error:
        text = str(error)
        if str(path.parent) not in text or len(text) > LONGEST_MESSAGE:
            kind = type(error).__name__
            raise Wrong(f"{kind} of {len(text)} characters, {text[:500]}") from error
        return text[:500]
    except VideoError as error:  # a project of VIA may name any file as a video
        return str(error)
    except Exception as error:
        raise Wrong(f"{type(error).__name__}: {str(error)[:500]}") from error
    return "read"


FORMATS = formats()
LONGEST_MESSAGE = 1_000_000

if __name__ == "__main__":
    serve(read)
