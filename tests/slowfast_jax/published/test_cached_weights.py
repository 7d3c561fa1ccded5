"""Published weights: from the cache folder, else downloaded, else one sentence on what to do."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from slowfast_jax import published
from slowfast_jax.published import cached_files
from slowfast_jax.published.cached_weights import fetch, origin_of, place_of, weights_of
from slowfast_jax.published.download import DownloadError
from tests.support.file_server import serve

CONTENT = b"parameters" * 1000


@pytest.fixture
def server():
    with serve(CONTENT) as served:
        yield served


@pytest.fixture
def row(server, tmp_path, monkeypatch):
    """kinetics/x3d_m, published on the local server; the cache folder is a temporary one."""
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", str(tmp_path / "cache"))
    row = published.find("kinetics/x3d_m")._replace(
        address=server.address, sha256=server.sha256, size=len(CONTENT)
    )
    monkeypatch.setitem(published.rows(), row.name, row)
    return row


def test_a_file_is_downloaded_once_and_recorded(row, server):
    path = fetch(row)
    assert path == fetch(row) == weights_of("kinetics/x3d_m", "kinetics/x3d_m") == place_of(row)
    assert path.read_bytes() == CONTENT and len(server.requests) == 1
    assert path.parts[-4:] == ("weights", "kinetics", "x3d_m", "weights.pyth")
    assert origin_of(path) == {
        "address": server.address, "bytes": len(CONTENT), "sha256": server.sha256,
        "downloaded": True,
    }


def test_a_file_that_the_user_put_there_is_taken_and_recorded(row, server):
    path = place_of(row)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch(row) == path and not server.requests
    assert origin_of(path)["sha256"] == server.sha256 and not origin_of(path)["downloaded"]


def test_a_file_that_changed_is_refused(row):
    path = fetch(row)
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(DownloadError, match="is not the file that was downloaded: .*remove it"):
        fetch(row)
    path.with_name(f"{path.name}.origin.json").unlink()
    with pytest.raises(DownloadError, match="is not the file that was published: its SHA-256"):
        fetch(row)
    path.write_bytes(b"")
    with pytest.raises(DownloadError, match=f"it has 0 bytes, expected {len(CONTENT)}"):
        fetch(row)


def test_offline_is_one_sentence_with_address_and_folder(row):
    row = row._replace(address="http://127.0.0.1:9/weights.pyth")
    with pytest.raises(DownloadError) as error:
        fetch(row)
    text = str(error.value)
    assert text.startswith(f"cannot download the weights of kinetics/x3d_m: {row.address} cannot")
    assert f"download the file elsewhere and put it into {place_of(row).parent}, named" in text
    assert "\n" not in text


def test_no_cache_folder(row, monkeypatch):
    monkeypatch.setenv("SLOWFAST_JAX_CACHE", "off")
    with pytest.raises(DownloadError, match="SLOWFAST_JAX_CACHE is off"):
        fetch(row)


def test_several_processes_download_once(row, server, monkeypatch):
    monkeypatch.setattr(cached_files, "SECONDS_BETWEEN_LOOKS", 0.01)
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(fetch, [row] * 4))) == 1
    assert len(server.requests) == 1


def test_a_record_of_another_program_is_ignored(tmp_path):
    (tmp_path / "a.origin.json").write_text("{")
    assert origin_of(tmp_path / "a") == origin_of(tmp_path / "b") == {}


def test_names_without_published_weights_name_others():
    with pytest.raises(ValueError, match="are published for kinetics/c2d_8x8_r50; others published "
                       "for this network: pytorchvideo/c2d_8x8_r50"):
        weights_of("kinetics/c2d_8x8_r50", "kinetics/c2d_8x8_r50")
    with pytest.raises(ValueError, match="no weights are published for kinetics/mini$"):
        weights_of("kinetics/mini", "kinetics/mini")


def test_recipes_find_their_checkpoint():
    def found(name, model):
        return published.row_of(name, model).address.rpartition("/")[2]

    network = "kinetics/slowfast_8x8_r50"
    assert found(network, network) == "SLOWFAST_8x8_R50.pkl"
    assert found("kinetics/c2_slowfast_8x8_r50", network) == "SLOWFAST_8x8_R50.pkl"
    assert found("kinetics/slowfast_8x8_r50_stepwise", network).endswith("_stepwise.pkl")
    assert found("kinetics/slowfast_8x8_r50_finetune", network) == "SLOWFAST_8x8_R50.pkl"


def test_a_wrong_file_of_the_user_can_be_replaced(row, server):
    unknown = row._replace(size=None, sha256="")
    path = place_of(row)
    path.parent.mkdir(parents=True)
    for content in (b"truncated", CONTENT):
        path.write_bytes(content)
        assert fetch(unknown) == path and origin_of(path)["bytes"] == len(content)
    assert origin_of(path)["sha256"] == server.sha256 and not server.requests
