"""Writes checkpoints that PySlowFast, torchvision and torch.load(weights_only=True) read.

PyTorch is not needed.

The file is a zip as PyTorch 1.6 and later write it (torch/serialization.py). NAME/data.pkl is a
pickle in which each tensor is a call of torch._utils._rebuild_tensor_v2 on a storage named by a
persistent id. NAME/data/KEY has the bytes of that storage.
"""

import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from convert import names
from convert.layouts import to_torch
from convert.names.tables import TRANSFORMERS
from convert.trees import flatten

STORAGE_NAMES = {
    "float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage", "int64": "LongStorage", "int32": "IntStorage",
    "int16": "ShortStorage", "int8": "CharStorage", "uint8": "ByteStorage", "bool": "BoolStorage",
}
FORMAT_VERSION = b"3\n"  # version of the zip's records, as PyTorch 1.6 to 2.x write it


def write_pyth(path: str | Path, tensors: Mapping[str, np.ndarray], *, cfg: str = "") -> None:
    """Writes {"model_state": tensors, "cfg": cfg} to `path`, atomically; arrays keep their bytes.

    There is no "epoch" entry, because PySlowFast then expects an optimizer state to resume from.

    Args:
      path: the file to write; it is replaced if it exists.
      tensors: name -> array in PyTorch's layout.
      cfg: the config as a YAML text, which is how PySlowFast stores it.

    Raises:
      ValueError: PyTorch has no storage for an array's element type.
    """
    state, arrays = _state_dict(tensors)
    content = _dict(_text("model_state") + state + _text("cfg") + _text(cfg))
    _write_zip(Path(path), content, arrays)


