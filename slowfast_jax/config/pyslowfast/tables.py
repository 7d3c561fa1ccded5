"""All keys of PySlowFast (slowfast/config/defaults.py of its main branch), section by section."""

from slowfast_jax.config.pyslowfast import keys_data, keys_model, keys_running
from slowfast_jax.config.pyslowfast.keys import Keys

# Title of a group in docs/from_pyslowfast.md -> its keys.
GROUPS: dict[str, Keys] = {
    "Running": keys_running.RUNNING,
    "Training": keys_running.TRAIN,
    "Testing": keys_running.TEST,
    "Optimizer and schedule": keys_running.SOLVER,
    "Batch norm": keys_model.BN,
    "Multigrid training": keys_running.MULTIGRID,
    "Clips": keys_data.DATA,
    "Augmentation": {**keys_data.AUG, **keys_data.MIXUP},
    "Loading": keys_data.LOADING,
    "Network": {
        **keys_model.MODEL, **keys_model.RESNET, **keys_model.NONLOCAL, **keys_model.SLOWFAST,
        **keys_model.X3D,
    },
    "Detection": {**keys_model.DETECTION, **keys_data.AVA},
    "Transformers": keys_model.MVIT,
    "Self-supervised training": keys_model.PRETRAINING,
    "Logs, pictures, demo, benchmark": keys_running.SHOWING,
}
KEYS: Keys = {key: entry for group in GROUPS.values() for key, entry in group.items()}
# "TENSORBOARD", "TENSORBOARD.MODEL_VIS", ...
SECTIONS = {
    key.rsplit(".", depth)[0] for key in KEYS for depth in range(1, key.count(".") + 1)
}
