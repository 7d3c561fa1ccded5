"""From the values of PySlowFast's keys to a recipe of this program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from slowfast_jax.config.pyslowfast.networks import (
    Network,
    Values,
    common_keywords,
    defaults_of,
    find_network,
    nearest_entry,
)
from slowfast_jax.config.pyslowfast.tables import KEYS
from slowfast_jax.config.recipe_files import ConfigError, closest


class DataSet(NamedTuple):
    """A data set of the original.

    Attributes:
      data: fields of config.data, apart from those that keys set.
      class_names: names of its classes.
      relative_crops: DATA.TRAIN_JITTER_SCALES_RELATIVE is read: "always", or "augmented", with
        AUG.ENABLE only.
      augmented: AUG is read.
      inverse: DATA.INV_UNIFORM_SAMPLE is read.
      bgr: its frames are BGR unless DATA.REVERSE_INPUT_CHANNEL is set; None: RGB for any value.
    """

    data: Mapping[str, Any]
    class_names: str
    relative_crops: str = ""
    augmented: bool = False
    inverse: bool = True
    bgr: bool | None = None


KINETICS = DataSet({"format": "kinetics"}, "kinetics400", "always", augmented=True, bgr=False)
SSV2 = DataSet(
    {
        "format": "ssv2", "sampling": "ssv2", "test_list": "val.csv",
        "class_list": "something-something-v2-labels.json",
        "train_labels": "something-something-v2-train.json",
        "val_labels": "something-something-v2-validation.json",
    }, "ssv2", "augmented", augmented=True, bgr=True,
)
CHARADES = DataSet(
    {"format": "charades", "sampling": "charades", "test_list": "val.csv"}, "charades", bgr=True
)
# What the original's readers "ptv...", which are PyTorchVideo's, do not read. Those of frames turn
# them from RGB to BGR, as the original's own readers give them.
PYTORCHVIDEO: dict[str, Any] = dict(relative_crops="", augmented=False, inverse=False)
DATA_SETS = {
    "kinetics": KINETICS,
    "ssv2": SSV2,
    "charades": CHARADES,
    "imagenet": DataSet(
        {"format": "imagenet", "train_list": "train", "val_list": "val", "test_list": "val"}, "",
        "augmented", augmented=True, bgr=False,
    ),
    "ava": DataSet(
        {
            "format": "ava", "train_kinetics": ("kinetics_train_v1.0.csv",),
            "val_kinetics": ("kinetics_val_v1.0.csv",),
        }, "ava",
    ),
    "ptvkinetics": KINETICS._replace(**PYTORCHVIDEO),
    "ptvssv2": SSV2._replace(**PYTORCHVIDEO),
    "ptvcharades": CHARADES._replace(**PYTORCHVIDEO),
}
EVERY_NUMBER = (1, 3, 5, 7, 10)  # numbers of clips that the original tests in turn for -1
LOSSES = {
    "cross_entropy": "cross_entropy", "soft_cross_entropy": "soft_cross_entropy", "bce": "bce",
    "bce_logit": "bce_logits", "mse": "mse",
}
SCHEDULES = {"cosine": "cosine", "steps_with_relative_lrs": "steps"}
OPTIMIZERS = {"sgd": "sgd", "adam": "adam", "adamw": "adamw", "mt_adamw": "adamw"}
# Relative areas and aspect ratios of the original's crops of images with AUG.ENABLE.
IMAGE_AREAS, IMAGE_ASPECTS = (0.08, 1.0), (0.75, 4 / 3)


def recipe(values: Values, name: str, machines: int = 1) -> ConfigDict:
    """The recipe that does what the original does with these values.

    Args:
      values: value of every key of the original.
      name: name of the recipe.
      machines: number of machines of the original's run (its --num_shards).

    Raises:
      ConfigError: this program cannot do what a key asks for.
    """
    network = find_network(values)
    _check_fixed(values)
    data_set = _data_set(values)
    detection = values["DETECTION.ENABLE"]
    fields = {
        entry.field: entry.default if values[key] is None else values[key]
        for key, entry in KEYS.items()
        if entry.kind == "copied" and (detection or not key.startswith("AVA."))
    }
    if detection:
        fields |= {"task": "detection", **_boxes(values)}
    else:
        fields |= {f"augment.{key}": value for key, value in _augmentation(values).items()}
    fields |= {f"data.{key}": value for key, value in data_set.data.items()}
    fields |= _crops(values, data_set)
    fields |= _training(values, machines)
    fields |= _statistics(values, network, machines)
    fields["name"] = name
    made = _nested(fields)
    made["model"] = _model(made, values, network, data_set)
    return ConfigDict(made).lock()


def _check_fixed(values: Values) -> None:
    wrong = [
        f"{key} is {values[key]!r}, expected {' or '.join(map(repr, entry.accepted))}: {entry.here}"
        for key, entry in KEYS.items()
        if entry.kind == "fixed" and values[key] not in entry.accepted
    ]
    if wrong:
        raise ConfigError(*wrong)


def _data_set(values: Values) -> DataSet:
    name, test = values["TRAIN.DATASET"], values["TEST.DATASET"]
    if not values["TRAIN.ENABLE"]:
        name = test
    for key in ("TRAIN.DATASET", "TEST.DATASET"):
        if values[key] not in DATA_SETS:
            raise ConfigError(
                f"{key} is {values[key]}, expected {', '.join(DATA_SETS)}"
                f"{closest(str(values[key]), DATA_SETS)}"
            )
    if values["TEST.ENABLE"] and DATA_SETS[test] != DATA_SETS[name]:
        raise ConfigError(
            f"TEST.DATASET is {test}, expected that of training, {name}: a run here has one data "
            "set. Train with TEST.ENABLE False and test with TRAIN.ENABLE False"
        )
    if values["DETECTION.ENABLE"] != (name == "ava"):
        raise ConfigError(
            f"DETECTION.ENABLE is {values['DETECTION.ENABLE']}, which does not fit TRAIN.DATASET, "
            f"{name}: networks that classify boxes are for ava"
        )
    return DATA_SETS[name]


def _boxes(values: Values) -> dict[str, Any]:
    """Fields of AVA's files."""
    fields: dict[str, Any] = {}
    for key in ("FRAME_DIR", "FRAME_LIST_DIR", "ANNOTATION_DIR"):
        folder = values[f"AVA.{key}"]
        if folder:
            # The original's reader of AVA does not know DATA.PATH_TO_DATA_DIR.
            own_root = values["DATA.PATH_TO_DATA_DIR"]
            fields[f"data.{key.lower()}"] = str(Path(folder).absolute()) if own_root else folder
    for key, names in (("TRAIN_LISTS", ("train_list",)), ("TEST_LISTS", ("val_list", "test_list"))):
        lists = values[f"AVA.{key}"]
        if len(lists) != 1:
            raise ConfigError(f"AVA.{key} is {lists}, expected a single list")
        fields |= {f"data.{name}": lists[0] for name in names}
    return fields


