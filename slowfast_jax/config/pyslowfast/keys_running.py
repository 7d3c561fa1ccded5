"""The keys of PySlowFast about running: TRAIN, TEST, SOLVER, MULTIGRID, machines, logs, demo."""

from slowfast_jax.config.pyslowfast.keys import Keys, computed, copied, unneeded

TRAIN: Keys = {
    **computed("TRAIN", "`train.enable`; False: `--mode eval` is the default", {"ENABLE": True}),
    **computed("TRAIN", "`data.format`, `data.sampling` and the names of the lists", {
        "DATASET": "kinetics",
    }),
    **computed("TRAIN", "`train.batch_size`, times the number of machines (`NUM_SHARDS`)", {
        "BATCH_SIZE": 64,
    }),
    **copied("TRAIN", {
        "EVAL_PERIOD": ("train.eval_period", 10),
        "CHECKPOINT_PERIOD": ("train.checkpoint_period", 10),
        "KILL_LOSS_EXPLOSION_FACTOR": ("train.max_loss_rise", 0.0),
    }),
    **copied("TRAIN", {
        "CHECKPOINT_FILE_PATH": ("train.init_from.path", ""),
        "CHECKPOINT_CLEAR_NAME_PATTERN": ("train.init_from.strip", ()),
        "CHECKPOINT_IN_INIT": ("train.init_from.images", False),
    }),
    **computed("TRAIN", "recognized by the file; 2-D kernels are inflated", {
        "CHECKPOINT_TYPE": "pytorch", "CHECKPOINT_INFLATE": False,
    }),
    **computed("TRAIN", "`train.init_from.resume`, its opposite: epoch and optimizer of a `.pyth` "
               "are read as well, if it has them", {"CHECKPOINT_EPOCH_RESET": False}),
    **unneeded("TRAIN", "AUTO_RESUME", "always: the same command resumes"),
    **computed("TRAIN", "`model.dtype=bfloat16`, in testing as well", {"MIXED_PRECISION": False}),
}

TEST: Keys = {
    **computed("TEST", "training ends with a test; `--mode eval` tests without training", {
        "ENABLE": True,
    }),
    **computed("TEST", "`data.format`: the data set of training", {"DATASET": "kinetics"}),
    **copied("TEST", {
        "BATCH_SIZE": ("test.batch_size", 8),
        "CHECKPOINT_FILE_PATH": ("test.checkpoint", ""),
    }),
    **computed("TEST", "`protocol.clips`, `protocol.crops`; -1 clips: `--clips=1,3,5,7,10`; "
               "ImageNet: one of each", {"NUM_ENSEMBLE_VIEWS": 10, "NUM_SPATIAL_CROPS": 3}),
    **computed("TEST", "`--clips`, such as `--clips=5,7,10`", {"NUM_TEMPORAL_CLIPS": ()}),
    **computed("TEST", "`--save_scores`, which writes `WORKDIR/scores.npz`; files of the original "
               "are read, too (docs/testing.md)", {"SAVE_RESULTS_PATH": ""}),
    **unneeded("TEST", "CHECKPOINT_TYPE", "recognized by the file"),
}

