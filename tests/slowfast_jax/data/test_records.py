"""Training and testing from records give the same results as videos, without TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.loading.batches import batches
from data_pipelines.loading.order import Order
from data_pipelines.mini import datasets
from data_pipelines.tfds_builders.__main__ import cli
from slowfast_jax.config import ConfigError, load_config
from slowfast_jax.data.video_lists import find_samples
from slowfast_jax.evaluate import evaluate
from slowfast_jax.tasks import make_task
from slowfast_jax.train import train
from slowfast_jax.training.writers import read_metrics
from tests.support.paths import ROOT
from tests.support.tiny_models import training_config

WHERE = "encoded_videos/colors"


pytestmark = pytest.mark.usefixtures("tiny_norm")


@pytest.fixture(scope="module")
def data(colors):
    """Videos and their lists, and the same as TFDS records below tfds/."""
    lists = [str(colors / f"{name}.csv") for name in ("train", "val", "test")]
    assert cli([
        "kinetics", *lists, "--root", str(colors), "--out", str(colors / "tfds"),
        "--name=colors", "--shards=2",
    ]) == 0
    return colors


def config_of(data, format_):
    if format_ == "kinetics":
        return training_config(data)
    if format_ == "records":
        return training_config(data / "tfds" / WHERE / "1.0.0", data__format="records")
    return training_config(
        data / "tfds", data__format="tfds", data__train_list=f"{WHERE}:train",
        data__val_list=f"{WHERE}:val", data__test_list=f"{WHERE}:test",
    )


@pytest.mark.slow
def test_records_and_tfds_train_alike(data, tmp_path):
    runs = {}
    for format_ in ("records", "tfds"):
        config = config_of(data, format_)
        results = train(config, tmp_path / format_)
        losses = [row["loss"] for row in read_metrics(tmp_path / format_) if "loss" in row]
        runs[format_] = results["top1_acc"], losses
    assert runs["records"] == runs["tfds"] and runs["records"][0] >= 75


def test_scores_equal_those_of_the_videos(data, tmp_path):
    scores, names = {}, {}
    for format_ in ("kinetics", "records", "tfds"):
        workdir = tmp_path / format_
        config = config_of(data, format_)
        results = evaluate(config, workdir, "random", save_scores=True)
        stored = np.load(workdir / "scores.npz")
        scores[format_], names[format_] = stored["scores"], list(stored["paths"])
        assert list(stored["labels"]) == [0, 1, 2, 3] * 2 and not results["failed"]
        assert results["fingerprint"]["decoder"].startswith("PyAV")
    np.testing.assert_array_equal(scores["records"], scores["tfds"])
    np.testing.assert_allclose(scores["records"], scores["kinetics"], atol=0.02)
    assert names["records"][0] == "videos/val_00.mp4"
    assert names["tfds"][0].endswith("-00000-of-00002, record 0")


def test_labels_beyond_num_classes_are_refused(data):
    config = config_of(data, "records")
    config.model.num_classes = 3
    with pytest.raises(ValueError, match=r"train.csv:5: label 3; expected a class within 0..2"):
        find_samples(config, subset="train")
    config.data.format = "record"
    with pytest.raises(ConfigError, match="did you mean records"):
        find_samples(config)


def test_imports_need_neither_tensorflow_nor_tfds(data):
    program = (
        "import sys; from slowfast_jax.data import video_lists\n"
        "from slowfast_jax import train, evaluate, predict\n"
        "found = {'tensorflow', 'tensorflow_datasets'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_keyframes_from_records(tiny, tmp_path):
    """Keyframes from records get the scores of keyframes from films, up to encoding losses."""
    datasets.write_ava(
        tmp_path, seed=0, train_videos=1, val_videos=2, seconds=5, height=48, width=64
    )
    table = datasets.DETECTIONS["val"]
    assert cli([
        "ava", str(tmp_path), "--out", str(tmp_path), "--name=mini", "--boxes=val=ava_val_v2.2.csv",
        f"--predicted=val={table}", "--seconds=1.5",
    ]) == 0
    stored, results = [], []
    for record_dir in ("", "encoded_videos/mini/1.0.0"):
        config = load_config(f"{ROOT}/configs/ava.py:mini")
        config.data.update(
            generate="", root=str(tmp_path), record_dir=record_dir, test_list="val.csv",
        )
        with config.unlocked():
            config.model = load_config("test/tiny_boxes").model
            config.model.num_classes = 17
            config.protocol.update(num_frames=4, sampling_rate=4, test_crop=32)
        workdir = tmp_path / f"run{record_dir[:1]}"
        workdir.mkdir()
        results.append(evaluate(config, workdir, "random", save_scores=True))
        stored.append(np.load(workdir / "scores.npz"))
    assert stored[0]["scores"].shape == stored[1]["scores"].shape
    np.testing.assert_allclose(stored[0]["scores"], stored[1]["scores"], atol=0.02)
    np.testing.assert_array_equal(stored[0]["boxes"], stored[1]["boxes"])
    assert not results[1]["failed"]


@pytest.mark.slow
def test_worker_processes_read_records(data):
    """The samples must be picklable."""
    for format_ in ("records", "tfds"):
        config = config_of(data, format_)
        task = make_task(config)
        examples, _ = task.training_examples(task.find("train", None))
        expected, found = (
            next(iter(batches(
                Order(examples.size, batch_size=4, seed=0), examples.load, workers=workers
            )))
            for workers in (0, 1)
        )
        np.testing.assert_array_equal(found["clip"], expected["clip"])
        np.testing.assert_array_equal(found["label"], expected["label"])
