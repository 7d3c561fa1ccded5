"""configs/own.py with a tiny network, for tests that run the whole program on box tables."""

from ml_collections import ConfigDict

from configs import common, own
from slowfast_jax.models import zoo
from tests.recipes.tiny import NAME
from tests.support.tiny_models import norm_entry


def get_config(variant: str = "") -> ConfigDict:
    """One epoch, in batches of 2."""
    zoo.ZOO.setdefault(NAME, norm_entry())
    return common.recipe(
        "own/tiny",
        common.base(data=own.DATA, task="detection", loss="bce_logits"),
        *own.FINE_TUNED,
        common.network(NAME, **own.BOXES),
        common.pretrained("", "head/.*"),
        {
            "data": {"jitter": (18, 20)},
            "test": {"batch_size": 4},
            "train": {"batch_size": 2, "epochs": 1, "threads": 1},
            "schedule": {"warmup_epochs": 0.5},
            "norm": {"group_size": 2},
        },
    )
