"""Lists of videos: every format, and every error."""

import gzip
import time

import pytest

from data_pipelines.sources.video_lists import (
    Sample,
    read_frame_list,
    read_list,
)
from data_pipelines.text_files import BadRows
from data_pipelines.video.image_files import FrameFiles


def test_two_columns(make_list):
    path = make_list("a.mp4 3\nfolder/b.avi 0\n")
    assert read_list(path) == [Sample("a.mp4", 3), Sample("folder/b.avi", 0)]


def test_one_column_has_label_0(make_list):
    assert read_list(make_list("a.mp4\nb.mp4")) == [Sample("a.mp4", 0), Sample("b.mp4", 0)]


def test_three_columns_ignore_the_second(make_list):
    assert read_list(make_list("a.mp4 300 7\nb.mp4 x 8\n")) == [
        Sample("a.mp4", 7), Sample("b.mp4", 8)
    ]


def test_separators_may_be_mixed_and_blank_lines_and_comments_are_skipped(make_list):
    path = make_list("\ufeffa.mp4 1\r\n\r\n  \nb.mp4,3\r\n# c\r\n#\nd.mp4\t2 \r\n\n")
    assert [s.label for s in read_list(path)] == [1, 3, 2]


@pytest.mark.parametrize("row", [
    "'{}' 3", "{}, 3,", "{},3,", "{}: 3",
    "{} 3", "{}   3", "{}\t3", "{} \t 3  ", "{},3", "{}, 3", "{};3", "{}|3", '"{}" 3', '"{}",3',
    '"{}"\t"3"', "{} 3.0", "{} 300 3", "{},300,3", '"{}" 300 3', "{} +3",
])
@pytest.mark.parametrize("name", [
    "a.mp4", "run (1).mp4", "my  two blanks.AVI", "day 1/a,b.mov", "a.mp4 copy.mp4", "7.ts",
    "é.mkv", "1 2 3.m4v", "C:\\clips\\a.mp4",
])
def test_paths_and_separators_as_people_write_them(make_list, row, name):
    path = make_list(f"{row.format(name)}\r\n{row.format('b.mp4')}\r\n")
    assert [(s.path, s.label) for s in read_list(path)] == [
        (name.replace("\\", "/"), 3), ("b.mp4", 3)
    ]


def test_an_existing_file_decides(make_list, tmp_path):
    for name in ("my clip", "0 a.mp4", "b\\c.mp4"):
        (tmp_path / name).touch()
    path = make_list("my clip 3\nb\\c.mp4 5\n")
    assert read_list(path, path_prefix=tmp_path) == [
        Sample(f"{tmp_path}/my clip", 3), Sample(f"{tmp_path}/b\\c.mp4", 5),
    ]
    assert read_list(make_list("no clip 4\n"), path_prefix="v") == [Sample("v/no", 4)]
    assert read_list(make_list("0 a.mp4\n"), path_prefix=tmp_path) == [
        Sample(f"{tmp_path}/0 a.mp4", 0)
    ]
    (tmp_path / "clip 1").touch()
    path = make_list("clip 1 0\nclip 1 2\n")
    for sample in read_list(path, path_prefix=tmp_path, multi_label=True):
        assert sample.path == f"{tmp_path}/clip 1"


@pytest.mark.parametrize("content", [
    "path,label\na.mp4,3\nb c.mp4,4\n", "label,path\n3,a.mp4\n4,b c.mp4\n",
    "\ufeffPath;Label\r\na.mp4;3\r\nb c.mp4;4\r\n",
    "filename\tclass\na.mp4\t3.0\nb c.mp4\t4.0\n",
    ',video_path,split,label\n0,a.mp4,train,3\n1,"b c.mp4",train,4\n',
    'path label\na.mp4 3\n"b c.mp4" 4\n', '"path","label"\n"a.mp4","3"\n"b c.mp4","4"\n',
])
@pytest.mark.parametrize("multi_label", [False, True])
def test_headers(make_list, content, multi_label):
    samples = read_list(make_list(content), multi_label=multi_label)
    labels = ((3,), (4,)) if multi_label else (3, 4)
    assert samples == [Sample("a.mp4", labels[0]), Sample("b c.mp4", labels[1])]


