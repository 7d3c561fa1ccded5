import base64
import re
import sys
import types

import av
import numpy as np
import pytest
from PIL import Image

import slowfast_jax
from data_pipelines.video.decoding import VideoError
from data_pipelines.video.encoding import write_video
from slowfast_jax.display.results import Predictions
from slowfast_jax.display.show import MOST_CLIPS

CLIP = np.zeros((4, 33, 40, 3), np.uint8)  # an odd height, which H.264 cannot store


@pytest.fixture
def jupyter(monkeypatch):
    """A stand-in of IPython in a notebook; returns the list of what is displayed."""
    shown = []
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=None)
    display.display, display.HTML = shown.append, str
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def embedded(html: str, kind: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(f'"data:{kind};base64,([^"]*)"', html)]


def frames_of(content: bytes, path) -> list:
    path.write_bytes(content)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return list(container.decode(video=0))


def test_films_and_pictures_in_jupyter(jupyter, tmp_path):
    slowfast_jax.show(CLIP, fps=7.5)
    (film,) = embedded(jupyter.pop(), "video/mp4")
    assert [(f.height, f.width) for f in frames_of(film, tmp_path / "a.mp4")] == [(32, 40)] * 4
    slowfast_jax.show(np.stack([CLIP] * (MOST_CLIPS + 2)))
    html = jupyter.pop()
    assert len(embedded(html, "video/mp4")) == MOST_CLIPS and f"first {MOST_CLIPS}" in html
    slowfast_jax.show(CLIP[0])
    (picture,) = embedded(jupyter.pop(), "image/jpeg")
    (tmp_path / "a.jpg").write_bytes(picture)
    assert Image.open(tmp_path / "a.jpg").size == (280, 231)  # 7 times as large
    slowfast_jax.show(Predictions([("a", 0.5)]))
    assert jupyter.pop() == [("a", 0.5)]


def test_boxes_are_drawn(jupyter, tmp_path):
    boxes = np.array([[2, 2, 20, 20], [10, 10, 39, 30]])
    slowfast_jax.show(CLIP, boxes, ["one", "two"])
    moving = np.stack([boxes] * 4)
    moving[3] = [[0, 22, 6, 32], [30, 0, 39, 8]]
    slowfast_jax.show(CLIP, moving)
    changes = []
    for html in jupyter:
        (film,) = embedded(html, "video/mp4")
        frames = [f.to_ndarray(format="rgb24") for f in frames_of(film, tmp_path / "a.mp4")]
        assert all(frame.max() > 100 for frame in frames)
        changes.append(np.abs(frames[3].astype(int) - frames[0]).max())
        assert "40x33 with boxes" in html
    assert changes[0] < 60 < 100 < changes[1]  # other boxes in the last frame


def test_files(jupyter, tmp_path):
    write_video(tmp_path / "a.mp4", [*CLIP[:, :32]] * 4, fps=30)
    slowfast_jax.show(tmp_path / "a.mp4")
    (film,) = embedded(jupyter.pop(), "video/mp4")
    assert len(frames_of(film, tmp_path / "b.mp4")) == 16
    Image.fromarray(CLIP[0]).save(tmp_path / "<a>.png")
    slowfast_jax.show(tmp_path / "<a>.png")
    assert "&lt;a&gt;.png: picture of 40x33" in jupyter.pop()
    with pytest.raises(VideoError, match="no such file"):
        slowfast_jax.show(tmp_path / "none.mp4")


def test_outside_jupyter_it_says_what_it_is(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    slowfast_jax.show(CLIP, [[2, 2, 20, 20]], fps=15)
    slowfast_jax.show(Predictions([("a", 0.5)]))
    assert capsys.readouterr().out == (
        "film of 4 frames of 40x33 with boxes, 15 per second\n[('a', 0.5)]\n"
    )


@pytest.mark.parametrize(("thing", "boxes", "message"), [
    (3, None, r"array \(\) cannot be shown; expected a path, a result, or uint8 pixels"),
    ({}, None, "dict cannot be shown"),
    (np.zeros((4, 5)), None, r"array \(4, 5\) cannot be shown"),
    (CLIP / 255, None, "pixels are float64; expected uint8, before normalization"),
    (CLIP[:0], None, "has no pixels"),
    (CLIP, np.zeros((3, 2, 4)), r"shape \(3, 2, 4\); expected \(B, 4\), or \(4, B, 4\) for each"),
    (CLIP[None], np.zeros((2, 4)), r"boxes are drawn into one clip: pass clips\[i\]"),
    ("a.mp4", np.zeros((2, 4)), "not into a file"),
    (Predictions(), np.zeros((2, 4)), "cannot be drawn into a Predictions"),
])
def test_what_cannot_be_shown(thing, boxes, message):
    with pytest.raises(ValueError, match=message):
        slowfast_jax.show(thing, boxes)


def test_captions_fit_boxes():
    with pytest.raises(ValueError, match="1 captions for 2 boxes"):
        slowfast_jax.show(CLIP, np.ones((2, 4)), ["a"])
    with pytest.raises(ValueError, match="captions are texts of boxes"):
        slowfast_jax.show(CLIP, captions=["a"])
