"""Array layouts: PyTorch's and Caffe2's (output channels first) to ours and back.

Ours: convolution kernels (kT, kH, kW, Cin/groups, Cout), linear kernels (Cin, Cout), vectors.
Theirs: (Cout, Cin/groups, kT, kH, kW) and (Cout, Cin).
"""

import numpy as np


def inflates(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether `array`, (Cout, Cin, kH, kW), is a 2-D kernel for a 3-D one of `shape`."""
    return len(shape) == 5 and array.ndim == 4 and array.shape[2:] == tuple(shape[1:3])


def to_ours(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`array` from their layout to ours, for a parameter of ours that has `shape`.

    2-D convolution kernels are repeated over time and divided by kT (Carreira and Zisserman 2017,
    section 2: a constant video keeps its activations). Kernels short of dimensions get ones on the
    right (Caffe2 stores 1x1x1 kernels as matrices), surplus dimensions of one on the right are
    dropped (old sub-BN affines). The result need not have `shape`: comparing is the caller's task.
    """
    if inflates(array, shape):
        array = np.repeat(array[:, :, None], shape[0], axis=2) / shape[0]
    if len(shape) == 5 and 2 <= array.ndim < 5:
        array = array.reshape(array.shape + (1,) * (5 - array.ndim))
    while array.ndim > len(shape) and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != len(shape):
        return array
    if array.ndim == 5:
        return array.transpose(2, 3, 4, 1, 0)
    return array.T if array.ndim == 2 else array


def to_torch(array: np.ndarray) -> np.ndarray:
    """`array` from our layout to PyTorch's, C-contiguous."""
    if array.ndim == 5:
        array = array.transpose(4, 3, 0, 1, 2)
    elif array.ndim == 2:
        array = array.T
    return np.asarray(array, order="C")
