"""A config that cannot be trained is refused, with a ConfigError, before anything starts."""

import importlib

import pytest
from absl import flags

from configs import ava, kinetics
from slowfast_jax import main
from slowfast_jax.config import ConfigError, check_training, load_config
from slowfast_jax.jobs import modes
from slowfast_jax.models import zoo
from slowfast_jax.train import train
from tests.support.paths import ROOT
from tests.support.tiny_models import norm_entry, training_config

TINY = f"--config={ROOT}/tests/recipes/tiny.py"
WORKDIR = "--workdir=nowhere"


@pytest.fixture(autouse=True)
def tiny_norm(monkeypatch, tmp_path):
    monkeypatch.setitem(zoo.ZOO, "test/tiny_norm", norm_entry())
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("arguments", "message"), [
    ([TINY], "--mode=train needs --workdir"),
    ([TINY, WORKDIR, "--weights=a.pyth"], "from weights, set --config.train.init_from.path"),
    (["--config=kinetics/mvitv2_l_40x3", WORKDIR],
     r"no config.train: it only describes.*name a recipe \(kinetics/mvitv2_l_40x3_finetune"),
    ([TINY, WORKDIR, "--noconfig.train.enable"], "config.train.enable is False"),
    ([f"--config={ROOT}/configs/kinetics.py:c2_i3d_8x8_r50", WORKDIR], "how released weights are"),
    ([TINY, WORKDIR, "--config.data.format=kinetcs"], "data.format is kinetcs.*mean kinetics"),
    ([TINY, WORKDIR, "--config.train.batch_size=3"], "a multiple of config.norm.group_size, 2"),
    ([TINY, WORKDIR, "--config.multigrid.long_cycle"], "config.multigrid.long_cycle.*name=steps"),
    ([TINY, WORKDIR, "--config.multigrid.short_cycle"], "head_pool is window, expected global"),
    ([TINY, WORKDIR, "--config.optimizer.name=sdg"], "optimizer.name is sdg, expected sgd"),
    ([TINY, WORKDIR, "--config.optimizer.name=adamw", "--config.optimizer.lars"],
     "lars cannot be combined with adamw"),
    ([TINY, WORKDIR, "--config.optimizer.dampening=0.1"], "nesterov needs momentum above 0 and no"),
    ([TINY, WORKDIR, "--config.optimizer.layer_decay=0.5"], "this network defines no layers"),
    ([TINY, WORKDIR, "--config.optimizer.no_decay=('cls_token',)"], "no_decay has 'cls_token'"),
    ([TINY, WORKDIR, "--config.schedule.name=cosin"], "config.schedule.name is cosin"),
    ([TINY, WORKDIR, "--config.train.loss=cross"], "train.loss is cross, expected cross_entropy"),
])
def test_flags_that_cannot_train_are_refused(arguments, message):
    values = flags.FlagValues()
    main.define_flags(values)
    with pytest.raises(ConfigError, match=message):
        modes.train(main.parse(["main", *arguments], values)[0], values)


@pytest.mark.parametrize(("field", "value"), [
    ("train.batch_size", 0), ("train.epochs", 0), ("train.eval_period", -1),
    ("train.checkpoint_period", -1), ("train.checkpoint_steps", -5), ("train.keep_last", 0),
    ("train.keep_best", -1), ("train.log_period", 0), ("train.max_broken", 1.5),
    ("train.threads", 0), ("norm.group_size", 0), ("norm.precise_batches", 0),
    ("optimizer.clip_norm", -1.0), ("optimizer.clip_value", -0.1), ("schedule.end_lr", 1.0),
    ("schedule.warmup_epochs", -1.0), ("test.batch_size", 0), ("protocol.crops", 9),
])
def test_impossible_values(field, value, tmp_path):
    config = training_config(tmp_path, **{field.replace(".", "__"): value})
    with pytest.raises(ConfigError, match=rf"{field} is {value}, expected"):
        check_training(config)


@pytest.mark.parametrize(("fields", "message"), [
    ({"mixup_alpha": 0.8}, "mixup_alpha makes soft targets.*need config.train.loss=soft_cross_ent"),
    ({"label_smoothing": 0.1}, "label_smoothing makes soft targets.*it is cross_entropy"),
    ({"cutmix_alpha": -1.0}, "cutmix_alpha is -1.0, expected 0 or more"),
    ({"switch_prob": 1.5}, r"switch_prob is 1.5, expected 0..1"),
])
def test_impossible_mixing(fields, message, tmp_path):
    config = training_config(tmp_path, **{f"augment__{k}": v for k, v in fields.items()})
    with pytest.raises(ConfigError, match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unknown_augmentation_is_refused(tmp_path):
    config = training_config(tmp_path)
    with config.unlocked(), config.augment.unlocked():
        config.augment.mixup = 0.8
    with pytest.raises(ConfigError, match="config.augment has mixup.*applies rand_augment, int"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_augmentation_that_detection_ignores_is_refused():
    config = load_config(f"{ROOT}/configs/ava.py")
    with config.unlocked(), config.augment.unlocked():
        config.augment.rand_augment = "rand-m7"
    with pytest.raises(ConfigError, match=r"has rand_augment \(task detection applies none"):
        check_training(config)


@pytest.mark.parametrize(("fields", "message"), [
    ({"multigrid__long_cycle": True, "schedule__name": "steps", "schedule__steps": (0, 2),
      "schedule__relative_lrs": (1.0, 0.1), "multigrid__norm_group_size": 3},
     "batches of 64 clips, which do not split into groups of 6 that share.*norm_group_size"),
    ({"model__head_pool": "window"}, "head_pool is window, expected global"),
    ({"multigrid__epoch_factor": 0.0}, "config.multigrid.epoch_factor is 0.0, expected above 0"),
])
def test_impossible_multigrid_cycles(fields, message, tmp_path):
    fields = {
        "multigrid__short_cycle": True, "model__head_pool": "global", **fields,
    }
    config = training_config(tmp_path, **fields)
    with pytest.raises(ConfigError, match=message):
        check_training(config)


def test_detection_has_no_multigrid_cycles():
    config = load_config(f"{ROOT}/configs/ava.py")
    config.multigrid.short_cycle = True
    with pytest.raises(ConfigError, match="multigrid is for task classification, not for detec"):
        check_training(config)


def test_multigrid_frames_must_be_a_multiple_of_alpha():
    config = load_config(f"{ROOT}/configs/kinetics.py:slowfast_8x8_r50_stepwise_multigrid")
    config.multigrid.long_cycle_factors = ((0.2, 1.0), (1.0, 1.0))
    with pytest.raises(ConfigError, match="clips of 6 frames, expected multiples of .*alpha, 4"):
        check_training(config)


@pytest.mark.parametrize("module", [ava, kinetics], ids=["ava", "kinetics"])
def test_every_recipe_for_training_can_be_trained(module):
    stem = module.__name__.rpartition(".")[2]
    refused = set()
    for variant in importlib.import_module(f"configs.{stem}").VARIANTS:
        config = load_config(f"{ROOT}/configs/{stem}.py:{variant}")
        config.model.num_classes = config.model.num_classes or 5  # those of the user's data
        try:
            check_training(config)
        except ConfigError:
            refused.add(variant)
    only_tested = {v for v in module.VARIANTS if v.startswith("c2_") or v.endswith("_test")}
    assert refused == only_tested