def _crops(values: Values, data_set: DataSet) -> dict[str, Any]:
    """Fields about resizing, cropping and testing."""
    kind, augmented = data_set.data["format"], values["AUG.ENABLE"]
    crop, side = values["DATA.TEST_CROP_SIZE"], values["DATA.TRAIN_JITTER_SCALES"]
    clips = values["TEST.NUM_ENSEMBLE_VIEWS"]
    fields = {
        "protocol.test_crop": crop,
        "protocol.clips": EVERY_NUMBER[-1] if clips == -1 else clips,
        "protocol.crops": values["TEST.NUM_SPATIAL_CROPS"],
        "data.jitter": side,
        "data.inverse_uniform_jitter": (
            kind == "ava" or data_set.inverse and values["DATA.INV_UNIFORM_SAMPLE"]
        ),
        "data.random_flip": kind == "imagenet" or values["DATA.RANDOM_FLIP"],
    }
    scales = values["DATA.TRAIN_JITTER_SCALES_RELATIVE"]
    aspects = values["DATA.TRAIN_JITTER_ASPECT_RELATIVE"]
    if data_set.relative_crops == "augmented" and kind != "imagenet" and not augmented:
        scales = aspects = ()
    if kind == "imagenet":
        fields |= {"protocol.clips": 1, "protocol.crops": 1}
        if augmented:
            scales, aspects = IMAGE_AREAS, IMAGE_ASPECTS
            short = int(crop / values["DATA.IN_VAL_CROP_RATIO"])
            fields["data.jitter"] = (short, short)
        else:
            fields["data.pca_jitter"] = 0.1
            fields["protocol.test_crop"] = min(crop, values["DATA.TRAIN_CROP_SIZE"])
    if data_set.relative_crops:
        fields["data.jitter_scales_relative"] = scales
        fields["data.jitter_aspect_relative"] = aspects
    return fields


