"""No code in a file is run, and no tensor reads beyond its storage in the file."""

import argparse
import collections
import copyreg
import datetime
import enum
import functools
import io
import os
import pathlib
import pickle
import subprocess
import sys
import tracemalloc
import types

import numpy as np
import pytest

from convert import CheckpointError, read_checkpoint
from convert.unpickle import FUNCTIONS, load_pickle, opaque_name
from tests.convert.torch_pickles import (
    Call,
    Global,
    Storage,
    legacy_file,
    refused,
    tensor,
    zip_file,
)

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


def write(form, path, content, weights):
    """Writes a file of one of the forms with `content` beside the weights, or within them."""
    if form == "pickle":
        path.write_bytes(pickle.dumps({"blobs": weights} | content, 2))
    else:
        {"zip": zip_file, "legacy": legacy_file}[form](path, {"model_state": weights} | content, [])


FORMS = ("zip", "legacy", "pickle")


@pytest.mark.parametrize("runner", CODE_RUNNERS)
@pytest.mark.parametrize("form", FORMS)
def test_no_code_runs(tmp_path, runner, form):
    mark = tmp_path / "code_ran"
    hostile = Hostile(CODE_RUNNERS[runner](mark))
    name = rf"\.{hostile.call[0].__name__}\b"
    write(form, tmp_path / "w", {"x": hostile}, {})
    with pytest.raises(CheckpointError, match=f"{name}.*Nothing was run") as error:
        read_checkpoint(tmp_path / "w")
    assert str(tmp_path / "w") in str(error.value)
    write(form, tmp_path / "w", {}, {"a.weight": hostile, "b": np.ones(2)})
    within = f"tensor a.weight is stored as an object of .*{name}"
    with pytest.raises(CheckpointError, match=within):
        read_checkpoint(tmp_path / "w")
    write(form, tmp_path / "w", {"x": hostile}, {"a.weight": np.ones(2)})
    assert list(read_checkpoint(tmp_path / "w").tensors) == ["a.weight"]
    assert not mark.exists()


def _by_opcodes(path, module, name):
    """Pickles that call MODULE.NAME in each way that the format has, with one argument."""
    find = f"c{module}\n{name}\n".encode()
    text = pickle.BINUNICODE + len(str(path)).to_bytes(4, "little") + str(path).encode()
    one = text + pickle.TUPLE1
    state = pickle.EMPTY_DICT + text + pickle.NONE + pickle.SETITEM
    return {
        "reduce": find + one + pickle.REDUCE,
        "reduce the result": find + one + pickle.REDUCE + one + pickle.REDUCE,
        "new object": find + one + pickle.NEWOBJ,
        "new object with keywords": find + one + state + pickle.NEWOBJ_EX,
        "instance": pickle.MARK + text + pickle.INST + f"{module}\n{name}\n".encode(),
        "instance without arguments": pickle.MARK + pickle.INST + f"{module}\n{name}\n".encode(),
        "object": pickle.MARK + find + text + pickle.OBJ,
        "stack": b"X" + len(module).to_bytes(4, "little") + module.encode()
        + b"X" + len(name).to_bytes(4, "little") + name.encode() + pickle.STACK_GLOBAL
        + one + pickle.REDUCE,
        "state": find + one + pickle.REDUCE + state + pickle.BUILD,
        "state of the class": find + state + pickle.BUILD,
        "slots of the class": find + pickle.NONE + state + pickle.TUPLE2 + pickle.BUILD,
        "append": find + one + pickle.REDUCE + text + pickle.APPEND,
        "appends": find + one + pickle.REDUCE + pickle.MARK + text + pickle.APPENDS,
        "item": find + one + pickle.REDUCE + text + text + pickle.SETITEM,
        "items of a set": find + one + pickle.REDUCE + pickle.MARK + text + pickle.ADDITEMS,
    }


