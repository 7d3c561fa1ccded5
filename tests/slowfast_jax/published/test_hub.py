"""Weights on the hub: addresses, downloads from a stand-in of the hub, its cache, and errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast_jax.published.cached_weights import origin_of
from slowfast_jax.published.hub import HubError, address_of, is_address, local_path, parse
from tests.support.hub_server import TOKEN, serve_hub
from tests.support.paths import ROOT

OWN = {"config.json": b'{"format": "slowfast_jax"}', "model.safetensors": b"weights"}
OTHER = {"config.json": b'{"architectures": []}', "README.md": b"", "weights/x3d.pyth": b"old"}
INDEX = {"weight_map": {"a": "m-00001-of-00002.bin", "b": "m-00002-of-00002.bin"}}
SHARDED = {
    "m.bin.index.json": json.dumps(INDEX).encode(), "m-00001-of-00002.bin": b"1",
    "m-00002-of-00002.bin": b"2",
}


def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_addresses():
    assert parse("hf://me/own") == ("me/own", "", "")
    assert parse("hf://me/own@v1.0/a/b.pth") == ("me/own", "v1.0", "a/b.pth")
    assert parse(Path("hf://me/own@refs%2Fpr%2F1")) == ("me/own", "refs/pr/1", "")
    assert is_address("hf://x") and is_address(Path("hf://me/x")) and not is_address("hf")
    for wrong in ("hf://own", "hf://me/own/../x", "hf://me/own//x", "hf://me/own/", "hf://",
                  "hf://me/own/a\\b", "hf://me/own@", "hf://me/ow n"):
        with pytest.raises(HubError, match="is not an address on the hub, expected hf://ORGANIZA"):
            parse(wrong)


def test_other_paths_are_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert local_path("x3d_xs.pyth") == "x3d_xs.pyth" and local_path(Path("RUN")) == Path("RUN")
    with pytest.raises(HubError) as error:
        local_path("hf://me/own")
    assert str(error.value) == (
        "hf://me/own: this needs the package huggingface_hub; install the extra hub: "
        "pip install -e '.[hub]' in a checkout, or "
        "pip install 'slowfast_jax[hub] @ file:///path/to/WHEEL'"
    )


@pytest.fixture
def hub(hub_server):
    hub_server.repositories |= {"me/own": [dict(OWN)], "me/other": [dict(OTHER)]}
    return hub_server


def test_a_checkpoint_of_this_project(hub, monkeypatch):
    commit = hub.commit("me/own")
    folder = local_path("hf://me/own")
    assert folder.name == commit and (folder / "model.safetensors").read_bytes() == b"weights"
    assert address_of(folder) == f"hf://me/own@{commit}"
    assert origin_of(folder) == {"address": f"hf://me/own@{commit}"}
    assert address_of("RUN") == ""

    hub.repositories["me/own"].append(OWN | {"model.safetensors": b"better"})
    assert (local_path("hf://me/own") / "model.safetensors").read_bytes() == b"better"
    before = len(hub.requests)
    offline(monkeypatch)
    assert (local_path("hf://me/own") / "model.safetensors").read_bytes() == b"better"
    assert (local_path(f"hf://me/own@{commit}") / "model.safetensors").read_bytes() == b"weights"
    assert len(hub.requests) == before
    with pytest.raises(HubError, match="hf://me/other is not in the cache .*HF_HUB_OFFLINE is se"):
        local_path("hf://me/other")


def test_files(hub):
    only = local_path("hf://me/other")
    assert only.read_bytes() == b"old" and only.parent.name == "weights"
    assert address_of(only).endswith("/weights/x3d.pyth")
    hub.repositories["me/other"].append(OTHER | {"b[1].pth": b"new"})
    hub.tags["me/other", "v1"] = 0
    assert local_path("hf://me/other/b[1].pth").read_bytes() == b"new"
    assert local_path("hf://me/other@v1").read_bytes() == b"old"
    with pytest.raises(HubError, match=r"several .* b\[1\].pth, weights/x3d.pyth. Name one, "):
        local_path("hf://me/other")
    with pytest.raises(HubError, match="hf://me/other/c.pth: the repository has no file c.pth"):
        local_path("hf://me/other/c.pth")
    hub.repositories["me/empty"] = [{"README.md": b""}]
    with pytest.raises(HubError, match="has no weights that are known: README.md. Name one"):
        local_path("hf://me/empty")


@pytest.mark.parametrize("address", ["hf://me/parts", "hf://me/parts/m.bin.index.json"])
def test_weights_in_several_files(hub, address):
    hub.repositories["me/parts"] = [SHARDED]
    index = local_path(address)
    assert index.name == "m.bin.index.json"
    assert (index.parent / "m-00002-of-00002.bin").read_bytes() == b"2"


def test_an_index_that_leads_elsewhere(hub):
    index = json.dumps({"weight_map": {"a": "../../../secret"}}).encode()
    hub.repositories["me/parts"] = [{"m.bin.index.json": index}]
    with pytest.raises(HubError, match="the index names the file '../../../secret', expected one"):
        local_path("hf://me/parts")


def test_errors_of_the_hub(hub, monkeypatch):
    with pytest.raises(HubError, match="hf://me/none: there is no such repository; or it is priva"):
        local_path("hf://me/none")
    with pytest.raises(HubError, match="hf://me/own@v9: the repository has no such revision"):
        local_path("hf://me/own@v9")
    hub.private.add("me/own")
    with pytest.raises(HubError, match="or it is private, and HF_TOKEN is not set"):
        local_path("hf://me/own")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert local_path("hf://me/own").is_dir()
    assert hub.requests[-1][2] == TOKEN


def test_a_cache_that_was_laid_out_by_hand(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--me--own"
    (folder / f"snapshots/{commit}").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(commit)
    for name, data in OWN.items():
        (folder / f"snapshots/{commit}" / name).write_bytes(data)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    offline(monkeypatch)
    assert local_path("hf://me/own") == folder / f"snapshots/{commit}"
    (folder / f"snapshots/{commit}/model.safetensors").unlink()
    with pytest.raises(HubError, match="no file model.safetensors, or it is not in the cache"):
        local_path("hf://me/own")
    monkeypatch.setattr("slowfast_jax.published.hub._is_own", lambda path: False)
    with pytest.raises(HubError, match="has no weights that are known: config.json"):
        local_path("hf://me/own")


@pytest.mark.slow
def test_variables_of_the_environment(tmp_path):
    """In a process of its own, because huggingface_hub reads them when it is imported."""
    pytest.importorskip("huggingface_hub")
    code = "from slowfast_jax.published.hub import local_path; print(local_path('hf://me/own'))"
    with serve_hub() as hub:
        hub.repositories["me/own"], hub.private = [dict(OWN)], {"me/own"}
        environment = os.environ | {
            "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN,
        }
        run = [sys.executable, "-c", code]
        printed = [
            subprocess.run(run, env=environment | more, cwd=ROOT, capture_output=True, text=True,
                           check=True).stdout
            for more in ({}, {"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"})
        ]
    assert printed[0] == printed[1] and printed[0].startswith(f"{tmp_path}/hub/models--me--own/")
