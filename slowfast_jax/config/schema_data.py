"""The schema of config.data and config.augment."""

from data_pipelines.examples.eval_views import SAMPLINGS
from data_pipelines.transforms.random_erasing import MODES
from slowfast_jax.fields import (
    Field,
    Range,
    Section,
    at_least,
    between,
    numbers,
    one_of,
    texts,
)
from slowfast_jax.metrics.ava import RULES

# Task -> the formats of data that it reads.
FORMATS_OF_TASK = {
    "classification": (
        "kinetics", "rawframes", "ssv2", "charades", "imagenet", "records", "tfds"
    ),
    "detection": ("ava", "boxes"),
}
SOME_TEXT = Range("text that is not empty", bool)
TABLES = texts("names of files, as in ('a.csv',)")
PIXELS = 8192  # larger images are taken for mistakes


def _is_frame_template(text: str) -> bool:
    try:
        return text.format(1) != text.format(2)
    except (IndexError, KeyError, ValueError):
        return False


def _is_range(value: tuple) -> bool:
    return len(value) == 2 and 0 < value[0] <= value[1]


# Paths are relative to data.root unless they are said to be relative to something else.

DATA: Section = {
    "format": Field(
        "kinetics", "Format of the lists. Classification: kinetics, rawframes, ssv2, charades, "
        "imagenet, records or tfds; detection: ava or boxes. docs/data.md shows each."
    ),
    "root": Field("", "Folder of the lists."),
    "generate": Field(
        "", "Name of a small data set (kinetics_mini) to generate in the working directory and use "
        "in place of root and path_prefix. Empty: none."
    ),
    "test_list": Field("test.csv", "List to test on."),
    "path_prefix": Field("", "Folder that the paths in the lists are relative to."),
    "separator": Field(" ", "Separator of the columns of a list (format kinetics).", SOME_TEXT),
    "multi_label": Field(False, "A clip may have several classes; the metric is then mAP."),
    "sampling": Field(
        "kinetics", "Rules that choose the frames and test crops of a clip: those of a data set in "
        "PySlowFast, or of MMAction2 (mmaction2; mmaction2_v0 up to its version 1.0.0rc1); see "
        "data_pipelines/examples/eval_views.py. In detection, those of MMAction2 shift the frames "
        "of training clips at random.", one_of(SAMPLINGS)
    ),
    "frame_template": Field(
        "img_{:05d}.jpg", "File name of a frame in its video's folder (format rawframes).",
        Range("a name with a place for the number, as in img_{:05d}.jpg", _is_frame_template)
    ),
    "frame_start": Field(
        -1, "Number of the first frame's file (format rawframes). -1: the lowest in each folder.",
        at_least(-1),
    ),
    "frame_offset": Field(
        False, "Rows have an offset into the folder after its name, as MMAction2's with_offset "
        "(format rawframes)."
    ),
    "class_list": Field("", "JSON file with the classes (format ssv2)."),
    "val_labels": Field("", "JSON file with the labels for validation and test (format ssv2)."),
}
TRAINING_DATA: Section = {
    "train_list": Field("train.csv", "List to train on."),
    "val_list": Field("val.csv", "List to validate on during training."),
    "jitter": Field(
        (256, 320), "Smallest and largest short side, in pixels, that a training clip is resized "
        "to before a random square is cropped.",
        numbers(
            "two whole numbers, the smaller one first, as in (256, 320)",
            lambda value: _is_range(value) and value[1] <= PIXELS, whole=True
        )
    ),
    "inverse_uniform_jitter": Field(
        False, "Draw 1 / side uniformly, instead of the side, within the range of `jitter`."
    ),
    "jitter_scales_relative": Field(
        (), "Smallest and largest area of a random resized crop, as a share of the frame's. Empty: "
        "`jitter` is used instead.",
        numbers(
            "two numbers above 0 and up to 1, the smaller one first, or ()",
            lambda value: not value or _is_range(value) and value[1] <= 1
        )
    ),
    "jitter_aspect_relative": Field(
        (), "Smallest and largest aspect ratio (width / height) of a random resized crop.",
        numbers(
            "two numbers above 0, the smaller one first, or ()",
            lambda value: not value or _is_range(value)
        )
    ),
    "random_flip": Field(True, "Mirror half of the training clips."),
    "dummy": Field(
        False, "Train on the first example alone, to measure the speed of the step without that of "
        "loading."
    ),
    "pca_jitter": Field(
        0.0, "Standard deviation of PCA lighting noise on training clips (AlexNet). 0: none.",
        between(0, 10)
    ),
}

