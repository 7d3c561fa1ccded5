import numpy as np
import pytest
from PIL import ImageFont

from data_pipelines.video.decoding import probe, read_frames
from slowfast_jax.report.drawing import (
    BLUE,
    GREEN,
    RED,
    Annotated,
    draw_boxes,
    shortened,
    write_annotated_video,
)

GROUND = 40
IMAGE = np.full((90, 120, 3), GROUND, np.uint8)


def painted(picture, color):
    """Bounds x1, y1, x2, y2 of the pixels that have about this color."""
    near = np.abs(picture.astype(int) - color).max(axis=-1) < 12
    rows, columns = np.nonzero(near)
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_texts_are_shortened_to_fit():
    text, font = "carry/hold (an object) " * 4, ImageFont.load_default(20)
    assert shortened("walk", font, 500) == "walk" and shortened("walk", font, 1) == "…"
    cut = shortened(text, font, 200)
    assert cut.endswith("…") and text.startswith(cut[:-1])
    assert font.getlength(cut) <= 200 < font.getlength(text[: len(cut) + 1] + "…")


def test_boxes_are_drawn_in_place():
    boxes = np.array([[10.2, 20, 50, 80], [60, 30, 100, 85]])
    picture = draw_boxes(IMAGE, boxes, ["", ""], [GREEN, RED])
    assert picture.shape == IMAGE.shape and (IMAGE == GROUND).all()
    assert painted(picture, GREEN) == (10, 20, 50, 80)
    assert painted(picture, RED) == (60, 30, 100, 85)
    assert (picture[50, 30] == GROUND).all()  # the inside is unchanged
    larger = draw_boxes(IMAGE, boxes, ["", ""], [GREEN, RED], scale=4)
    assert larger.shape == (360, 480, 3) and painted(larger, RED) == (240, 120, 400, 340)


@pytest.mark.parametrize("box", [
    [40, 40, 80, 80], [0, 0, 120, 90], [100, 0, 119, 20], [-20, 60, 15, 130], [50, 50, 40, 40]])
def test_captions_stay_in_the_picture(box):
    text = "walk left 0.93\nstand 0.51"
    picture = draw_boxes(IMAGE, np.array([box]), [text], [BLUE], scale=3)
    white = (picture > 200).all(axis=-1)
    assert white.sum() > 100  # some of the text
    edge = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    assert not edge.any()


def test_captions_do_not_cover_each_other():
    boxes = np.array([[20, 40, 60, 80], [25, 40, 65, 80]])
    picture = draw_boxes(IMAGE, boxes, ["stand 0.93", "dance 0.51"], [GREEN, RED], scale=4)
    for color in (GREEN, RED):
        solid = (np.abs(picture.astype(int) - color).max(axis=-1) < 12).sum(axis=1)
        assert (solid > 25).sum() >= 10  # rows of the caption's background


def test_boxes_captions_and_colors_must_match():
    with pytest.raises(ValueError, match="2 boxes, 1 captions and 2 colors"):
        draw_boxes(IMAGE, np.zeros((2, 4)), ["a"], [RED, RED])
    assert (draw_boxes(IMAGE, np.zeros((0, 4)), [], []) == IMAGE).all()


def test_a_video_of_annotated_frames(tmp_path):
    odd = np.full((75, 101, 3), GROUND, np.uint8)
    frames = (
        Annotated(odd, np.array([[10 + n, 20, 40 + n, 60]]), ["stand"], [GREEN]) for n in range(12)
    )
    path = tmp_path / "annotated.mp4"
    write_annotated_video(path, frames, fps=10)
    info = probe(str(path))
    assert (info.codec, info.frames, info.width, info.height) == ("h264", 12, 100, 74)
    assert info.fps == pytest.approx(10)
    last = read_frames(str(path), [11])[0].astype(int)
    inside, edge = last[45, 35], last[45, 21]  # of the box at 21..51
    assert np.abs(inside - GROUND).max() < 20 and edge[1] > 40 + edge[0]
    with pytest.raises(ValueError, match="expected a file name that ends in .mp4"):
        write_annotated_video(tmp_path / "annotated.avi", [], fps=10)
