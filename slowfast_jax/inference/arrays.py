"""Turns what users call arrays into NumPy arrays: tensors of any library, lists, pictures."""

from typing import Any

import numpy as np


def to_numpy(value: Any, name: str) -> np.ndarray:
    """The value as a NumPy array.

    Args:
      value: anything that `numpy.asarray` takes, such as a tensor of PyTorch or TensorFlow, and
        (nested) lists of such values or of Pillow images, which become RGB. Lists of whole numbers
        within 0..255 become uint8.
      name: what the value is, for error messages.

    Raises:
      ValueError: NumPy cannot read it, for example because it is on a GPU; or the parts of a list
        differ in shape.
    """
    array = _convert(value, name)
    if isinstance(value, (list, tuple)) and array.size and array.dtype == np.int64:
        if 0 <= array.min() and array.max() <= 255:
            return array.astype(np.uint8)
    return array


def _convert(value: Any, name: str) -> np.ndarray:
    if isinstance(value, (list, tuple)):
        if not any(isinstance(part, (list, tuple)) or _is_array(part) for part in value):
            return np.asarray(value)
        parts = [_convert(part, name) for part in value]
        shapes = dict.fromkeys(part.shape for part in parts)
        if len(shapes) > 1:
            listed = ", ".join(map(str, list(shapes)[:3]))
            raise ValueError(f"{name} is a list of arrays of different shapes ({listed}): pass "
                             "them one at a time, or bring them to one shape")
        return np.stack(parts)
    if hasattr(value, "mode") and hasattr(value, "convert"):  # a Pillow image
        return np.asarray(value.convert("RGB"))
    return _read(value, name)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def _read(value: Any, name: str) -> np.ndarray:
    module, name_of_type = type(value).__module__.partition(".")[0], type(value).__name__
    kind = name_of_type if module == "builtins" else f"{module} {name_of_type}"
    kind = "None" if value is None else f"a {kind}"
    device = str(getattr(value, "device", "cpu")).lower()
    if hasattr(value, "detach"):  # PyTorch: leaves the gradient behind
        value = value.detach()
        if not device.startswith("cpu"):
            raise ValueError(f"{name} is {kind} on {device}: pass it as .cpu()")
        if str(value.dtype) == "torch.bfloat16":  # which NumPy does not have
            value = value.float()
    try:
        array = np.asarray(value)
    except Exception as error:  # each library raises its own
        raise ValueError(
            f"{name} is {kind} that NumPy cannot read ({error}): pass an array on the host"
        ) from error
    if array.dtype == object:
        raise ValueError(
            f"{name} is {kind}, which NumPy cannot read as an array of numbers: pass uint8 "
            "pixels (N, T, H, W, 3)"
        )
    return array