@pytest.mark.parametrize(("header", "message"), [
    ("label,youtube_id,time_start,time_end,split", "Kinetics' annotations, .*prepare kinetics OUT"),
    ("youtube_id,label", "a table of Kinetics' annotations"),
    ("video,time,x1,y1,x2,y2,action,person", "a table of boxes; it is read with data.format=boxes"),
    ("original_vido_id video_id frame_id path labels", "a list of frames; .*data.format=charades"),
    ("video,time,x,y,w,h,action", "a table of boxes; .*and the header video,time,x1,y1,x2,y2,"),
    ("name;xmin;ymin;xmax;ymax;label", "a table of boxes; .* opposite corners as fractions"),
    ("shard,record,id,label", "a list of records; it is read with data.format=records"),
    ("id,subject,script,actions,length", "Charades' annotations; .*prepare charades OUT"),
])
def test_tables_of_other_kinds(make_list, header, message):
    with pytest.raises(ValueError, match=f"test.csv:1: is .*{message}"):
        read_list(make_list(f"{header}\na,b,0,10,c\n"))


def test_comments_and_paths_that_begin_with_a_hash(make_list, tmp_path):
    (tmp_path / "#c.mp4").touch()
    (tmp_path / "b.mp4").touch()
    path = make_list("# path and label\n#c.mp4 1\n##\n\"# d.mp4\" 2\n")
    assert [(s.path, s.label) for s in read_list(path, path_prefix=tmp_path)] == [
        (f"{tmp_path}/#c.mp4", 1), (f"{tmp_path}/# d.mp4", 2)
    ]
    with pytest.raises(ValueError, match="test.csv:1: no file '#b.mp4', but 'b.mp4' exists"):
        read_list(make_list("#b.mp4 1\n"), path_prefix=tmp_path)


