"""detect_video: what each person of a video does, with a detector or with known boxes."""

import numpy as np
import pytest

import slowfast_jax
from data_pipelines.video.decoding import VideoError
from slowfast_jax.demo.stages.actions import PersonScores
from slowfast_jax.demo.stages.persons import PeopleAt
from slowfast_jax.detectors.detections import Detections, Detector
from slowfast_jax.recognizer.persons import persons_of
from tests.support.films import gray_pictures, write_film

BOX = np.array([[0.25, 0.25, 0.75, 0.75]], np.float32)


@pytest.fixture
def recognizer(tiny):
    return slowfast_jax.load(
        "test/tiny_boxes", weights="random", class_names=["lie", "run", "sit", "<wave>"]
    )


@pytest.fixture
def video(tmp_path):
    write_film(tmp_path / "a.mp4", gray_pictures(75))  # 2.5 seconds
    return tmp_path / "a.mp4"


def test_the_whole_picture(recognizer, video):
    persons = recognizer.detect_video(video, "frame")
    (person,) = persons
    np.testing.assert_allclose(person.times, np.arange(5) * 0.5, atol=0.04)
    np.testing.assert_array_equal(person.boxes, np.tile(np.float32([0, 0, 1, 1]), (5, 1)))
    assert person.scores.shape == (5, 4) and persons.seconds == pytest.approx(2.5)
    clips = recognizer.preprocess(video, seconds=[1.0])
    whole = np.float32([[[0, 0, *clips.shape[3:1:-1]]]])
    np.testing.assert_allclose(person.scores[2], recognizer(clips, whole)[0, 0], atol=1e-2)
    html = persons._repr_html_()
    assert "person 1: " in html and "&lt;wave&gt; over seconds" in html
    assert 'data-seconds="0.00"' in html and 'data-seconds="-' not in html
    assert len(recognizer.detect_video(video, "frame", stride=1.0)[0].times) == 3
    assert persons.stride == pytest.approx(0.5)


def test_a_detector_of_ones_own(recognizer, video):
    pytest.importorskip("trackers")
    found = Detector("mine", lambda picture: Detections(BOX, np.ones(1, np.float32)))
    (person,) = recognizer.detect_video(video, found)
    assert person.number == 1
    np.testing.assert_allclose(person.boxes, np.tile(BOX, (len(person.times), 1)), atol=1e-3)
    nobody = Detector("mine", lambda picture: Detections(BOX[:0], np.ones(0, np.float32)))
    assert recognizer.detect_video(video, nobody) == []
    assert "nobody was found" in recognizer.detect_video(video, nobody)._repr_html_()


def test_known_boxes(recognizer, video, tmp_path):
    rows = ["video,time,x1,y1,x2,y2,action,person"]
    rows += [f"a,{time},0.25,0.25,0.75,0.75,run,anna" for time in (0.5, 1.0, 1.5)]
    rows += ["a,1.0,0.1,0.1,0.2,0.9,sit,"]
    (tmp_path / "people.csv").write_text("\n".join(rows) + "\n")
    persons = recognizer.detect_video(video, boxes=tmp_path / "people.csv")
    anna, somebody = persons
    assert (anna.number, somebody.number) == (1, 0)
    np.testing.assert_allclose(anna.times, [0.5, 1.0, 1.5], atol=0.04)
    np.testing.assert_array_equal(anna.boxes, np.tile(BOX, (3, 1)))
    assert len(somebody.times) == 1
    assert "background:rgb(125,133,144)" in persons._repr_html_()  # gray, as in the film


def test_what_is_wrong(recognizer, video, tmp_path):
    for options in ({}, {"detector": "frame", "boxes": "people.csv"}):
        with pytest.raises(ValueError, match="pass either detector="):
            recognizer.detect_video(video, **options)
    with pytest.raises(ValueError, match="detector 'nothing' is not a file"):
        recognizer.detect_video(video, "nothing")
    with pytest.raises(FileNotFoundError, match="no such file of boxes"):
        recognizer.detect_video(video, boxes=tmp_path / "people.csv")
    with pytest.raises(VideoError, match="no such file"):
        recognizer.detect_video(tmp_path / "none.mp4", "frame")
    of_clips = slowfast_jax.load("test/tiny", weights="random")
    with pytest.raises(ValueError, match="classifies whole videos: predict_video and"):
        of_clips.detect_video(video, "frame")


def test_persons_are_sorted_by_how_long_they_are_seen():
    moments = [(2.0, [1]), (1.0, [2, 1]), (0.0, [2]), (3.0, [1]), (4.0, [])]
    found = [
        PersonScores(
            PeopleAt(time, np.tile(BOX, (len(ids), 1)), np.array(ids, int)),
            np.float32([[time, number] for number in ids]).reshape(-1, 2),
        )
        for time, ids in moments
    ]
    persons = persons_of(found, ["a", "b"], 5.0)
    assert [(person.number, person.times.tolist()) for person in persons] == [
        (1, [1.0, 2.0, 3.0]), (2, [0.0, 1.0])
    ]
    np.testing.assert_array_equal(persons[1].scores, [[0, 2], [1, 2]])
