"""Pickles of predicted boxes: contents, merging with tables, and what is refused."""

import os
import pickle

import numpy as np
import pytest

from data_pipelines.sources import ava
from data_pipelines.sources.box_pickles import cli, read_proposals
from tests.support.paths import REAL, needs_real

KEY = "-5KQ66BBWC4,0902"
BOXES = np.array([[0.1, 0.2, 0.5, 0.67, 0.95], [0.3, 0.2, 0.5, 0.6, 0.89]])


def write(folder, content, protocol: int = pickle.DEFAULT_PROTOCOL):
    path = folder / "boxes.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "i8"])
def test_arrays_of_every_protocol(tmp_path, protocol, dtype):
    path = write(tmp_path, {KEY: np.asfortranarray(BOXES.astype(dtype))}, protocol)
    ((key, video, second, array),) = read_proposals(path)
    assert (key, video, second) == (KEY, "-5KQ66BBWC4", "0902")
    np.testing.assert_array_equal(array, BOXES.astype(dtype))


@needs_real
def test_a_real_file():
    folder = REAL / "ava" / "rows_sample"
    moments = ava.read_boxes([folder / "ava_sample.csv"], [folder / "ava_proposals_sample.pkl"])
    boxes = moments["_-Z6wFjXtGQ"][902.0].boxes
    assert list(boxes) == [
        "0.063,0.049,0.524,0.996", "0.076,0.051,0.554,0.975", "0.387,0.263,0.916,0.984"
    ]
    assert [(labels, score) for _, labels, score in boxes.values()] == [
        ([11, 73, 79], 1.0), ([], 0.994488), ([], 0.996238)
    ]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_boxes_are_merged_with_those_of_tables(tmp_path, dtype):
    """As with rows: by moment, and into one box if the text of their coordinates is equal."""
    annotated = tmp_path / "annotated.csv"
    annotated.write_text("-5KQ66BBWC4,0902,0.100,0.200,0.500,0.670,12,0\n")
    predicted = write(tmp_path, {
        KEY: np.concatenate([BOXES, [[0.4, 0.2, 0.5, 0.6, 0.9]]]).astype(dtype),
        "v,0904": BOXES.astype(dtype), "v,0908": np.zeros((0, 5), dtype),
    })
    moments = ava.read_boxes([annotated], [predicted])
    assert {video: list(times) for video, times in moments.items()} == {
        "-5KQ66BBWC4": [902.0], "v": [904.0]
    }
    assert list(moments["-5KQ66BBWC4"][902.0].boxes.values()) == [
        ((0.1, 0.2, 0.5, 0.67), [11], 1.0),
        ((0.4, 0.2, 0.5, 0.6), [], np.dtype(dtype).type(0.9)),
    ]
    assert list(ava.read_boxes([annotated], [predicted], every=4)) == ["v"]


def test_the_best_box_is_kept_if_no_score_reaches_the_threshold(tmp_path):
    path = write(tmp_path, {KEY: BOXES, "v,0902": BOXES[1:] * [1, 1, 1, 1, 0.5]})
    moments = ava.read_boxes(predicted=[path], score_threshold=0.96)
    kept = [score for times in moments.values() for _, _, score in times[902.0].boxes.values()]
    assert kept == [0.95, 0.445]


@pytest.mark.parametrize(("content", "reason"), [
    ([BOXES], r": holds a list; expected a dict of 'video,second' such as"),
    ({"-5KQ66BBWC4": BOXES}, r": key .*; expected 'video,second' such as '-5KQ66BBWC4,0902'"),
    ({"-5KQ66BBWC4,": BOXES}, r": key '-5KQ66BBWC4,'; expected"),
    ({("v", 902): BOXES}, r": key \('v', 902\); expected"),
    ({KEY: BOXES[:, :4]}, rf":{KEY}: array of shape \(2, 4\) has no scores; expected \(N,5\)"),
    ({KEY: BOXES[0]}, rf":{KEY}: array of shape \(5,\); expected \(N,5\): x1,y1,x2,y2,score"),
    ({KEY: BOXES.T}, rf":{KEY}: array of shape \(5, 2\); expected"),
    ({KEY: BOXES.astype(str)}, rf":{KEY}: is of <U32; expected an array \(N,5\) of numbers"),
    ({KEY: BOXES.astype(object)}, rf":{KEY}: is of object; expected an array"),
    ({KEY: BOXES.tolist()}, rf":{KEY}: is of list; expected an array"),
    ({"v,9:02": BOXES}, r":v,9:02: time is '9:02'; expected a number"),
    ({"v,0900": BOXES}, r":v,0900: time is '0900'; expected a whole second within 902..1798"),
    ({KEY: BOXES * [1, 1, 1, 1, 95]}, rf":{KEY}: score is 90.25; expected it within 0..1"),
    ({KEY: BOXES * [1, 1, 1, 1, np.nan]}, rf":{KEY}: score is nan; expected it within 0..1"),
    ({KEY: BOXES * [320, 1, 320, 1, 1]}, rf":{KEY}: box 32.000,0.200,160.000,0.670 reaches out"),
    ({KEY: BOXES[:, [2, 1, 0, 3, 4]]}, rf":{KEY}: box 0.500,0.200,0.100,0.670 has no area"),
    ({KEY: BOXES * [np.nan, 1, 1, 1, 1]}, rf":{KEY}: x1 is 'nan'; expected a number"),
    ({}, r": no boxes left of 0 rows"),
])
def test_other_contents_are_refused(tmp_path, content, reason):
    with pytest.raises(ValueError, match=rf"boxes\.pkl{reason}"):
        ava.read_boxes(predicted=[write(tmp_path, content)])


