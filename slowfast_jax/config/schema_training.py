"""The schema of the config's sections about training, except data and augmentation."""

from slowfast_jax.config.field import Field, Range, Section, at_least, between, one_of
from slowfast_jax.training.losses import LOSSES

INIT_FROM: Section = {
    "path": Field("", "Weights to start from: any file that --weights takes. Empty: random."),
    "skip": Field(
        (), "Regular expressions of parameter paths that may be missing from the file or differ in "
        "shape; those parameters are initialized randomly."
    ),
    "strip": Field((), "Texts to remove from the names in the file (a module's prefix)."),
    "entry": Field(
        "", "Entry of the file that holds the weights, such as ema. Empty: it is looked for."
    ),
}
TRAIN: Section = {
    "enable": Field(
        True, "False: the recipe only describes how released weights are tested; training is "
        "refused."
    ),
    "batch_size": Field(
        64, "Videos or keyframes per step, on all devices together.", at_least(1)
    ),
    "epochs": Field(196, "Length of the training.", at_least(1)),
    "loss": Field(
        "cross_entropy", "Loss function; see slowfast_jax/training/losses.py.", one_of(LOSSES)
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
        "for this long. Choose more than the time to compile a step. 0: never.", at_least(0)
    ),
    "max_loss_rise": Field(
        0.0, "Stop when the loss exceeds this many times the mean of the previous five. 0: never.",
        at_least(0)
    ),
    "max_broken": Field(
        0.01, "Largest tolerated share of unreadable examples; others take their place.",
        between(0, 1)
    ),
    "threads": Field(8, "Threads per process that load examples.", at_least(1)),
    "workers": Field(
        0, "Worker processes that load examples, each with `threads` threads. 0: the threads of "
        "the training process itself.", at_least(0)
    ),
    "init_from": INIT_FROM,
    "train_only": Field(
        "", "Regular expression of the paths of the parameters to train; the others are frozen. "
        "Empty: all are trained."
    ),
    "seed": Field(0, "Seed of initialization, shuffling, augmentation and dropout."),
    "accumulate": Field(
        1, "Gradient accumulation: number of parts into which a batch is split; they are processed "
        "one after the other, which saves memory.", at_least(1)
    ),
    "average": Field(
        0.0, "Decay of a moving average of the parameters, which is then tested. 0: no average.",
        Range("0 (none) or below 1", lambda value: 0 <= value < 1)
    ),
}
# A batch is split over data and fsdp, parameters and optimizer state over fsdp, the height of clips
# over spatial.
MESH: Section = {
    "data": Field(-1, "Devices along the axis `data`. -1: all that the other axes leave."),
    "fsdp": Field(1, "Devices along the axis `fsdp`."),
    "spatial": Field(1, "Devices along the axis `spatial`."),
}
OPTIMIZER: Section = {
    "name": Field("sgd", "sgd, adam or adamw, with PyTorch's rules."),
    "momentum": Field(0.9, "Momentum of sgd."),
    "nesterov": Field(True, "Nesterov momentum (sgd)."),
    "weight_decay": Field(1e-4, "Weight decay of the parameters.", at_least(0)),
    "norm_weight_decay": Field(0.0, "Weight decay of scale and bias of norm layers.", at_least(0)),
    "dampening": Field(0.0, "Dampening of the momentum (sgd)."),
    "betas": Field((0.9, 0.999), "Decay rates of adam and adamw."),
    "zero_wd_1d": Field(False, "No weight decay for biases and other one-dimensional parameters."),
    "no_decay": Field((), "Regular expressions of parameter paths without weight decay."),
    "layer_decay": Field(
        1.0, "Learning rate of a layer divided by that of the layer after it; the head has the "
        "schedule's rate. 1: the same rate for all."
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
    "name": Field("cosine", "Shape of the learning rate: cosine or steps."),
    "style": Field(
        "pyslowfast", "pyslowfast (the rate changes with every step) or mmaction2 (with every "
        "epoch, and with another warm-up)."
    ),
    "base_lr": Field(0.1, "Learning rate at the start, after the warm-up."),
    "end_lr": Field(0.0, "Learning rate at the end (cosine)."),
    "warmup_epochs": Field(0.0, "Length of the linear warm-up in epochs."),
    "warmup_start_lr": Field(0.01, "Learning rate at the start of the warm-up."),
    "steps": Field((), "Epochs at which the entries of relative_lrs take effect; the first is 0."),
    "relative_lrs": Field(
        (), "Learning rate of each step divided by base_lr; entries beyond the steps are unused."
    ),
    "cosine_after_warmup": Field(False, "The cosine starts after the warm-up instead of at 0."),
    "scale_lr_by_hosts": Field(False, "Multiply all rates by the number of processes."),
    "reference_batch": Field(
        0, "Batch size that the rates are meant for: with another train.batch_size they are scaled "
        "in proportion (https://arxiv.org/abs/1706.02677). 0: no scaling."
    ),
}
NORM: Section = {
    "group_size": Field(
        8, "Clips that share batch statistics. The published recipes use 8 GPUs: this is the batch "
        "of one GPU, times sync_devices where GPUs pooled their statistics.", at_least(1)
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
    "epoch_factor": Field(1.5, "Epochs relative to train.epochs."),
    "short_cycle_factors": Field((0.5, 0.5**0.5), "Crops of the short cycle relative to the crop."),
    "long_cycle_factors": Field(
        ((0.25, 0.5**0.5), (0.5, 0.5**0.5), (0.5, 1.0), (1.0, 1.0)),
        "Phases of the long cycle: (frames, crop) relative to the recipe's, in order."
    ),
    "norm_group_size": Field(
        8, "Clips that share batch statistics in the long cycle; it grows with the batch of the "
        "short cycle."
    ),
    "split_norm_decay": Field(
        False, "Give norm layers weight_decay instead of norm_weight_decay in the phases in which "
        "PySlowFast splits a GPU's batch for the statistics (sub-BN); PySlowFast does the same."
    ),
    "evaluations_per_phase": Field(3, "Validations and checkpoints per phase of the long cycle."),
    "lr_decay": Field(
        0.1, "Factor between two steps of the learning rate in the long cycle, in place of "
        "relative_lrs."
    ),
}
