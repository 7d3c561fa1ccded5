"""The file of an exported network: a program with the weights inside, and how to use it.

It is a zip archive without compression that holds

- program.jax: the program, as `jax.export.Exported.serialize` writes it
- metadata.json: the fields of `Metadata`

Nothing here imports JAX.
"""

import hashlib
import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from data_pipelines.atomic_files import whole
from data_pipelines.paths import PathLike
from slowfast_jax.export.metadata import FORMAT, Metadata, problems

PROGRAM, METADATA = "program.jax", "metadata.json"
ONNX_SUFFIX = ".onnx"  # names of files that hold an ONNX graph end in it
LARGEST_METADATA = 2**24  # bytes; thousands of class names fit in far less


class ExportedFileError(ValueError):
    """A file that is not that of an exported network, or is damaged."""


def is_onnx(path: PathLike) -> bool:
    """Whether a file of this name holds an ONNX graph."""
    return Path(path).suffix.lower() == ONNX_SUFFIX


def write(path: PathLike, program: bytes, metadata: Metadata) -> None:
    """Writes the file atomically, with the digest of the program."""
    described = asdict(metadata) | {"sha256": hashlib.sha256(program).hexdigest()}
    with whole(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(METADATA, json.dumps(described, indent=1) + "\n")
        archive.writestr(PROGRAM, program)


def read(path: PathLike) -> tuple[bytes, Metadata]:
    """The program and what it is.

    Raises:
      ExportedFileError: the file has another format, is damaged or truncated, declares sizes that
        it does not have, or describes the network with values of the wrong type or range. No more
        memory is taken than the file has bytes.
      OSError: it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise ExportedFileError(f"{path} is a folder; expected a file of slowfast_jax.export")
    if is_onnx(path):
        raise ExportedFileError(
            f"{path} is an ONNX graph, which other programs run (docs/deploy.md); expected the "
            f"file that slowfast_jax.export writes under a name that does not end in {ONNX_SUFFIX}"
        )
    with open(path, "rb") as file:
        described, program = _entries(file, path)
    metadata = _metadata(described, path)
    if hashlib.sha256(program).hexdigest() != metadata.sha256:
        raise ExportedFileError(f"{path} is damaged: the program has another SHA-256 than noted")
    return program, metadata


def _entries(file: BinaryIO, path: Path) -> tuple[bytes, bytes]:
    """The metadata and the program."""
    try:
        with zipfile.ZipFile(file) as archive:
            described = _entry(archive, METADATA, LARGEST_METADATA)
            return described, _entry(archive, PROGRAM, os.path.getsize(path))
    # What zipfile raises about damaged archives; OSError is a place before the file's beginning.
    except (
        zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, OSError, RuntimeError,
        UnicodeDecodeError,
    ) as error:
        raise ExportedFileError(
            f"{path} is not a complete file of `python -m slowfast_jax.export` ({error}); weights "
            "become one by `python -m slowfast_jax.export NETWORK OUT --weights FILE`"
        ) from error


def _entry(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise zipfile.BadZipFile(f"{name} is compressed, which this format does not allow")
    if info.file_size > largest:
        raise zipfile.BadZipFile(f"{name} claims {info.file_size:,} bytes")
    return archive.read(info)


def _metadata(text: bytes, path: Path) -> Metadata:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExportedFileError(f"{path}: {METADATA} is not JSON ({error})") from error
    version = found.get("format") if isinstance(found, dict) else None
    if version != FORMAT:
        raise ExportedFileError(f"{path}: format {version!r}, expected {FORMAT!r}")
    if wrong := problems(found):
        raise ExportedFileError(f"{path}: {METADATA}: {'; '.join(wrong)}")
    return Metadata(**found)
