"""The mode reproduce: published figures beside measured ones, for rows of a small network."""

import importlib.util
import json
from importlib import metadata

import jax
import numpy as np
import pytest
from absl import flags

import slowfast_jax
from convert.exports import export_pyth
from data_pipelines.mini import datasets
from slowfast_jax import main, published
from slowfast_jax.backends import choice
from slowfast_jax.config import ConfigError
from slowfast_jax.jobs import modes
from slowfast_jax.jobs.reproduce import Figure, Outcome, table
from slowfast_jax.models import zoo
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.published.cached_weights import place_of
from slowfast_jax.published.download import DownloadError
from slowfast_jax.weights import variable_shapes
from tests.support.file_server import serve

SMALL = zoo.entry(
    ResNet3D,
    dict(num_classes=4, arch="2d", depth=18, width=4, num_block_temp_kernel=(2, 2, 2, 2)),
    "", num_frames=2, sampling_rate=4, train_crop=32, test_crop=32,
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Five short videos of four classes, and their list test.csv."""
    folder = tmp_path_factory.mktemp("videos")
    datasets.write_videos(folder, count=5, seed=0, frames=12, height=40, width=48)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path, random = tmp_path_factory.mktemp("weights") / "weights.pyth", np.random.default_rng(0)

    def values(leaf):
        return random.uniform(0.1, 0.5, leaf.shape).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.ZOO, "test/small", SMALL)
        shapes = variable_shapes(zoo.create("test/small"))
    export_pyth(path, jax.tree.map(values, shapes))
    return path


@pytest.fixture
def rows(weights, tmp_path, monkeypatch):
    """test/one and test/two, two tests of the same network, whose weights are on a local server."""
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(zoo.ZOO, "test/small", SMALL)
    with serve(weights.read_bytes()) as served:
        for name, top1 in (("test/one", "76.2"), ("test/two", "20.0")):
            row = published.find("kinetics/x3d_m")._replace(
                name=name, model="test/small", address=served.address, sha256=served.sha256,
                clips=2, crops=1, crop=32, figures={"top1_acc": top1, "top5_acc": "100.0"},
            )
            monkeypatch.setitem(published.rows(), name, row)
        yield served


def run(*arguments):
    values = flags.FlagValues()
    main.define_flags(values)
    config, _ = main.parse(["main", "--mode=reproduce", *map(str, arguments)], values)
    return modes.reproduce(config, values)


def test_rows_in_turn_give_a_table(rows, videos, tmp_path, capsys):
    data = f"--config.data.root={videos}", f"--config.data.path_prefix={videos}"
    workdir = tmp_path / "run"
    assert run("--zoo=test/one", "--zoo", "test/two", f"--workdir={workdir}", *data) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("") + 1  # where the table of all begins
    assert lines[at].split() == [
        "checkpoint", "metric", "published", "measured", "difference", "in", "examples"
    ]
    measured = json.loads((workdir / "test/one/results.json").read_text())["metrics"]["top1_acc"]
    difference = round(measured - 76.2, 2)
    count = round((measured - 76.2) / 100 * 5)
    assert lines[at + 1].split()[:4] == ["test/one", "top1_acc", "76.2", f"{measured:.2f}"]
    assert lines[at + 1].split()[4:] == [f"{difference:+.2f}", f"{count:+d}", "of", "5", "videos"]
    assert lines[at + 2].endswith("+0 of 5 videos (equal within rounding)")
    fingerprint = json.loads(lines[3])["fingerprint"]
    assert fingerprint["config"] == "test/one" and fingerprint["protocol"]["clips"] == 2
    assert fingerprint["weights_origin"]["address"] == rows.address
    assert fingerprint["weights_origin"]["sha256"] == rows.sha256
    assert rows.sha256.startswith(fingerprint["weights_sha256"])
    records = json.loads((workdir / "reproduced.json").read_text())
    assert [record["checkpoint"] for record in records] == ["test/one", "test/two"]
    assert records[0]["figures"][0]["examples"] == count
    assert len(rows.requests) == 2  # a file for each row


def test_all_problems_are_listed_before_anything_is_downloaded(rows, videos):
    with pytest.raises(ConfigError) as error:
        run("--zoo=test/one", "--zoo=kinetics/x3d_n", "--zoo=pytorchvideo/efficient_x3d_s",
            "--weights=none.pyth", "--config.data.root=nowhere")
    text = str(error.value)
    for part in (
        "5 problems", "--weights=none.pyth is one checkpoint, but 3 are to be tested",
        "none.pyth: no such file", "no published checkpoint 'kinetics/x3d_n'; close: kinetics/x3d",
        "this project does not have its network", "config.data.root is 'nowhere'",
    ):
        assert part in text
    assert not rows.requests


def test_weights_that_are_not_there_are_listed_together(rows, videos):
    rows.statuses = [404, 403]
    data = f"--config.data.root={videos}", f"--config.data.path_prefix={videos}"
    with pytest.raises(ConfigError) as error:
        run("--zoo=test/one", "--zoo=test/two", *data)
    text = str(error.value)
    assert "2 problems" in text and "404 Not Found" in text and "403 Forbidden" in text
    assert str(place_of(published.find("test/two")).parent) in text


def test_a_file_of_weights(rows, weights, videos, capsys):
    data = f"--config.data.root={videos}", f"--config.data.path_prefix={videos}"
    assert run("--zoo=test/one", f"--weights={weights}", *data) == 0
    out = capsys.readouterr().out
    assert out.count("checkpoint  ") == 1 and not rows.requests
    assert "weights_origin" not in json.loads(out.splitlines()[-1])["fingerprint"]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_another_runtime_is_in_the_fingerprint(rows, weights, videos, capsys, backend):
    pytest.importorskip("onnx")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    data = f"--config.data.root={videos}", f"--config.data.path_prefix={videos}"
    tables, fingerprints = [], []
    for name in (backend, "jax"):
        assert run("--zoo=test/one", f"--weights={weights}", f"--backend={name}", *data) == 0
        *lines, last = capsys.readouterr().out.splitlines()
        tables.append(lines)
        fingerprints.append(json.loads(last)["fingerprint"])
    assert tables[0] == tables[1]
    runtime = fingerprints[0].pop("runtime")
    assert runtime == f"{backend} {metadata.version(backend)}, float32"
    assert fingerprints[0] == fingerprints[1]


def test_a_runtime_that_is_missing_is_named_before_anything_is_downloaded(
    rows, videos, monkeypatch
):
    monkeypatch.setattr(choice, "PACKAGES", {"openvino": ("not_a_package",)})
    data = f"--config.data.root={videos}", f"--config.data.path_prefix={videos}"
    with pytest.raises(ConfigError, match="backend openvino: not_a_package cannot be imported"):
        run("--zoo=test/one", "--backend=openvino", *data)
    assert not rows.requests


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "--zoo is missing"),
    (["--zoo=kinetics/x3d_m", "--config=kinetics/x3d_m"], "--config does not go with"),
    (["--zoo=masked/vit_b_16x4_mae", "--zoo=kinetics/x3d_mm"],
     "(?s)holds weights to train from.*no published checkpoint 'kinetics/x3d_mm'"),
    (["--zoo=kinetics/x3d_m", "--mode=eval"], "--config is missing"),
])
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        run(*arguments)


def test_the_library_loads_published_weights(rows):
    assert "test/one" in slowfast_jax.list_models("test/*", pretrained=True)
    recognizer = slowfast_jax.load("test/one", weights="published")
    assert recognizer.config.test.checkpoint == str(place_of(published.find("test/one")))
    rows.statuses = [404]
    with pytest.raises(DownloadError, match="cannot download the weights of test/two: http"):
        slowfast_jax.load("test/two", weights="published")


def test_listed_models():
    names = slowfast_jax.list_models(pretrained=True)
    assert names == sorted(names) and len(names) > 90
    assert "pytorchvideo/x3d_m" in names and "contrastive/moco_slow_8x8_r50_rho2" not in names


def test_differences():
    def row(name):
        return published.find(name)

    precision = Figure("map", "23.2", 23.149, 57000, "keyframes")
    top1 = Figure("top1_acc", "76.20", 76.21, 19796, "videos")
    assert precision.examples is None and not precision.equal
    assert Figure("map", "23.2", 23.151, 57000, "keyframes").equal
    assert top1.examples == 2 and not top1.equal
    text = table([
        Outcome(row("ava/slow_8x8_r50"), [precision], {}),
        Outcome(row("kinetics/x3d_m"), [top1], {}),
    ])
    assert text.splitlines()[1:] == [
        "ava/slow_8x8_r50  map       23.2       23.15     -0.05       57000 keyframes",
        "kinetics/x3d_m    top1_acc  76.20      76.21     +0.01       +2 of 19796 videos",
    ]