SOLVER: Keys = {
    **copied("SOLVER", {
        "BASE_LR": ("schedule.base_lr", 0.1),
        "COSINE_END_LR": ("schedule.end_lr", 0.0),
        "STEPS": ("schedule.steps", ()),
        "LRS": ("schedule.relative_lrs", ()),
        "WARMUP_EPOCHS": ("schedule.warmup_epochs", 0.0),
        "WARMUP_START_LR": ("schedule.warmup_start_lr", 0.01),
        "COSINE_AFTER_WARMUP": ("schedule.cosine_after_warmup", False),
        "MAX_EPOCH": ("train.epochs", 300),
        "GAMMA": ("multigrid.lr_decay", 0.1),
    }),
    **computed("SOLVER", "`schedule.name`: `cosine` or `steps`", {"LR_POLICY": "cosine"}),
    **computed("SOLVER", "`schedule.reference_batch`, the batch of one machine: the rates follow "
               "`train.batch_size`, which counts all machines", {
        "BASE_LR_SCALE_NUM_SHARDS": False,
    }),
    **computed("SOLVER", "`optimizer.name`: `sgd`, `adam` or `adamw`", {
        "OPTIMIZING_METHOD": "sgd",
    }),
    **copied("SOLVER", {
        "MOMENTUM": ("optimizer.momentum", 0.9),
        "DAMPENING": ("optimizer.dampening", 0.0),
        "NESTEROV": ("optimizer.nesterov", True),
        "WEIGHT_DECAY": ("optimizer.weight_decay", 1e-4),
        "BETAS": ("optimizer.betas", (0.9, 0.999)),
        "ZERO_WD_1D_PARAM": ("optimizer.zero_wd_1d", False),
        "LAYER_DECAY": ("optimizer.layer_decay", 1.0),
        "LARS_ON": ("optimizer.lars", False),
    }),
    **computed("SOLVER", "`optimizer.clip_value`, `optimizer.clip_norm`: 0 where PySlowFast has "
               "None", {"CLIP_GRAD_VAL": None, "CLIP_GRAD_L2NORM": None}),
    **unneeded("SOLVER", "WARMUP_FACTOR STEP_SIZE", "the original never reads it"),
}

MULTIGRID: Keys = {
    **copied("MULTIGRID", {
        "LONG_CYCLE": ("multigrid.long_cycle", False),
        "SHORT_CYCLE": ("multigrid.short_cycle", False),
        "EPOCH_FACTOR": ("multigrid.epoch_factor", 1.5),
        "SHORT_CYCLE_FACTORS": ("multigrid.short_cycle_factors", (0.5, 0.5**0.5)),
        "LONG_CYCLE_FACTORS": (
            "multigrid.long_cycle_factors",
            ((0.25, 0.5**0.5), (0.5, 0.5**0.5), (0.5, 1), (1, 1)),
        ),
        "BN_BASE_SIZE": ("multigrid.norm_group_size", 8),
        "EVAL_FREQ": ("multigrid.evaluations_per_phase", 3),
    }),
    **unneeded("MULTIGRID", "LONG_CYCLE_SAMPLING_RATE DEFAULT_B DEFAULT_T DEFAULT_S",
               "the original sets it itself"),
}

RUNNING: Keys = {
    **computed("", "`--workdir`, where it is not given", {"OUTPUT_DIR": "."}),
    **computed("", "all devices are used (`mesh`, docs/scaling.md); the clips of one GPU are "
               "`norm.group_size`", {"NUM_GPUS": 1}),
    **computed("", "the batch of all machines is `train.batch_size`. The original takes the number "
               "from `--num_shards` (1), not from its files; `NUM_SHARDS N` on the command line "
               "stands for that", {"NUM_SHARDS": 1}),
    **unneeded("", "SHARD_ID DIST_BACKEND",
               "`--process_id`, `--coordinator` or the cluster's environment (docs/scaling.md)"),
    **copied("", {"RNG_SEED": ("train.seed", 1), "LOG_PERIOD": ("train.log_period", 10)}),
    **unneeded("", "LOG_MODEL_INFO", "`--mode summary`"),
    **computed("", "self-supervised training (`ssl`) is missing here; other values only name "
               "files", {"TASK": ""}),
}

