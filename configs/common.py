"""What the recipes share: the schema with its defaults, the parts they are built from, lookup.

A recipe is `base(...)` with parts merged into it, a part being a plain dict of what differs. Every
key of the schema exists with a typed default, so `--config.train.batch_size=32` works on all of
them and a misspelt key raises. Three sections are open because they hold only differences: `model`
(constructor keywords that differ from the zoo entry `model.name`), `protocol` (input and testing,
likewise) and `augment`.

Values are those of PySlowFast's YAML files merged over its `slowfast/config/defaults.py`.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

Part = Mapping[str, Any]  # a nested dict of differences
Variants = Mapping[str, Sequence[Part]]  # variant name -> its parts, in order of application


def base(
    *,
    data: Part,
    task: str = "classification",
    class_names: str = "",
    loss: str = "cross_entropy",
) -> ConfigDict:
    """The schema with its defaults; `data` adds to its section, with a format's own keys."""
    return ConfigDict({
        "name": "",  # file stem / variant, set by recipe()
        "task": task,
        "model": {"name": ""},
        "protocol": {},
        "class_names": class_names,
        "data": {
            "format": "",
            "root": "",  # folder that holds the lists
            "generate": "",  # name of a small data set to generate into the working directory
            "train_list": "train.csv",
            "val_list": "val.csv",
            "test_list": "test.csv",
            "path_prefix": "",  # put before every path of the lists
            "separator": " ",
            "multi_label": False,
            "sampling": "kinetics",  # whose test clips and crops: see examples/eval_views.py
            "frame_template": "img_{:05d}.jpg",  # format rawframes: a frame's file in its folder
            "jitter": (256, 320),  # training: range of the short side in pixels
            "inverse_uniform_jitter": False,  # draw 1/side uniformly instead of the side
            "jitter_scales_relative": (),  # training: area range of a random resized crop
            "jitter_aspect_relative": (),  # its aspect ratios; training then ignores `jitter`
            "random_flip": True,
            "dummy": False,  # training: the first example alone, for the speed of the step itself
            "pca_jitter": 0.0,  # training: standard deviation of the lighting noise (AlexNet)
            **data,
        },
        "test": {"batch_size": 64, "checkpoint": ""},
        "train": {
            "enable": True,  # False: the recipe only describes how released weights are tested
            "batch_size": 64,
            "epochs": 196,
            "loss": loss,
            "eval_period": 10,  # epochs
            "checkpoint_period": 1,  # epochs
            "checkpoint_steps": 0,  # and every so many steps, 0: at the end of epochs only
            "keep_last": 2,  # checkpoints that stay, besides
            "keep_best": 1,  # the best by validation
            "log_period": 10,  # steps
            "summary_period": 0,  # epochs between histograms of parameters and pictures of clips
            # With many processes: all end when none, or one that the others wait for, went on for
            # so long. Longer than compiling takes; 0: never.
            "watchdog_seconds": 1800.0,
            "max_loss_rise": 0.0,  # stop at so many times the mean of the five losses before; 0: no
            "max_broken": 0.01,  # share of the examples that may be unreadable
            "threads": 8,  # that read examples, in each process
            "workers": 0,  # processes that read examples; 0: threads of the program itself
            # skip: regular expressions over paths; strip: texts to remove from the file's names
            "init_from": {"path": "", "inflate": False, "skip": (), "strip": ()},
            # Regular expression over paths of parameters; the others stay as they are. "": all.
            "train_only": "",
            "seed": 0,
            "accumulate": 1,  # parts of a batch that are gone through one after the other
            # Decay of the moving average of the parameters, which is what is tested; 0: none.
            "average": 0.0,
        },
        # Devices along each axis, -1: those that are left. A batch is split over data and fsdp,
        # parameters and optimiser over fsdp, the height of clips over spatial.
        "mesh": {"data": -1, "fsdp": 1, "spatial": 1},
        # Steps of which a profile is taken, as 10:15, counted from 0; "": none.
        "profile_steps": "",
        "matmul_precision": "default",  # of float32 on TPU and GPU; or high, highest
        "compilation_cache": "",  # folder for compiled programs, which spares the next start
        "target": "",  # --mode compile: for which devices, as v5e:4x4 or cpu:8
        "optimizer": {
            "name": "sgd",
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 1e-4,
            "norm_weight_decay": 0.0,  # for the scale and bias of normalisation layers
            "dampening": 0.0,
            "betas": (0.9, 0.999),  # of adam and adamw
            "zero_wd_1d": False,  # no decay for biases and other one-dimensional parameters
            "no_decay": (),  # regular expressions over paths of parameters that have none
            # Learning rate of a layer by that of the next one; the head's is the schedule's.
            "layer_decay": 1.0,
            "lars": False,  # gradients scaled by layer
            "clip_norm": 0.0,  # largest norm of all gradients together; 0: they are not clipped
            "clip_value": 0.0,  # largest absolute value of an entry, then `clip_norm` is not used
        },
        "schedule": {
            "name": "cosine",
            "style": "pyslowfast",  # or mmaction2: by epochs, and another warm-up
            "base_lr": 0.1,
            "end_lr": 0.0,
            "warmup_epochs": 0.0,
            "warmup_start_lr": 0.01,
            "steps": (),  # epochs at which the entries of relative_lrs begin
            "relative_lrs": (),  # factors of base_lr; entries beyond the steps are unused
            "cosine_after_warmup": False,
            "scale_lr_by_hosts": False,
            # Examples in the batch that all rates are for: with another train.batch_size they
            # change in proportion (https://arxiv.org/abs/1706.02677); 0: they are as they stand.
            "reference_batch": 0,
        },
        "norm": {
            # Clips that share batch statistics. The published recipes use 8 GPUs: batch / 8, times
            # sync_devices where that many GPUs pooled theirs (already counted in group_size).
            "group_size": 8,
            "sync_devices": 1,
            "precise": True,  # recompute the running statistics before evaluating and saving
            "precise_batches": 200,
        },
        "multigrid": {  # see docs/training.md
            "long_cycle": False,
            "short_cycle": False,
            "epoch_factor": 1.5,  # epochs, by those of plain training
            "short_cycle_factors": (0.5, 0.5**0.5),  # of the crop
            # Of frames and crop, in their order.
            "long_cycle_factors": ((0.25, 0.5**0.5), (0.5, 0.5**0.5), (0.5, 1.0), (1.0, 1.0)),
            "norm_group_size": 8,  # in the long cycle; larger where the short one's batch is
            # Phases whose batch a GPU splits for its statistics: `weight_decay` for norms, too.
            "split_norm_decay": False,
            "evaluations_per_phase": 3,
            "lr_decay": 0.1,  # from one step of the learning rate to the next, for relative_lrs
        },
        "augment": {},  # AUGMENT of slowfast_jax/config/__init__.py tells what there is
        "published": {
            "top1": placeholder(float),  # percent; None where nobody printed a number
            "top5": placeholder(float),
            "mean_ap": placeholder(float),  # percent
            "views": "",  # clips x crops the number was measured with
            "weights": "",  # address of the weights the number belongs to
            "source": "",
            "note": "",
        },
    }).lock()