# Fields that both formats of person boxes have. Their defaults are those of format boxes.
PERSON_BOXES: Section = {
    "video_dir": Field("videos", "Folder of the videos, or of one folder of frames per video."),
    "score_threshold": Field(0.5, "Detected boxes with a lower score are dropped.", between(0, 1)),
    "max_boxes": Field(
        16, "Boxes per clip: shorter lists are padded, a longer list is an error.",
        between(1, 10_000)
    ),
    "first_frame_second": Field(
        0.0, "Time that the tables give to the first frame of every video, in seconds."
    ),
    "fps": Field(
        30.0, "Frame rate of videos stored as folders of frames.",
        Range("above 0, at most 1000", lambda value: 0 < value <= 1000)
    ),
    "color_augmentation": Field(
        True, "Train with color jitter and PCA lighting; `pca_jitter_only` leaves out the former."
    ),
    "pca_jitter_only": Field(False, "Color augmentation is PCA lighting alone."),
    "test_flip": Field(False, "Test mirrored clips and boxes."),
    "evaluator": Field(
        "official", "Rules of frame-mAP: official (ActivityNet's evaluator) or pyslowfast; "
        "slowfast_jax/metrics/ava.py explains the differences.", one_of(RULES)
    ),
}
BOXES: Section = {
    **PERSON_BOXES,
    "train_boxes": Field((), "Tables to train on, with the action of each box.", TABLES),
    "test_boxes": Field((), "Tables with the annotations to test against.", TABLES),
    "test_detections": Field(
        (), "Tables with boxes of a person detector at the times of test_boxes. They are scored in "
        "place of the annotated boxes, so people whom the detector misses count as errors. Empty: "
        "annotated boxes are scored.", TABLES
    ),
}
AVA: Section = {
    **PERSON_BOXES,
    "video_dir": Field(
        "", "Folder of the films, whole or cut to their annotated 15 minutes. Empty: frames are "
        "read from frame_dir."
    ),
    "record_dir": Field(
        "", "Folder of the lists of encoded keyframes (docs/records.md) named by train_list and "
        "test_list, which replace videos and frames. Empty: none."
    ),
    "frame_dir": Field("frames", "Folder of the frames."),
    "frame_list_dir": Field(
        "frame_lists", "Folder of PySlowFast's lists of frames, named by train_list and test_list. "
        "Empty: all frames in the folders below frame_dir."
    ),
    "annotation_dir": Field(
        "annotations", "Folder that the following tables and files are relative to."
    ),
    "train_gt_box_lists": Field((), "Tables with annotated boxes to train on.", TABLES),
    "train_box_lists": Field((), "Tables with detected boxes to train on.", TABLES),
    "test_box_lists": Field((), "Tables with the detected boxes to test.", TABLES),
    "score_threshold": PERSON_BOXES["score_threshold"]._replace(default=0.9),
    "max_boxes": PERSON_BOXES["max_boxes"]._replace(default=64),
    "label_map": Field("", "Label map: a pbtxt file with the actions that are evaluated."),
    "exclusions": Field("", "Table of keyframes that are not evaluated. Empty: none."),
    "ground_truth": Field("", "Table with the annotations to test against."),
    "kinetics_dir": Field(
        "", "Folder of the clips of Kinetics-700 (ID_000012_000022.mp4, in any subfolder), to use "
        "AVA-Kinetics as well. Empty: films alone."
    ),
    "train_kinetics": Field((), "Tables of AVA-Kinetics to train on.", TABLES),
    "val_kinetics": Field((), "Tables of AVA-Kinetics to test against.", TABLES),
    "kinetics_box_lists": Field(
        (), "Tables with detected boxes of AVA-Kinetics to test. Empty: annotated boxes are used.",
        TABLES
    ),
    "full_test_on_val": Field(
        False, "Validate on all keyframes during training instead of every fourth second."
    ),
    "color_augmentation": PERSON_BOXES["color_augmentation"]._replace(default=False),
    "pca_jitter_only": PERSON_BOXES["pca_jitter_only"]._replace(default=True),
    "first_frame_second": PERSON_BOXES["first_frame_second"]._replace(default=900.0),
    "keyframe_seconds": Field(
        (902, 1799), "Range of seconds allowed in the tables; the end is exclusive.",
        numbers("two numbers, the smaller one first", lambda v: len(v) == 2 and v[0] < v[1])
    ),
}
# data.format -> fields that only this format has, or for which it has other defaults.
FORMATS: dict[str, Section] = {
    "ssv2": {"train_labels": Field("", "JSON file with the labels for training.")},
    "ava": AVA,
    "boxes": BOXES,
}