def test_home_is_expanded(make_list, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = make_list("~/a.mp4 0\n~b.mp4 0\n")
    assert [s.path for s in read_list(path, path_prefix="v")] == [f"{tmp_path}/a.mp4", "v/~b.mp4"]
    assert read_list(make_list("a.mp4 0\n"), path_prefix="~/v")[0].path == f"{tmp_path}/v/a.mp4"


def test_other_names_and_quotes_in_paths(make_list, tmp_path):
    (tmp_path / "'q' x.mp4").touch()
    path = make_list("'q' x.mp4 1\nit's.mp4 1\nq\"q.mp4 1\n'it''s.mp4' 1\n")
    assert [s.path for s in read_list(path, path_prefix=tmp_path)] == [
        f"{tmp_path}/{name}" for name in ("'q' x.mp4", "it's.mp4", 'q"q.mp4', "it's.mp4")
    ]


@pytest.mark.parametrize(("content", "message"), [
    (gzip.compress(b"a.mp4 0\n", mtime=0), "compressed by gzip; unpack it with `gunzip .*csv`"),
    ("a.mp4 0\n".encode("utf-16"), "it is UTF-16; convert it with `iconv -f UTF-16"),
    ("a.mp4 0\n".encode("utf-16-le"), "it is UTF-16; convert it with `iconv -f UTF-16"),
    (b"a.mp4 0\n\0", "it holds the character NUL"),
    ("é.mp4 0\n".encode("latin1"), "is not UTF-8 text"),
])
def test_other_encodings(make_list, content, message):
    path = make_list("")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_list(path)


def test_paths_start_beside_the_list_if_the_videos_are_there(make_list, tmp_path, monkeypatch):
    path = make_list("none.mp4 0\nvideos/a.mp4 1\n")
    assert read_list(path)[1].path == "videos/a.mp4"  # neither place has it
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").touch()
    assert read_list(path)[1].path == f"{tmp_path}/videos/a.mp4"
    assert read_list(path, path_prefix="elsewhere")[1].path == "elsewhere/videos/a.mp4"
    (tmp_path / "here/videos").mkdir(parents=True)
    (tmp_path / "here/videos/a.mp4").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert read_list(path)[1].path == "videos/a.mp4"


def test_separator_and_prefix(make_list, tmp_path):
    path = make_list(f"my videos/a b.mp4,3\n{tmp_path}/c.mp4,4\n")
    assert read_list(path, separator=",", path_prefix="/data") == [
        Sample("/data/my videos/a b.mp4", 3), Sample(f"{tmp_path}/c.mp4", 4)
    ]


def test_json(make_list):
    path = make_list([{"filename": "a.mp4", "label": [3]}, {"filename": "b.mp4", "label": 4}],
                     "list.json")
    assert read_list(path, path_prefix="v") == [Sample("v/a.mp4", 3), Sample("v/b.mp4", 4)]
    path = make_list([{"filename": "a.mp4", "label": [3, 4]}], "list.json")
    assert read_list(path, multi_label=True) == [Sample("a.mp4", (3, 4))]
    with pytest.raises(ValueError, match="list.json, entry 1: 2 labels; expected one"):
        read_list(path)


def test_frame_lists(make_list):
    path = make_list("dir/1 163 1\ndir/2 122 0\n", "frames.txt")
    first, second = read_frame_list(path, path_prefix="r")
    assert (first.path, first.label, first.frames.count) == ("r/dir/1", 1, 163)
    assert [first.frames.path(i) for i in (0, 162)] == [
        "r/dir/1/img_00001.jpg", "r/dir/1/img_00163.jpg"
    ]
    assert second.source == FrameFiles("r/dir/2", 122, "r/dir/2/img_{:05d}.jpg", first=None)
    (sample, _) = read_frame_list(path, path_prefix="{r}", template="{:06}.png")
    assert sample.frames.path(0) == "{r}/dir/1/000001.png"
    path = make_list("dir/1 163 1 3\n", "frames.txt")
    assert read_frame_list(path, multi_label=True)[0].label == (1, 3)
    with pytest.raises(ValueError, match="frames.txt:1: 4 columns"):
        read_frame_list(path)
    (sample,) = read_frame_list(path, with_offset=True)
    assert (sample.label, sample.frames.count, sample.frames.offset) == (3, 1, 163)
    (sample,) = read_frame_list(path, with_offset=True, start=0)
    assert sample.frames.path(0) == "dir/1/img_00163.jpg"
    for row in ("dir/1 -1 5 3", "dir/1 a 5 3", "dir/1 5 3"):
        with pytest.raises(ValueError, match="frames.txt:1: (offset|3 columns)"):
            read_frame_list(make_list(row, "frames.txt"), with_offset=True)
    entry = {"frame_dir": "d", "offset": 7, "total_frames": 5, "label": 2}
    (sample,) = read_frame_list(make_list([entry], "frames.json"), with_offset=True)
    assert (sample.frames.count, sample.frames.offset) == (5, 7)
    for row in ("my dir 163 1", '"my dir" 163 1', '"my dir",163,1', "my dir\t163\t1",
                "frame_dir,total_frames,label\nmy dir,163,1", "my dir  163  1.0"):
        (sample,) = read_frame_list(make_list(f"{row}\n", "frames.txt"))
        assert (sample.path, sample.label, sample.frames.count) == ("my dir", 1, 163), row
    make_list("jump\nhigh jump\n", "classes.txt")
    for row in ("d 30 1", "d, 30, 1", "d|30|1", "d;30;1", "d 30 high jump", "d,30,high jump,",
                "'d' 30.0 1", "d 30 1.0", "frame_dir total_frames label\nd 30 1", "# x\nd 30 1",
                'd,30,"high jump"', "path;count;class\nd;30.0;high jump"):
        (sample,) = read_frame_list(make_list(f"{row}\n", "frames.txt"), num_classes=2)
        assert (sample.path, sample.label, sample.frames.count) == ("d", 1, 30), row
    for row in ("a b,30,0", "a b, 30, 0", "a b 30 jump", '"a b" 30 jump'):
        (sample,) = read_frame_list(make_list(f"{row}\n", "frames.txt"), num_classes=2)
        assert (sample.path, sample.label, sample.frames.count) == ("a b", 0, 30), row
    path = make_list("a 30\nb 30 jump, high jump\n'c' 30 1 0\nd, 30, 0;1\n", "frames.txt")
    assert [s.label for s in read_frame_list(path, multi_label=True)] == [
        (), (0, 1), (1, 0), (0, 1)
    ]
    path = make_list([{"frame_dir": "d", "total_frames": 5, "label": [2]}], "frames.json")
    (sample,) = read_frame_list(path)
    assert (sample.path, sample.label, sample.frames.count) == ("d", 2, 5)


@pytest.mark.parametrize(("template", "message"), [
    ("img.jpg", "'img.jpg' has no place for the number; expected something like 'img_{:05d}.jpg'"),
    ("{name}.jpg", "does not take a number"),
    ("{:05s}.jpg", "does not take a number"),
    ("{}_{}.jpg", "does not take a number"),
    ("{.jpg", "does not take a number"),
])
def test_mistakes_in_templates(make_list, template, message):
    with pytest.raises(ValueError, match=f"data.frame_template .*{message}"):
        read_frame_list(make_list("dir/1 163 1\n", "frames.txt"), template=template)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("v/a.mp4 0,2\n", r"test.csv:1: found '0,2' after the path; .* need data.multi_label"),
        ("a.mp4 0\nb.mp4 dancing\n", r"test.csv:2: label 'dancing'; expected an integer"),
        ("a.mp4 0\n\nb.mp4 1.5\n", r"test.csv:3: label '1.5'; expected an integer"),
        ("a.mp4 5\n", r"test.csv:1: label 5; expected a class within 0..4"),
        ("a.mp4 -1\n", r"test.csv:1: label -1; expected a class within 0..4"),
        ("my video 1 3\n", r"test.csv:1: 4 columns in 'my video 1 3'; expected 'path label' or"),
        ("a b c d 3\n", r"test.csv:1: 5 columns in 'a b c d 3'.* needs quotes"),
        ("a.mp4 1 2 3\n", r"test.csv:1: 4 columns in .*several labels need data.multi_label"),
        (",,,\n", r"test.csv:1: no label at the end of ',,,'"),
        ("a.mp4: 0, 2\n", r"test.csv:1: found '0, 2' after the path; .*need data.multi_label"),
        ("a.mp4,-3\n", r"test.csv:1: label -3; expected a class within 0..4"),
        ("a.mp4" + "\t" * 9000 + "7\n", r"test.csv:1: label 7; expected a class within 0..4"),
        ("3 run/a.mp4\n", r"test.csv:1: the label stands before the path in '3 run/a.mp4'"),
        ("0,run/a.mp4\n", r"test.csv:1: the label stands before the path .*'label,path'"),
        ("archery,a,0,10,test\n", r"test.csv:1: no label at the end of 'archery,a,0,10,test'"),
        ("path,split\na.mp4,train\n", r"test.csv:1: no label at the end of 'path,split'"),
        ("path\na.mp4\n", r"test.csv:1: no column of labels beside 'path'; expected a header such"),
        ("path,label\n", r"test.csv: the list is empty; it has only a header"),
        ("path,label\na.mp4,0,1\n", r"test.csv:2: 3 columns in 'a.mp4,0,1'; expected 2, as in"),
        ("path,label\na.mp4,run\n", r"test.csv:2: label 'run'; expected an integer"),
        ('"a b.mp4" x\n', r"test.csv:1: label 'x'; expected an integer"),
        ('"a b.mp4" 1 2 3\n', r"test.csv:1: found '1 2 3' after the path; expected a label"),
        ("-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n",
         r"test.csv:1: is a table of boxes without a header; AVA's are read with data.format=ava"),
        ("a.mp4,1,.1,.1,.5,.5,sit\n", r"a table of boxes without a header; .* the header video,ti"),
        ("archery,abcdefghijk,0,10,train\n", r"Kinetics' annotations, .* adding the header label"),
        ("archery,abcdefghijk,0,10\n", r"Kinetics' annotations, .* adding the header label"),
        ("a.mp4 1\n" + "b" * 20_000, r"test.csv:2: the line has 20000 characters; expected a t"),
        ("a.mp4 99999999999\n", r"test.csv:1: label '99999999999'; expected an integer"),
        ("", r"test.csv: the list is empty"),
        ("\n \n", r"test.csv: the list is empty"),
    ],
)
def test_mistakes_in_rows(make_list, content, message):
    with pytest.raises(ValueError, match=message):
        read_list(make_list(content), num_classes=5)


