"""Paddle's .pdparams: pickled dicts of arrays, and what paddle.save does to them."""

from collections.abc import Mapping

import numpy as np

from convert.unpickle import CheckpointError

INTERNAL_NAMES = "StructuredToParameterName@@"  # name -> Paddle's internal one
PARTS = "UnpackBigParamInfor@@"  # name -> {"OriginShape": shape, "slices": names of its pieces}


def is_paddle(content: Mapping) -> bool:
    """Whether `paddle.save` wrote this dict: a table of names, or (internal name, array) pairs."""
    groups = [content, *(value for value in content.values() if isinstance(value, dict))]
    return INTERNAL_NAMES in content or any(map(_is_pair, (v for g in groups for v in g.values())))


def plain_arrays(content: Mapping) -> dict:
    """The dict that was saved, with its arrays; bfloat16, which it stores as uint16, widened.

    Raises CheckpointError where a piece of a large array is missing.
    """
    content = dict(content)
    content.pop(INTERNAL_NAMES, None)
    parts = content.pop(PARTS, {})
    try:
        for name, part in parts.items():
            pieces = [content.pop(piece) for piece in part["slices"]]
            content[name] = np.concatenate(pieces).reshape(part["OriginShape"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"a Paddle file whose table of large arrays does not fit it ({error!r}); it is damaged"
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
        return (value.astype(np.uint32) << 16).view(np.float32)
    return value
