"""The keys of PySlowFast about data: DATA, AUG, MIXUP, AVA, DATA_LOADER."""

from slowfast_jax.config.pyslowfast.keys import Keys, computed, copied, fixed, unneeded

RECORDS = "lists of any length are read; records replace them for large data sets (docs/records.md)"
NEVER_READ = "the original never reads it"
PRETRAINING = "only masked pretraining reads it, which this program lacks"

DATA: Keys = {
    **copied("DATA", {
        "PATH_TO_DATA_DIR": ("data.root", ""),
        "PATH_PREFIX": ("data.path_prefix", ""),
        "PATH_LABEL_SEPARATOR": ("data.separator", " "),
        "NUM_FRAMES": ("protocol.num_frames", 8),
        "SAMPLING_RATE": ("protocol.sampling_rate", 8),
        "TARGET_FPS": ("protocol.target_fps", 30),
        "TRAIN_CROP_SIZE": ("protocol.train_crop", 224),
    }),
    **computed("DATA", "`protocol.test_crop`; ImageNet without `AUG.ENABLE`: at most the crop of "
               "training, since the original resizes images to that", {"TEST_CROP_SIZE": 256}),
    **copied("DATA", {
        "ENSEMBLE_METHOD": ("protocol.ensemble", "sum"),
        "USE_OFFSET_SAMPLING": ("protocol.offset_sampling", False),
        "MEAN": ("protocol.mean", (0.45, 0.45, 0.45)),
        "STD": ("protocol.std", (0.225, 0.225, 0.225)),
    }),
    **computed("DATA", "`data.jitter`; ImageNet with `AUG.ENABLE`: the short side in testing, "
               "`DATA.TEST_CROP_SIZE / DATA.IN_VAL_CROP_RATIO`",
               {"TRAIN_JITTER_SCALES": (256, 320), "IN_VAL_CROP_RATIO": 0.875}),
    **computed("DATA", "`data.inverse_uniform_jitter`; always for AVA and never for PyTorchVideo's "
               "data sets (`ptv...`), as in the original's readers", {"INV_UNIFORM_SAMPLE": False}),
    **computed("DATA", "`data.jitter_scales_relative`, `data.jitter_aspect_relative`", {
        "TRAIN_JITTER_SCALES_RELATIVE": (), "TRAIN_JITTER_ASPECT_RELATIVE": (),
    }),
    **computed("DATA", "`data.random_flip`, which is always set for ImageNet", {
        "RANDOM_FLIP": True,
    }),
    **copied("DATA", {
        "MULTI_LABEL": ("data.multi_label", False),
        "DUMMY_LOAD": ("data.dummy", False),
    }),
    **computed("DATA", "`augment.num_clips`", {"TRAIN_CROP_NUM_TEMPORAL": 1}),
    **computed("DATA", "`augment.num_samples`, the product with `AUG.NUM_SAMPLE`", {
        "TRAIN_CROP_NUM_SPATIAL": 1,
    }),
    **computed("DATA", "`augment.jitter_fps`", {"TRAIN_JITTER_FPS": 0.0}),
    **computed("DATA", "`augment.motion_shift`", {"TRAIN_JITTER_MOTION_SHIFT": False}),
    **computed("DATA", "`augment.difference_probability`", {"TIME_DIFF_PROB": 0.0}),
    **computed("DATA", "`augment.color_jitter`, `augment.hue`, `augment.grey_probability`, "
               "`augment.moco_v2`; without `DATA.SSL_COLOR_JITTER` they stay off", {
        "SSL_COLOR_JITTER": False, "SSL_COLOR_BRI_CON_SAT": (0.4, 0.4, 0.4), "SSL_COLOR_HUE": 0.1,
        "COLOR_RND_GRAYSCALE": 0.0, "SSL_MOCOV2_AUG": False,
    }),
    **computed("DATA", "no setting: clips are RGB; a warning says so where the original would "
               "train on BGR", {"REVERSE_INPUT_CHANNEL": False}),
    **fixed("DATA", "the blur of MoCo v2 is built in", {
        "SSL_BLUR_SIGMA_MIN": (0.0, 0.1), "SSL_BLUR_SIGMA_MAX": (0.0, 2.0),
    }),
    **fixed("DATA", "PCA lighting noise has the usual eigenvalues and eigenvectors", {
        "TRAIN_PCA_EIGVAL": (0.225, 0.224, 0.229),
        "TRAIN_PCA_EIGVEC": (
            (-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)
        ),
    }),
    **fixed("DATA", "clips have 3 channels; a network takes one clip and picks the slow frames "
            "itself", {"INPUT_CHANNEL_NUM": (3, 3)}, (3,)),
    **unneeded("DATA", "IN22K_TRAINVAL IN22k_VAL_IN1K", NEVER_READ),
    **unneeded("DATA", "DECODING_BACKEND DECODING_SHORT_SIZE",
               "PyAV decodes videos at their own size (docs/data.md)"),
    **fixed("DATA", RECORDS, {"LOADER_CHUNK_SIZE": 0, "LOADER_CHUNK_OVERALL_SIZE": 0,
                              "SKIP_ROWS": 0}),
    **unneeded("DATA", "PATH_TO_PRELOAD_IMDB", "the folders of ImageNet are listed at every start"),
}