def write_state_dict(path: str | Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes `tensors` to `path` as torch.save(model.state_dict()) does; see `write_pyth`."""
    _write_zip(Path(path), *_state_dict(tensors))


def _state_dict(tensors: Mapping[str, np.ndarray]) -> tuple[bytes, list[np.ndarray]]:
    """The pickled dict of tensors, and the content of their storages 0, 1, ..."""
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.name not in STORAGE_NAMES:
            raise ValueError(
                f"tensor {name} has element type {array.dtype}, expected one that PyTorch can "
                f"store: {', '.join(STORAGE_NAMES)}"
            )
    state = b"".join(
        _text(name) + _tensor(array, str(key)) for key, (name, array) in enumerate(arrays.items())
    )
    return _ordered_dict(state), list(arrays.values())


def _write_zip(path: Path, content: bytes, arrays: Sequence[np.ndarray]) -> None:
    """Writes the pickle `content` and the storages it refers to, atomically."""
    records = {
        "data.pkl": pickle.PROTO + b"\x02" + content + pickle.STOP,
        "byteorder": sys.byteorder.encode(),
        "version": FORMAT_VERSION,
    }
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, data in records.items():
                archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
            for key, array in enumerate(arrays):
                archive.writestr(zipfile.ZipInfo(f"archive/data/{key}"), array.tobytes())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def export_pyth(path: str | Path, variables: Mapping, *, cfg: str = "") -> dict[str, np.ndarray]:
    """Writes this project's variables as a PySlowFast checkpoint.

    Args:
      path: the file to write; it is replaced if it exists.
      variables: {"params": ..., "batch_stats": ...}.
      cfg: see `write_pyth`.

    Returns:
      The tensors that were written, by name.

    Raises:
      ValueError: PySlowFast has no name for a parameter, or cannot build the network.
    """
    tensors = pyslowfast_tensors(variables)
    if "s1_fuse.conv_f2s.weight" in tensors and "s1_fuse.bn.weight" not in tensors:
        raise ValueError(
            "the lateral connections of this network have no batch norm (lateral_norm=False), but "
            "PySlowFast's always have batch norm and ReLU: its results would differ. Networks with "
            "lateral_norm=True can be exported"
        )
    if "head.hidden.weight" in tensors:
        raise ValueError(
            "the head of this network has a hidden layer (roi_hidden=True), which PySlowFast's "
            "heads do not have, so it cannot be exported"
        )
    write_pyth(path, tensors, cfg=cfg)
    return tensors


def pyslowfast_tensors(variables: Mapping) -> dict[str, np.ndarray]:
    """Converts this project's variables to PySlowFast's names and layout.

    Every batch norm also gets PyTorch's step counter, num_batches_tracked, with the value 0.

    Returns:
      {PySlowFast name: array in PyTorch's layout}, sorted by name.

    Raises:
      ValueError: PySlowFast has no name for a parameter, or batch norms have been folded.
    """
    leaves = {path: leaf for (_, path), leaf in flatten(variables).items()}
    family = names.family_of(leaves)
    if not variables.get("batch_stats") and family not in TRANSFORMERS:
        raise ValueError(
            "the variables have no batch norms (batch_stats is empty): they were folded into the "
            "convolutions, and PySlowFast cannot load that. Export the variables before folding"
        )
    tensors, unknown = {}, []
    for path, leaf in leaves.items():
        name = names.to_pyslowfast(path, family)
        if name is None:
            unknown.append(path)
            continue
        array = to_torch(np.asarray(leaf), path.rpartition("/")[2])
        if path == "patch_embed/kernel" and array.shape[2] == 1:
            array = array[:, :, 0]  # patches of images are of a 2-D convolution there
        tensors[name] = array
        if name.endswith(".running_var"):
            counter = name.removesuffix("running_var") + "num_batches_tracked"
            tensors[counter] = np.zeros((), np.int64)
    if unknown:
        raise ValueError(
            f"PySlowFast has no names for {len(unknown)} of the {len(leaves)} parameters of this "
            f"model ({family}): {', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}"
        )
    return dict(sorted(tensors.items()))


def export_torchvision(path: str | Path, variables: Mapping) -> dict[str, np.ndarray]:
    """Writes this project's variables of an MViT as a state dict of torchvision.

    Args:
      path: the file to write; it is replaced if it exists.
      variables: {"params": ...}.

    Returns:
      The tensors that were written, by name.

    Raises:
      ValueError: torchvision cannot build the network.
    """
    tensors = torchvision_tensors(variables)
    write_state_dict(path, tensors)
    return tensors


def torchvision_tensors(variables: Mapping) -> dict[str, np.ndarray]:
    """Converts this project's variables of an MViT to torchvision's names and layout.

    Returns:
      {torchvision name: array in PyTorch's layout}, sorted by name.

    Raises:
      ValueError: torchvision has no name for a parameter, or cannot build the network.
    """
    tensors, unknown = {}, []
    for name, array in pyslowfast_tensors(variables).items():
        theirs = names.to_torchvision(name)
        if theirs is None:
            unknown.append(name)
        elif theirs.startswith("pos_encoding."):
            rank = 1 if theirs.partition(".")[2].startswith("class_") else 2
            tensors[theirs] = array.reshape(array.shape[-rank:])
        elif theirs == "conv_proj.weight" and array.ndim == 4:  # patches of images
            tensors[theirs] = array[:, :, None]
        else:
            tensors[theirs] = array
    if unknown:
        raise ValueError(
            f"torchvision has no names for {len(unknown)} parameters of this model: "
            f"{', '.join(unknown[:5])}{', ...' if len(unknown) > 5 else ''}. Its video networks "
            "that are written here are MViT and MViTv2"
        )
    absolute = "pos_encoding.spatial_pos" in tensors
    relative = {f"blocks.0.attn.rel_pos_{axis}" in tensors for axis in "thw"}
    if "pos_encoding.class_token" not in tensors or relative != {not absolute}:
        raise ValueError(
            "torchvision's MViT has a class token, and either separate absolute positions or "
            "relative positions in space and time; this network does not, so it cannot be exported"
        )
    return dict(sorted(tensors.items()))


# Fragments of a protocol 2 pickle; each pushes one value onto the unpickler's stack.


def _text(value: str) -> bytes:
    data = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return pickle.BININT + struct.pack("<i", value)
    data = pickle.encode_long(value)
    return pickle.LONG1 + bytes([len(data)]) + data


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _dict(items: bytes) -> bytes:
    return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS


def _ordered_dict(items: bytes) -> bytes:
    empty = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    return empty + pickle.MARK + items + pickle.SETITEMS


def _tensor(array: np.ndarray, key: str) -> bytes:
    strides = [step // array.itemsize for step in np.empty(array.shape, array.dtype).strides]
    storage = _tuple(
        _text("storage"),
        _global("torch", STORAGE_NAMES[array.dtype.name]),
        _text(key),
        _text("cpu"),
        _integer(array.size),
    )
    arguments = _tuple(
        storage + pickle.BINPERSID,
        _integer(0),
        _tuple(*map(_integer, array.shape)),
        _tuple(*map(_integer, strides)),
        pickle.NEWFALSE,  # requires_grad
        _ordered_dict(b""),  # backward hooks
    )
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE
