"""The training loop on generated videos: learning, outputs, and resuming."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

import slowfast_jax
from data_pipelines.examples import clips
from slowfast_jax.config import ConfigError
from slowfast_jax.config.stored import read_config
from slowfast_jax.models import zoo
from slowfast_jax.train import train
from slowfast_jax.training import checkpoint_manager
from slowfast_jax.training.checkpoint import latest_checkpoint, load_checkpoint
from slowfast_jax.training.writers import read_metrics
from tests.support.tiny_models import training_config
from tests.support.training_runs import assert_same_run

STEPS = 12


pytestmark = pytest.mark.usefixtures("tiny_norm")


@pytest.fixture(scope="module")
def data(colors):
    return colors


@pytest.fixture(scope="module")
def whole(data, tiny_norm, tmp_path_factory):
    """(workdir, results) of an uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train(training_config(data), workdir)


@pytest.fixture
def copied(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "run")


def rows_of(workdir, split, *names):
    return [[row[n] for n in names] for row in read_metrics(workdir) if row["split"] == split]


def arrays_of(workdir, step=None):
    folder = workdir / f"checkpoints/{step}" if step else latest_checkpoint(workdir)
    return load_checkpoint(folder)[0]


def test_training_learns(whole):
    workdir, results = whole
    losses = np.array(rows_of(workdir, "train", "loss"))[:, 0]
    assert losses[-4:].mean() < 0.7 * losses[:4].mean()
    assert results["top1_acc"] >= 75


def test_outputs_of_a_run(whole):
    workdir, results = whole
    rows = read_metrics(workdir)
    assert [row["step"] for row in rows if row["split"] == "train"] == [*range(1, STEPS + 1)]
    assert [(row["step"], row["epoch"]) for row in rows if row["split"] == "val"] == [
        (6, 2), (12, 4)
    ]
    assert set(rows[0]) == {
        "step", "split", "epoch", "loss", "top1_acc", "grad_norm", "lr", "clips_per_second",
        "data_wait", "memory_gb",
    }
    assert rows[-1] == results and results["num_videos"] == 8
    assert list((workdir / "tensorboard").glob("events.out.tfevents.*"))
    steps = sorted(int(p.name) for p in (workdir / "checkpoints").iterdir())
    best = max((row["top1_acc"], row["step"]) for row in rows if row["split"] == "val")[1]
    assert steps == sorted({9, 12, best})


def test_the_config_of_a_run_is_in_its_folder(whole, data):
    """Written before the first step, so that --workdir alone suffices from then on."""
    assert read_config(whole[0]).to_dict() == training_config(data).to_dict()


def test_the_log_says_what_takes_long_before_it_begins(data, tmp_path, caplog):
    caplog.set_level("INFO", "absl")
    train(training_config(data, train__epochs=2), tmp_path)
    compiling = next(i for i, m in enumerate(caplog.messages) if "compil" in m)
    assert caplog.messages[compiling].startswith("compiling the training step (about a minute")
    # Another test may have compiled it before.
    compiled = r"(compiled the training step|read the training step from the cache) in \d+\.\d s"
    assert re.fullmatch(compiled, caplog.messages[compiling + 1])
    assert "step 1/6" in caplog.messages[compiling + 2]
    text = "\n".join(caplog.messages)
    assert text.count("compiling the training step") == 1
    assert text.index("validating after") < text.index(
        "compiling the network for batches of 4 x 4 x 16 x 16 x 3 (about a minute"
    ) < text.index("epoch 2: top1_acc")
    assert "epoch 1 of 2 took 0:00:0" in text
    assert re.search(r"epoch 2: top1_acc \d+\.\d\d \(the best so far\), top1_err", text)


