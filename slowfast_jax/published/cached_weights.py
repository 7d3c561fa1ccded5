"""Files of published weights: from the cache folder, else downloaded into it.

The cache folder is that of the environment variable SLOWFAST_JAX_CACHE, by default the user's (see
slowfast_jax/compilation_cache.py). A file is in its sub-folder weights/NAME. Beside it is
FILE.origin.json with its address, size and SHA-256, and whether it was downloaded.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from data_pipelines.atomic_files import whole
from slowfast_jax import distributed
from slowfast_jax.compilation_cache import VARIABLE, cache_folder
from slowfast_jax.published import Row, row_of, rows
from slowfast_jax.published.download import DownloadError, download, mismatch, sha256_of
from slowfast_jax.published.hub import address_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SECONDS_BETWEEN_LOOKS = 0.5  # while another process downloads the same file


def weights_of(config_name: str, model: str) -> Path:
    """The file with the published weights for a config, see `row_of`; downloads it if needed.

    Raises:
      ValueError: nothing is published for this config.
      DownloadError: the file cannot be downloaded, or is not the published one.
    """
    return fetch(row_of(config_name, model))


def place_of(row: Row) -> Path:
    """Where the file of a row belongs in the cache.

    Raises DownloadError if there is no cache folder.
    """
    try:
        root = cache_folder()
    except RuntimeError as error:  # this user has no home
        raise DownloadError(f"set {VARIABLE} to a folder for downloads: {error}") from error
    if root is None:
        raise DownloadError(
            f"{VARIABLE} is off, so there is no folder for {row.file}: set it to a folder, or "
            f"download {row.address} and name the file with --weights"
        )
    return root / "weights" / row.name / row.file


def fetch(row: Row) -> Path:
    """The file of a row, from the cache folder or its address.

    If several processes of a machine ask for it at once, one downloads and the others wait.

    Raises:
      DownloadError: the file cannot be downloaded; or it, or the file in the cache folder, is not
        the published one. The message says where to put a file that was downloaded elsewhere.
    """
    path = place_of(row)
    if not path.is_file():
        try:
            with _alone(path):
                if not path.is_file():
                    digest = download(row.address, path, size=row.size, sha256=row.sha256)
                    _write_origin(row, path, digest, downloaded=True)
                    return path
        except OSError as error:
            reason = error if isinstance(error, DownloadError) else f"{row.address}: {error}"
            raise DownloadError(
                f"cannot download the weights of {row.name}: {reason}; download the file elsewhere "
                f"and put it into {path.parent}, named {path.name}"
            ) from error
    _verify(row, path)
    return path


def origin_of(path: str | os.PathLike) -> dict[str, Any]:
    """What is recorded about a file of the cache folder: address, bytes, sha256, downloaded.

    Of files and folders in the cache folder of the hub, it is the address. {} for any other file.
    """
    record = _origin_file(Path(path))
    if not record.is_file():
        address = address_of(path)
        return {"address": address} if address else {}
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except ValueError:  # not written by this program
        return {}


def identify(path: Path) -> Row | None:
    """The published checkpoint that a file is, whatever its name; None if it is not known as one.

    It is recognized by the published SHA-256, or as a file in the cache folder.
    """
    if not path.is_file():
        return None
    address, digest = origin_of(path).get("address"), sha256_of(path)
    for row in rows().values():
        if row.address == address or row.sha256 and digest.startswith(row.sha256):
            return row
    return None


def _verify(row: Row, path: Path) -> None:
    """Checks a file that was in the cache folder; records one that the user put there.

    What is recorded about a file of the user is no reason to refuse another one.
    """
    digest, recorded = sha256_of(path), origin_of(path)
    downloaded = recorded.get("downloaded", False)
    reason = mismatch(
        path, digest, row.size, downloaded and recorded.get("sha256") or row.sha256
    )
    if reason and downloaded:
        raise DownloadError(
            f"{path} is not the file that was downloaded: {reason}; remove it to download it "
            f"again, or if it is right, remove {_origin_file(path).name} beside it"
        )
    if reason:
        raise DownloadError(
            f"{path} is not the file that was published: {reason}; remove it to download it, or "
            "put the right one in its place"
        )
    if digest != recorded.get("sha256"):
        with suppress(OSError):  # a cache that this user cannot write
            _write_origin(row, path, digest, downloaded=False)


def _write_origin(row: Row, path: Path, digest: str, *, downloaded: bool) -> None:
    record = {
        "address": row.address, "bytes": path.stat().st_size, "sha256": digest,
        "downloaded": downloaded,
    }
    with whole(_origin_file(path)) as part:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _origin_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.origin.json")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Within the block, no other process of this machine is in such a block for the same file.

    The lock ends with the process, so a killed one blocks nobody.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as file:
        while fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                distributed.alive()
                time.sleep(SECONDS_BETWEEN_LOOKS)
        yield
