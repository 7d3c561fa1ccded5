"""A job writes its files into its own folder, and leaves nothing when its tab is closed."""

import json

import numpy as np
import pytest

import slowfast_jax
from data_pipelines.video.decoding import probe
from slowfast_jax.detectors.load import load_detector
from slowfast_jax.visualize.overlays import Overlay
from slowfast_jax.web.jobs import Jobs, Refused, Stopped
from slowfast_jax.web.networks import Network
from slowfast_jax.web.store import Limits, Store
from tests.support.films import gray_pictures, write_film

NAMES = ["lie", "run", "sit", "<wave>"]


@pytest.fixture
def store():
    store = Store(Limits(waiting=2))
    yield store
    store.close()


@pytest.fixture
def jobs(tiny, store, tmp_path):
    write_film(tmp_path / "a.mp4", gray_pictures(40))
    (tmp_path / "text.mp4").write_text("this is a text")
    load = slowfast_jax.load
    networks = {
        "tiny": Network(load("test/tiny", weights="random", class_names=NAMES)),
        "persons": Network(
            load("test/tiny_boxes", weights="random", class_names=NAMES), load_detector("frame")
        ),
    }
    samples = {"a": tmp_path / "a.mp4", "text": tmp_path / "text.mp4"}
    return Jobs(store, networks, samples)


def run(jobs, session="tab", upload="", sample=None, network="tiny", look=False,
        report=lambda *_: None):
    jobs.admit(session, upload, sample)
    return jobs.run(session, upload, sample, network, look, report)


def left(store):
    return sorted(path.name for path in store.folder.rglob("*") if path.is_file())


def test_a_sample(jobs, store):
    reports = []
    html = run(jobs, sample="a", report=lambda *report: reports.append(report))
    token = html.split("media/")[1][:32]
    assert f'src="media/{token}/film.mp4"' in html and f'href="media/{token}/actions.json"' in html
    assert "&lt;wave&gt;" in html and "on average over 1.3 seconds" in html
    assert probe(store.file(token, "film.mp4")).frames == 40
    record = json.loads(store.file(token, "actions.json").read_text())
    assert record["video"] == "a" and len(record["windows"]) == 3
    shares = [share for share, _ in reports]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    run(jobs, sample="a")
    assert left(store) == ["actions.json", "film.mp4"]  # the earlier ones are gone


def test_an_upload_stays_until_the_tab_is_closed(jobs, store, tmp_path):
    token = store.new_upload()
    store.get(token).video.write_bytes((tmp_path / "a.mp4").read_bytes())
    run(jobs, upload=token)
    html = run(jobs, upload=token, network="persons")
    assert "<h2>1 person <small>in 1.3 seconds</small></h2>" in html and "person 1: " in html
    assert left(store) == ["actions.json", "film.mp4", "video"]
    jobs.leave("tab")
    assert left(store) == []


def test_where_the_network_looks(jobs, store, monkeypatch):
    monkeypatch.setattr(
        "slowfast_jax.web.work.grad_cam_of",  # the network has no maps
        lambda recognizer: lambda clip, box: [
            Overlay("res5", clip[..., 0] / 255, np.arange(4), "run")
        ],
    )
    reports = []
    html = run(jobs, sample="a", look=True, report=lambda *report: reports.append(report))
    token = html.split("media/")[1][:32]
    assert "<h3>Where the network looks (Grad-CAM)</h3>" in html
    assert probe(store.file(token, "look.mp4")).duration == pytest.approx(40 / 30, abs=0.01)
    assert (0.4, "Grad-CAM: 0.5 of 1.3 seconds") in [(round(a, 1), b) for a, b in reports]
    html = run(jobs, sample="a", look=True, network="persons")
    assert "Grad-CAM explains networks that classify whole videos only." in html


def test_what_is_refused(jobs, store):
    for upload, sample, why in (
        ("", None, "Choose a video first"), ("", "../etc/passwd", "Choose a video first"),
        ("0" * 32, None, "no longer there"), ("../../etc/passwd", None, "no longer there"),
    ):
        with pytest.raises(Refused, match=why):
            jobs.admit("tab", upload, sample)
    results = store.new_results("tab")
    with pytest.raises(Refused, match="no longer there"):
        jobs.admit("tab", results, None)  # results of a job are no upload
    store.remove(results)
    with pytest.raises(Refused, match="The video cannot be read: cannot be opened"):
        run(jobs, sample="text")
    assert left(store) == []
    with pytest.raises(Stopped):  # it was not admitted
        jobs.run("tab", "", "a", "tiny", False, lambda *_: None)


def test_few_may_wait(jobs):
    jobs.admit("one", "", "a")
    with pytest.raises(Refused, match="already processing or waiting"):
        jobs.admit("one", "", "a")
    jobs.admit("two", "", "a")
    with pytest.raises(Refused, match="2 videos are waiting already. Try again"):
        jobs.admit("three", "", "a")
    jobs.stop("two")
    jobs.admit("three", "", "a")


@pytest.mark.parametrize("end", ["stop", "leave"])
def test_a_job_ends_with_its_tab(jobs, store, end):
    seen = []

    def report(share, what):
        seen.append(share)
        if len(seen) == 2:
            getattr(jobs, end)("tab")

    with pytest.raises(Stopped):
        run(jobs, sample="a", report=report)
    assert left(store) == [] and len(seen) == 2
    run(jobs, sample="a")  # the tab can go on