def test_checkpoint_metadata(whole):
    variables, metadata = load_checkpoint(latest_checkpoint(whole[0]))
    assert metadata["step"] == STEPS and metadata["model"]["name"] == "test/tiny_norm"
    assert metadata["data"] == {
        "examples": 12, "batch_size": 4, "seed": 0, "cycles": None,
    }
    assert metadata["config"]["schedule"]["base_lr"] == 0.1
    assert {a.dtype for a in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


def test_checkpoint_can_be_loaded_as_weights(whole):
    recognizer = slowfast_jax.load("test/tiny_norm", weights=latest_checkpoint(whole[0]))
    clips = np.zeros((4, 4, 16, 16, 3), np.uint8)
    clips += np.array([[200, 60, 60], [60, 180, 60], [60, 80, 220], [190, 190, 70]], np.uint8)[
        :, None, None, None
    ]
    probs = recognizer(clips)
    assert (probs.argmax(-1) == np.arange(4)).mean() >= 0.75


def test_complete_run_is_not_repeated(whole, data, monkeypatch):
    workdir, results = whole
    before = (workdir / "metrics.jsonl").read_text()
    monkeypatch.setattr("slowfast_jax.loop.prefetch.put_batch", None)  # no batch is loaded
    assert train(training_config(data), workdir) == results
    assert (workdir / "metrics.jsonl").read_text() == before
    more = training_config(data, train__epochs=3)
    with pytest.raises(ConfigError, match=r"train.epochs is 3, but .*12 is of epoch 4"):
        train(more, workdir)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_resumed_run_equals_uninterrupted_run(whole, data, copied, workers):
    """Even if worker processes load the batches after the resume."""
    shutil.rmtree(copied / "checkpoints/12")
    shutil.rmtree(copied / "checkpoints/6", ignore_errors=True)
    train(training_config(data, train__workers=workers, train__threads=2), copied)
    assert_same_run(copied, whole[0])


def test_run_killed_during_validation_validates_first(whole, data, copied):
    rows = (copied / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert json.loads(rows[-1])["split"] == "val"
    (copied / "metrics.jsonl").write_text("".join(rows[:-1]))
    assert train(training_config(data), copied) == whole[1]
    assert_same_run(copied, whole[0])


def test_failed_validation_loses_no_training(data, tmp_path, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("out of memory")

    config = training_config(data, train__epochs=1)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="out of memory"):
        patch.setattr("slowfast_jax.tasks.classification.Classification.validate", fail)
        train(config, tmp_path)
    assert latest_checkpoint(tmp_path).name == "3"
    assert train(config, tmp_path)["step"] == 3
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3, 3]


@pytest.mark.parametrize(("fields", "message"), [
    ({"train__batch_size": 6}, "config.train.batch_size was 4 and is 6"),
    ({"train__seed": 1}, "config.train.seed was 0 and is 1"),
    ({"model__dropout": 0.1}, "config.model.dropout was 0.5 and is 0.1"),
    ({"model__dtype": "bfloat16"}, "config.model.dtype was 'float32' and is 'bfloat16'"),
    ({"optimizer__name": "adamw"}, "config.optimizer.name was 'sgd' and is 'adamw'"),
])
def test_workdir_of_another_run_is_refused(whole, data, fields, message):
    expected = f"checkpoints/12 belongs to another run: {message}.*workdir"
    with pytest.raises(ConfigError, match=expected):
        train(training_config(data, **fields), whole[0])


def test_settings_that_changed_are_logged(copied, data, caplog):
    config = training_config(data, train__log_period=7)
    caplog.set_level("INFO", "absl")
    train(config, copied)
    assert "config.train.log_period was" in caplog.text and "and is 7" in caplog.text
    assert caplog.text.count("changed since the last start") == 1


def test_the_network_of_another_run_is_named_alone(whole, data, monkeypatch):
    config = training_config(data, model__dropout=0.1)
    monkeypatch.setitem(zoo.ZOO, "test/other", zoo.ZOO[config.model.name])
    config.model.name = "test/other"
    expected = "another run: its network is test/tiny_norm, not test/other. Choose another --workdi"
    with pytest.raises(ConfigError, match=expected):
        train(config, whole[0])


def test_changed_training_list_is_another_run(whole, data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    rows = (data / "train.csv").read_text().splitlines(keepends=True)
    (tmp_path / "data/train.csv").write_text("".join(rows[:8]))
    with pytest.raises(ConfigError, match="the number of training examples was 12 and is 8"):
        train(training_config(tmp_path / "data"), whole[0])


def test_batch_indivisible_by_group_size_is_refused(data, tmp_path):
    config = training_config(data, norm__group_size=3)
    message = r"batch_size is 4, which .* expected a multiple of .*size, 3"
    with pytest.raises(ConfigError, match=message):
        train(config, tmp_path)
    assert not list(tmp_path.iterdir())


def test_precise_statistics_belong_to_the_saved_weights(whole, data, copied):
    """They are computed with the saved weights, unlike the running statistics, which average over
    earlier weights too. Nothing else in the run differs."""
    workdir = copied.parent / "running"
    train(training_config(data, norm__precise=False), workdir)
    names = ("step", "loss", "grad_norm")
    assert rows_of(workdir, "train", *names) == rows_of(whole[0], "train", *names)
    ours, theirs = arrays_of(workdir), arrays_of(whole[0])
    assert jax.tree.all(jax.tree.map(np.array_equal, ours["params"], theirs["params"]))
    different = jax.tree.map(np.array_equal, ours["batch_stats"], theirs["batch_stats"])
    assert not any(jax.tree.leaves(different))


@pytest.mark.slow
def test_frozen_norms_have_no_precise_statistics(data, tmp_path):
    config = training_config(data, model__frozen_norm=True, train__epochs=1)
    assert train(config, tmp_path)["step"] == 3
    stats = arrays_of(tmp_path)["batch_stats"]
    assert not stats["a_bn"]["mean"].any() and (stats["a_bn"]["var"] == 1).all()


@pytest.mark.slow
def test_bfloat16_computes_in_16_bits_and_stores_float32(whole, data, tmp_path):
    train(training_config(data, model__dtype="bfloat16"), tmp_path)
    losses = [np.array(rows_of(w, "train", "loss"))[:, 0] for w in (tmp_path, whole[0])]
    assert not np.array_equal(*losses)
    np.testing.assert_allclose(*losses, atol=0.05)
    assert {a.dtype for a in jax.tree.leaves(arrays_of(tmp_path))} == {np.dtype(np.float32)}


@pytest.mark.parametrize("fields", [
    {"name": "adamw", "betas": (0.8, 0.99), "clip_norm": 0.5, "no_decay": (".*/bias",)},
    pytest.param({"lars": True, "clip_value": 0.01, "zero_wd_1d": True}, marks=pytest.mark.slow),
])
def test_optimizers_train_through_the_loop(data, tmp_path, fields):
    config = training_config(
        data, schedule__base_lr=0.01, train__epochs=2,
        **{f"optimizer__{name}": value for name, value in fields.items()},
    )
    train(config, tmp_path)
    shutil.rmtree(tmp_path / "checkpoints/6")
    expected = rows_of(tmp_path, "train", "step", "loss")
    train(config, tmp_path)
    assert rows_of(tmp_path, "train", "step", "loss") == expected


@pytest.mark.slow
def test_run_with_mixing_trains_and_resumes(data, tmp_path, caplog):
    config = training_config(
        data, train__loss="soft_cross_entropy", augment__mixup_alpha=0.8, augment__cutmix_alpha=1.0,
        augment__label_smoothing=0.1, augment__num_clips=2, augment__num_samples=2,
        norm__group_size=8, train__epochs=2,
    )
    caplog.set_level("INFO", "absl")
    train(config, tmp_path)
    assert "epoch(s) of 3 steps of 16 clips" in caplog.text
    shutil.rmtree(tmp_path / "checkpoints/6")
    expected = rows_of(tmp_path, "train", "step", "loss")
    assert all(0 < loss < 3 for _, loss in expected)
    train(config, tmp_path)
    assert rows_of(tmp_path, "train", "step", "loss") == expected


def test_dummy_data_reads_one_example_once(data, tmp_path, monkeypatch):
    read = []
    loaded = clips.read_clip
    monkeypatch.setattr(
        clips, "read_clip", lambda source, *rest, **keys: read.append(source)
        or loaded(source, *rest, **keys),
    )
    config = training_config(
        data, train__epochs=1, train__threads=1, train__eval_period=0, data__dummy=True
    )
    train(config, tmp_path)
    assert read.count(f"{data}/videos/train_00.mp4") == 1
    assert not [path for path in read if "train" in path and "train_00" not in path]


def test_log_lines(data, tmp_path, caplog):
    caplog.set_level("INFO", "absl")
    train(training_config(data, train__epochs=1, train__log_period=2), tmp_path)
    text = caplog.text
    assert "12 examples; 1 epoch(s) of 3 steps of 4 clips" in text
    for part in ("step 2/3: ", "loss ", "lr 0.025", "clips/s", "waits for data", "GB", "to go"):
        assert part in text
    assert [row["step"] for row in read_metrics(tmp_path)] == [2, 3, 3]


def test_checkpoint_steps_saves_between_epochs(data, tmp_path, monkeypatch):
    saved, save = [], checkpoint_manager.Checkpoints.save

    def noting(self, step, *rest):
        saved.append(step)
        save(self, step, *rest)

    monkeypatch.setattr(checkpoint_manager.Checkpoints, "save", noting)
    config = training_config(
        data, train__checkpoint_steps=2, train__checkpoint_period=0, train__eval_period=0,
        train__epochs=3,
    )
    train(config, tmp_path)
    assert saved == [2, 4, 6, 8, 9]
