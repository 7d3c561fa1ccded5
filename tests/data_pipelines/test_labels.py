"""Class names: the shipped sets, and every file format and error."""

import json

import pytest

from data_pipelines.labels import class_names, shipped_sets
from tests.support.paths import REAL, needs_real

SIZES = {
    "kinetics400": 400, "kinetics600": 600, "kinetics700": 700, "ssv2": 174, "ucf101": 101,
    "hmdb51": 51, "ava": 80, "charades": 157,
}


@pytest.mark.parametrize("name", SIZES)
def test_shipped_sets(name):
    names = class_names(name, count=SIZES[name])
    assert len(set(names)) == SIZES[name]
    assert all(n == n.strip() and n for n in names)


def test_sets_are_known_by_name():
    assert set(SIZES) <= set(shipped_sets())
    assert class_names("kinetics400")[6] == "arm wrestling"
    assert class_names("ava")[79] == "watch (a person)"
    assert class_names("charades")[106] == "Drinking from a cup/glass/bottle"


@needs_real
def test_shipped_sets_against_the_label_maps():
    labels = REAL / "labels"
    assert class_names("kinetics400") == class_names(labels / "kinetics_classnames.json")
    for name, file in {
        "kinetics400": "k400", "kinetics600": "k600", "kinetics700": "k700", "ssv2": "sthv2",
        "ucf101": "ucf101", "hmdb51": "hmdb51",
    }.items():
        assert class_names(name) == class_names(labels / f"label_map_{file}.txt")


@needs_real
def test_ava_rows_are_action_ids():
    ours = class_names("ava")
    for file in ("ava/ava_action_list_v2.1_for_activitynet_2018.pbtxt",
                 "labels/label_map_ava60.txt"):
        evaluated = class_names(REAL / file, count=80)
        differing = [k for k in range(80) if ours[k] != evaluated[k]]
        assert len(differing) == 20
        assert all(evaluated[k] == f"action {k + 1}" for k in differing)


@pytest.fixture
def make_file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    return write


def test_text(make_file):
    assert class_names(make_file("c.txt", "walk\nrun fast\n\n")) == ["walk", "run fast"]
    assert class_names(make_file("c.txt", "c000 Hold it\nc001 Sit\n")) == ["Hold it", "Sit"]
    assert class_names(make_file("c.txt", "c000 walk\ncar\n")) == ["c000 walk", "car"]
    assert class_names(make_file("c.txt", "1: walk\n3: run\n")) == ["walk", "action 2", "run"]


def test_json(make_file):
    quoted = {'"run fast"': 1, "walk": 0}
    assert class_names(make_file("c.json", quoted)) == ["walk", "run fast"]
    assert class_names(make_file("c.json", {"walk": "0", "run": "1"})) == ["walk", "run"]
    assert class_names(make_file("c.json", ["walk", "run"])) == ["walk", "run"]


def test_pbtxt(make_file):
    text = 'item {\n  name: "say \\"hi\\""\n  id: 2\n}\nlabel { name: "walk" label_id: 1 }\n'
    assert class_names(make_file("c.pbtxt", text)) == ["walk", 'say "hi"']


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.txt", "", "c.txt: no class names"),
        ("c.txt", "walk\n\nrun\n", "c.txt:2: blank line"),
        ("c.txt", "walk\nrun\nwalk\n", "the name 'walk' occurs twice"),
        ("c.txt", "walk\nrun\nsit\n", "c.txt: 3 class names; the model has 2 classes"),
        ("c.json", "{", "c.json:1: not JSON"),
        ("c.json", '{"walk": %s}' % ("9" * 5000), "c.json: this JSON cannot be parsed .*digits"),
        ("c.json", "[" * 99_999, "c.json: this JSON cannot be parsed .*recursion"),
        ("c.json", {"walk": 0, "run": 10**12}, "id 1000000000000; expected a number"),
        ("c.txt", "1: walk\n%s: run\n" % ("9" * 5000), "c.txt: id '99.*; expected a number"),
        ("c.pbtxt", 'item { name: "walk" id: 9999999 }', "id '9999999'; expected a number"),
        ("c.pbtxt", "{" * 10**6, "no class names in it"),
        ("c.txt", "c000 walk\nc002 run\n", "c.txt: no name for id 1"),
        ("c.json", {"walk": "x"}, "expected {name: id, ...}"),
        ("c.json", {"walk": 0, "run": 0}, "the id 0 occurs twice"),
        ("c.json", {'"walk"': 0, "walk": 1}, "the name 'walk' occurs twice"),
        ("c.json", {"walk": 0, "run": 3}, "no name for id 1, 2; expected all of 0..3"),
        ("c.json", {"walk": -1, "run": 0}, "id -1; ids count from 0"),
        ("c.pbtxt", "", "no class names in it"),
        ("c.pbtxt", 'item { name: "walk" }', "expected a name and an id"),
        ("c.pbtxt", 'item { name: "walk" id: 0 }', "id 0; ids count from 1"),
        ("c.pbtxt", 'item { name: "a" id: 1 } item { name: "b" id: 1 }', "the id 1 occurs twice"),
    ],
)
def test_mistakes(make_file, name, content, message):
    with pytest.raises(ValueError, match=message):
        class_names(make_file(name, content), count=2)


def test_another_encoding_is_refused(make_file):
    path = make_file("c.txt", "walk")
    path.write_bytes("walk\ncaf\u00e9\n".encode("latin1"))
    with pytest.raises(ValueError, match="c.txt: is not UTF-8 text .*; expected names of classes"):
        class_names(path)


def test_unknown_set_lists_the_known():
    with pytest.raises(ValueError, match="neither a file .*ava, charades, hmdb51, kinetics400"):
        class_names("kinetics-400")
