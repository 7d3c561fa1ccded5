"""What changed from one test to another."""

import pytest

from slowfast_jax.report.comparison import compare, comparison_html
from tests.slowfast_jax.report.test_html import Page


def results(videos, **metrics):
    rows = [
        {"path": path, "label": label, "top1_indices": [best], "top1_values": [0.5 + best / 10]}
        for path, label, best in videos
    ]
    return {"metrics": {"num_videos": len(rows)} | metrics, "videos": rows}


EARLIER = results(
    [("a", 0, 0), ("b", 1, 0), ("c", 2, 2), ("gone", 0, 0)], top1_acc=75.0,
    per_class_acc={"run": 100.0, "sit": 50.0, "<lie>": 50.0},
)
LATER = results(
    [("c", 2, 1), ("b", 1, 1), ("a", 0, 0), ("new", 0, 0), ("newer", 1, 1)], top1_acc=80.0,
    per_class_acc={"run": 40.0, "sit": 50.0, "<lie>": 62.5, "jump": 100.0},
)


def test_classes_and_videos():
    found = compare(EARLIER, LATER)
    assert found.metrics == [("top1_acc", 75.0, 80.0)]
    assert [(c.name, c.difference) for c in found.classes] == [
        ("run", -60.0), ("<lie>", 12.5), ("sit", 0.0)
    ]
    assert found.gained == [("b", [1], (0, 0.5), (1, 0.6))]
    assert found.lost == [("c", [2], (2, 0.7), (1, 0.6))]
    assert (found.same, found.only) == (3, (1, 2))


def test_the_section_on_a_page():
    text = comparison_html(compare(EARLIER, LATER), ("<old>", "new"), ["run", "sit", "<lie>"])
    page = Page(text)
    content = " ".join(page.texts)
    for expected in ("+5.0", "+12.5", "-60.0", "1 of 3 did not change.", "1 video gained",
                     "1 video lost", "Both tested 3 videos. Only in <old>: 1; only in new: 2.",
                     "sit 0.60"):
        assert expected in content, expected
    assert "<old>" not in text and "<lie>" not in text


def test_boxes_have_no_videos():
    earlier = {"metrics": {"map": 10.0, "per_class_ap": {"run": 10.0}}, "videos": []}
    later = {"metrics": {"map": 12.0, "per_class_ap": {"run": 12.0}}, "videos": []}
    found = compare(earlier, later)
    assert found.classes == [("run", 10.0, 12.0)] and found.same == 0
    assert "gained" not in comparison_html(found, ("a", "b"))


def test_videos_with_other_classes_are_refused():
    other = results([("a", 1, 0)])
    with pytest.raises(ValueError, match="a has the label 0 in one test and 1 in the other"):
        compare(EARLIER, other)