AUG: Keys = {
    **computed("AUG", "`augment.rand_augment` and `augment.erasing_probability`; without it, both "
               "stay off", {"ENABLE": False}),
    **computed("AUG", "`augment.num_samples`", {"NUM_SAMPLE": 1}),
    **computed("AUG", "`augment.rand_augment`", {"AA_TYPE": "rand-m9-mstd0.5-inc1"}),
    **computed("AUG", "`augment.interpolation`", {"INTERPOLATION": "bicubic"}),
    **computed("AUG", "`augment.erasing_probability`, `augment.erasing_mode`, "
               "`augment.erasing_count`", {"RE_PROB": 0.25, "RE_MODE": "pixel", "RE_COUNT": 1}),
    **computed("AUG", "no effect on videos, nor with `AUG.AA_TYPE`; refused for images without "
               "that", {"COLOR_JITTER": 0.4}),
    **unneeded("AUG", "RE_SPLIT", NEVER_READ),
    **unneeded("AUG", "GEN_MASK_LOADER MASK_TUBE MASK_FRAMES MASK_WINDOW_SIZE MASK_RATIO "
               "MAX_MASK_PATCHES_PER_BLOCK", PRETRAINING),
    **unneeded("VIS_MASK", "ENABLE", PRETRAINING),
}

MIXUP: Keys = {
    **computed("MIXUP", "the following fields; without it, all are 0", {"ENABLE": False}),
    **computed("MIXUP", "`augment.mixup_alpha`", {"ALPHA": 0.8}),
    **computed("MIXUP", "`augment.cutmix_alpha`", {"CUTMIX_ALPHA": 1.0}),
    **computed("MIXUP", "`augment.mix_prob`", {"PROB": 1.0}),
    **computed("MIXUP", "`augment.switch_prob`", {"SWITCH_PROB": 0.5}),
    **computed("MIXUP", "`augment.label_smoothing`", {"LABEL_SMOOTH_VALUE": 0.1}),
}

AVA: Keys = {
    **computed("AVA", "`data.frame_dir`, `data.frame_list_dir`, `data.annotation_dir`; without "
               "them, `frames`, `frame_lists` and `annotations` in `data.root`", {
        "FRAME_DIR": None, "FRAME_LIST_DIR": None, "ANNOTATION_DIR": None,
    }),
    **computed("AVA", "`data.train_list`; `data.val_list` and `data.test_list`: one list each", {
        "TRAIN_LISTS": ("train.csv",), "TEST_LISTS": ("val.csv",),
    }),
    **copied("AVA", {
        "TRAIN_GT_BOX_LISTS": ("data.train_gt_box_lists", ("ava_train_v2.2.csv",)),
        "TRAIN_PREDICT_BOX_LISTS": ("data.train_box_lists", ()),
        "TEST_PREDICT_BOX_LISTS": ("data.test_box_lists", ("ava_val_predicted_boxes.csv",)),
        "DETECTION_SCORE_THRESH": ("data.score_threshold", 0.9),
        "TRAIN_USE_COLOR_AUGMENTATION": ("data.color_augmentation", False),
        "TRAIN_PCA_JITTER_ONLY": ("data.pca_jitter_only", True),
        "TEST_FORCE_FLIP": ("data.test_flip", False),
        "FULL_TEST_ON_VAL": ("data.full_test_on_val", False),
        "LABEL_MAP_FILE": ("data.label_map", "ava_action_list_v2.2_for_activitynet_2019.pbtxt"),
        "EXCLUSION_FILE": ("data.exclusions", "ava_val_excluded_timestamps_v2.2.csv"),
        "GROUNDTRUTH_FILE": ("data.ground_truth", "ava_val_v2.2.csv"),
    }),
    **fixed("AVA", "clips are RGB", {"BGR": False}),
    **fixed("AVA", "frames are processed as with OpenCV", {"IMG_PROC_BACKEND": "cv2"}),
}

LOADING: Keys = unneeded(
    "DATA_LOADER", "NUM_WORKERS PIN_MEMORY ENABLE_MULTI_THREAD_DECODE",
    "changes speed, not results; `train.threads` and `train.workers` are for this machine",
)
