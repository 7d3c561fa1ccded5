"""Unpacks Paddle's .pdparams files: pickled dicts of arrays in the form that paddle.save writes."""

from collections.abc import Mapping

import numpy as np

from convert.layouts import widen_bfloat16
from convert.unpickle import CheckpointError

INTERNAL_NAMES = "StructuredToParameterName@@"  # entry: tensor name -> Paddle's internal name
PARTS = "UnpackBigParamInfor@@"  # entry: name -> {"OriginShape": shape, "slices": names of parts}


def is_paddle(content: Mapping) -> bool:
    """Whether `paddle.save` wrote this dict.

    It does if the dict has a table of internal names, or values (internal name, array).
    """
    groups = [content, *(value for value in content.values() if isinstance(value, dict))]
    return INTERNAL_NAMES in content or any(map(_is_pair, (v for g in groups for v in g.values())))


def plain_arrays(content: Mapping) -> dict:
    """Restores the dict that was passed to `paddle.save`.

    Large arrays, which Paddle splits, are joined, and bfloat16, which Paddle stores as uint16, is
    widened to float32.

    Raises:
      CheckpointError: a part of a large array is missing or has the wrong size.
    """
    content = dict(content)
    content.pop(INTERNAL_NAMES, None)
    parts = content.pop(PARTS, {})
    try:
        for name, part in parts.items():
            slices = [content.pop(key) for key in part["slices"]]
            content[name] = np.concatenate(slices).reshape(part["OriginShape"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the Paddle file's table of large arrays does not match its arrays ({error!r}): the "
            "file is damaged. Get it again"
        ) from error
    return {
        name: {key: _array(v) for key, v in value.items()} if isinstance(value, dict)
        else _array(value)
        for name, value in content.items()
    }


def _is_pair(value) -> bool:
    return (
        isinstance(value, tuple) and len(value) == 2
        and isinstance(value[0], str) and isinstance(value[1], np.ndarray)
    )


def _array(value):
    value = value[1] if _is_pair(value) else value
    if isinstance(value, np.ndarray) and value.dtype == np.uint16:
        return widen_bfloat16(value)
    return value
