"""Scores of people are those of the keyframes that `predict --boxes` scores."""

import numpy as np
import pytest

import slowfast_jax
from data_pipelines.sources.keyframes import Keyframe
from slowfast_jax.demo.sources.frames import Frame, open_frames
from slowfast_jax.demo.stages.actions import ROWS, PersonScores, recognize_persons, score_nobody
from slowfast_jax.demo.stages.persons import PeopleAt
from slowfast_jax.demo.timing import Timing
from slowfast_jax.inference.person_actions import score_keyframes
from tests.support.films import gray_pictures, write_film

random = np.random.default_rng(0)


@pytest.fixture
def recognizer(tiny):
    return slowfast_jax.load("test/tiny_boxes", weights="random")


def moment(time, count):
    low = random.uniform(0, 0.5, (count, 2))
    boxes = np.concatenate([low, low + random.uniform(0.1, 0.5, (count, 2))], 1)
    return PeopleAt(time, boxes.astype(np.float32), np.arange(count) + 1)


def events_of(video, moments):
    for frame in open_frames(video)[1]:
        yield frame
        while moments and moments[0].time <= frame.time + 0.01:
            yield moments.pop(0)


def test_scores_are_those_of_keyframes(recognizer, tmp_path):
    write_film(tmp_path / "a.mp4", gray_pictures(60, 40, 70))
    moments = [moment(number / 30, count) for number, count in ((0, 1), (9, 3), (31, 2), (59, 1))]
    keyframes = [
        Keyframe("a", m.time, str(tmp_path / "a.mp4"), 0.0, 0.0, m.boxes, ((),) * len(m.boxes),
                 np.ones(len(m.boxes), np.float32)) for m in moments
    ]
    expected = {found.index: found.scores for found in score_keyframes(recognizer, keyframes)}
    events = recognize_persons(
        events_of(tmp_path / "a.mp4", [*moments]), recognizer, Timing(), stride=0.1
    )
    found = [event for event in events if isinstance(event, PersonScores)]
    assert [each.moment.time for each in found] == [m.time for m in moments]
    for index, each in enumerate(found):
        np.testing.assert_allclose(each.scores, expected[index], atol=1e-6)


def test_crowds_need_few_compilations_and_nobody_none(recognizer, tiny):
    score_nobody(recognizer, 40, 64, ROWS)
    compiled = len(tiny)
    counts = (0, 1, 5, 8, 30, 50, 0, 49)
    moments = [moment(number * 0.2, count) for number, count in enumerate(counts)]
    frames = [
        Frame(number / 30, picture) for number, picture in enumerate(gray_pictures(50, 40, 64))
    ]
    events = sorted([*frames, *moments], key=lambda event: event.time)
    found = [
        event.scores.shape for event in recognize_persons(events, recognizer, Timing(), stride=0.1)
        if isinstance(event, PersonScores)
    ]
    assert found == [(count, 4) for count in counts]
    assert len(tiny) - compiled == 2  # 32 and 64 boxes


def test_frames_are_as_far_apart_in_time_at_any_rate(recognizer, monkeypatch):
    clips = []
    monkeypatch.setattr(
        type(recognizer), "__call__",
        lambda self, clip, boxes: clips.append(clip) or np.zeros((1, boxes.shape[1], 4)),
    )
    for rate in (15, 30, 60):
        frames = [
            Frame(n / rate, np.full((32, 32, 3), round(100 * n / rate), np.uint8))
            for n in range(2 * rate)
        ]
        events = sorted([*frames, moment(1.0, 1)], key=lambda event: event.time)
        list(recognize_persons(events, recognizer, Timing()))
    assert len(clips) == 3
    steps = [np.diff(clip[0, :, 0, 0, 0].astype(int)) for clip in clips]
    # 4 frames of 30 per second, and 100 gray levels per second
    assert sorted(steps[1].tolist()) == [13, 13, 14]
    for other in steps:
        assert np.abs(other - steps[1]).max() <= 7  # half a frame at 15 per second


def test_a_long_stride_leaves_moments_out(recognizer):
    frames = [Frame(n / 30, np.zeros((32, 32, 3), np.uint8)) for n in range(60)]
    events = sorted(
        [*frames, *(moment(n / 10, 1) for n in range(20))], key=lambda event: event.time
    )
    found = [e for e in recognize_persons(events, recognizer, Timing()) if type(e) is PersonScores]
    assert [each.moment.time for each in found] == pytest.approx([0, 0.5, 1, 1.5])
