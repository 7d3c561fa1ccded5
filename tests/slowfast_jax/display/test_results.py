"""Results are plain lists or tuples, and well-formed HTML in which names of classes are text."""

import xml.etree.ElementTree as xml
from typing import NamedTuple

import numpy as np
import pytest

from slowfast_jax.display.results import Predictions, Timeline, features_html
from slowfast_jax.display.timeline import MOST_PARTS, Row, Scores, timeline

NAME = 'a <b>"bold"</b> & wild class'


class Window(NamedTuple):
    start: float
    end: float
    scores: np.ndarray


def parsed(html: str) -> xml.Element:
    """The HTML is also XML once the style sheet, which holds no markup, is left out."""
    return xml.fromstring(f"<div>{html}</div>")


def texts(html: str) -> str:
    return " ".join(parsed(html).itertext())


def windows(count: int, length: float = 1.0) -> list[Window]:
    random = np.random.default_rng(0)
    return [Window(i * 1.0, i + length, random.random(3, np.float32)) for i in range(count)]


def test_predictions_are_a_list():
    rows = [(NAME, 0.75), ("other", 0.25)]
    predictions = Predictions(rows)
    assert predictions == rows and predictions[0] == rows[0] and dict(predictions)["other"] == 0.25
    html = predictions._repr_html_()
    assert NAME in texts(html) and "0.7500" in texts(html) and "width:75.0%" in html
    parsed(Predictions()._repr_html_())


def test_a_timeline_has_the_best_classes_in_order():
    rows = [Window(0, 1, np.float32([0.1, 0.6, 0.2])), Window(1, 2, np.float32([0.9, 0.3, 0.2]))]
    found = Timeline(rows, [NAME, "b", "c"])
    assert found == rows and found.best(2) == [0, 1]
    scores = found.scores_of(0)
    np.testing.assert_allclose(scores.values, [0.1, 0.9], rtol=1e-6)
    html = found._repr_html_()
    names = [span.text for span in parsed(html).iter("span") if span.get("class") == "name"]
    assert names == [None, NAME, "b", "c"]  # the first belongs to the axis
    charts = [svg.get("aria-label") for svg in parsed(html).iter("svg")]
    assert charts == [f"{name} over seconds" for name in (NAME, "b", "c")]
    unlikely = np.float32([0.5, 0.01, 0.01, 0.01, 0])
    html = Timeline([Window(0, 1, unlikely)], "abcde")._repr_html_()
    assert html.count("<details>") == 3
    assert "no windows" in texts(Timeline([], [])._repr_html_())


@pytest.mark.parametrize("length", [0.5, 1.0, 2.5])
def test_parts_of_a_row_lie_side_by_side(length):
    scores = Timeline(windows(5, length), "abc").scores_of(1)
    row = parsed(timeline([Row("b", scores, [])], 10.0))
    parts = [part for part in row.iter("i")]
    places = [dict(item.split(":") for item in part.get("style").split(";")) for part in parts]
    left = [float(place["left"].rstrip("%")) for place in places]
    width = [float(place["width"].rstrip("%")) for place in places]
    assert left == [0, 10, 20, 30, 40]
    assert width == [10 * min(length, 1)] * 4 + [10 * length]
    assert [float(part.get("data-seconds")) for part in parts] == [0, 1, 2, 3, 4]


def test_long_videos_have_few_parts():
    values = np.linspace(0.1, 1, 10 * MOST_PARTS)
    start = np.arange(len(values), dtype=float)
    scores = Scores("a", start, start + 1, values)
    html = timeline([Row("a", scores, [scores])], len(values))
    assert html.count("<i ") == MOST_PARTS and len(html) < 60_000
    np.testing.assert_array_equal(scores.end, start + 1)  # the caller's array is not changed


def test_features_tell_where_a_video_changes():
    features = np.float32([[1, 0], [1, 0], [0, 1]])
    html = features_html(features, np.arange(3.0), np.arange(1.0, 4.0), 25.0, "res5")
    assert "res5: 3 windows of 1 s, each 2 values" in texts(html)
    assert [part.get("title") for part in parsed(html).iter("i")] == ["1.0 to 2.0 s: 1.00"]
    one = features_html(features[:1, None, None], np.zeros(1), np.ones(1), 25.0, "res5")
    assert "1 window of 1 s, each 1 x 1 x 2 values" in texts(one)
