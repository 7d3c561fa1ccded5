"""Files of published weights: from the cache folder, else downloaded into it.

A file is in the sub-folder weights/NAME of the cache folder, see cached_files.py.
"""

import os
from pathlib import Path
from typing import Any

from slowfast_jax.published import Row, cached_files, row_of, rows
from slowfast_jax.published.cached_files import CachedFile, recorded_origin
from slowfast_jax.published.download import sha256_of
from slowfast_jax.published.hub import address_of


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
    return cached_files.place_of(_file_of(row))


def fetch(row: Row) -> Path:
    """The file of a row, from the cache folder or its address.

    Raises:
      DownloadError: see `cached_files.fetch`.
    """
    return cached_files.fetch(_file_of(row))


def origin_of(path: str | os.PathLike) -> dict[str, Any]:
    """What is recorded about a file of the cache folder: address, bytes, sha256, downloaded.

    Of files and folders in the cache folder of the hub, it is the address. {} for any other file.
    """
    recorded = recorded_origin(Path(path))
    address = address_of(path) if not recorded else ""
    return {"address": address} if address else recorded


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


def _file_of(row: Row) -> CachedFile:
    return CachedFile(
        title=f"the weights of {row.name}", place=f"weights/{row.name}/{row.file}",
        address=row.address, size=row.size, sha256=row.sha256, flag="--weights",
    )