SHOWING: Keys = {
    **unneeded("TENSORBOARD", "ENABLE LOG_DIR",
               "training always writes metrics for TensorBoard to `--workdir`"),
    **unneeded("TENSORBOARD", "PREDICTIONS_PATH",
               "`python -m slowfast_jax.visualize confusion FILE`, and `histograms`, which read "
               "the pickles of `TEST.SAVE_RESULTS_PATH` (docs/visualization.md)"),
    **unneeded("TENSORBOARD", "CLASS_NAMES_PATH CATEGORIES_PATH "
               "CONFUSION_MATRIX.ENABLE CONFUSION_MATRIX.FIGSIZE CONFUSION_MATRIX.SUBSET_PATH "
               "HISTOGRAM.ENABLE HISTOGRAM.SUBSET_PATH HISTOGRAM.TOPK HISTOGRAM.FIGSIZE "
               "WRONG_PRED_VIS.ENABLE WRONG_PRED_VIS.TAG WRONG_PRED_VIS.SUBSET_PATH",
               "`test.figures`, `test.figure_classes`, `test.figure_parents` and "
               "`test.figure_videos`; without a test, `python -m slowfast_jax.visualize` "
               "(docs/visualization.md)"),
    **unneeded("TENSORBOARD", "MODEL_VIS.ENABLE MODEL_VIS.MODEL_WEIGHTS MODEL_VIS.ACTIVATIONS "
               "MODEL_VIS.INPUT_VIDEO MODEL_VIS.LAYER_LIST MODEL_VIS.TOPK_PREDS "
               "MODEL_VIS.COLORMAP",
               "`test.figures` and `test.figure_layers`, `train.summary_period`, and `python -m "
               "slowfast_jax.visualize` (docs/visualization.md)"),
    **unneeded("TENSORBOARD", "MODEL_VIS.GRAD_CAM.ENABLE MODEL_VIS.GRAD_CAM.LAYER_LIST "
               "MODEL_VIS.GRAD_CAM.USE_TRUE_LABEL MODEL_VIS.GRAD_CAM.COLORMAP",
               "`python -m slowfast_jax.visualize gradcam` (docs/visualization.md)"),
    **unneeded("DEMO", "ENABLE", "`python -m slowfast_jax.demo` (docs/demo.md), to which all "
               "options here belong; it takes a network as `--config` and `--weights`"),
    **unneeded("DEMO", "WEBCAM INPUT_VIDEO", "its first argument: a file, a folder, a stream, or "
               "`camera:0`"),
    **unneeded("DEMO", "LABEL_FILE_PATH", "`--labels`; needed only where the config names none"),
    **unneeded("DEMO", "DISPLAY_WIDTH DISPLAY_HEIGHT OUTPUT_FPS", "pictures keep their size, and "
               "their times"),
    **unneeded("DEMO", "DETECTRON2_CFG DETECTRON2_WEIGHTS", "`--detector`, which takes YOLOX and "
               "RF-DETR"),
    **unneeded("DEMO", "DETECTRON2_THRESH", "`--detector-threshold`"),
    **unneeded("DEMO", "BUFFER_SIZE NUM_CLIPS_SKIP", "`--stride`, in seconds: shorter than a "
               "clip, or longer"),
    **unneeded("DEMO", "OUTPUT_FILE", "`--out`; `--show` opens a window, with or without it"),
    **unneeded("DEMO", "INPUT_FORMAT NUM_VIS_INSTANCES THREAD_ENABLE", "not needed: frames are "
               "decoded, recognized and drawn in threads"),
    **unneeded("DEMO", "CLIP_VIS_SIZE", "all frames show labels: those of the nearest clip"),
    **unneeded("DEMO", "PREDS_BOXES", "`--boxes`"),
    **unneeded("DEMO", "GT_BOXES", "`--ground-truth`"),
    **unneeded("DEMO", "STARTING_SECOND", "`--first-second`"),
    **unneeded("DEMO", "FPS", "`--fps`, for folders of pictures"),
    **unneeded("DEMO", "VIS_MODE", "`--top-k` and `--threshold`, which hold at the same time: "
               "`--threshold 0` shows the best `--top-k`"),
    **unneeded("DEMO", "COMMON_CLASS_THRES", "`--threshold`"),
    **unneeded("DEMO", "UNCOMMON_CLASS_THRES", "`--rare-threshold`"),
    **unneeded("DEMO", "COMMON_CLASS_NAMES", "`--common-classes`"),
    **unneeded("DEMO", "SLOWMO", "`--slow-motion`"),
    **unneeded("BENCHMARK", "NUM_EPOCHS LOG_PERIOD SHUFFLE", "`--mode bench_data`"),
}
