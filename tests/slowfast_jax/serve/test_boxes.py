"""JSON bodies: frames in place of a video, and networks that classify boxes."""

import base64
import io
import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from data_pipelines.video.encoding import write_video
from slowfast_jax import load
from slowfast_jax.inference.person_actions import read_boxes, score_keyframes
from slowfast_jax.serve.app import Limits, make_app
from slowfast_jax.serve.body import MOST_COMMAS
from slowfast_jax.serve.network import Served, find_network
from tests.slowfast_jax.serve.test_app import SAMPLING, wait_until_ready

random = np.random.default_rng(0)
FRAMES = random.integers(0, 256, (40, 12, 16, 3), np.uint8).repeat(4, 1).repeat(4, 2)  # 64 x 48
BOXES = [[4.0, 6.0, 30.0, 40.0], [10.0, 0.0, 60.0, 44.0]]


def encoded(content):
    return base64.b64encode(content).decode()


def pictures(frames):
    found = []
    for frame in frames:
        Image.fromarray(frame).save(file := io.BytesIO(), "PNG")
        found.append(encoded(file.getvalue()))
    return found


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    write_video(path, FRAMES, fps=20)
    return path


def of_boxes(clips, boxes):
    """Scores: the mean color of a clip, and the area of a box as a share of the frame."""
    height, width = clips.shape[2:4]
    mean = clips.mean((1, 2, 3)) / 255
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1) / (height * width)
    mean = mean[:, None].repeat(boxes.shape[1], 1)
    return np.concatenate([mean, area[..., None]], -1).astype(np.float32)


def served(run=of_boxes, shapes=((4, 32, 42, 3), (4, 32, 56, 3)), max_boxes=3):
    return Served(
        run, shapes, "test/boxes", ["r", "g", "b", "area"], SAMPLING, "sum", None, max_boxes
    )


@pytest.fixture(scope="module")
def service():
    with TestClient(make_app(served(), [2], Limits())) as one:
        wait_until_ready(one)
        yield one


@pytest.fixture(scope="module")
def whole_videos():
    network = Served(
        lambda clips: np.float32(clips.mean((1, 2, 3)) / 255), [(4, 32, 32, 3)], "test/mean",
        ["r", "g", "b"], SAMPLING, "sum", None,
    )
    with TestClient(make_app(network, [2], Limits())) as one:
        wait_until_ready(one)
        yield one


def test_scores_of_boxes_are_those_of_predict(tiny, video, tmp_path):
    recognizer = load("test/tiny_boxes", weights="random")
    table = tmp_path / "boxes.csv"
    rows = [f"a.mp4,1.2,{x1 / 64},{y1 / 48},{x2 / 64},{y2 / 48}" for x1, y1, x2, y2 in BOXES]
    table.write_text("\n".join(["video,time,x1,y1,x2,y2", *rows]))
    (wanted,) = score_keyframes(recognizer, read_boxes(table, {str(video): video})[str(video)])
    network = find_network(
        "test/tiny_boxes", "random", aspect_ratios=[(4, 3)], max_boxes=2, backend=None
    )
    with TestClient(make_app(network, [1], Limits())) as one:
        wait_until_ready(one)
        answer = one.post("/predict?top_k=99", json={
            "video": encoded(video.read_bytes()), "keyframes": [{"second": 1.2, "boxes": BOXES}],
        })
    (found,) = answer.json()["keyframes"]
    assert found["second"] == 1.2 and [one["box"] for one in found["boxes"]] == BOXES
    for scores, box in zip(wanted.scores, found["boxes"], strict=True):
        for row in box["predictions"]:
            assert row["score"] == pytest.approx(scores[row["index"]], abs=1e-6)


def test_several_keyframes_with_different_numbers_of_boxes(service):
    answer = service.post("/predict?top_k=4", json={
        "frames": pictures(FRAMES), "fps": 20.0,
        "keyframes": [{"second": 0.5, "boxes": BOXES}, {"boxes": BOXES[1:]}],
    })
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["video"] == {"seconds": 2.0, "frames": 40, "fps": 20.0}
    assert [one["second"] for one in found["keyframes"]] == [0.5, 1.0]
    for keyframe, boxes in zip(found["keyframes"], (BOXES, BOXES[1:]), strict=True):
        for one, (x1, y1, x2, y2) in zip(keyframe["boxes"], boxes, strict=True):
            (area,) = (row["score"] for row in one["predictions"] if row["label"] == "area")
            assert area == pytest.approx((x2 - x1) * (y2 - y1) / (64 * 48), rel=0.02)


def test_frames_are_stretched_a_little_and_their_boxes_with_them(service):
    wide = FRAMES[:, :, list(range(64)) * 2][:, :, :81]  # 81 x 48, between 4:3 and 16:9
    box = [0.0, 12.0, 40.5, 36.0]  # a quarter of the frame
    body = {"frames": pictures(wide[:8]), "keyframes": [{"boxes": [box]}]}
    (row,) = service.post("/predict?top_k=4", json=body).json()["keyframes"][0]["boxes"]
    (area,) = (one["score"] for one in row["predictions"] if one["label"] == "area")
    assert area == pytest.approx(0.25, abs=1e-3)


def test_frames_of_whole_videos_are_scored_as_the_video(whole_videos, video):
    as_video = whole_videos.post("/predict", content=video.read_bytes())
    as_json = whole_videos.post("/predict", json={"video": encoded(video.read_bytes())})
    as_frames = whole_videos.post("/predict", json={"frames": pictures(FRAMES), "fps": 20})
    assert as_json.json() == as_video.json()
    for mine, wanted in zip(
        as_frames.json()["predictions"], as_video.json()["predictions"], strict=True
    ):
        assert mine["score"] == pytest.approx(wanted["score"], abs=1e-2)


