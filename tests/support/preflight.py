"""What tests of the checks before a run share."""

import pytest

from slowfast_jax.config import ConfigError
from tests.support.formats import FORMATS

# Format -> the field with the list to train on, to validate on and to test on.
LISTS = dict.fromkeys(FORMATS, ("train_list", "val_list", "test_list"))
LISTS["ava"] = ("train_gt_box_lists", "ground_truth", "test_box_lists")
LISTS["boxes"] = ("train_boxes", "test_boxes", "test_detections")


def problems_of(function, *arguments, **options):
    """The lines of the error that is raised, each a problem."""
    with pytest.raises((ConfigError, OSError, ValueError)) as caught:
        function(*arguments, **options)
    assert caught.value.before_start
    head, *lines = str(caught.value).splitlines()
    if not head.endswith("problems:"):
        return [str(caught.value)]
    assert head == f"{len(lines)} problems:"
    return [line.removeprefix("  - ") for line in lines]


def misspell(config, field):
    """Renames the list in a field of config.data; returns the new name."""
    old = config.data[field]
    new = (f"{old[0] if old else 'x.csv'}.x",) if isinstance(old, tuple) else f"{old}x"
    with config.data.ignore_type():
        config.data[field] = new
    return new[0] if isinstance(new, tuple) else new
