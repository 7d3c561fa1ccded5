"""The schema of a config: default, meaning and range of every field, section by section.

Two sections depend on the network instead: config.model holds the keywords of its class (documented
there), config.protocol gets its defaults from the model's zoo entry. Sections about data are in
schema_data.py, those about training in schema_training.py.
"""

from slowfast_jax.config.schema_data import (
    AUGMENT,
    DATA,
    FORMATS,
    FORMATS_OF_TASK,
    PIXELS,
    TRAINING_DATA,
)
from slowfast_jax.config.schema_training import (
    MESH,
    MULTIGRID,
    NORM,
    OPTIMIZER,
    SCHEDULE,
    TRAIN,
)
from slowfast_jax.fields import Field, Range, Section, at_least, between, numbers, one_of, texts
from slowfast_jax.metrics.ensemble import METHODS
from slowfast_jax.models.zoo import PROTOCOL as DEFAULTS

RGB = numbers("3 numbers", lambda value: len(value) == 3)
CROP = between(1, PIXELS)
FIGURES = ("confusion", "histograms", "weights", "mistakes", "inputs", "maps", "gradcam")

GENERAL: Section = {
    "name": Field("", "Name of the recipe or model in logs and results."),
    "task": Field(
        "classification", "classification (of clips) or detection (of actions in person boxes)."
    ),
    "class_names": Field(
        "", "Names of the classes: a set that ships with data_pipelines.labels (kinetics400), or a "
        "file with one name per line."
    ),
}
PROTOCOL: Section = {
    "num_frames": Field(DEFAULTS["num_frames"], "Frames of a clip.", between(1, 1024)),
    "sampling_rate": Field(
        DEFAULTS["sampling_rate"], "Distance between two frames of a clip, in video frames at "
        "target_fps. 0 (detection only) repeats the keyframe.", between(0, 10_000)
    ),
    "target_fps": Field(
        float(DEFAULTS["target_fps"]), "Frame rate that sampling_rate refers to; clips of "
        "videos with other rates cover the same time.",
        Range("above 0, at most 1000", lambda value: 0 < value <= 1000)
    ),
    "train_crop": Field(
        DEFAULTS["train_crop"], "Height and width of training clips, in pixels.", CROP
    ),
    "test_crop": Field(DEFAULTS["test_crop"], "Height and width of test crops, in pixels.", CROP),
    "clips": Field(
        DEFAULTS["clips"], "Test clips per video, evenly spaced in time.", between(1, 1000)
    ),
    "crops": Field(
        DEFAULTS["crops"], "Test crops per clip, along its longer side.",
        Range("1, 2 or 3", lambda value: value in (1, 2, 3))
    ),
    "ensemble": Field(
        DEFAULTS["ensemble"], "How the scores of a video's views are combined.", one_of(METHODS)
    ),
    "offset_sampling": Field(
        DEFAULTS["offset_sampling"], "Let the last test clip end at the end of the video."
    ),
    "mean": Field(
        DEFAULTS["mean"], "Mean of R, G and B on a scale of 0..1, subtracted from the clip.", RGB
    ),
    "std": Field(
        DEFAULTS["std"], "Standard deviation of R, G and B, by which the clip is then divided.",
        numbers("3 numbers above 0", lambda value: len(value) == 3 and min(value) > 0)
    ),
}
TEST: Section = {
    "batch_size": Field(8, "Views or keyframes per batch in testing.", between(1, 100_000)),
    "checkpoint": Field("", "Weights to test; the flag --weights takes precedence."),
    "entry": Field(
        "", "Entry of the file that holds the weights, such as ema. Empty: it is looked for."
    ),
    "figures": Field(
        ("confusion", "histograms"), "Figures of a test in WORKDIR/tensorboard: confusion matrix, "
        "histograms (what each class is predicted to be), weights (kernels of figure_layers), "
        "mistakes (wrongly predicted videos), inputs (what the network sees of these), maps (of "
        "figure_layers) and gradcam (for their true and predicted classes). Empty: none.",
        Range(f"some of {', '.join(FIGURES)}", lambda value: all(one in FIGURES for one in value))
    ),
    "figure_classes": Field(
        "", "Classes in the figures: a file with one name per line. Empty: all."
    ),
    "figure_parents": Field(
        "", 'Parent classes for further confusion matrices: a JSON file {"parent": ["class", ...]}.'
    ),
    "figure_layers": Field(
        (), "Layers in the figures weights, maps and gradcam. Empty: the first kernel "
        "that has a height and width, and for gradcam the last map of each pathway.", texts()
    ),
    "figure_videos": Field(8, "Wrongly predicted videos in the figures of videos.", at_least(1)),
}
RUNTIME: Section = {
    "profile_steps": Field(
        "", "Training steps to profile: 10:15 means steps 10 to 14, counted from 0. Empty: none."
    ),
    "matmul_precision": Field(
        "default", "Precision of float32 products on TPU and GPU.",
        one_of(("default", "high", "highest"))
    ),
    "compilation_cache": Field(
        "", "Folder for compiled programs, so that the next start need not compile. Empty: the "
        "user's cache folder (~/.cache/slowfast_jax). off: none."
    ),
    "target": Field(
        "", "--mode compile: the devices to compile for, such as v5e:4x4 or cpu:8."
    ),
}
PUBLISHED: Section = {
    "top1": Field(float, "Published top-1 accuracy in percent."),
    "top5": Field(float, "Published top-5 accuracy in percent."),
    "mean_ap": Field(float, "Published mean average precision in percent."),
    "views": Field("", "Clips x crops per video that the number was measured with."),
    "weights": Field("", "URL of the weights that the number belongs to."),
    "source": Field("", "Where the number is published."),
    "note": Field("", "Remarks on the measurement."),
}

# What testing needs: all that the config of a published model has, besides model and protocol.
TESTING: Section = {**GENERAL, "data": DATA, "test": TEST}
# What training needs in addition, besides augment and the data fields below.
TRAINING: Section = {
    **RUNTIME, "train": TRAIN, "optimizer": OPTIMIZER, "schedule": SCHEDULE, "norm": NORM,
    "multigrid": MULTIGRID, "mesh": MESH, "published": PUBLISHED,
}

# Fields that no longer exist -> what replaces them.
REMOVED = {
    "config.schedule.scale_lr_by_hosts": "the rates do not depend on the number of processes; set "
    "config.schedule.reference_batch to the batch size that they are meant for",
}


def testing_data(data_format: str) -> Section:
    """The fields of config.data that testing on a format of data reads."""
    fields = {**DATA, **FORMATS.get(data_format, {}), "jitter": TRAINING_DATA["jitter"]}
    if data_format in FORMATS_OF_TASK["detection"]:  # whose loader is that of training
        fields = {**TRAINING_DATA, **fields}
    return fields


def training_sections(data_format: str) -> Section:
    """All that a recipe for training has, besides model, protocol and augment.

    Args:
      data_format: config.data.format; "*" for the data fields of all formats together.
    """
    formats = FORMATS.values() if data_format == "*" else [FORMATS.get(data_format, {})]
    data = {**DATA, **TRAINING_DATA}
    for fields in formats:
        data |= fields
    return {**TESTING, **TRAINING, "data": data}


__all__ = [
    "AUGMENT", "DATA", "FORMATS", "FORMATS_OF_TASK", "GENERAL", "PROTOCOL", "REMOVED", "RUNTIME",
    "TESTING", "TRAINING", "testing_data", "training_sections",
]
