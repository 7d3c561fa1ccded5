"""Converts arrays between the layouts of this project and of PyTorch and Caffe2.

| parameter          | this project                    | PyTorch and Caffe2              |
|--------------------|---------------------------------|---------------------------------|
| convolution kernel | (kT, kH, kW, Cin/groups, Cout)  | (Cout, Cin/groups, kT, kH, kW)  |
| linear kernel      | (Cin, Cout)                     | (Cout, Cin)                     |
| others             | vectors; tables of positions    | the same; torchvision's tables  |
|                    |                                 | lack leading dimensions of 1    |
"""

import numpy as np


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 values of bfloat16 numbers stored as uint16; exact."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def is_inflated(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether `array` is a 2-D kernel (Cout, Cin, kH, kW) for a 3-D parameter of `shape`."""
    return len(shape) == 5 and array.ndim == 4 and array.shape[2:] == tuple(shape[1:3])


def from_torch(array: np.ndarray, shape: tuple[int, ...], leaf: str = "kernel") -> np.ndarray:
    """Converts `array` from PyTorch's layout to this project's.

    - 2-D convolution kernels for 3-D parameters are inflated: repeated over time and divided by kT,
      which keeps the activations of a constant video (Carreira and Zisserman 2017, section 2).
    - Kernels with too few dimensions get trailing dimensions of size 1, because Caffe2 stores 1x1x1
      kernels as matrices.
    - Tables of positions with too few dimensions get leading dimensions of size 1.
    - Surplus trailing dimensions of size 1 are dropped; old sub-BN scales and biases have them.

    Args:
      array: a tensor in PyTorch's or Caffe2's layout.
      shape: the shape of the parameter in this project that the tensor is for.
      leaf: its name; only kernels are transposed.

    Returns:
      The converted array. Its shape can still differ from `shape`; the caller compares them.
    """
    if is_inflated(array, shape):
        array = np.repeat(array[:, :, None], shape[0], axis=2) / shape[0]
    if len(shape) == 5 and 2 <= array.ndim < 5:
        array = array.reshape(array.shape + (1,) * (5 - array.ndim))
    if leaf != "kernel" and array.ndim < len(shape):
        array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    while array.ndim > len(shape) and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != len(shape):
        return array
    if array.ndim == 5:
        return array.transpose(2, 3, 4, 1, 0)
    return array.T if array.ndim == 2 and leaf == "kernel" else array


def to_torch(array: np.ndarray, leaf: str = "kernel") -> np.ndarray:
    """Converts the parameter `leaf` from this project's layout to PyTorch's; C-contiguous."""
    if array.ndim == 5:
        array = array.transpose(4, 3, 0, 1, 2)
    elif array.ndim == 2 and leaf == "kernel":
        array = array.T
    return np.asarray(array, order="C")
