"""What the page offers: networks of the command line, and samples."""

import pytest

from data_pipelines.video.decoding import probe
from slowfast_jax.web.networks import load_networks
from slowfast_jax.web.samples import find_samples, generate_samples
from tests.support.films import gray_pictures, write_film


def test_networks_have_names_and_detectors(tiny):
    configs, weights = ["test/tiny", "test/tiny_boxes"], ["random", "random"]
    networks = load_networks(configs, weights, "frame")
    assert list(networks) == configs
    assert networks["test/tiny"].detector is None
    assert networks["test/tiny_boxes"].detector.name == "frame"
    assert list(load_networks(["test/tiny"] * 2, ["random"] * 2, "nothing")) == [
        "test/tiny", "test/tiny (random)"
    ]


@pytest.mark.parametrize(("configs", "weights", "message"), [
    (["test/tiny"] * 2, ["random"], "2 --config and 1 --weights; expected one --weights for each"),
    ([], ["a.pyth"], "--config is required: a.pyth is no folder"),
    (["test/tiny_boxes"], ["random"], "detector 'nothing' is not a file"),
])
def test_arguments_that_do_not_fit(tiny, configs, weights, message):
    with pytest.raises(ValueError, match=message):
        load_networks(configs, weights, "nothing")


def test_samples_of_a_folder(tmp_path):
    for name in ("a/one.mp4", "b/two.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_film(tmp_path / name, gray_pictures(3))
    (tmp_path / "notes.txt").write_text("no video")
    assert find_samples(str(tmp_path)) == {
        "one": tmp_path / "a/one.mp4", "two": tmp_path / "b/two.mp4"
    }
    write_film(tmp_path / "b/one.mp4", gray_pictures(3))
    assert list(find_samples(str(tmp_path))) == ["a/one.mp4", "b/one.mp4", "b/two.mp4"]
    (tmp_path / "empty").mkdir()
    for folder, message in (("none", "no such folder"), ("empty", "no video files")):
        with pytest.raises(ValueError, match=message):
            find_samples(str(tmp_path / folder))


def test_generated_samples(tmp_path):
    samples = generate_samples(tmp_path / "samples")
    assert list(samples) == ["generated figures", "generated shape"]
    for path in samples.values():
        assert probe(path).duration == pytest.approx(8)