@pytest.fixture
def trap(monkeypatch, tmp_path):
    """A module whose function leaves a mark when it is called, or when the module is imported."""
    mark = tmp_path / "code_ran"
    (tmp_path / "trap_on_import.py").write_text(f"open({str(mark)!r}, 'w')\ncall = print\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = types.ModuleType("trap")
    module.call = lambda *_: mark.write_text("called")
    monkeypatch.setitem(sys.modules, "trap", module)
    return mark


@pytest.mark.parametrize("way", _by_opcodes("", "", ""))
def test_no_way_to_call_runs_anything(tmp_path, trap, way):
    for module in ("trap", "trap_on_import"):
        value = load_pickle(io.BytesIO(b"\x80\x04" + _by_opcodes("x", module, "call")[way] + b"."))
        assert opaque_name(value) == f"{module}.call"
    assert "trap_on_import" not in sys.modules
    assert not trap.exists()


def test_extension_codes(trap):
    """Python remembers what a code stands for: neither is that called, nor ours remembered."""
    code = 0xE0
    copyreg.add_extension("trap", "call", code)
    try:
        by_code = b"\x80\x02" + pickle.EXT1 + bytes([code]) + b")R."
        pickle.loads(by_code)
        assert trap.exists()
        trap.unlink()
        assert opaque_name(load_pickle(io.BytesIO(by_code))) == "trap.call"
        assert not trap.exists()
        pickle.loads(by_code)
        assert trap.exists()
    finally:
        copyreg.remove_extension("trap", "call", code)
    with pytest.raises(CheckpointError, match="unregistered extension code"):
        load_pickle(io.BytesIO(by_code))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_pickles_may_call_cannot_be_changed(name):
    module, _, function = name.rpartition(".")
    state = b"}X\x0c\x00\x00\x00__defaults__)s"
    for change in (state + b"b.", b"N" + state + b"\x86b."):
        with pytest.raises(CheckpointError, match="changes a function"):
            load_pickle(io.BytesIO(b"\x80\x02" + f"c{module}\n{function}\n".encode() + change))


@pytest.mark.parametrize("name", [
    "builtins exec", "builtins __import__", "os popen", "subprocess Popen", "torch load",
    "torch.storage _load_from_bytes", "numpy load", "numpy.lib.npyio load", "builtins getattr",
    "collections namedtuple", "torch.nn.modules.conv Conv3d", "functools partial",
    "operator attrgetter", "numpy core.multiarray.os.system", "collections OrderedDict.fromkeys",
])
def test_other_names_stay_opaque(tmp_path, name):
    zip_file(tmp_path / "w", {"x": Call(name, "1")}, [])
    with pytest.raises(CheckpointError, match="x .an object of " + name.replace(" ", r"\.")):
        read_checkpoint(tmp_path / "w")
    storage = Storage("FloatStorage", "0", np.ones(2, np.float32))
    content = {"x": Call(name, "1"), "model": {"w": tensor(storage, 0, (2,), (1,))}}
    zip_file(tmp_path / "w", content, [storage])
    assert read_checkpoint(tmp_path / "w").metadata["opaque"] == [name.replace(" ", ".")]


def test_dotted_names_do_not_reach_into_allowed_modules(tmp_path):
    for text in ("cos\nsystem\n", "cnumpy\nos.system\n", "ccollections\n_sys.exit\n"):
        (tmp_path / "w").write_bytes(b"\x80\x04" + text.encode() + b"X\x02\x00\x00\x00ls\x85R.")
        with pytest.raises(CheckpointError, match="Nothing was run"):
            read_checkpoint(tmp_path / "w")


class Color(enum.Enum):
    RED = 1


class Flag(enum.IntFlag):
    A = 1
    B = 2


class Settings(dict):
    """Like yacs's CfgNode: a dict with attributes."""


class History:
    def __init__(self):
        self.values = np.arange(3.0)


class Slotted:
    __slots__ = ("a",)

    def __init__(self):
        self.a = 1


class Names(list):
    pass


class Numbers(set):
    pass


class Ordered(collections.OrderedDict):
    pass


def _settings():
    settings = Settings(a=Settings(b=1))
    settings.frozen = True
    return settings


HARMLESS = {
    "a namespace": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/x")),
    "paths": [pathlib.Path("x"), pathlib.PureWindowsPath("c:/x")],
    "an OrderedDict": collections.OrderedDict(a=collections.OrderedDict()),
    "defaultdicts": [collections.defaultdict(list, a=[1]), collections.defaultdict(Settings)],
    "a Counter": collections.Counter("abc"),
    "a deque": collections.deque([1], 3),
    "times": [
        datetime.datetime.now(datetime.UTC), datetime.date(2020, 1, 1), datetime.timedelta(1),
    ],
    "NumPy scalars": [
        np.float32(1), np.int64(2), np.bool_(True), np.str_("a"), np.str_(""), np.complex64(1j),
        np.datetime64("2020-01-01"),
    ],
    "NumPy types": [np.dtype("f4"), np.float32, np.uint8, np.dtype("M8[ns]"), np.int16],
    "object arrays": np.array([{"a": 1}, Color.RED], object),
    "a random state": np.random.default_rng(0),
    "enum members": [Color.RED, Flag.A | Flag.B, {Color.RED: Color.RED}],
    "partial functions": [functools.partial(print, end=""), functools.partial(Settings, a=1)],
    "functions": [print, os.path.join, "".join, Settings(a=1).get, np.mean],
    "sets": [{1, 2}, frozenset({3}), {Color.RED}, Numbers({1})],
    "numbers": [1j, 10**30, -1.5, True, None, ..., slice(1, 2), range(3), bytearray(b"a")],
    "own classes": [_settings(), History(), Slotted(), Names("ab"), Ordered(a=1), History],
    "a namespace of types": types.SimpleNamespace(a=1),
    "an error": ValueError("x"),
    "keys": {pathlib.Path("x"): 1, (1, 2): Color.RED},
    "an object that is in itself": (lambda a: a.append(a) or a)(Names()),
}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("what", HARMLESS)
def test_harmless_objects_beside_the_weights(tmp_path, what, protocol):
    if what in ("own classes", "an object that is in itself") and protocol < 2:
        pytest.skip("Python cannot write it")
    content = {"model_state": {"a.weight": np.ones(2)}, "x": HARMLESS[what], "epoch": 3}
    (tmp_path / "w").write_bytes(pickle.dumps(content, protocol))
    checkpoint = read_checkpoint(tmp_path / "w")
    assert list(checkpoint.tensors) == ["a.weight"]
    assert checkpoint.metadata["epoch"] == 3
    assert checkpoint.metadata["other"] == ["x"]
    if what == "a namespace":
        expected = "argparse.Namespace"
        assert expected in checkpoint.metadata["opaque"]


@pytest.mark.parametrize("write", [zip_file, legacy_file])
def test_harmless_objects_of_torch(tmp_path, write):
    storage = Storage("FloatStorage", "0", np.ones(2, np.float32))
    weights = {"a.weight": tensor(storage, 0, (2,), (1,)), "a._extra_state": Call("io BytesIO")}
    content = {
        "state_dict": weights,
        "a": [Call("torch Size", (1, 2)), Global("torch float16"), Global("torch float8_e4m3fn")],
        "b": [Call("torch device", "cuda", 0), Call("torch.serialization _get_layout", "strided")],
        "c": Call("torch._utils _rebuild_qtensor", tensor(storage, 0, (2,), (1,)), 0, (2,)),
        "d": Call("torch.distributed Thing"),
    }
    write(tmp_path / "w", content, [storage])
    checkpoint = read_checkpoint(tmp_path / "w")
    assert list(checkpoint.tensors) == ["a.weight"]
    assert {"torch._utils._rebuild_qtensor", "torch.float8_e4m3fn"} < set(
        checkpoint.metadata["opaque"]
    )


@pytest.mark.parametrize("of_weights", [
    Call("torch._utils _rebuild_qtensor", 1), Call("torch._utils _rebuild_sparse_tensor", 1),
    Call("argparse Namespace"), Call("my.tensors Scaled", 2),
    Call("torch.storage _load_from_bytes"),
    Call("torch._utils _rebuild_tensor_v2", Call("torch.storage _load_from_bytes"), 0, (), ()),
    Call("torch._tensor _rebuild_from_type_v2", Global("torch._utils _rebuild_tensor_v2"),
         Global("my.tensors Scaled"), (), {}),
])
def test_objects_that_are_not_tensors_among_the_weights(tmp_path, of_weights):
    storage = Storage("FloatStorage", "0", np.ones(2, np.float32))
    weights = {"a.weight": tensor(storage, 0, (2,), (1,)), "a.bias": of_weights}
    for content in ({"model": weights, "epoch": 1}, weights):
        zip_file(tmp_path / "w", content, [storage])
        refused(tmp_path / "w", "tensor a.bias is stored as an object of", "plain tensors")


def test_tensors_with_attributes(tmp_path):
    storage = Storage("FloatStorage", "0", np.arange(3, dtype=np.float32))
    arguments = tensor(storage, 0, (3,), (1,)).arguments
    rebuilt = Call(
        "torch._tensor _rebuild_from_type_v2", Global("torch._utils _rebuild_tensor_v2"),
        Global("torch.nn.parameter Parameter"), arguments, {"note": 1},
    )
    zip_file(tmp_path / "w", {"state_dict": {"a.weight": rebuilt}}, [storage])
    assert read_checkpoint(tmp_path / "w").tensors["a.weight"].tolist() == [0, 1, 2]


def test_a_dict_of_another_class_can_hold_the_weights(tmp_path):
    content = Settings(state_dict=Ordered({"a.weight": np.ones(2)}), epoch=Color.RED)
    for protocol in (2, 4):
        (tmp_path / "w").write_bytes(pickle.dumps(content, protocol))
        assert list(read_checkpoint(tmp_path / "w").tensors) == ["a.weight"]


def test_a_model_that_was_saved_whole(tmp_path):
    storage = Storage("FloatStorage", "0", np.ones(2, np.float32))
    model = Call("my.models X3D", tensor(storage, 0, (2,), (1,)))
    for content in (model, {"model": model, "epoch": 1}):
        zip_file(tmp_path / "w", content, [storage])
        refused(tmp_path / "w", "object of my.models.X3D", "Nothing was run", "state_dict()")


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


def test_a_large_number_of_remembered_objects(tmp_path):
    """A pickle that remembers one object under a large number takes no memory for all below it."""
    (tmp_path / "w").write_bytes(b"\x80\x02}r\x00\x00\x00\x01.")
    tracemalloc.start()
    refused(tmp_path / "w", "no named tensors")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
