import base64
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from slowfast_jax.metrics.confusion import confusion_matrix
from slowfast_jax.report.charts import Line, line_chart, matrix_chart, ticks
from slowfast_jax.report.html import write_report
from slowfast_jax.report.items import Picture

TITLES = (
    "Training curves", "Results per class", "Confusion matrix", "Annotated video", "Example frames",
    "Failed", "Run details",
)
NASTY = '<b>&"sit"'
NAMES = ("stand", "walk left", NASTY, "dance")
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Elements and texts of a page; checks that every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag, kind=None):
        return [a for t, a in self.elements
                if t == tag and (kind is None or kind in a.get("class", "").split())]


@pytest.fixture
def workdir(tmp_path):
    """Files of a run of two epochs in which one loss was not finite."""
    rows = [{"step": 10 * n, "split": "train", "epoch": n / 10, "loss": 1 / n, "lr": 0.1 / n}
            for n in range(1, 21)]
    rows[4]["loss"] = None
    rows += [{"step": s, "split": "val", "epoch": s / 100, "map": 0.4 * s} for s in (100, 200)]
    lines = "".join(json.dumps(row) + "\n" for row in sorted(rows, key=lambda row: row["step"]))
    (tmp_path / "metrics.jsonl").write_text(lines)
    results = {
        "fingerprint": {
            "config": "ava/<mini>", "model": {"name": "slowfast", "depth": 18, "num_classes": 4},
            "protocol": {"num_frames": 8, "sampling_rate": 2, "target_fps": 30.0, "test_crop": 256},
            "weights": "w.pyth", "list": "val.csv", "jax": "0.1.2", "list_sha256": "8ac",
        },
        "metrics": {
            "map": 80.04, "num_keyframes": 1234, "num_boxes": 57,
            "per_class_ap": {"stand": 62.5, "walk left": 100.0, NASTY: 77.6},
            "per_class_boxes": {"stand": 90, "walk left": 12, NASTY: 31, "dance": 0},
        },
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    return tmp_path


def picture():
    return Picture(
        np.full((60, 80, 3), 90, np.uint8),
        np.array([[5, 20, 30, 55], [40, 20, 70, 55], [2, 2, 10, 10]]),
        [("stand", "dance"), (NASTY,), ()],
        [[("stand", 0.91)], [("walk left", 0.4), (NASTY, 0.8)], []],
        "a <video> at 3 s",
    )


def test_a_run_becomes_one_page(workdir):
    confusion = confusion_matrix(np.eye(4)[:3], np.full((3, 4), 0.25))
    path = write_report(workdir, frames=[picture()], confusion=confusion, class_names=NAMES)
    assert path == workdir / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    content = " ".join(page.texts)
    for expected in ("ava/<mini>", "80.0", "mAP, %", "1,234", "57", "boxes tested", "steps",
                     "200", "dance", "Confusion matrix", "Not in the ground truth",
                     "recipe ava/<mini> network slowfast classes 4",
                     "8 frames, every 2 at 30 fps", "256 pixels", "w.pyth", "val.csv", "tested 20",
                     "a <video> at 3 s"):
        assert expected in content
    for internal in ("depth", "sha256", "jax", "views", "parameters"):
        assert internal not in content
    assert not page.all("script") and not page.all("link")
    sources = [a["src"] for a in page.all("img")]
    assert len(sources) == 1 and sources[0].startswith("data:image/jpeg;base64,")
    assert "http" not in text and "prefers-color-scheme: dark" in text
    image = Image.open(io.BytesIO(base64.b64decode(sources[0].split(",")[1])))
    assert image.size == (480, 360)

    # Table: from the best to the worst class, bars as long as the precision.
    bars = [a["style"] for a in page.all("div") if "style" in a]
    assert bars == ["width:100.0%", "width:77.6%", "width:62.5%"]
    # Curves: loss, learning rate and validation; a loss that is not finite has no point.
    assert len(page.all("svg", "chart")) == 3 and len(page.all("polyline")) == 3
    assert len(page.all("circle")) == 19 + 20 + 2
    assert len(page.all("rect", "own")) == 3  # no row for a class without boxes
    chips = [kind for a in page.all("span", "chip") for kind in a["class"].split()[1:]]
    legend = ["right", "wrong", "missed"]
    assert chips == [*legend, "right", "missed", "right", "wrong"]


def test_names_are_escaped(workdir):
    confusion = np.full((4, 4), 0.5)
    text = write_report(
        workdir, frames=[picture()], confusion=confusion, class_names=NAMES).read_text()
    assert "<b>" not in text and "ava/<mini>" not in text and "<video>" not in text
    assert text.count("&lt;b&gt;&amp;&quot;sit&quot;") > 5


def test_sections_without_data_are_left_out(workdir):
    (workdir / "metrics.jsonl").unlink()  # tested, not trained
    results = {"fingerprint": {}, "metrics": {"top1_acc": 71.0, "per_class_acc": {"a": 71.0}}}
    (workdir / "results.json").write_text(json.dumps(results))
    page = Page(write_report(workdir).read_text())
    assert "top-1 accuracy, %" in page.texts and workdir.name in page.texts
    assert [text for text in page.texts if text in TITLES] == ["Results per class"]


def tiles(page):
    """[(number, what it is, note)] of the tiles at the top of a page."""
    found = re.findall(
        r"<div><strong>([^<]*)</strong><span>([^<]*)</span>(?:<span>([^<]*)</span>)?</div>", page
    )
    assert found
    return found


def write_results(workdir, metrics, **sections):
    results = {"fingerprint": {}, "metrics": metrics} | sections
    (workdir / "results.json").write_text(json.dumps(results))


@pytest.mark.parametrize(("classes", "shown"), [(5, False), (6, True)])
def test_top5_of_five_classes_is_left_out(workdir, classes, shown):
    metrics = {"top1_acc": 71.0, "top5_acc": 100.0, "top5_acc_of_all": 98.0}
    write_results(workdir, metrics, fingerprint={"model": {"num_classes": classes}})
    page = write_report(workdir, parameters=2_984_000).read_text()
    assert any(title.startswith("top-5") for _, title, _ in tiles(page)) == shown
    assert "2.98 million" in page


def test_the_accuracy_is_the_first_number(workdir):
    """Not the number of videos, which comes first in the results, nor a loss."""
    accuracies = {"top1_acc": 71.0, "top5_acc": 100.0, "mean_class_acc": 68.25}
    write_results(workdir, {"split": "test_final", "num_videos": 1200, "loss": 0.5} | accuracies)
    first, *others = tiles(write_report(workdir).read_text())
    assert first == ("71.0", "top-1 accuracy, %", "852 of 1,200 videos")
    assert others == [
        ("1,200", "videos tested", ""), ("0.5", "loss", ""), ("100.0", "top-5 accuracy, %", ""),
        ("68.2", "mean class accuracy, %", ""), ("200", "steps", ""), ("2", "epochs", ""),
    ]


@pytest.mark.parametrize(("metrics", "headline", "first"), [
    ({"num_keyframes": 9, "map": 31.26}, "", ("31.3", "mAP, %", "")),
    ({"num_videos": 9, "minus_error": -0.0123}, "minus_error", ("-0.0123", "minus_error", "")),
    ({"num_videos": 9, "map": 50.0, "top1_acc": 4.0}, "top1_acc",
     ("4.0", "top-1 accuracy, %", "0 of 9 videos")),
    ({"num_videos": 9, "loss": 1.25}, "", ("9", "videos tested", "")),
])
def test_the_first_number_is_that_of_the_task(workdir, metrics, headline, first):
    write_results(workdir, metrics)
    assert tiles(write_report(workdir, headline=headline).read_text())[0] == first


@pytest.mark.parametrize(("failed", "listed"), [(1, 1), (25, 20)])
def test_failed_videos_are_listed(workdir, failed, listed):
    rows = [{"video_id": i, "path": f"<{i}>.mp4", "reason": "no video stream & no sound"}
            for i in range(failed)]
    write_results(
        workdir, {"num_videos": 10, "top1_acc": 80.0, "top1_acc_of_all": 61.5}, failed=rows
    )
    text = write_report(workdir).read_text()
    assert ("61.5", "top-1 accuracy, %, failed videos counted as wrong", "") in tiles(text)
    assert (str(failed), "failed", "") in tiles(text)
    page = Page(text)
    assert "Failed" in page.texts and page.texts.count("no video stream & no sound") == listed
    assert ("5 more are listed in results.json." in page.texts) == (failed == 25)
    assert "<0>.mp4" in page.texts


@pytest.mark.parametrize(("height", "width"), [(160, 90), (1920, 1080), (90, 160), (1080, 1920)])
def test_pictures_of_any_shape_stay_small(workdir, height, width):
    """The style sheet bounds pictures and the video in both directions; files are bounded, too."""
    image = np.full((height, width, 3), 90, np.uint8)
    shown = Picture(image, np.array([[0, 0, 9, 9]]), [("stand",)], [[("stand", 0.9)]], "a")
    text = write_report(workdir, frames=[shown]).read_text()
    (source,) = [a["src"] for a in Page(text).all("img")]
    image = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
    assert 480 <= max(image.size) <= 960
    assert abs(image.width / image.height - width / height) < 0.01
    for element in ("figure img", "video"):
        rule = re.search(rf"^{element} {{([^}}]*)}}", text, re.MULTILINE)[1]
        assert "max-height" in rule and "max-width: 100%" in rule
        assert "height: auto" in rule and "width: auto" in rule


@pytest.mark.parametrize("classes", [1, 2, 400])
def test_tables_of_few_and_many_classes(workdir, classes):
    """The table has its own scroll bar, and counts the videos of each class."""
    names = [f"class {k}" for k in range(classes)]
    videos = [{"label": k} for k in range(classes)] + [{"label": 0}, {"label": [0]}]
    write_results(
        workdir, {"num_videos": len(videos), "top1_acc": 50.0,
                  "per_class_acc": {name: 50.0 for name in names}}, videos=videos,
    )
    text = write_report(workdir, confusion=np.eye(classes), class_names=names).read_text()
    page = Page(text)
    assert len(page.all("div", "tall")) == 1 and "videos" in page.texts
    assert f'<th scope="row">class 0</th>{BAR}<td>50.0</td><td>3</td>' in text
    assert len(page.all("tr")) == 1 + classes
    assert len(page.all("rect", "own")) == (classes if classes <= 80 else 0)
    nobody = "None of the 400 classes is confused with another one."
    assert (nobody in page.texts) == (classes == 400)
    if classes == 400:
        matrix = np.eye(classes)
        matrix[3, 300] = 0.5
        page = Page(write_report(workdir, confusion=matrix, class_names=names).read_text())
        assert len(page.all("rect", "own")) == 2


BAR = '<td class="bar"><div style="width:50.0%"></div></td>'


def test_missing_and_broken_files(workdir):
    with pytest.raises(ValueError, match=r"shape \(3, 3\) and class_names has length 4"):
        write_report(workdir, confusion=np.zeros((3, 3)), class_names=NAMES)
    (workdir / "results.json").write_text("[]")
    with pytest.raises(ValueError, match="results.json: not a results file of --mode eval"):
        write_report(workdir)
    (workdir / "results.json").unlink()
    with pytest.raises(FileNotFoundError, match="results.json: no such file; run --mode eval"):
        write_report(workdir)
    assert not (workdir / "report.html").exists()


def test_confusion_matrix():
    labels = np.array([[1, 0, 0], [1, 1, 0]])
    scores = np.array([[0.9, 0.1, 0.2], [0.7, 0.5, 0.0]])
    matrix = confusion_matrix(labels, scores)
    np.testing.assert_allclose(matrix[:2], [[0.8, 0.3, 0.1], [0.7, 0.5, 0.0]])
    assert np.isnan(matrix[2]).all()


@pytest.mark.parametrize("low, high", [
    (0, 1), (0, 0), (0, 0.0032), (0, 99.3), (-3, 7), (0, 12345), (0, 3e-9)])
def test_ticks_are_round_and_enclose(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 7 and found[0] <= low and found[-1] >= high * (1 - 1e-9)
    step = found[1] - found[0]
    np.testing.assert_allclose(np.diff(found), step)
    assert f"{step:.3e}"[:4] in ("1.00", "2.00", "2.50", "5.00")


def test_labels_of_ticks_are_short():
    texts = Page(line_chart("lr", [Line("train", [0, 20_000], [0, 0.001])])).texts
    assert {"2.5e-4", "1e-3", "20k", "0"} <= {*texts}


def test_long_lines_are_thinned_and_stay_inside():
    steps = np.arange(10_000)
    chart = line_chart("loss", [Line("train", steps, np.cos(steps)), Line("val", [1], [0.5])])
    page = Page(chart)
    first, second = (a["points"].split() for a in page.all("polyline"))
    assert len(first) == 200 and len(second) == 1
    places = np.array([point.split(",") for point in first], float)
    assert (places >= 0).all() and (places <= [360, 220]).all()
    assert "val" in page.texts and not re.search("nan|inf", chart)
    assert line_chart("loss", [Line("train", [], [])]) == ""


@pytest.mark.parametrize("classes", [3, 30, 80])
def test_matrices_of_any_size(classes):
    matrix = np.full((classes, classes), 0.3)
    matrix[1] = math.nan
    page = Page(matrix_chart(matrix, [f"a rather long name of action {n}" for n in range(classes)]))
    assert len(page.all("rect")) == classes * (classes - 1)
    assert len([t for t in page.texts if t == "30"]) == (6 if classes == 3 else 0)
