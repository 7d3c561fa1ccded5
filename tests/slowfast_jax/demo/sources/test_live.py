"""Cameras and streams: the newest frame counts, and a lost source ends with one clear line."""

import socket
import time

import numpy as np
import pytest

import slowfast_jax
from data_pipelines.video.opening import VideoError
from slowfast_jax.demo.annotate import Options, annotate_live
from slowfast_jax.demo.sources import live
from slowfast_jax.demo.sources.live import LiveFrames, hidden, live_address
from slowfast_jax.demo.stages.actions import LIVE_ROWS, PersonScores, score_nobody
from slowfast_jax.demo.stages.persons import PeopleAt, detect_people
from slowfast_jax.demo.stages.windows import empty_clip
from slowfast_jax.detectors.detections import Detector, whole_frame
from slowfast_jax.inference.timeline import WindowScores
from tests.support.films import times_of
from tests.support.live_source import live_source
from tests.support.rtsp_source import rtsp_source


@pytest.mark.parametrize(("text", "is_live"), [
    ("camera:0", True), ("CAMERA:12", True), ("/dev/video0", True), ("rtsp://host/one", True),
    ("tcp://127.0.0.1:99", True), ("https://host/a.m3u8", True), ("a.mp4", False), ("0", False),
    ("/dev/null", False), ("file:///a.mp4", False), ("camera", False), ("concat:a|b", False),
])
def test_only_named_cameras_and_streams_are_live(text, is_live):
    assert live_address(text) is is_live


def test_late_frames_are_dropped_and_the_newest_comes(tmp_path):
    with live_source(110) as address, LiveFrames(address, 5) as source:
        times = []
        for frame in source:
            times.append(frame.time)
            if len(times) > 5:  # the first ones wait in a queue while the source is opened
                assert time.monotonic() - frame.arrived < 0.2
            time.sleep(0.1)
    assert (np.diff(times) > 0).all() and len(times) < 35
    assert source.received > 2 * len(times)
    assert source.dropped == source.received - len(times)
    assert (source.info.fps, source.info.width, source.info.height) == (50, 64, 48)


def test_a_stall_is_an_error_after_the_timeout():
    with live_source(60, stall=True) as address, LiveFrames(address, 1.0) as source:
        with pytest.raises(VideoError, match="no picture for 1 seconds"):
            for _ in source:
                last = time.monotonic()
        assert 0.8 < time.monotonic() - last < 3


@pytest.mark.parametrize("stall", [False, True])
def test_a_camera_that_speaks_rtsp(stall):
    times, failure = [], ""
    with rtsp_source(50, fps=50, stall=stall) as address, LiveFrames(address, 1.0) as source:
        assert (source.info.width, source.info.height) == (320, 240)
        try:
            times = [frame.time for frame in source]
        except VideoError as error:
            failure = error.reason
    assert source.received > 25 and (np.diff(times) > 0).all()
    assert ("no picture for 1 seconds" in failure) is stall


@pytest.mark.parametrize(("address", "shown"), [
    ("rtsp://user:p@ss@host:554/live?a=b@c", "rtsp://host:554/live?a=b@c"),
    ("rtsp://host/a@b", "rtsp://host/a@b"), ("camera:0", "camera:0"),
])
def test_passwords_are_not_shown(address, shown):
    assert hidden(address) == shown


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(VideoError, match=f"{address}: cannot be opened"):
        LiveFrames(address, 2)


def test_a_camera_is_opened_only_by_its_name(monkeypatch):
    opened = []

    def opener(place, **options):
        opened.append((place, options["format"]))
        raise OSError(2, "No such device")

    monkeypatch.setattr(live.av, "open", opener)
    monkeypatch.setattr(live.sys, "platform", "linux")
    for address in ("camera:3", "/dev/video7"):
        with pytest.raises(VideoError, match=r"cannot be opened \(No such device\)"):
            LiveFrames(address)
    assert opened == [("/dev/video3", "v4l2"), ("/dev/video7", "v4l2")]


@pytest.mark.parametrize("stall", [False, True])
def test_a_film_of_a_stream_that_disappears_is_complete(tiny, tmp_path, stall):
    recognizer = slowfast_jax.load("test/tiny", weights="random")
    recognizer(empty_clip(recognizer))  # so that the stream does not end before
    found, latencies = [], []
    with live_source(90, stall=stall, size=(240, 320)) as address:
        with LiveFrames(address, 1.0) as source:
            result = annotate_live(
                recognizer, source, tmp_path / "a.mp4", found=found.append,
                report=lambda progress: latencies.append(progress.latency),
            )
    assert ("no picture" in result.error) is stall and not result.windows
    times = times_of(tmp_path / "a.mp4")
    assert len(times) == result.timing.frames > 5 and times == sorted(times) and times[0] == 0
    assert source.received >= len(times) and found[0].start == 0
    assert found and all(isinstance(event, WindowScores) for event in found)
    assert 0 < np.median(latencies) < 1


def test_people_of_a_stream_get_actions(tiny, tmp_path):
    recognizer = slowfast_jax.load("test/tiny_boxes", weights="random")
    score_nobody(recognizer, 48, 64, LIVE_ROWS)  # so that the stream does not end before
    compiled, found = len(tiny), []
    with live_source(90) as address, LiveFrames(address, 2.0) as source:
        options = Options(people=detect_people(Detector("frame", whole_frame)))
        annotate_live(recognizer, source, None, options, found=found.append)
    scores = [event.scores.shape for event in found if isinstance(event, PersonScores)]
    assert scores and set(scores) == {(1, 4)} and len(tiny) == compiled
    assert sum(isinstance(event, PeopleAt) for event in found) >= len(scores)
