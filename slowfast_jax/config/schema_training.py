"""The schema of the config's sections about training, except data and augmentation."""

from typing import Any

from slowfast_jax.fields import (
    Field,
    Range,
    Section,
    above,
    at_least,
    between,
    is_a,
    is_pattern,
    numbers,
    one_of,
    patterns,
    texts,
)
from slowfast_jax.training import optim, schedules
from slowfast_jax.training.losses import LOSSES

MOST_CLIPS, MOST_EPOCHS = 1_000_000, 100_000  # larger values are taken for mistakes
SEEDS = between(0, 2**31 - 1)
BELOW_ONE = Range("0 or more, below 1", lambda value: 0 <= value < 1)
EPOCHS = between(0, MOST_EPOCHS)



def _is_pair_of_shares(pair: Any) -> bool:
    return (
        is_a(tuple, pair) and len(pair) == 2
        and all(is_a(float, share) and 0 < share <= 1 for share in pair)
    )


def _are_class_weights(value: tuple) -> bool:
    if len(value) == 1 and isinstance(value[0], str):
        return bool(value[0])
    return all(is_a(float, weight) and weight >= 0 for weight in value) and (
        not value or len(value) > 1 and max(value) > 0
    )


INIT_FROM: Section = {
    "path": Field("", "Weights to start from: any file that --weights takes. Empty: random."),
    "skip": Field(
        (), "Regular expressions of parameter paths that may be missing from the file or differ in "
        "shape; those parameters are initialized randomly.", patterns()
    ),
    "strip": Field(
        (), "Texts to remove from the names in the file (a module's prefix).", texts()
    ),
    "url": Field("", "Where the file can be downloaded, for the message if it does not exist."),
    "entry": Field(
        "", "Entry of the file that holds the weights, such as ema. Empty: it is looked for."
    ),
    "images": Field(
        False, "Whether the file is of a vision transformer of images. Its kernels of patches and "
        "poolings are then repeated over time, and what it lacks (class token, positions in time) "
        "is initialized randomly."
    ),
    "resume": Field(
        False, "Resume the training that wrote the file, a .pyth of PySlowFast: its epoch and the "
        "state of its optimizer are read as well, if it has them."
    ),
}
TRAIN: Section = {
    "enable": Field(
        True, "False: the recipe only describes how released weights are tested; training is "
        "refused."
    ),
    "batch_size": Field(
        64, "Videos or keyframes per step, on all devices together.", between(1, MOST_CLIPS)
    ),
    "epochs": Field(196, "Length of the training.", between(1, MOST_EPOCHS)),
    "loss": Field(
        "cross_entropy", "Loss function; see slowfast_jax/training/losses.py.", one_of(LOSSES)
    ),
    "focal": Field(
        (), "Alpha and gamma of the focal loss of bce_positive_rows, as (3, 1): the loss of each "
        "class of a box is multiplied by alpha * (1 - exp(-loss)) ** gamma. Empty: neither.",
        Range("two numbers of 0 or more", lambda value: len(value) in (0, 2) and all(
            is_a(float, number) and number >= 0 for number in value
        ))
    ),
    "class_weights": Field(
        (), "Weight of each class in the loss: one number per class, a file with one per line, or "
        "balanced, which makes rare classes count as much as frequent ones; see "
        "slowfast_jax.config.class_weights.py. Empty: all weigh the same.",
        Range(
            "one number of 0 or more per class, as in (1, 2.5, 1), a file with one per line, or "
            "balanced", _are_class_weights
        )
    ),
    "eval_period": Field(
        10, "Epochs between two validations. 0: only after the last epoch.", at_least(0)
    ),
    "checkpoint_period": Field(
        1, "Epochs between two checkpoints. 0: only after the last epoch.", at_least(0)
    ),
    "checkpoint_steps": Field(
        0, "Steps between additional checkpoints. 0: at the end of epochs only.", at_least(0)
    ),
    "keep_last": Field(2, "Number of most recent checkpoints to keep.", at_least(1)),
    "keep_best": Field(
        1, "Number of checkpoints with the best validation metric to keep as well.", at_least(0)
    ),
    "log_period": Field(10, "Steps between two log lines and records of metrics.", at_least(1)),
    "summary_period": Field(
        0, "Epochs between histograms of parameters and pictures of clips in TensorBoard. 0: none.",
        at_least(0)
    ),
    "watchdog_seconds": Field(
        1800.0, "Multi-process runs end when a process that the others wait for makes no progress "
        "for this long. Choose more than the time to compile a step. 0: never.",
        between(0, 10_000_000)
    ),
    "max_loss_rise": Field(
        0.0, "Stop when the loss exceeds this many times the mean of the previous five. 0: never.",
        at_least(0)
    ),
    "max_broken": Field(
        0.01, "Largest tolerated share of unreadable examples; others take their place.",
        between(0, 1)
    ),
    "threads": Field(8, "Threads per process that load examples.", between(1, 1024)),
    "workers": Field(
        0, "Worker processes that load examples, each with `threads` threads. 0: the threads of "
        "the training process itself.", between(0, 1024)
    ),
    "init_from": INIT_FROM,
    "train_only": Field(
        "", "Regular expression of the paths of the parameters to train; the others are frozen. "
        "Empty: all are trained.", Range("a regular expression", is_pattern)
    ),
    "seed": Field(0, "Seed of initialization, shuffling, augmentation and dropout.", SEEDS),
    "accumulate": Field(
        1, "Gradient accumulation: number of parts into which a batch is split; they are processed "
        "one after the other, which saves memory.", at_least(1)
    ),
    "average": Field(
        0.0, "Decay of a moving average of the parameters, which is then tested. 0: no average.",
        Range("0 (none) or below 1", BELOW_ONE.holds)
    ),
}
# A batch is split over data and fsdp, parameters and optimizer state over fsdp, the height of clips
# over spatial.
MESH: Section = {
    "data": Field(
        -1, "Devices along the axis `data`. -1: all that the other axes leave.",
        Range("-1 or at least 1", lambda value: value == -1 or value >= 1)
    ),
    "fsdp": Field(1, "Devices along the axis `fsdp`.", at_least(1)),
    "spatial": Field(1, "Devices along the axis `spatial`.", at_least(1)),
}
OPTIMIZER: Section = {
    "name": Field("sgd", "sgd, adam or adamw, with PyTorch's rules.", one_of(optim.NAMES)),
    "momentum": Field(0.9, "Momentum of sgd.", BELOW_ONE),
    "nesterov": Field(True, "Nesterov momentum (sgd)."),
    "weight_decay": Field(1e-4, "Weight decay of the parameters.", at_least(0)),
    "norm_weight_decay": Field(0.0, "Weight decay of scale and bias of norm layers.", at_least(0)),
    "dampening": Field(0.0, "Dampening of the momentum (sgd).", between(0, 1)),
    "betas": Field(
        (0.9, 0.999), "Decay rates of adam and adamw.",
        numbers("two numbers in (0, 1)", lambda v: len(v) == 2 and 0 < min(v) and max(v) < 1)
    ),
    "zero_wd_1d": Field(False, "No weight decay for biases and other one-dimensional parameters."),
    "no_decay": Field(
        (), "Regular expressions of parameter paths without weight decay.", patterns()
    ),
    "layer_decay": Field(
        1.0, "Learning rate of a layer divided by that of the layer after it; the head has the "
        "schedule's rate. 1: the same rate for all.",
        Range("above 0, at most 1", lambda value: 0 < value <= 1)
    ),
    "lars": Field(False, "Scale the gradients layer by layer (LARS)."),
    "clip_norm": Field(
        0.0, "Largest global norm of the gradients; above it, all are scaled down. 0: no limit.",
        at_least(0)
    ),
    "clip_value": Field(
        0.0, "Largest absolute value of a gradient's entry; clip_norm is then ignored. 0: no "
        "limit.", at_least(0)
    ),
}
SCHEDULE: Section = {
    "name": Field(
        "cosine", "Shape of the learning rate: cosine or steps.", one_of(schedules.NAMES)
    ),
    "style": Field(
        "pyslowfast", "pyslowfast (the rate changes with every step), mmaction2 (with every "
        "epoch, and with another warm-up) or mmengine (the warm-up changes with every epoch, too).",
        one_of(schedules.STYLES)
    ),
    "base_lr": Field(0.1, "Learning rate at the start, after the warm-up.", above(0)),
    "end_lr": Field(0.0, "Learning rate at the end (cosine).", at_least(0)),
    "warmup_epochs": Field(0.0, "Length of the linear warm-up in epochs.", EPOCHS),
    "warmup_start_lr": Field(0.01, "Learning rate at the start of the warm-up.", at_least(0)),
    "steps": Field(
        (), "Epochs at which the entries of relative_lrs take effect; the first is 0.",
        numbers("epochs, as in (0, 10, 15)", lambda v: all(0 <= e <= MOST_EPOCHS for e in v))
    ),
    "relative_lrs": Field(
        (), "Learning rate of each step divided by base_lr; entries beyond the steps are unused.",
        numbers("numbers of 0 or more, as in (1.0, 0.1)", lambda v: all(x >= 0 for x in v))
    ),
    "cosine_after_warmup": Field(False, "The cosine starts after the warm-up instead of at 0."),
    "reference_batch": Field(
        0, "Batch size that the rates are meant for: with another train.batch_size they are scaled "
        "in proportion (https://arxiv.org/abs/1706.02677). 0: no scaling.", between(0, MOST_CLIPS)
    ),
}
NORM: Section = {
    "group_size": Field(
        8, "Clips that share batch statistics. The published recipes use 8 GPUs: this is the batch "
        "of one GPU, times sync_devices where GPUs pooled their statistics.",
        between(1, MOST_CLIPS)
    ),
    "sync_devices": Field(
        1, "GPUs of the original that pooled batch statistics; group_size already counts their "
        "clips.", at_least(1)
    ),
    "precise": Field(
        True, "Recompute the running statistics before each validation and checkpoint (precise BN)."
    ),
    "precise_batches": Field(200, "Batches that precise BN averages over.", at_least(1)),
}
# Wu et al., https://arxiv.org/abs/1912.00998; see docs/training.md.
MULTIGRID: Section = {
    "long_cycle": Field(
        False, "Grow frames and crop, and shrink the batch, between two steps of the learning rate."
    ),
    "short_cycle": Field(False, "Change crop and batch size from step to step."),
    "epoch_factor": Field(
        1.5, "Epochs relative to train.epochs.",
        Range("above 0, at most 100", lambda value: 0 < value <= 100)
    ),
    "short_cycle_factors": Field(
        (0.5, 0.5**0.5), "Crops of the short cycle relative to the crop.",
        numbers("numbers above 0 and up to 1", lambda v: all(0 < x <= 1 for x in v))
    ),
    "long_cycle_factors": Field(
        ((0.25, 0.5**0.5), (0.5, 0.5**0.5), (0.5, 1.0), (1.0, 1.0)),
        "Phases of the long cycle: (frames, crop) relative to the recipe's, in order.",
        Range(
            "pairs of numbers above 0 and up to 1 (of frames and of pixels)",
            lambda value: len(value) > 0 and all(map(_is_pair_of_shares, value)),
        )
    ),
    "norm_group_size": Field(
        8, "Clips that share batch statistics in the long cycle; it grows with the batch of the "
        "short cycle.", between(1, MOST_CLIPS)
    ),
    "split_norm_decay": Field(
        False, "Give norm layers weight_decay instead of norm_weight_decay in the phases in which "
        "PySlowFast splits a GPU's batch for the statistics (sub-BN); PySlowFast does the same."
    ),
    "evaluations_per_phase": Field(
        3, "Validations and checkpoints per phase of the long cycle.", at_least(1)
    ),
    "lr_decay": Field(
        0.1, "Factor between two steps of the learning rate in the long cycle, in place of "
        "relative_lrs.", above(0)
    ),
}
