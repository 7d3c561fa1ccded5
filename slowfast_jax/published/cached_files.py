"""Files that others publish: from the cache folder, else downloaded into it.

The cache folder is that of the environment variable SLOWFAST_JAX_CACHE, by default the user's (see
slowfast_jax/compilation_cache.py). Beside a file is FILE.origin.json with its address, size and
SHA-256, and whether it was downloaded.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from data_pipelines.atomic_files import whole
from slowfast_jax import distributed
from slowfast_jax.compilation_cache import VARIABLE, cache_folder
from slowfast_jax.published.download import DownloadError, download, mismatch, sha256_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SECONDS_BETWEEN_LOOKS = 0.5  # while another process downloads the same file


class CachedFile(NamedTuple):
    """A published file.

    Attributes:
      title: what messages call it, such as "the weights of kinetics/x3d_m".
      place: its path below the cache folder.
      size: bytes; None if unknown.
      sha256: in hexadecimal, or its first digits; "" if unknown.
      flag: the flag of a command with which a user names the file.
    """

    title: str
    place: str
    address: str
    size: int | None
    sha256: str
    flag: str


def place_of(file: CachedFile) -> Path:
    """Where a file belongs in the cache. Raises DownloadError if there is no cache folder."""
    try:
        root = cache_folder()
    except RuntimeError as error:  # this user has no home
        raise DownloadError(f"set {VARIABLE} to a folder for downloads: {error}") from error
    if root is None:
        raise DownloadError(
            f"{VARIABLE} is off, so there is no folder for {Path(file.place).name}: set it to a "
            f"folder, or download {file.address} and name the file with {file.flag}"
        )
    return root / file.place


def fetch(file: CachedFile) -> Path:
    """A published file, from the cache folder or its address.

    If several processes of a machine ask for it at once, one downloads and the others wait.

    Raises:
      DownloadError: the file cannot be downloaded; or it, or the file in the cache folder, is not
        the published one. The message says where to put a file that was downloaded elsewhere.
    """
    path = place_of(file)
    if not path.is_file():
        try:
            with _alone(path):
                if not path.is_file():
                    digest = download(file.address, path, size=file.size, sha256=file.sha256)
                    _write_origin(file, path, digest, downloaded=True)
                    return path
        except OSError as error:
            reason = error if isinstance(error, DownloadError) else f"{file.address}: {error}"
            raise DownloadError(
                f"cannot download {file.title}: {reason}; download the file elsewhere "
                f"and put it into {path.parent}, named {path.name}"
            ) from error
    _verify(file, path)
    return path


def recorded_origin(path: Path) -> dict[str, Any]:
    """What is recorded about a file of the cache folder: address, bytes, sha256, downloaded.

    {} for any other file.
    """
    record = _origin_file(path)
    if not record.is_file():
        return {}
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except ValueError:  # not written by this program
        return {}


def _verify(file: CachedFile, path: Path) -> None:
    """Checks a file that was in the cache folder; records one that the user put there.

    What is recorded about a file of the user is no reason to refuse another one.
    """
    digest, recorded = sha256_of(path), recorded_origin(path)
    downloaded = recorded.get("downloaded", False)
    reason = mismatch(
        path, digest, file.size, downloaded and recorded.get("sha256") or file.sha256
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
            _write_origin(file, path, digest, downloaded=False)


def _write_origin(file: CachedFile, path: Path, digest: str, *, downloaded: bool) -> None:
    record = {
        "address": file.address, "bytes": path.stat().st_size, "sha256": digest,
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
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        while fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                distributed.alive()
                time.sleep(SECONDS_BETWEEN_LOOKS)
        yield
