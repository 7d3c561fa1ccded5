"""Frame lists of Charades and Something-Something, and every error in them."""

import json
import time

import pytest

from data_pipelines.sources.frame_lists import read_charades, read_ssv2
from tests.support.paths import PARITY, needs_parity

HEADER = "original_vido_id video_id frame_id path labels\n"
LOADERS = PARITY / "data/loaders"


@pytest.fixture
def make(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    return write


def paths(sample):
    return [sample.frames.path(i) for i in range(sample.frames.count)]


def test_charades_labels_are_the_union_over_the_video(make):
    path = make("val.csv", HEADER + (
        'A 0 0 A/A-000001.jpg "3,1"\nA 0 1 A/A-000002.jpg ""\n\nA 0 2 A/A-000003.jpg "1"\n'
        'B 1 0 B/b.jpg ""\n'
    ))
    first, second = read_charades(path, path_prefix="/p")
    assert (first.path, first.label) == ("A", (1, 3))
    assert paths(first) == [f"/p/A/A-00000{i}.jpg" for i in (1, 2, 3)]
    assert (second.path, second.label, paths(second)) == ("B", (), ["/p/B/b.jpg"])
    assert first.source is first.frames


def test_rows_of_a_video_need_not_be_consecutive(make):
    path = make("val.csv", HEADER + 'A 0 0 a/1.jpg "0"\nB 1 0 b/1.jpg ""\nA 0 1 a/2.jpg "2"\n')
    first, second = read_charades(path, path_prefix="p")
    assert first.label == (0, 2) and paths(first) == ["p/a/1.jpg", "p/a/2.jpg"]
    assert paths(second) == ["p/b/1.jpg"]


@needs_parity
def test_charades_lists_are_read_as_by_the_original():
    expected = json.loads((LOADERS / "loaders.json").read_text())
    for split in ("train", "val"):
        samples = read_charades(LOADERS / f"{split}.csv", num_classes=6)
        assert len(samples) == 3
        assert [sample.frames.count for sample in samples] == [21, 40, 9]
    by_case = {case["key"]: case["label"] for case in expected["cases"]}
    for item in (0, 4, 9, 17):
        hot = by_case[f"charades_test_{item}"]
        assert samples[item // 6].label == tuple(k for k, one in enumerate(hot) if one)


@needs_parity
def test_ssv2_lists_are_read_as_by_the_original():
    expected = json.loads((LOADERS / "loaders.json").read_text())["ssv2_val_len_labels"]
    samples = read_ssv2(
        LOADERS / "val.csv",
        class_list=LOADERS / "something-something-v2-labels.json",
        labels=LOADERS / "something-something-v2-validation.json",
    )
    assert [len(samples), [sample.label for sample in samples]] == expected
    assert [sample.path for sample in samples] == ["202", "101", "303"]
    assert paths(samples[1])[20] == "101/000021.png"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"val.csv: the list is empty"),
        (HEADER, r"val.csv: the list is empty; expected rows 'original_vido_id"),
        ("a.mp4 3\n", r"val.csv:1: found 'a.mp4 3'; expected the header .*data.format=kinetics"),
        (HEADER + 'A 0 0 a.jpg "1"\nA 0 1 a.jpg\n', r"val.csv:3: 4 columns in 'A 0 1 a.jpg'"),
        (HEADER + 'A 0 0 a b.jpg "1"\n', r"val.csv:2: 6 columns"),
        (HEADER + 'A 0 0 a.jpg "1,x"\n', r"val.csv:2: labels \"1,x\"; expected class numbers"),
        (HEADER + '\nA 0 0 a.jpg ""\nA 0 0 a.jpg "1,6"\n', r"val.csv:4: label 6; .* 0..5"),
        (HEADER + 'A 0 0 a.jpg "-1"\n', r"val.csv:2: label -1"),
        (HEADER + "A 0 0 %s.jpg x" % ("1" * 20_000), r"val.csv:2: the line has 2\d+ characters"),
    ],
)
def test_mistakes_in_rows(make, content, message):
    with pytest.raises(ValueError, match=message):
        read_charades(make("val.csv", content), num_classes=6)


