"""Comparison of training runs."""

import jax
import numpy as np

from slowfast_jax.training.checkpoint import latest_checkpoint, load_checkpoint
from slowfast_jax.training.writers import read_metrics

CLOCKS = ("clips_per_second", "data_wait", "memory_gb")  # and data_wait_of_process_1, ...


def assert_same_run(actual, expected):
    """Compares bit for bit: the metrics of all steps and validations, and the last checkpoint.

    Records of tests are ignored: the command tests at the end, `train` does not.
    """
    def lines(workdir):
        return [
            {key: value for key, value in row.items() if not key.startswith(CLOCKS)}
            for row in read_metrics(workdir) if row["split"] != "test"
        ]

    assert lines(actual) == lines(expected)
    ours, theirs = (load_checkpoint(latest_checkpoint(workdir)) for workdir in (actual, expected))
    for _, metadata in (ours, theirs):
        del metadata["config"]["train"]["workers"]  # may change within a run
    assert ours[1] == theirs[1]
    assert jax.tree.structure(ours[0]) == jax.tree.structure(theirs[0])
    assert jax.tree.all(jax.tree.map(np.array_equal, ours[0], theirs[0]))
