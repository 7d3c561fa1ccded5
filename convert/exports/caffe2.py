"""Files of Caffe2 as in its model zoo, a pickled dict of blobs, which PySlowFast loads."""

import io
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convert import names
from convert.exports.exported import Exported, refuse_unnamed
from convert.exports.pyslowfast import check_pyslowfast, pyslowfast_tensors

NETWORKS = "SlowFast, Slow, C2D, I3D, their non-local versions, and X3D"


def caffe2_blobs(variables: Mapping, network: Mapping[str, Any]) -> Exported:
    """Converts this project's variables to Caffe2's names, with arrays in PyTorch's layout.

    Raises:
      ValueError: Caffe2's zoo has no such network.
    """
    tensors = pyslowfast_tensors(variables)
    check_pyslowfast(tensors)
    last = _last_blocks(tensors)
    blobs, unnamed = {}, []
    for name, array in tensors.items():
        if name.endswith(".num_batches_tracked"):
            continue
        theirs = names.to_caffe2(name, last)
        if theirs is None:
            unnamed.append(name)
        else:
            blobs[theirs] = array
    refuse_unnamed("Caffe2", unnamed, len(tensors), NETWORKS)
    return Exported(blobs)


def _last_blocks(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, str]]:
    """The last block of each stage of the fast pathway, and its last convolution."""
    last: dict[str, dict[str, str]] = {}
    for name in tensors:
        match = re.match(r"(s\d)\.pathway1_res(\d+)\.branch2\.([abc])\.", name)
        if match:
            stage, block, x = match.groups()
            known = last.get(stage, {"i": "0", "x": "a"})
            last[stage] = {"i": str(max(int(known["i"]), int(block))), "x": max(known["x"], x)}
    return last


def write_blobs(path: str | Path, blobs: Mapping[str, np.ndarray]) -> None:
    """Pickles {"blobs": blobs} to `path`, atomically, so that any NumPy and Python 2 read it."""
    path = Path(path)
    buffer = io.BytesIO()
    pickle.dump({"blobs": {name: np.ascontiguousarray(a) for name, a in blobs.items()}}, buffer, 2)
    # NumPy 2 renamed the module that NumPy 1 imports, and still knows the old name. The name is
    # written once, before the first array.
    content = buffer.getvalue().replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n", 1)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