class Hostile:
    """An object whose ordinary unpickling runs code."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_no_code_in_a_file_runs(tmp_path, protocol):
    path = write(tmp_path, {KEY: BOXES, "v,0902": Hostile(tmp_path / "mark")}, protocol)
    with pytest.raises(ValueError, match=r"boxes.pkl: refers to \w+\.system; .* Nothing was run"):
        ava.read_boxes(predicted=[path])
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("content", [
    b"", b"-5KQ66BBWC4,0902,0.1,0.2,0.5,0.6,,0.95\n", pickle.dumps({KEY: BOXES})[:-30],
    b"cnumpy\nndarray\n(I1\ntR.", b"cnumpy\nload\n(Vx\ntR.",
])
def test_invalid_pickles(tmp_path, content):
    path = tmp_path / "boxes.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"boxes.pkl: (is not a pickle|refers to numpy)"):
        ava.read_boxes(predicted=[path])
    with pytest.raises(FileNotFoundError, match="none.pkl: no such table of boxes"):
        ava.read_boxes(predicted=[tmp_path / "none.pkl"])


def test_sizes_that_do_not_fit_the_file(tmp_path):
    """Python would allocate 16 GB for a memo index, and whatever size a string claims."""
    for content in (b"\x80\x02]r\xff\xff\xff\x3f.", b"\x80\x04\x8e" + bytes(4) + b"\2\0\0\0.",
                    b"\x80\x02}p1073741823\n."):
        (tmp_path / "boxes.pkl").write_bytes(content)
        with pytest.raises(ValueError, match="boxes.pkl: is not a pickle, or is cut short"):
            ava.read_boxes(predicted=[tmp_path / "boxes.pkl"])


def test_forged_dtypes_are_refused(tmp_path):
    """NumPy would read the array's bytes as addresses of objects and crash."""
    fields = {"a": (np.dtype("O"), 0)}
    state = (3, "|", None, ("a",), fields, 8, 1, 61)  # 61: flags of objects less LIST_PICKLE

    class Lie:
        def __reduce__(self):
            return np.dtype, ("V8", False, True), state

    class Array:
        def __reduce__(self):
            return (np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"),
                    (1, (1, 5), Lie(), False, b"\1" * 40))

    with pytest.raises(ValueError, match=rf"boxes.pkl:{KEY}: is of \|V8; expected an array"):
        ava.read_boxes(predicted=[write(tmp_path, {KEY: Array()})])


def test_to_a_table_and_back(tmp_path, capsys):
    content = {KEY: BOXES, "v,0904": BOXES[:1]}
    source, table, target = write(tmp_path, content), tmp_path / "a.csv", tmp_path / "b.pkl"
    assert cli([str(source), str(table)]) == 0
    assert table.read_text().splitlines() == [
        f"{KEY},0.100,0.200,0.500,0.670,,0.950000", f"{KEY},0.300,0.200,0.500,0.600,,0.890000",
        "v,0904,0.100,0.200,0.500,0.670,,0.950000",
    ]
    assert ava.read_boxes(predicted=[table], score_threshold=0.5).keys() == {"-5KQ66BBWC4", "v"}
    table.write_text(table.read_text() + "v,0904,0.100,0.200,0.500,0.670,12,0.950000\n")
    assert cli([str(table), str(target)]) == 0
    back = pickle.loads(target.read_bytes())
    assert back.keys() == content.keys()
    for key, array in content.items():
        np.testing.assert_array_equal(back[key], array)
    assert cli([str(table), str(tmp_path / "c.csv")]) == 2
    table.write_text("v,0904,0.1\n")
    assert cli([str(table), str(target)]) == 2
    assert "a.csv:1: 3 columns" in capsys.readouterr().err
