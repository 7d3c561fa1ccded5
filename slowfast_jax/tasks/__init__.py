"""The tasks that a config can name in `config.task`."""

from ml_collections import ConfigDict

from slowfast_jax.config import ConfigError
from slowfast_jax.tasks.base import Task
from slowfast_jax.tasks.classification import Classification
from slowfast_jax.tasks.detection import Detection

TASKS: dict[str, type[Task]] = {"classification": Classification, "detection": Detection}


def make_task(config: ConfigDict) -> Task:
    """The config's task; ConfigError if config.task is unknown."""
    if config.task not in TASKS:
        raise ConfigError(f"config.task is {config.task}, expected {' or '.join(TASKS)}")
    return TASKS[config.task](config)