def test_worst_cases_are_fast(make):
    """Videos whose rows alternate, and names with thousands of digits."""
    rows = "".join(f'{v} 0 {i} {v}/{i}.jpg "1"\n' for i in range(20_000) for v in "AB")
    samples = read_charades(make("val.csv", HEADER + rows))
    assert [paths(sample)[-1] for sample in samples] == ["A/19999.jpg", "B/19999.jpg"]
    number = "1" * 9000
    rows = f"A 0 0 {number}x9.jpg 1\nA 0 1 {number} 1\n"
    (sample,) = read_charades(make("val.csv", HEADER + rows))
    assert paths(sample) == [f"{number}x9.jpg", number]


def test_missing_and_unreadable_lists(make, tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.csv: no such list of frames; set config.d"):
        read_charades(tmp_path / "gone.csv")
    path = make("val.csv", HEADER)
    path.write_bytes(path.read_bytes() + b"A 0 0 \xff\xfe.jpg x\n")
    with pytest.raises(ValueError, match="val.csv: is not UTF-8"):
        read_charades(path)


CLASSES = {"Holding something": "0", "Moving something": "1"}
LABELS = [{"id": "2", "template": "Moving [something]"},
          {"id": "1", "template": "Holding [something]"}]
ROWS = HEADER + '1 0 0 1/1.jpg ""\n2 0 0 2/1.jpg ""\n'


@pytest.mark.parametrize(
    ("classes", "labels", "rows", "message"),
    [
        (CLASSES, [*LABELS, {"id": "3", "template": "Eating"}], ROWS,
         "v.json, entry 3: template 'Eating' is not in the class list .*c.json"),
        (CLASSES, [{"id": "1"}], ROWS, "v.json, entry 1: .*keys id and template .*test set"),
        (CLASSES, [{"id": "1", "template": 5}], ROWS, "v.json, entry 1: .* 5; expected texts"),
        (CLASSES, "[" * 99_999, ROWS, "v.json: this JSON cannot be parsed"),
        (CLASSES, {}, ROWS, "v.json: expected a list"),
        (CLASSES, "{", ROWS, "v.json:1: not JSON"),
        ({"a": 0, "b": 2}, LABELS, ROWS, "c.json: no name for id 1"),
        (["x"], LABELS, ROWS, "not in the class list"),
        (CLASSES, LABELS[:1], ROWS, "v.json: 1 of the videos of .*val.csv are not in it.* 1;"),
        (CLASSES, LABELS, HEADER + '1 0 0 1.jpg ""\n', "val.csv: 1 of the videos of .*v.json"),
    ],
)
def test_mistakes_in_labels(make, classes, labels, rows, message):
    with pytest.raises(ValueError, match=message):
        read_ssv2(make("val.csv", rows), class_list=make("c.json", classes),
                  labels=make("v.json", labels))


def test_missing_label_files(make, tmp_path):
    rows = make("val.csv", ROWS)
    with pytest.raises(FileNotFoundError, match="c.json: no such file; config.data.class_list"):
        read_ssv2(rows, class_list=tmp_path / "c.json", labels=make("v.json", LABELS))
    with pytest.raises(FileNotFoundError, match="w.json: no such file; config.data.val_labels"):
        read_ssv2(rows, class_list=make("c.json", CLASSES), labels=tmp_path / "w.json")


def test_long_lists_are_quick(make):
    rows = (f'{v} {v} {i} {v}/{v}_{i:06d}.jpg ""\n' for v in range(2000) for i in range(1, 101))
    path = make("val.csv", HEADER + "".join(rows))
    start = time.process_time()
    samples = read_charades(path)
    assert time.process_time() - start < 3  # takes 0.2
    assert len(samples) == 2000 and not any(sample.frames.paths for sample in samples)