def _augmentation(values: Values) -> dict[str, Any]:
    """Fields of config.augment."""
    data_set = DATA_SETS[values["TRAIN.DATASET"]]
    fields = {
        "num_clips": values["DATA.TRAIN_CROP_NUM_TEMPORAL"],
        "num_samples": values["DATA.TRAIN_CROP_NUM_SPATIAL"],
        "jitter_fps": values["DATA.TRAIN_JITTER_FPS"],
        "motion_shift": values["DATA.TRAIN_JITTER_MOTION_SHIFT"],
        "difference_probability": values["DATA.TIME_DIFF_PROB"],
    }
    if data_set is KINETICS or values["AUG.ENABLE"] and data_set.augmented:
        fields["num_samples"] *= values["AUG.NUM_SAMPLE"]
    if values["DATA.SSL_COLOR_JITTER"]:
        fields |= {
            "color_jitter": values["DATA.SSL_COLOR_BRI_CON_SAT"],
            "hue": values["DATA.SSL_COLOR_HUE"],
            "grey_probability": values["DATA.COLOR_RND_GRAYSCALE"],
            "moco_v2": values["DATA.SSL_MOCOV2_AUG"],
        }
    if values["AUG.ENABLE"] and data_set.augmented:
        policy = values["AUG.AA_TYPE"] or ""
        image = data_set.data["format"] == "imagenet"
        if image and not policy and values["AUG.COLOR_JITTER"]:
            raise ConfigError(
                f"AUG.COLOR_JITTER is {values['AUG.COLOR_JITTER']} and AUG.AA_TYPE is empty, but "
                "images have no color jitter without RandAugment here: set AUG.COLOR_JITTER None"
            )
        fields |= {
            "rand_augment": policy,
            "interpolation": values["AUG.INTERPOLATION"],
            "erasing_probability": values["AUG.RE_PROB"],
            "erasing_mode": values["AUG.RE_MODE"],
            "erasing_count": values["AUG.RE_COUNT"],
        }
    if values["MIXUP.ENABLE"]:
        fields |= {
            "mixup_alpha": values["MIXUP.ALPHA"],
            "cutmix_alpha": values["MIXUP.CUTMIX_ALPHA"],
            "mix_prob": values["MIXUP.PROB"],
            "switch_prob": values["MIXUP.SWITCH_PROB"],
            "label_smoothing": values["MIXUP.LABEL_SMOOTH_VALUE"],
        }
    return fields


