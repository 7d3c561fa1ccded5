"""Labels in lists of videos: names, several labels, and rows that differ."""

import pytest

from data_pipelines.sources.video_lists import Sample, read_frame_list, read_list


@pytest.mark.parametrize("row", [
    "a.mp4 air drumming", "a.mp4,air drumming", '"a.mp4" air drumming', '"a.mp4","air drumming"',
    "path,label\na.mp4,air drumming", "a.mp4 2",
])
def test_labels_by_name(make_list, row):
    make_list("run\nsit\nair drumming\n", "classes.txt")
    assert read_list(make_list(f"{row}\n")) == [Sample("a.mp4", 2)]
    assert read_list(make_list("a.mp4 sit\n"), num_classes=3) == [Sample("a.mp4", 1)]
    assert read_list(make_list("a.mp4 sit run\n"), multi_label=True) == [Sample("a.mp4", (1, 0))]
    assert read_list(make_list([{"filename": "a.mp4", "label": "sit"}], "list.json")) == [
        Sample("a.mp4", 1)
    ]
    with pytest.raises(ValueError, match="label 'jump'; expected an integer"):
        read_list(make_list("a.mp4 jump\n"))


@pytest.mark.parametrize("row", [
    "a.mp4 {}", "a.mp4,{}", "a.mp4\t{}", 'a.mp4 "{}"', '"a.mp4" {}', '"a.mp4","{}"', "a.mp4;{}",
    "path,label\na.mp4,{}", 'path label\na.mp4 {}', "'a.mp4' '{}'", "a.mp4: {}", "a.mp4={}",
])
@pytest.mark.parametrize("name", ["high jump", "type 1", "2 legs", "walk run", "jump"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_longest_class_name_is_taken(make_list, row, name, multi_label):
    names = ["jump", "high jump", "type 2", "type 1", "2 legs", "run", "walk run"]
    make_list("\n".join(names), "classes.txt")
    number = names.index(name)
    assert read_list(make_list(f"{row.format(name)}\n"), multi_label=multi_label) == [
        Sample("a.mp4", (number,) if multi_label else number)
    ]


def test_class_names_with_commas(make_list):
    make_list("a, b\nb\n", "classes.txt")
    for row in ('a.mp4,"a, b"', "a.mp4 a, b", '"a.mp4" "a, b"', 'path,label\na.mp4,"a, b"'):
        assert read_list(make_list(f"{row}\n")) == [Sample("a.mp4", 0)]
        assert read_list(make_list(f"{row}\n"), multi_label=True) == [Sample("a.mp4", (0,))]
    assert read_list(make_list("a.mp4,b,\"a, b\"\n"), multi_label=True) == [Sample("a.mp4", (1, 0))]


@pytest.mark.parametrize("content", [
    "a.mp4 {}\n", "a.mp4,{}\n", "'a.mp4' {}\n", "path,label\na.mp4,{}\n", "json",
])
def test_class_names_that_are_numbers(make_list, content):
    """A number is the number of a class in every form; if it could be a name, it is refused."""
    def read(names, label, **options):
        make_list("\n".join(names), "classes.txt")
        if content == "json":
            path = make_list([{"filename": "a.mp4", "label": label}], "list.json")
        else:
            path = make_list(content.format(label))
        return read_list(path, **options)[0].label

    assert read(["1", "2", "3"], "1") == 1  # all are numbers: labels are never names
    assert read(["1", "2", "3"], "1", multi_label=True) == (1,)
    with pytest.raises(ValueError, match="label 20; expected a class within 0..1"):
        read(["10", "20"], "20", num_classes=2)
    assert read(["0", "1", "other"], "1") == 1
    assert read(["10", "other"], "10") == 0
    assert read(["10", "other"], "1") == 1
    with pytest.raises(ValueError, match="label '1' is the number of one class and the name of an"):
        read(["1", "2", "other"], "1")
    assert read(["1", "2", "other"], "0") == 0


@pytest.mark.parametrize("row", [
    "left_right/c0.mp4 {}", "a b.mp4,{}", '"a.mp4" {}', "path,label\na.mp4,{}", "a.mp4: {}",
    "a.mp4 left_over {}", 'a.mp4 "{}"',
])
@pytest.mark.parametrize("multi_label", [False, True])
def test_misspelled_class_names_with_blanks(make_list, row, multi_label):
    path = make_list(row.format("left rigth") + "\n")
    with pytest.raises(ValueError, match="label '.*left rigth'; expected an integer .names of cl"):
        read_list(path, multi_label=multi_label)
    make_list("left right\nright left\n", "classes.txt")
    with pytest.raises(ValueError, match="label '.*left rigth'; .* 2 classes, perhaps 'left rig"):
        read_list(path, multi_label=multi_label)
    make_list("left\nright\n", "classes.txt")
    with pytest.raises(ValueError, match="label 'rigth'; .* 2 classes, perhaps 'right'"):
        read_list(path, multi_label=multi_label)


def test_unknown_class_names(make_list):
    make_list("jump high\nrun\n", "classes.txt")
    for row in ("a.mp4 jump_high", "a.mp4,Jump high", '"a.mp4" jump_high'):
        with pytest.raises(ValueError, match="test.csv:1: label .*; expected an integer"):
            read_list(make_list(f"{row}\n"))
    with pytest.raises(ValueError, match="the label stands before the path in 'jump high a.mp4'"):
        read_list(make_list("jump high a.mp4\n"))


def test_multi_label(make_list):
    path = make_list("a.mp4 3 1 5\nb.mp4 2\n")
    assert [s.label for s in read_list(path, multi_label=True)] == [(3, 1, 5), (2,)]
    path = make_list("a.mp4\nb.mp4 2\n\"c.mp4\"\nd.mp4,\"\"\n")  # none of the classes
    assert [s.label for s in read_list(path, multi_label=True)] == [(), (2,), (), ()]
    path = make_list([{"filename": name, "label": labels} for name, labels in
                      (("a.mp4", []), ("b.mp4", [1]))], "list.json")
    assert [s.label for s in read_list(path, multi_label=True)] == [(), (1,)]
    path = make_list("path,labels\na.mp4,\nb.mp4,0 2\n")
    assert [s.label for s in read_list(path, multi_label=True)] == [(), (0, 2)]
    with pytest.raises(ValueError, match=r"test.csv:1: no label, and no other row has one"):
        read_list(make_list("a.mp4\n"), multi_label=True)


@pytest.mark.parametrize("row", [
    "a.mp4 0 2", "a.mp4,0,2", "a.mp4, 0, 2", "a.mp4 0,2", "a.mp4 0;2", "a.mp4 0|2", "a.mp4 run;sit",
    'a.mp4 "0 2"', 'a.mp4,"0,2"', "a.mp4, run, sit", "a.mp4 run|2", "a.mp4,run,sit,", "a.mp4: 0, 2",
    "a.mp4 -> run, sit",
])
def test_separators_of_several_labels(make_list, row):
    make_list("run\njump\nsit\n", "classes.txt")
    (sample,) = read_list(make_list(f"{row}\n"), multi_label=True, num_classes=3)
    assert sample == Sample("a.mp4", (0, 2))


@pytest.mark.parametrize("content", [
    "a.mp4 1 0 1\n", "a.mp4 0 0 1\n", "path,label\na.mp4,1 0 1\n",
    [{"filename": "a.mp4", "label": [0, 0, 1]}],
])
def test_a_column_for_each_class_is_refused(make_list, content):
    path = make_list(content, "list.csv" if isinstance(content, str) else "list.json")
    with pytest.raises(ValueError, match="label [01] occurs 2 times; .*a column of 0 or 1 for"):
        read_list(path, multi_label=True, num_classes=3)
    with pytest.raises(ValueError, match="label 7 occurs 2 times; expected .* each once$"):
        read_list(make_list("a.mp4 7 7\n"), multi_label=True)


@pytest.mark.parametrize(("content", "message"), [
    ("a.mp4\nb.mp4 1\n", "test.csv:1: no label in 'a.mp4'; other rows have one, such as .*csv:2;"),
    ("a.mp4,1\nb.mp4,\n", "test.csv:2: no label in 'b.mp4,'; other rows have one"),
    ("path,label\na.mp4,1\nb.mp4,\n", "test.csv:3: no label in 'b.mp4,'; other rows have one"),
    ("a.mp4,0,2\nb.mp4,1\n", "test.csv:2: no column between path and label in 'b.mp4,1', unlike"),
    ("b.mp4 1\n'a.mp4' 0 2\n", "test.csv:2: a column between path and label .*data.multi_label"),
    ('"a.mp4" 0,2\n', "test.csv:1: found '0,2' after the path; .*data.multi_label"),
    ("a.mp4 0|2\n", r"test.csv:1: found '0\|2' after the path; .*data.multi_label"),
    ("a.mp4 0, 2\n", "test.csv:1: found '0, 2' after the path; .*data.multi_label"),
    ('"a.mp4",run,sit\n', "test.csv:1: found ',run,sit' after the path; .*data.multi_label"),
    ("a.mp4,run,sit\n", "test.csv:1: found 'run,sit' after the path; .*data.multi_label"),
])
def test_rows_that_differ(make_list, content, message):
    make_list("run\njump\nsit\n", "classes.txt")
    with pytest.raises(ValueError, match=message):
        read_list(make_list(content))
    assert read_list(make_list("a.mp4,run,0\nb.mp4,sit,2\n")) == [
        Sample("a.mp4", 0), Sample("b.mp4", 2)
    ]
    path = make_list("a.mp4 train 0\nb.mp4 2\n")  # no label is ignored
    assert [sample.label for sample in read_list(path)] == [0, 2]


@pytest.mark.parametrize("multi_label", [False, True])
def test_labels_that_count_from_1(make_list, multi_label):
    rows = "a.mp4 1\nb.mp4 3\nc.mp4 2\n"
    with pytest.raises(ValueError, match=r"its labels are 1..3; expected 0..2: subtract 1"):
        read_list(make_list(rows), num_classes=3, multi_label=multi_label)
    rows = "frames/a 20 1\nframes/b 20 3\n"
    with pytest.raises(ValueError, match=r"its labels are 1..3; expected 0..2: subtract 1"):
        read_frame_list(make_list(rows), num_classes=3, multi_label=multi_label)
    with pytest.raises(ValueError, match=r":2: label 3; expected a class within 0..2"):
        read_list(make_list("a.mp4 0\nb.mp4 3\n"), num_classes=3)
