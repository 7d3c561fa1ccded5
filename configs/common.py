"""What the recipes share: merging, lookup of variants, and common parts.

A recipe is a list of parts that are merged in order. A part is a nested dict of config fields; it
holds only what differs from the defaults. slowfast_jax/config/schema.py has every field with its
default, meaning and range. `load_config` fills in what a recipe leaves out, so that
`--config.train.batch_size=32` works on every recipe, and refuses misspelled fields. The defaults of
config.model (keywords of the network's class) and config.protocol (clips and testing) come from the
zoo entry that `model.name` names.

Values are those of PySlowFast's YAML files merged over its `slowfast/config/defaults.py`.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from data_pipelines.command import stop_printing
from slowfast_jax.models import zoo
from slowfast_jax.models.mvit import VisionTransformer

Part = Mapping[str, Any]  # nested dict of config fields
Variants = Mapping[str, Sequence[Part]]  # name of a variant -> its parts, in order of application


def base(*, data: Part, loss: str = "", **fields: str) -> Part:
    """The part that all variants of a recipe file start from.

    Args:
      data: fields of config.data.
      loss: config.train.loss; the schema's default if empty.
      fields: config.task and config.class_names, where they differ from the schema's defaults.
    """
    return {"data": data, "train": {"loss": loss} if loss else {}, **fields}


def recipe(name: str, *parts: Part) -> ConfigDict:
    """The recipe of a variant: its name and the merged parts; later parts win."""
    merged: dict[str, Any] = {"name": name}
    for part in parts:
        merged = _merge(merged, part)
    return ConfigDict(merged).lock()


def _merge(first: Part, second: Part) -> dict[str, Any]:
    """A new dict with the fields of both; where both have a field, the second's."""
    merged = dict(first)
    for key, value in second.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def lookup(variants: Variants, variant: str, stem: str) -> Sequence[Part]:
    """The parts of a variant of configs/<stem>.py.

    Raises ValueError, naming close ones, for a variant that does not exist.
    """
    if variant in variants:
        return variants[variant]
    close = difflib.get_close_matches(variant.lower(), variants, n=5, cutoff=0.5)
    raise ValueError(
        f"configs/{stem}.py has no variant {variant!r}."
        + (f" Did you mean {', '.join(close)}?" if close else "")
        + f" --mode=config --config={stem} lists all {len(variants)}."
    )


def network(name: str, **keywords: Any) -> Part:
    """The network: its zoo entry, and keywords of its class that differ from the entry's."""
    return {"model": {"name": name, **keywords}}


def cosine(base_lr: float, epochs: int, warmup_epochs: float = 0.0, **schedule: Any) -> Part:
    """Learning rate: half a cosine from base_lr to 0 over all epochs; a linear warm-up replaces its
    start."""
    schedule = {"base_lr": base_lr, "warmup_epochs": warmup_epochs, **schedule}
    return {"schedule": {"name": "cosine", **schedule}, "train": {"epochs": epochs}}


def steps(
    base_lr: float,
    epochs: int,
    at: tuple[int, ...],
    relative: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001),
    **schedule: Any,
) -> Part:
    """Learning rate: base_lr * relative[i] from epoch at[i] on."""
    schedule = {"base_lr": base_lr, "steps": at, "relative_lrs": relative, **schedule}
    return {"schedule": {"name": "steps", **schedule}, "train": {"epochs": epochs}}


def transformer(policy: str, batch_size: int, weight_decay: float, **optimizer: Any) -> Part:
    """What the recipes of vision transformers share besides their schedule.

    Clips are changed by RandAugment and random erasing, and mixed in pairs by mixup or cutmix.
    Biases and other one-dimensional parameters have no weight decay.

    Args:
      policy: the RandAugment policy.
      batch_size: clips per step, for which the learning rates are meant.
      weight_decay: of the other parameters.
      optimizer: other fields of config.optimizer.
    """
    return {
        "train": {"batch_size": batch_size, "loss": "soft_cross_entropy"},
        "schedule": {"reference_batch": batch_size},
        "optimizer": {"zero_wd_1d": True, "weight_decay": weight_decay, **optimizer},
        "augment": {
            "rand_augment": policy, "erasing_probability": 0.25, "mixup_alpha": 0.8,
            "cutmix_alpha": 1.0, "label_smoothing": 0.1,
        },
        "norm": {"precise": False},  # there are no batch statistics
    }


