"""Repeats the training runs recorded in ../shared/parity/train with this project's code."""

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from convert import load_variables, names
from convert.layouts import to_torch
from convert.torch_file import write_pyth
from convert.trees import flatten
from slowfast_jax.tasks.base import supervised
from slowfast_jax.training.losses import LOSSES
from slowfast_jax.training.optim import make_optimizer
from slowfast_jax.training.schedules import learning_rate
from slowfast_jax.training.state import TrainState, create_state
from slowfast_jax.training.step import make_train_step
from tests.slowfast_jax.models import cases
from tests.support.compiling import FAST

OUR_LOSS = {
    "cross_entropy": "cross_entropy", "bce": "bce", "bce_logit": "bce_logits",
    "soft_cross_entropy": "soft_cross_entropy",
}
OUR_POLICY = {"cosine": "cosine", "steps_with_relative_lrs": "steps"}
MOST_BOXES = 4  # maximum per clip, in all batches


class Run(NamedTuple):
    """The five steps of a case: the state after each, and its metrics, which include logits."""

    model: Any
    batches: list[dict[str, jax.Array]]
    lrs: list[float]
    states: list[TrainState]
    metrics: list[dict[str, np.ndarray]]


def run(case: dict[str, Any], epochs: np.ndarray, dtype, folder: Path) -> Run:
    """Trains our model on the case's batches, with the learning rates at `epochs`."""
    cfg = case["cfg"]
    model, data = model_of(case, dtype), batches(case, dtype)
    optimizer = optimizer_of(case, model)
    step = make_train_step(
        model, optimizer, supervised(loss_of(case)), **clipping(case),
        train_only="head/projection/.*" if cfg["MODEL"]["DETACH_FINAL_FC"] else "",
    )
    step, key = jax.jit(step, compiler_options=FAST), jax.random.key(0)
    variables, splits = variables_of(case, model, data[0], folder), cfg["BN"]["NUM_SPLITS"]
    state = create_state(variables, optimizer, norm_splits=splits)
    if splits > 1:
        state = state.replace(split_means=split_means_of(case, state.split_means))
    schedule = schedule_of(case)
    lrs = [learning_rate(schedule, epoch, cfg["SOLVER"]["MAX_EPOCH"]) for epoch in epochs]
    states, metrics = [], []
    for batch, lr in zip(data, lrs, strict=True):
        state, reported = step(state, batch, jnp.asarray(lr, dtype), key)
        states.append(state)
        metrics.append(jax.tree.map(np.asarray, reported))
    return Run(model, data, lrs, states, metrics)


def model_of(case: dict[str, Any], dtype):
    """Our network of the case; sub-BN's splits become groups of adjacent clips (see `batches`)."""
    cfg = case["cfg"]
    model = cases.network(cfg)
    options = dict(dtype=dtype)
    if model.norm_groups:
        options["frozen_norm"] = cfg["MODEL"]["FROZEN_BN"]
    splits = cfg["BN"]["NUM_SPLITS"]
    if splits > 1:
        options["group_size"] = cfg["TRAIN"]["BATCH_SIZE"] // splits
        options["norm_splits"] = splits
    return model.clone(**options)


def variables_of(case: dict[str, Any], model, batch, folder):
    """Our variables of the case, in the model's dtype.

    The statistics of split norms are those with which the original evaluates.
    """
    tensors = cases.load_rule().make_weights(case)
    tensors |= aggregated(tensors)
    write_pyth(folder / "case.pyth", tensors)
    shapes = jax.eval_shape(
        lambda c, b: model.init(jax.random.key(0), c, b), batch["clip"], batch.get("boxes")
    )
    shapes = jax.tree.map(lambda leaf: leaf.update(dtype=model.dtype), shapes)
    return jax.tree.map(jnp.asarray, load_variables(folder / "case.pyth", shapes))


