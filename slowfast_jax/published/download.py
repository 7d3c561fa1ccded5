"""Downloads a file over HTTP: resumes, writes atomically, verifies size and checksum."""

import errno
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from absl import logging

from slowfast_jax.progress import track

CHUNK = 1 << 20  # bytes
ATTEMPTS = 5  # in a row that receive nothing
WAIT = 1.0  # seconds before the second attempt; doubled for each further one
TIMEOUT = 60.0  # seconds without data
TEMPORARY = (408, 425, 429)  # and all from 500
BROKEN = (http.client.HTTPException, OSError)


class DownloadError(OSError):
    """A file that cannot be downloaded. The message has the address and the reason."""


class _Interrupted(Exception):
    """The transfer stopped; another attempt may succeed."""


def download(address: str, path: Path, *, size: int | None = None, sha256: str = "") -> str:
    """Downloads `address` to `path`, which appears only when the file is complete and verified.

    What was received is kept beside `path` if the transfer stops. The same call resumes there,
    provided that the server supports it and still has the same version of the file.

    Args:
      address: an http or https address.
      path: the file to write; its folder is created.
      size: expected number of bytes.
      sha256: expected SHA-256 in hexadecimal, or its first digits.

    Returns:
      The SHA-256 of the file.

    Raises:
      DownloadError: the server cannot be reached, refuses, or sends something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    failures = 0
    while True:
        before = _size(part)
        try:
            _receive(address, part, size)
            break
        except _Interrupted as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures == ATTEMPTS:
                raise DownloadError(f"{address}: {error}, {ATTEMPTS} times in a row") from error
            logging.warning("%s: %s; trying again", address, error)
            time.sleep(WAIT * 2 ** (failures - 1))
    digest = sha256_of(part)
    reason = mismatch(part, digest, size, sha256)
    if reason:
        _discard(part)
        raise DownloadError(f"{address} sent another file than published: {reason}")
    os.replace(part, path)
    _version_file(part).unlink(missing_ok=True)
    return digest


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mismatch(path: Path, digest: str, size: int | None, sha256: str) -> str:
    """How a file with that SHA-256 differs from what was published; "" if it does not."""
    if size is not None and path.stat().st_size != size:
        return f"it has {path.stat().st_size} bytes, expected {size}"
    if not digest.startswith(sha256.lower()):
        begins = " begins with" if len(sha256) < 64 else ""
        return f"its SHA-256 is {digest}, but the published one{begins or ' is'} {sha256}"
    return ""


def _receive(address: str, part: Path, size: int | None) -> None:
    """Requests what `part` lacks of the file and appends it."""
    have, version = _size(part), _version_file(part)
    headers = {"User-Agent": "slowfast_jax"}
    if have and version.is_file():
        headers |= {"Range": f"bytes={have}-", "If-Range": version.read_text(encoding="utf-8")}
    try:
        request = urllib.request.Request(address, headers=headers)
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing follows what is there
            if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                return
            _discard(part)
            raise _Interrupted("the server could not resume") from error
        reason = f"the server answers {error.code} {error.reason}"
        if error.code in TEMPORARY or error.code >= 500:
            raise _Interrupted(reason) from error
        raise DownloadError(f"{address}: {reason}") from error
    except urllib.error.URLError as error:
        raise DownloadError(f"{address} cannot be reached ({error.reason})") from error
    except BROKEN as error:
        raise _Interrupted(_words(error)) from error
    with response:
        start, total = _extent(response, have)
        if response.headers.get_content_type() == "text/html":
            raise DownloadError(f"{address} is a web page, not a file to download")
        if size is not None and total is not None and total != size:
            _discard(part)
            raise DownloadError(f"{address} has {total} bytes, expected {size}")
        if total is not None and total - start > shutil.disk_usage(part.parent).free:
            raise DownloadError(
                f"{address} has {total / 1e6:.0f} MB, for which {part.parent} has no room"
            )
        _keep_version(version, response)
        with part.open("ab" if start else "wb") as file:
            _copy(response, file, start, total, address)
    if total is not None and _size(part) < total:
        raise _Interrupted(f"the transfer stopped after {_size(part)} of {total} bytes")


def _extent(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """(first byte of the answer, bytes of the whole file or None if the server does not say)."""
    length = response.headers.get("Content-Length", "")
    if response.status != 206:
        return 0, int(length) if length.isdecimal() else None
    extent, _, total = response.headers.get("Content-Range", "").partition("/")
    start = extent.removeprefix("bytes ").partition("-")[0]
    if start != str(have):
        raise DownloadError(
            f"{response.url}: the server answers a request for the bytes from {have} on with "
            f"{extent or 'no Content-Range'}"
        )
    return have, int(total) if total.isdecimal() else None


def _keep_version(path: Path, response: http.client.HTTPResponse) -> None:
    """Stores what the server calls this version of the file, if it does."""
    tag = response.headers.get("ETag", "")
    name = "" if tag.startswith("W/") else tag  # a weak tag does not stand for the same bytes
    name = name or response.headers.get("Last-Modified", "")
    path.unlink(missing_ok=True)
    if name:
        path.write_text(name, encoding="utf-8")


def _copy(
    response: http.client.HTTPResponse, file: BinaryIO, start: int, total: int | None, address: str
) -> None:
    """Appends the answer to the file, with a progress bar in MiB."""
    count = -(-(total - start) // CHUNK) if total is not None else 0
    name = address.rpartition("/")[2]
    try:
        for chunk in track(_chunks(response), count, f"downloading {name} (MiB)"):
            file.write(chunk)
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise _Interrupted(_words(error)) from error


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := response.read(CHUNK):
        yield chunk


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
