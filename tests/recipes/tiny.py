"""A recipe that trains a tiny network in seconds, for tests that run the whole program.

    python -m slowfast_jax.main --config tests/recipes/tiny.py --config.data.root=DIR ...

`tests.support.tiny_models.write_colors` writes the data in DIR.
"""

from ml_collections import ConfigDict

from configs import common
from slowfast_jax.models import zoo
from tests.support.tiny_models import norm_entry

NAME = "test/tiny_norm"


def get_config(variant: str = "") -> ConfigDict:
    """4 epochs of 3 steps. The variant is the zoo name of the network."""
    name = variant or NAME
    zoo.ZOO.setdefault(NAME, norm_entry())
    return common.recipe(
        "tiny",
        common.base(data={"format": "kinetics"}),
        common.network(name),
        common.cosine(0.1, epochs=4),
        {
            "data": {"jitter": (18, 20)},
            "test": {"batch_size": 4},
            "train": {
                "batch_size": 4, "eval_period": 2, "log_period": 1, "keep_last": 2, "threads": 2,
            },
            "norm": {"group_size": 2, "precise_batches": 2},
        },
    )