def mmaction2(weight_decay: float, sampling: str = "mmaction2") -> Part:
    """What MMAction2's recipes share: its frames, and SGD without Nesterov momentum.

    Gradients are clipped to a norm of 40, and every parameter has weight decay.
    """
    return {
        "data": {"sampling": sampling},
        "optimizer": {
            "nesterov": False, "clip_norm": 40.0, "weight_decay": weight_decay,
            "norm_weight_decay": weight_decay,
        },
        "norm": {"precise": False},
    }


def mmaction2_classifier(sampling: str = "mmaction2") -> Part:
    """What MMAction2's recipes on Kinetics share besides the schedule.

    Clips are random resized crops.
    """
    return _merge(mmaction2(1e-4, sampling), {
        "data": {
            "jitter_scales_relative": (0.08, 1.0),
            "jitter_aspect_relative": (0.75, 4 / 3),
        },
        "train": {"eval_period": 5, "checkpoint_period": 4},
    })


def pretrained(path: str, *skip: str, url: str = "") -> Part:
    """Weights to start from.

    Args:
      path: a file that `--weights` takes.
      skip: regular expressions of parameter paths that may be missing from it or differ in shape.
      url: where the file can be downloaded.
    """
    return {"train": {"init_from": {"path": path, "skip": skip, "url": url}}}


FINE_TUNED = (
    cosine(0.02, epochs=20, warmup_epochs=2.0, warmup_start_lr=0.002, reference_batch=8),
)
# A transformer forgets what it has learned at larger rates; its first blocks change least.
FINE_TUNED_TRANSFORMER = (
    cosine(
        0.0001, epochs=20, warmup_epochs=2.0, warmup_start_lr=0.000001, end_lr=0.000001,
        cosine_after_warmup=True, reference_batch=8,
    ),
    {
        "optimizer": {
            "name": "adamw", "weight_decay": 0.05, "zero_wd_1d": True, "layer_decay": 0.75,
        },
        "norm": {"precise": False},
    },
)