def test_all_bad_rows_are_named(make_list):
    path = make_list("a.mp4 0\nb.mp4 x\nc.mp4 1\nd.mp4 9\n")
    with pytest.raises(BadRows) as error:
        read_list(path, num_classes=5)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{path}:2: label 'x'; expected an integer")
    assert second.startswith(f"{path}:4: label 9; expected a class within 0..4")
    path = make_list("".join(f"{number}.mp4 dancing\n" for number in range(1000)))
    with pytest.raises(BadRows, match="test.csv:5: .*\nand 995 more invalid rows$"):
        read_list(path, num_classes=5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"list.json:1: not JSON"),
        ("[" * 99_999, r"list.json: this JSON cannot be parsed .*recursion"),
        ([["a" * 999] * 999], r"list.json, entry 1: found \[.{999,3000}; expected the keys"),
        ({}, r"list.json: expected a list of"),
        ([], r"list.json: expected a list of"),
        (["a.mp4"], r"list.json, entry 1: found 'a.mp4'; expected the keys filename, label"),
        ([{"filename": "a.mp4"}], r"list.json, entry 1: found no label in"),
        ([{"filename": "a.mp4", "label": []}], r"entry 1: no label; expected one"),
        ([{"filename": "a.mp4", "label": True}], r"entry 1: label True; expected an integer"),
        ([{"filename": "a.mp4", "label": 5}], r"entry 1: label 5; expected a class within 0..4"),
    ],
)
def test_mistakes_in_json(make_list, content, message):
    with pytest.raises(ValueError, match=message):
        read_list(make_list(content, "list.json"), num_classes=5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("dir/1 163\n", r"frames.txt:1: 2 columns"),
        ("dir/1 many 1\n", r"frames.txt:1: total_frames 'many'; expected an integer"),
        ("dir/1 0 1\n", r"frames.txt:1: total_frames is 0"),
        ("dir 1 30 0\n", r"frames.txt:1: 4 columns .*a folder whose name ends in a number needs"),
        ("dir 30 jump\n", r"frames.txt:1: label 'jump'; expected an integer"),
        ("path,label\ndir,0\n", r"frames.txt:2: no column total_frames in the header 'path,label'"),
    ],
)
def test_mistakes_in_frame_lists(make_list, content, message):
    with pytest.raises(ValueError, match=message):
        read_frame_list(make_list(content, "frames.txt"))


def test_missing_list(tmp_path):
    with pytest.raises(FileNotFoundError, match="val.csv: no such list .* config.data.root"):
        read_list(tmp_path / "val.csv")


def test_a_video_given_for_a_list(videos):
    with pytest.raises(ValueError, match="numbered.mp4: is not UTF-8 text"):
        read_list(videos["numbered"])


def test_large_lists_are_quick(make_list):
    path = make_list("".join(f"class_{i % 700}/video_{i}.mp4 {i % 700}\n" for i in range(100_000)))
    start = time.process_time()
    assert len(read_list(path, num_classes=700)) == 100_000
    assert time.process_time() - start < 3
