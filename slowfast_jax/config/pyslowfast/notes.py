"""What a PySlowFast file sets besides fields of our config: flags, and keys that are logged."""

from typing import Any

from slowfast_jax.config.pyslowfast.networks import NETWORKS, OF_NETWORKS, has_number
from slowfast_jax.config.pyslowfast.reading import Setting
from slowfast_jax.config.pyslowfast.tables import KEYS
from slowfast_jax.config.pyslowfast.translate import DATA_SETS, EVERY_NUMBER
from slowfast_jax.config.recipe_files import closest
from slowfast_jax.fields import shown

# Start of keys -> the key that decides whether they have an effect, and the values with which they
# have one. Keys of ALWAYS_READ, and the deciding keys themselves, always have.
CONDITIONS = {
    "AVA.": ("DETECTION.ENABLE", (True,)),
    "DETECTION.": ("DETECTION.ENABLE", (True,)),
    "AUG.": ("AUG.ENABLE", (True,)),
    "MIXUP.": ("MIXUP.ENABLE", (True,)),
    "DATA.SSL_": ("DATA.SSL_COLOR_JITTER", (True,)),
    "DATA.COLOR_RND_GRAYSCALE": ("DATA.SSL_COLOR_JITTER", (True,)),
    "DATA.IN_VAL_CROP_RATIO": ("TRAIN.DATASET", ("imagenet",)),
    "BN.NUM_SPLITS": ("BN.NORM_TYPE", ("sub_batchnorm",)),
    "BN.NUM_SYNC_DEVICES": ("BN.NORM_TYPE", ("sync_batchnorm", "sync_batchnorm_apex")),
    "BN.GLOBAL_SYNC": ("BN.NORM_TYPE", ("sync_batchnorm",)),
    "SOLVER.COSINE_": ("SOLVER.LR_POLICY", ("cosine",)),
}
ALWAYS_READ = ("AUG.NUM_SAMPLE",)
# Computed keys whose value no field has.
NOTED = (
    "NUM_GPUS", "OUTPUT_DIR", "TASK", "AUG.COLOR_JITTER", "TRAIN.CHECKPOINT_TYPE",
    "TRAIN.CHECKPOINT_INFLATE",
)


def flags(setting: Setting) -> dict[str, Any]:
    """The flags of the command that the keys stand for."""
    values, found = setting.values, {}
    if values["OUTPUT_DIR"] != KEYS["OUTPUT_DIR"].default:
        found["workdir"] = values["OUTPUT_DIR"]
    if not values["TRAIN.ENABLE"]:
        found["mode"] = "eval"
    every = EVERY_NUMBER if values["TEST.NUM_ENSEMBLE_VIEWS"] == -1 else ()
    if numbers := values["TEST.NUM_TEMPORAL_CLIPS"] or every:
        found["clips"] = [str(clips) for clips in numbers]
    if values["TEST.SAVE_RESULTS_PATH"]:
        found["save_scores"] = True
    return found


def notes(setting: Setting) -> tuple[str, ...]:
    """A line for each key that is set but has no field here, or no effect."""
    lines = []
    for key in setting.given:
        reason = _without_field(key, setting)
        if reason:
            lines.append(f"{key}={shown(setting.values[key])}: {reason.replace('`', '')}")
    return tuple(lines)


def _without_field(key: str, setting: Setting) -> str:
    """What stands in the place of a key; "" if fields are computed from it."""
    values, entry, section = setting.values, KEYS[key], key.split(".")[0]
    if entry.kind in ("unneeded", "fixed") or key in NOTED:
        return entry.here
    network = NETWORKS[values["MODEL.MODEL_NAME"]]
    if section in OF_NETWORKS and section not in network.sections:
        return f"{values['MODEL.MODEL_NAME']} does not read it"
    if section == "NONLOCAL" and not has_number(values["NONLOCAL.LOCATION"]):
        return "" if key == "NONLOCAL.LOCATION" else "there are no non-local blocks"
    for start, (deciding, wanted) in CONDITIONS.items():
        if key.startswith(start) and key not in (deciding, *ALWAYS_READ):
            return "" if values[deciding] in wanted else (
                f"no effect unless {deciding} is {' or '.join(map(str, wanted))}"
            )
    return ""


def warnings(setting: Setting, machines: int) -> tuple[str, ...]:
    """A line for each unknown key, and for each difference from the original's run."""
    values = setting.values
    name = values["TRAIN.DATASET"] if values["TRAIN.ENABLE"] else values["TEST.DATASET"]
    lines = [*setting.remarks]
    for key, value in setting.unknown.items():
        lines.append(
            f"{key}={shown(value)} is no key of PySlowFast and has no effect{closest(key, KEYS)}"
        )
    if "NUM_SHARDS" in setting.given and values["NUM_SHARDS"] != machines:
        lines.append(
            f"NUM_SHARDS={values['NUM_SHARDS']} in the file has no effect, as in the original, "
            f"which takes it from --num_shards: add NUM_SHARDS {values['NUM_SHARDS']} to the "
            "command to train with the batch of as many machines"
        )
    bgr = DATA_SETS[name].bgr
    if bgr is not None and bgr != values["DATA.REVERSE_INPUT_CHANNEL"]:
        lines.append(
            f"DATA.REVERSE_INPUT_CHANNEL={values['DATA.REVERSE_INPUT_CHANNEL']}: the original "
            f"feeds frames of {name} as BGR to the network, this program as RGB"
        )
    if name.startswith("ptv"):
        lines.append(
            f"the data set {name} is read as {name.removeprefix('ptv')}: PyTorchVideo's reader "
            "places clips slightly differently"
        )
    if values["MODEL.MODEL_NAME"] == "ResNet_nopool":
        lines.append(
            "MODEL.MODEL_NAME=ResNet_nopool, which the original lacks, is the C2D whose published "
            "weights do not pool over time"
        )
    if values["MVIT.REV.ENABLE"] and values["MVIT.CLS_EMBED_ON"]:
        lines.append(
            "MVIT.CLS_EMBED_ON=True, which the original refuses for reversible networks, is read "
            "as False"
        )
    if name == "imagenet" and not values["AUG.ENABLE"] and (
        values["DATA.TEST_CROP_SIZE"] > values["DATA.TRAIN_CROP_SIZE"]
    ):
        lines.append(
            f"DATA.TEST_CROP_SIZE={values['DATA.TEST_CROP_SIZE']} does not fit the original's "
            f"images of {values['DATA.TRAIN_CROP_SIZE']} pixels: they are resized to a short side "
            f"of {values['DATA.TRAIN_JITTER_SCALES'][0]} and cropped to "
            f"{values['DATA.TRAIN_CROP_SIZE']}, as usual"
        )
    if values["TRAIN.ENABLE"] and not values["TEST.ENABLE"]:
        lines.append("TEST.ENABLE=False: training ends with a test nevertheless")
    return tuple(lines)