def recipe(name: str, config: ConfigDict, *parts: Part) -> ConfigDict:
    """Merges parts into a fresh `base(...)` and names it; an unknown key or a wrong type raises."""
    config.name = name
    with config.model.unlocked(), config.protocol.unlocked(), config.augment.unlocked():
        for part in parts:
            config.update(part)
    return config.lock()


def lookup(variants: Variants, variant: str, stem: str) -> Sequence[Part]:
    """The parts of a variant of configs/<stem>.py; ValueError with close names if there is none."""
    if variant in variants:
        return variants[variant]
    close = difflib.get_close_matches(variant.lower(), variants, n=5, cutoff=0.5)
    raise ValueError(
        f"configs/{stem}.py has no variant {variant!r}."
        + (f" Close ones: {', '.join(close)}." if close else "")
        + f" `python -m configs.{stem}` lists all {len(variants)}."
    )


def network(name: str, **keywords: Any) -> Part:
    """Zoo entry, and the constructor keywords that differ from it."""
    return {"model": {"name": name, **keywords}}


def cosine(base_lr: float, epochs: int, warmup_epochs: float = 0.0, **schedule: Any) -> Part:
    """Half a cosine from base_lr to 0 over all epochs, the beginning replaced by a warm-up."""
    schedule = {"base_lr": base_lr, "warmup_epochs": warmup_epochs, **schedule}
    return {"schedule": {"name": "cosine", **schedule}, "train": {"epochs": epochs}}


def steps(
    base_lr: float,
    epochs: int,
    at: tuple[int, ...],
    relative: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001),
    **schedule: Any,
) -> Part:
    """base_lr * relative[i] from epoch at[i] on."""
    schedule = {"base_lr": base_lr, "steps": at, "relative_lrs": relative, **schedule}
    return {"schedule": {"name": "steps", **schedule}, "train": {"epochs": epochs}}


def pretrained(path: str, *skip: str, inflate: bool = False) -> Part:
    """Weights training starts from; `skip`: regular expressions over paths that may differ."""
    return {"train": {"init_from": {"path": path, "inflate": inflate, "skip": skip}}}


def published(source: str, views: str, **values: float | str) -> Part:
    """The printed result of this recipe: top1, top5 or mean_ap in percent, weights, note."""
    return {"published": {"source": source, "views": views, **values}}


# Long and short cycle (Wu et al., "A Multigrid Method for Efficiently Training Video Models").
# Batches come in several crop sizes, so the head pools whatever is there, not a fixed window.
# Where the original splits a GPU's batch, in the phases with more than 8 clips on each, scale and
# bias are not of a batch norm to its optimizer (SubBatchNorm3d has them itself): they decay as the
# convolutions. In the other phases they have BN.WEIGHT_DECAY, 0.
MULTIGRID: Part = {
    "model": {"head_pool": "global"},
    "multigrid": {"long_cycle": True, "short_cycle": True, "split_norm_decay": True},
}

# The original's c2/ files: weights converted from Caffe2, test settings, nothing to train.
TEST_ONLY: Part = {"train": {"enable": False}}


def mini(generate: str, **model: Any) -> Part:
    """A network and a generated data set small enough for about a minute on a laptop's CPU."""
    return {
        "model": model,
        "class_names": "",
        "data": {"generate": generate, "jitter": (64, 80)},
        "test": {"batch_size": 4},
        "train": {
            "batch_size": 8,
            "epochs": 2,
            "eval_period": 1,
            "init_from": {"path": "", "inflate": False, "skip": (), "strip": ()},
        },
        "schedule": {"base_lr": 0.05, "warmup_epochs": 0.0},
        "norm": {"group_size": 8, "sync_devices": 1, "precise": False},
    }


def print_variants(variants: Variants) -> None:
    """One variant name per line, for `python -m configs.<stem>`."""
    print("\n".join(variants))
