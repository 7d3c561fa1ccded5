"""A recipe that trains a tiny detection network in seconds, on the data of `mini.write_ava`."""

from ml_collections import ConfigDict

from configs import ava, common
from slowfast_jax.models import zoo
from tests.recipes.tiny import NAME
from tests.support.tiny_models import norm_entry


def get_config(variant: str = "") -> ConfigDict:
    """One epoch, in batches of 4."""
    zoo.ZOO.setdefault(NAME, norm_entry())
    mini = next(part["data"] for part in ava.MINI if "video_dir" in part.get("data", {}))
    return common.recipe(
        "ava/tiny",
        common.base(data=ava.DATA, task="detection", loss="bce"),
        common.network(NAME, num_classes=17, detection=True, activation="sigmoid"),
        common.cosine(0.01, epochs=1),
        {
            "data": {**mini, "jitter": (18, 20)},
            "test": {"batch_size": 4},
            "train": {"batch_size": 4, "eval_period": 1, "log_period": 1, "threads": 2},
            "norm": {"group_size": 2, "precise": False},
        },
    )
