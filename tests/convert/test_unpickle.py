"""No code in a file is run, and no tensor reads beyond its storage in the file."""

import os
import pickle
import subprocess

import numpy as np
import pytest

from convert import CheckpointError, read_checkpoint
from tests.convert.torch_pickles import Call, Storage, legacy_file, refused, tensor, zip_file

CODE_RUNNERS = {
    "os.system": lambda path: (os.system, (f"touch {path}",)),
    "subprocess.Popen": lambda path: (subprocess.Popen, (["touch", str(path)],)),
    "eval": lambda path: (eval, (f"open({str(path)!r}, 'w')",)),
}


class Hostile:
    """Runs code if it is unpickled by Python's own unpickler."""

    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("runner", CODE_RUNNERS)
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_no_code_runs(tmp_path, runner, form):
    mark = tmp_path / "code_ran"
    hostile = Hostile(CODE_RUNNERS[runner](mark))
    if form == "zip":
        zip_file(tmp_path / "w", {"model_state": {}, "x": hostile}, [])
    elif form == "legacy":
        legacy_file(tmp_path / "w", {"model_state": {}, "x": hostile}, [])
    else:
        (tmp_path / "w").write_bytes(pickle.dumps({"blobs": {}, "x": hostile}, 2))
    refusal = rf"\.{hostile.call[0].__name__}\b.*Nothing was run"
    with pytest.raises(CheckpointError, match=refusal) as error:
        read_checkpoint(tmp_path / "w")
    assert str(tmp_path / "w") in str(error.value)
    assert not mark.exists()


@pytest.mark.parametrize("name", [
    "builtins exec", "builtins __import__", "os popen", "subprocess Popen", "torch load",
    "torch.storage _load_from_bytes", "numpy load", "numpy.lib.npyio load", "builtins getattr",
    "collections namedtuple", "torch.nn.modules.conv Conv3d", "functools partial",
    "operator attrgetter", "numpy core.multiarray.os.system", "collections OrderedDict.fromkeys",
])
def test_other_names_are_refused(tmp_path, name):
    zip_file(tmp_path / "w", {"x": Call(name, "1")}, [])
    with pytest.raises(CheckpointError, match="refers to " + name.replace(" ", r"\.")):
        read_checkpoint(tmp_path / "w")


def test_dotted_names_do_not_reach_into_allowed_modules(tmp_path):
    for text in ("cos\nsystem\n", "cnumpy\nos.system\n", "ccollections\n_sys.exit\n"):
        (tmp_path / "w").write_bytes(b"\x80\x04" + text.encode() + b"X\x02\x00\x00\x00ls\x85R.")
        with pytest.raises(CheckpointError, match="Nothing was run"):
            read_checkpoint(tmp_path / "w")


@pytest.mark.parametrize("size, stride, offset", [
    ((13,), (1,), 0), ((2, 2), (20, 1), 0), ((1,), (1,), 12), ((2,), (-1,), 3), ((2,), (1, 1), 0),
    ((-1,), (1,), 0), ((1,), (1,), -1),
])
def test_views_outside_their_storage(tmp_path, size, stride, offset):
    storage = Storage("FloatStorage", "0", np.arange(12, dtype=np.float32))
    zip_file(tmp_path / "w", {"x": tensor(storage, offset, size, stride)}, [storage])
    with pytest.raises(CheckpointError, match="tensor x"):
        read_checkpoint(tmp_path / "w")


@pytest.mark.parametrize("data", [
    b"\x80\x02", b"\x80\x02K", b"\x80\x02}q", b"\x80\x02.", b"\x80\x02K\x01R.", b"\x80\xff.",
    b"\x80\x02" + bytes(range(256)), b"\x80\x02}X\xff\xff\xff\x7f.", b"(dp0\nS'a'\n",
])
def test_garbage_pickles(tmp_path, data):
    (tmp_path / "w").write_bytes(data)
    refused(tmp_path / "w", "pickle")