def aggregated(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{X.bn.running_mean, X.bn.running_var} of the splits in X.split_bn: the mean of their means,
    and the mean of their variances plus the variance of their means."""
    merged = {}
    for name, array in tensors.items():
        stem, found, kind = name.rpartition(".split_bn.")
        if found and kind.startswith("running_"):
            size = tensors[f"{stem}.bn.{kind}"].size
            merged[f"{stem}.bn.{kind}"] = array.reshape(-1, size).mean(0, np.float64)
            if kind == "running_var":
                means = tensors[f"{stem}.split_bn.running_mean"].astype(np.float64)
                merged[f"{stem}.bn.{kind}"] += means.reshape(-1, size).var(0)
    return merged


def split_means_of(case: dict[str, Any], like: Any) -> Any:
    """Our running means of splits: the case's, less their mean, over the root of their number."""
    tensors = cases.load_rule().make_weights(case)
    family = names.foreign_family(tensors)

    def of(path, leaf):
        name = names.to_pyslowfast("/".join(key.key for key in path), family)
        means = tensors[name.replace(".running_mean", ".split_bn.running_mean")]
        means = means.reshape(leaf.shape).astype(leaf.dtype)
        return jnp.asarray((means - means.mean(0)) / len(means) ** 0.5)

    return jax.tree_util.tree_map_with_path(of, like)


def batches(case: dict[str, Any], dtype) -> list[dict[str, Any]]:
    """Five batches, reordered: sub-BN puts clip n into split n mod S, we group adjacent clips."""
    splits = case["cfg"]["BN"]["NUM_SPLITS"]
    made = []
    for step in case["steps"]:
        clip, _ = cases.clip_and_boxes(step)
        batch = {"clip": jnp.asarray(clip, dtype)}
        if "boxes" in step:
            batch |= boxed(step, len(clip), MOST_BOXES, dtype)
        elif "hard_labels" in step:
            batch["label"] = mixed_labels(step, case["cfg"]["MODEL"]["NUM_CLASSES"], dtype)
        else:
            batch["label"] = jnp.asarray(step["labels"])
        order = np.arange(len(clip)).reshape(-1, splits).T.ravel()
        made.append({key: value[order] for key, value in batch.items()})
    return made


def mixed_labels(step, classes, dtype):
    """Soft targets `(N, K)` of clips that were mixed with those of the reversed batch.

    They are computed in float32, as in the original.
    """
    labels, lam = np.asarray(step["hard_labels"]), step["lam"]
    share = step["smoothing"] / classes
    targets = np.full((len(labels), classes), share, np.float32)
    targets[np.arange(len(labels)), labels] = 1 - step["smoothing"] + share
    return jnp.asarray(targets * np.float32(lam) + targets[::-1] * np.float32(1 - lam), dtype)


def boxed(step, clips, most, dtype):
    """Padded boxes `(N, most, 4)`, their labels `(N, most, K)` and their mask `(N, most)`."""
    rows = np.asarray(step["boxes"])
    labels = np.asarray(step["labels"])
    boxes, mask = np.zeros((clips, most, 4)), np.zeros((clips, most), bool)
    label = np.zeros((clips, most, labels.shape[1]))
    for n in range(clips):
        mine = rows[:, 0] == n
        count = mine.sum()
        boxes[n, :count], label[n, :count], mask[n, :count] = rows[mine, 1:], labels[mine], True
    return {
        "boxes": jnp.asarray(boxes, dtype), "label": jnp.asarray(label, dtype),
        "box_mask": jnp.asarray(mask),
    }


def loss_of(case: dict[str, Any]):
    """The case's loss, in the form of a task's objective, with the logits among its metrics."""
    loss = LOSSES[OUR_LOSS[case["cfg"]["MODEL"]["LOSS_FUNC"]]]

    def of(logits, endpoints, batch):
        return loss(logits, batch["label"], batch.get("box_mask")), {"logits": logits}

    return of


def optimizer_of(case: dict[str, Any], model) -> optax.GradientTransformation:
    """Our optimizer; the first part of its state holds the last gradients."""
    solver, norm = case["cfg"]["SOLVER"], case["cfg"]["BN"]
    sub_norm = norm["NORM_TYPE"] == "sub_batchnorm"
    decay = float(solver["WEIGHT_DECAY"])
    ours = make_optimizer(
        solver["OPTIMIZING_METHOD"],
        weight_decay=decay,
        norm_weight_decay=decay if sub_norm else float(norm["WEIGHT_DECAY"]),
        zero_wd_1d=solver["ZERO_WD_1D_PARAM"],
        momentum=solver["MOMENTUM"],
        nesterov=solver["NESTEROV"],
        dampening=solver["DAMPENING"],
        betas=tuple(solver["BETAS"]),
        lars=solver["LARS_ON"],
        is_norm=model.is_norm,
        no_decay=model.no_decay,
        layer_decay=solver["LAYER_DECAY"],
        layer_of=model.layer_of,
    )
    seen = optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.zeros_like, params), lambda g, state, params=None: (g, g)
    )
    return optax.chain(seen, ours)


def clipping(case: dict[str, Any]) -> dict[str, float]:
    solver = case["cfg"]["SOLVER"]
    return dict(
        clip_norm=float(solver["CLIP_GRAD_L2NORM"] or 0),
        clip_value=float(solver["CLIP_GRAD_VAL"] or 0),
    )


def schedule_of(case: dict[str, Any]) -> dict[str, Any]:
    """The case's learning-rate schedule as a recipe's `schedule` section."""
    solver = case["cfg"]["SOLVER"]
    return {
        "name": OUR_POLICY[solver["LR_POLICY"]],
        "style": "pyslowfast",
        "base_lr": float(solver["BASE_LR"]),
        "end_lr": float(solver["COSINE_END_LR"]),
        "warmup_epochs": float(solver["WARMUP_EPOCHS"]),
        "warmup_start_lr": float(solver["WARMUP_START_LR"]),
        "steps": solver["STEPS"],
        "relative_lrs": solver["LRS"],
        "cosine_after_warmup": solver["COSINE_AFTER_WARMUP"],
    }


def under_their_names(variables: dict[str, Any]) -> dict[str, np.ndarray]:
    """{PySlowFast's name: array in PyTorch's layout} of params and batch statistics."""
    leaves = {path: np.asarray(leaf) for (_, path), leaf in flatten(variables).items()}
    family = names.family_of(leaves)
    return {
        names.to_pyslowfast(path, family): to_torch(leaf, path.rpartition("/")[2])
        for path, leaf in leaves.items()
    }


def statistics(case: dict[str, Any], values: np.ndarray) -> dict[str, np.ndarray]:
    """The recorded, concatenated batch-norm statistics, split by name."""
    if not case["bn_buffer_names"]:
        return {}
    sizes = {p["name"]: int(np.prod(p["shape"])) for p in case["params"]}
    ends = np.cumsum([sizes[name] for name in case["bn_buffer_names"]])
    return dict(zip(case["bn_buffer_names"], np.split(values, ends[:-1]), strict=True))


def samples(name: str, array: np.ndarray) -> np.ndarray:
    """The 64 entries of a parameter that were recorded."""
    index = np.random.RandomState(zlib.crc32(f"{name}/idx".encode()))
    return array.ravel()[index.randint(0, array.size, 64)]