def _training(values: Values, machines: int) -> dict[str, Any]:
    """Fields of train, optimizer and schedule that are not copied."""
    batch = values["TRAIN.BATCH_SIZE"]
    # The original's optimizer does not take the scale and bias of sub-BN for those of a norm.
    split = values["BN.NORM_TYPE"] == "sub_batchnorm"
    norm_decay = "SOLVER.WEIGHT_DECAY" if split else "BN.WEIGHT_DECAY"
    fields = {
        "train.enable": values["TRAIN.ENABLE"],
        "train.batch_size": batch * machines,
        "train.loss": _one_of(values, "MODEL.LOSS_FUNC", LOSSES),
        "schedule.name": _one_of(values, "SOLVER.LR_POLICY", SCHEDULES),
        "schedule.reference_batch": batch if values["SOLVER.BASE_LR_SCALE_NUM_SHARDS"] else 0,
        "optimizer.name": _one_of(values, "SOLVER.OPTIMIZING_METHOD", OPTIMIZERS),
        "optimizer.clip_value": float(values["SOLVER.CLIP_GRAD_VAL"] or 0),
        "optimizer.clip_norm": float(values["SOLVER.CLIP_GRAD_L2NORM"] or 0),
        "optimizer.norm_weight_decay": values[norm_decay],
        "multigrid.split_norm_decay": values["MULTIGRID.LONG_CYCLE"],
    }
    if values["TRAIN.ENABLE"] and values["TRAIN.CHECKPOINT_FILE_PATH"]:
        # The original starts whatever differs in shape at random, without a word.
        inflated = values["TRAIN.CHECKPOINT_INFLATE"]
        own = values["TRAIN.CHECKPOINT_TYPE"] == "pytorch" and not inflated
        fields["train.init_from.resume"] = own and not values["TRAIN.CHECKPOINT_EPOCH_RESET"]
        fields["train.init_from.skip"] = ("head/.*",) + (("res./nonlocal.*",) if inflated else ())
    if values["MODEL.DETACH_FINAL_FC"]:
        fields["train.train_only"] = "head/projection/.*"
    return fields


def _statistics(values: Values, network: Network, machines: int) -> dict[str, Any]:
    """Fields of config.norm: the clips that share batch statistics."""
    if not network.make.norm_groups:
        return {}
    batch, gpus = values["TRAIN.BATCH_SIZE"], max(1, values["NUM_GPUS"])
    if batch % gpus:
        raise ConfigError(
            f"TRAIN.BATCH_SIZE is {batch}, expected a multiple of NUM_GPUS, {gpus}"
        )
    several = () if values["DETECTION.ENABLE"] else _augmentation(values)
    group = batch // gpus * (several["num_clips"] * several["num_samples"] if several else 1)
    kind, devices = values["BN.NORM_TYPE"], 1
    if kind == "sub_batchnorm":
        group //= values["BN.NUM_SPLITS"]
    elif kind in ("sync_batchnorm", "sync_batchnorm_apex"):
        everywhere = values["BN.GLOBAL_SYNC"] and kind == "sync_batchnorm"
        devices = gpus * machines if everywhere else min(values["BN.NUM_SYNC_DEVICES"], gpus)
    elif kind != "batchnorm":
        raise ConfigError(
            f"BN.NORM_TYPE is {kind}, expected batchnorm, sub_batchnorm or sync_batchnorm"
        )
    return {"norm.group_size": group * devices, "norm.sync_devices": devices}


def _model(
    made: Mapping[str, Any], values: Values, network: Network, data_set: DataSet
) -> dict[str, Any]:
    """config.model: the nearest entry of the zoo, and the keywords that differ from its own."""
    keywords = {**made["model"], **common_keywords(values, network), **network.keywords(values)}
    name = nearest_entry(network, keywords, made["protocol"], data_set.class_names)
    known = defaults_of(network, name)
    return {"name": name} | {k: v for k, v in keywords.items() if known[k] != v}


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """{"train.epochs": 1} -> {"train": {"epochs": 1}}"""
    made: dict[str, Any] = {}
    for path, value in fields.items():
        *sections, key = path.split(".")
        section = made
        for part in sections:
            section = section.setdefault(part, {})
        section[key] = value
    return made


def _one_of(values: Values, key: str, known: Mapping[str, str]) -> str:
    if values[key] not in known:
        raise ConfigError(
            f"{key} is {values[key]}, which this program lacks; it has {', '.join(known)}"
            f"{closest(str(values[key]), known)}"
        )
    return known[values[key]]