PROBABILITY = between(0, 1)
COLOR_JITTER = numbers(
    "three numbers of 0 or more", lambda value: len(value) == 3 and min(value) >= 0
)

# Task -> fields of config.augment in training; the defaults change nothing. Resizing, cropping,
# flips and the color augmentation of detection are fields of config.data.
AUGMENT: dict[str, Section] = {
    "classification": {
        "rand_augment": Field("", "RandAugment policy: rand-m7-n4-mstd0.5-inc1. Empty: none."),
        "interpolation": Field(
            "bicubic", "Interpolation of RandAugment's geometric operations: bicubic, bilinear or "
            "random.", one_of(("bicubic", "bilinear", "random"))
        ),
        "color_jitter": Field(
            (0.0, 0.0, 0.0), "Brightness, contrast and saturation are multiplied by factors from 1 "
            "+- these, as in self-supervised training, before RandAugment.", COLOR_JITTER
        ),
        "hue": Field(0.0, "Hue is rotated by up to this share of the circle.", between(0, 0.5)),
        "grey_probability": Field(0.0, "Probability of a gray clip.", PROBABILITY),
        "moco_v2": Field(
            False, "Colors as in MoCo v2: jitter with probability 0.8, then gray, then a blur with "
            "probability 0.5."
        ),
        "difference_probability": Field(
            0.0, "Probability that frames are replaced by their differences in time.", PROBABILITY
        ),
        "motion_shift": Field(
            False, "Move the random resized crop of data.jitter_scales_relative from a first "
            "position to a last one during the clip."
        ),
        "num_clips": Field(
            1, "Random clips per video; each is a row of the batch.", between(1, 1000)
        ),
        "num_samples": Field(
            1, "Differently augmented copies of each clip (repeated augmentation); each is a row "
            "of the batch.", between(1, 1000)
        ),
        "jitter_fps": Field(
            0.0, "protocol.target_fps is increased by a random amount of at most this.",
            between(0, 1000)
        ),
        "erasing_probability": Field(0.0, "Probability of random erasing.", PROBABILITY),
        "erasing_mode": Field(
            "pixel", "What rectangles are filled with: pixel (noise), rand (one color per frame) "
            "or const (the mean).", one_of(MODES)
        ),
        "erasing_count": Field(
            1, "Largest number of rectangles. With n above 1, the first 1/n of the frames is "
            "never erased, as in PySlowFast.", between(1, 1000)
        ),
        "mixup_alpha": Field(
            0.0, "Mixup: the weights of two clips are drawn from Beta(alpha, alpha). 0: no mixup. "
            "Mixup, cutmix and label smoothing need train.loss soft_cross_entropy.", at_least(0)
        ),
        "cutmix_alpha": Field(0.0, "The same for cutmix. 0: no cutmix.", at_least(0)),
        "mix_prob": Field(1.0, "Probability that a batch is mixed.", PROBABILITY),
        "switch_prob": Field(
            0.5, "Probability of cutmix where both mixup and cutmix are used.", PROBABILITY
        ),
        "label_smoothing": Field(
            0.0, "Share of the target that is spread evenly over all classes.", PROBABILITY
        ),
    },
    "detection": {},
}
