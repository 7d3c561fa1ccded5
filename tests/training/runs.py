"""Training runs of ../shared/parity/train: our model, optimizer, loss and batches for each."""

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from convert import load_variables, names
from convert.layouts import to_torch
from convert.torch_file import write_pyth
from convert.trees import flatten
from slowfast_jax.training.losses import LOSSES
from slowfast_jax.training.optim import make_optimizer
from tests.models import cases

OUR_LOSS = {"cross_entropy": "cross_entropy", "bce": "bce", "bce_logit": "bce_logits"}
OUR_POLICY = {"cosine": "cosine", "steps_with_relative_lrs": "steps"}
STEPS_PER_EPOCH = 2


def model_of(case: dict[str, Any], dtype):
    """Our network; sub-BN's splits are groups of contiguous clips (see `batches`)."""
    cfg = case["cfg"]
    model = cases.network(cfg)
    options = dict(dtype=dtype, frozen_norm=cfg["MODEL"]["FROZEN_BN"])
    splits = cfg["BN"]["NUM_SPLITS"]
    if splits > 1:
        options["group_size"] = cfg["TRAIN"]["BATCH_SIZE"] // splits
    return model.clone(**options)


def variables_of(case: dict[str, Any], model, batch, folder):
    """Our variables of the case, in the model's dtype."""
    write_pyth(folder / "case.pyth", cases.load_rule().make_weights(case))
    shapes = jax.eval_shape(
        lambda c, b: model.init(jax.random.key(0), c, b), batch["clip"], batch.get("boxes")
    )
    variables = load_variables(folder / "case.pyth", shapes)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, model.dtype), variables)


def batches(case: dict[str, Any], dtype) -> list[dict[str, Any]]:
    """Five batches. Sub-BN puts clip n into split n mod S; ours are contiguous: reorder."""
    splits = case["cfg"]["BN"]["NUM_SPLITS"]
    made = []
    for step in case["steps"]:
        clip, boxes = cases.clip_and_boxes(step)
        labels = np.asarray(step["labels"])
        batch = {"clip": jnp.asarray(clip, dtype)}
        if boxes is not None:
            batch |= boxed(step, boxes, labels, dtype)
        else:
            batch["label"] = jnp.asarray(labels)
        order = np.arange(len(clip)).reshape(-1, splits).T.ravel()
        made.append({key: value[order] for key, value in batch.items()})
    return made


def boxed(step, boxes, labels, dtype):
    """Boxes, their labels `(N, B, K)` and which of them there are."""
    of = np.asarray(step["boxes"], np.float32)[:, 0].astype(int)
    label = np.zeros((*boxes.shape[:2], labels.shape[1]), np.float32)
    mask = np.zeros(boxes.shape[:2], bool)
    for n in range(len(boxes)):
        mine = labels[of == n]
        label[n, : len(mine)], mask[n, : len(mine)] = mine, True
    return {
        "boxes": jnp.asarray(boxes, dtype), "label": jnp.asarray(label, dtype),
        "box_mask": jnp.asarray(mask),
    }


def loss_of(case: dict[str, Any]):
    """The loss as a task would give it; it reports the logits, too."""
    loss = LOSSES[OUR_LOSS[case["cfg"]["MODEL"]["LOSS_FUNC"]]]

    def of(logits, endpoints, batch):
        return loss(logits, batch["label"], batch.get("box_mask")), {"logits": logits}

    return of


def optimizer_of(case: dict[str, Any]) -> optax.GradientTransformation:
    """Our optimizer; its state begins with the gradients that it was last given."""
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
    """What a recipe's schedule section would be."""
    solver = case["cfg"]["SOLVER"]
    return {
        "name": OUR_POLICY[solver["LR_POLICY"]],
        "base_lr": float(solver["BASE_LR"]),
        "end_lr": float(solver["COSINE_END_LR"]),
        "warmup_epochs": float(solver["WARMUP_EPOCHS"]),
        "warmup_start_lr": float(solver["WARMUP_START_LR"]),
        "steps": solver["STEPS"],
        "relative_lrs": solver["LRS"],
        "cosine_after_warmup": solver["COSINE_AFTER_WARMUP"],
        "scale_lr_by_hosts": False,
    }


def under_their_names(tree: dict[str, Any]) -> dict[str, np.ndarray]:
    """{PySlowFast's name: array in PyTorch's layout} of params or batch statistics."""
    leaves = {path: np.asarray(leaf) for (_, path), leaf in flatten({"": tree}).items()}
    family = names.family_of(leaves)
    return {names.to_pyslowfast(path, family): to_torch(leaf) for path, leaf in leaves.items()}


def samples(name: str, array: np.ndarray) -> np.ndarray:
    """The 64 entries of a parameter that the recording kept."""
    index = np.random.RandomState(zlib.crc32(f"{name}/idx".encode()))
    return array.ravel()[index.randint(0, array.size, 64)]