KEYFRAMES = [{"boxes": BOXES}]
SMALL = pictures(FRAMES[:1])


@pytest.mark.parametrize("body, message", [
    ({"keyframes": KEYFRAMES}, "either video or frames"),
    ({"video": encoded(b"x"), "frames": SMALL, "keyframes": KEYFRAMES}, "either video or frames"),
    ({"frames": SMALL}, "classifies boxes: send application/json with keyframes"),
    ({"frames": [], "keyframes": KEYFRAMES}, "frames: List should have at least 1 item"),
    ({"frames": SMALL, "keyframes": [{"boxes": []}]}, "keyframes[0].boxes: List should have"),
    ({"frames": SMALL, "keyframes": [{"boxes": [[1, 2, 3]]}]}, "keyframes[0].boxes[0][3]: Field"),
    ({"frames": SMALL, "keyframes": [{"boxes": [[1, 2, 3, "x"]]}]}, "keyframes[0].boxes[0][3]: "),
    ({"frames": SMALL, "keyframes": [{"boxes": [[5, 5, 5, 9]]}]}, "keyframes[0]: box 0"),
    ({"frames": SMALL, "keyframes": [{"boxes": [[0.1, 0.1, 0.9, 0.9]]}]}, "fractions"),
    ({"frames": SMALL, "keyframes": [{"boxes": BOXES * 2}]}, "4 boxes; this service takes 3"),
    ({"frames": SMALL, "keyframes": [{"second": 9, "boxes": BOXES}]}, "second 9 is outside"),
    ({"frames": SMALL, "keyframes": [{"second": -1, "boxes": BOXES}]}, "second -1 is outside"),
    ({"frames": SMALL, "fps": 0, "keyframes": KEYFRAMES}, "fps: Input should be greater than 0"),
    ({"frames": SMALL, "seconds": 1, "keyframes": KEYFRAMES}, "seconds: Extra inputs"),
    ({"frames": ["!"], "keyframes": KEYFRAMES}, "frames[0]: "),
    ({"frames": [encoded(b"no picture")], "keyframes": KEYFRAMES}, "frames[0]: cannot be read"),
    ({"video": encoded(b"no video"), "keyframes": KEYFRAMES}, "the video: "),
    ([], "Input should be an object"),
    (5, "Input should be an object"),
    (None, "Input should be an object"),
])
def test_wrong_bodies(service, body, message):
    answer = service.post("/predict", json=body) if body is not None else service.post(
        "/predict", content=b"null", headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400 and message in answer.json()["detail"], answer.text


def test_frames_that_fit_no_size(service):
    tall = pictures(FRAMES[:1].swapaxes(1, 2))
    answer = service.post("/predict", json={"frames": tall, "keyframes": KEYFRAMES})
    assert answer.status_code == 400
    assert "frames of 48x64 fit none" in answer.json()["detail"]
    assert "42x32, 56x32" in answer.json()["detail"]


@pytest.mark.parametrize("content", [
    b"", b"{", b"[" * 100_000, b'{"frames": [' + b"1," * (MOST_COMMAS + 1) + b"1]}", b"\xff\xfe",
    b'{"frames": "' + b"A" * 100_000,
])
def test_damaged_json(service, content):
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = service.post("/predict", content=content, headers=headers)
    assert answer.status_code == 400 and len(answer.json()["detail"]) < 300


@pytest.mark.parametrize("count", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_mutated_json_is_an_error_of_the_client_or_answered(service, count):
    good = json.dumps({"frames": pictures(FRAMES[:3]), "keyframes": KEYFRAMES}).encode()
    for _ in range(count):
        content = bytearray(good)
        for place in random.integers(0, len(content), random.integers(1, 4)):
            content[place] = random.integers(256)
        headers = {"Content-Type": "application/json"}
        answer = service.post("/predict", content=bytes(content), headers=headers)
        assert answer.status_code in (200, 400), answer.text


def test_what_takes_no_boxes_or_nothing_else(service, whole_videos, video):
    answer = service.post("/predict", content=video.read_bytes())
    assert answer.status_code == 400 and "keyframes" in answer.json()["detail"]
    body = {"frames": SMALL, "keyframes": KEYFRAMES}
    answer = whole_videos.post("/predict", json=body)
    assert answer.status_code == 400 and "takes no keyframes" in answer.json()["detail"]


def test_the_interface_has_the_body(service, whole_videos):
    for one, kinds in ((service, 1), (whole_videos, 2)):
        schema = one.get("/openapi.json").json()
        body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]
        assert len(body) == kinds and "keyframes" in json.dumps(body["application/json"]["schema"])


@pytest.mark.parametrize("spec, options, message", [
    ("test/tiny", {"max_boxes": 3}, "--max-boxes is for networks that classify boxes"),
    ("test/tiny", {"aspect_ratios": [(1, 1)]}, "--aspect-ratios is for networks that classify"),
    ("test/tiny_boxes", {"clips": 2}, "--clips is for networks that classify whole videos"),
])
def test_options_of_the_other_kind_of_network(tiny, spec, options, message):
    with pytest.raises(ValueError, match=message):
        find_network(spec, "random", **options)


def test_an_exported_network_of_boxes_is_served(tiny, tmp_path):
    from slowfast_jax.export_command import cli

    path = str(tmp_path / "net")
    assert cli(["test/tiny_boxes", path, "--weights", "random", "--boxes", "2"]) == 0
    assert find_network(path, None).max_boxes == 2
    with pytest.raises(ValueError, match="--max-boxes: .* run as it was exported"):
        find_network(path, None, max_boxes=3)