def finetuned(name: str, path: str, url: str = "") -> Sequence[Part]:
    """Fine-tuning of a published network on other classes, with hundreds or thousands of videos.

    The classes are the lines of config.data.root/classes.txt. The rate follows the batch.
    Transformers use AdamW with a rate that falls from layer to layer, other networks SGD.

    Args:
      name: the network's zoo entry.
      path: its weights, a file that `--weights` takes.
      url: where they can be downloaded.
    """
    crop = zoo.ZOO[name]["protocol"]["train_crop"]
    transformer = issubclass(zoo.ZOO[name]["make"], VisionTransformer)
    return (
        network(name, num_classes=0, activation="softmax"),
        *(FINE_TUNED_TRANSFORMER if transformer else FINE_TUNED),
        {
            "class_names": "",
            # The same range of scales as for crops of 224 pixels.
            "data": {"jitter": (crop * 256 // 224, crop * 320 // 224)},
            "test": {"batch_size": 8},
            "train": {
                "batch_size": 8, "eval_period": 1, "checkpoint_period": 1,
                "init_from": {"path": path, "url": url},
            },
            "optimizer": {"clip_norm": 1.0},
        },
    )


def finetuned_variants(names: Iterable[str], variants: Variants) -> dict[str, Sequence[Part]]:
    """A variant NAME_finetune for each of the zoo entries FOLDER/NAME.

    Args:
      names: zoo entries.
      variants: other variants, of which the published weights of a network are looked up.
    """
    found = {}
    for name in names:
        stem = name.split("/")[1]
        with_weights = (f"c2_{stem}", stem, f"{stem}_test")
        recipes = [recipe(v, *variants[v]) for v in with_weights if v in variants]
        urls = [one.get("published", {}).get("weights", "") for one in recipes]
        url = next(filter(None, urls), "")
        file = url.rpartition("/")[2]
        path = file if "." in file else f"{stem}.pyth"  # Google Drive addresses have no file name
        found[f"{stem}_finetune"] = finetuned(name, path, url)
    return found


def published(source: str, views: str, **values: float | str) -> Part:
    """The published result of a recipe.

    Args:
      source: where it is published.
      views: clips x crops per video that it was measured with, such as "10x3".
      values: top1, top5 or mean_ap in percent; weights (their URL); note.
    """
    return {"published": {"source": source, "views": views, **values}}


PYTORCHVIDEO_URL = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/"


def pytorchvideo(file: str, views: str, **values: float) -> Part:
    """The published result of a checkpoint of PyTorchVideo.

    Args:
      file: the checkpoint, such as "ssv2/SLOW_8x8_R50.pyth".
      views, values: see `published`.
    """
    return published(
        "PyTorchVideo docs/source/model_zoo.md", views, weights=PYTORCHVIDEO_URL + file, note="",
        **values,
    )


# Multigrid training with long and short cycle (Wu et al., "A Multigrid Method for Efficiently
# Training Video Models"). Clips come in several sizes, so the head pools globally. In phases with
# more than 8 clips per GPU the original splits a GPU's batch for its statistics (SubBatchNorm3d).
# Its optimizer then decays scale and bias like the kernels; in other phases it does not decay them.
MULTIGRID: Part = {
    "model": {"head_pool": "global"},
    "multigrid": {"long_cycle": True, "short_cycle": True, "split_norm_decay": True},
}

# The original's files in c2/ only test weights that were converted from Caffe2.
TEST_ONLY: Part = {"train": {"enable": False}}


def mini(generate: str, **model: Any) -> Part:
    """A generated data set and settings with which a small network takes about a minute on a CPU.

    Args:
      generate: name of the data set (config.data.generate).
      model: keywords of the network.
    """
    return {
        "model": model,
        "class_names": "",
        "data": {"generate": generate, "jitter": (64, 80)},
        "test": {"batch_size": 4},
        "train": {
            "batch_size": 8,
            "epochs": 2,
            "eval_period": 1,
            "init_from": {"path": "", "skip": (), "strip": (), "entry": ""},
        },
        "schedule": {"base_lr": 0.05, "warmup_epochs": 0.0},
        "norm": {"group_size": 8, "sync_devices": 1, "precise": False},
    }


def mini_mvit(generate: str, epochs: int, **model: Any) -> Sequence[Part]:
    """A generated data set and settings for a small vision transformer; see `mini`.

    The network is the recipe's, with less depth and width: an MViTv2 of 3 blocks, unless `model`
    says otherwise.
    """
    doubled = ((1, 2.0), (2, 2.0))
    small: dict[str, Any] = dict(
        num_classes=4, depth=3, width=24, dim_mul=doubled, head_mul=doubled,
        q_strides=((0, 1, 1, 1), (1, 1, 2, 2), (2, 1, 2, 2)), adaptive_kv_stride=(1, 4, 4),
        dropout=0.0, drop_path=0.1,
    )
    return (
        mini(generate, **small | model),
        {
            "protocol": {"train_crop": 64, "test_crop": 64},
            "train": {"epochs": epochs, "eval_period": 5},
            "schedule": {"base_lr": 0.001, "reference_batch": 0},
        },
    )


def print_variants(variants: Variants) -> None:
    """Prints the names of the variants, one per line, for `python -m configs.<stem>`."""
    try:
        print("\n".join(variants), flush=True)
    except BrokenPipeError:
        raise SystemExit(stop_printing()) from None
