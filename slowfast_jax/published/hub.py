"""Weights on the Hugging Face hub: hf://ORGANIZATION/NAME[@REVISION][/FILE].

The package huggingface_hub (extra [hub]) is imported where it is needed. Its cache folder
(HF_HOME), tokens (HF_TOKEN), endpoint (HF_ENDPOINT) and offline mode (HF_HUB_OFFLINE) apply. All
files come from one commit.
"""

import glob
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from urllib.parse import unquote

from convert.formats.sharded import is_index, read_index
from data_pipelines.command import install

# Python's Path makes one slash of two.
ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@([^/]+))?(?:/(.+))?")
CACHED = re.compile(r"models--(.+?)--(.+)/snapshots/([0-9a-f]{40})(?:/(.+))?")
OWN_FILES = ("config.json", "model.safetensors")
SUFFIXES = (
    ".safetensors", ".pth", ".pyth", ".pt", ".bin", ".ckpt", ".pkl", ".pdparams", ".index.json",
)
SHARD = re.compile(r"-\d+-of-\d+\.\w+$")
LISTED = 10  # files of a repository in an error message


class HubError(OSError):
    """Weights that cannot be read from the hub or uploaded. The message has address and reason."""


class Address(NamedTuple):
    """A repository on the hub, or a file in it. revision, file: "" if not given."""

    repository: str
    revision: str
    file: str


def is_address(path: str | os.PathLike) -> bool:
    """Whether a path is meant as an address on the hub."""
    return os.fspath(path).startswith("hf:/")


def parse(address: str | os.PathLike) -> Address:
    """The parts of an address. A slash in a revision is written as %2F.

    Raises:
      HubError: it is not an address.
    """
    match = ADDRESS.fullmatch(os.fspath(address))
    file = match[3] or "" if match else ""
    if not match or {".", "..", ""} & set(file.split("/")) and file or "\\" in file:
        raise HubError(
            f"{os.fspath(address)} is not an address on the hub, expected "
            "hf://ORGANIZATION/NAME[@REVISION][/FILE]"
        )
    return Address(match[1], unquote(match[2] or ""), file)


def local_path(path: str | os.PathLike) -> str | os.PathLike:
    """The file or folder of weights on this machine; an address on the hub is downloaded.

    Args:
      path: a path, which is returned as it is; or an address. Without a file, it is of a
        repository with a checkpoint of this project, whose folder is returned, or with a single
        file of weights.

    Raises:
      HubError: it cannot be downloaded, and is not in the cache folder; or the repository has
        several files of weights.
    """
    return _fetch(os.fspath(path), parse(path)) if is_address(path) else path


def address_of(path: str | os.PathLike) -> str:
    """The address of a file or folder in the cache folder of the hub; "" for any other."""
    match = CACHED.search(Path(path).absolute().as_posix())
    if not match:
        return ""
    organization, name, commit, file = match.groups()
    return f"hf://{organization}/{name}@{commit}" + (f"/{file}" if file else "")


def library(purpose: str) -> ModuleType:
    """The package huggingface_hub; HubError with what to install if it is missing."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise HubError(
            f"{purpose}: this needs the package huggingface_hub; {install('hub')}"
        ) from error
    return huggingface_hub


def _fetch(shown: str, address: Address) -> Path:
    hub = library(shown)
    with hub_errors(shown):
        if not address.file:
            names, folder = _files(hub, address), None
            if names is None or names >= set(OWN_FILES):
                folder = _download(hub, address, OWN_FILES[:1])
                if _is_own(folder / OWN_FILES[0]):
                    _download(hub, address._replace(revision=folder.name), OWN_FILES)
                    return _existing(shown, folder, OWN_FILES[1], folder)
            if names is None:
                found = (path for path in folder.rglob("*") if path.is_file())
                names = {path.relative_to(folder).as_posix() for path in found}
            address = address._replace(file=_only(shown, sorted(names)))
        folder = _download(hub, address, [address.file])
        path = _existing(shown, folder, address.file, folder / address.file)
        if is_index(path):
            parts = [f"{address.file.rpartition('/')[0]}/{name}".lstrip("/")
                     for name in read_index(path)]
            _download(hub, address._replace(revision=folder.name), parts)
    return path


def _download(hub: ModuleType, address: Address, files: Sequence[str]) -> Path:
    """Downloads files of a repository that it has, or finds them in the cache; their folder."""
    return Path(hub.snapshot_download(
        address.repository, revision=address.revision or None,
        allow_patterns=[glob.escape(file) for file in files],
    ))


def _is_own(config: Path) -> bool:
    """Whether a config.json is of a checkpoint of this project."""
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("format") == "slowfast_jax"


def _files(hub: ModuleType, address: Address) -> set[str] | None:
    """Names of the files of a repository; None if the hub does not answer.

    What is wrong then is found by the download that follows, which looks into the cache, too.
    """
    try:
        return set(hub.HfApi().list_repo_files(
            address.repository, revision=address.revision or None
        ))
    except Exception:
        return None


def _only(shown: str, files: Sequence[str]) -> str:
    found = [name for name in files if name.endswith(SUFFIXES) and not SHARD.search(name)]
    if len(found) == 1:
        return found[0]
    what = "has several files of weights" if found else "has no weights that are known"
    listed = ", ".join((found or list(files))[:LISTED]) or "no files"
    raise HubError(f"{shown} {what}: {listed}. Name one, as in {shown.rstrip('/')}/FILE")


def _existing(shown: str, folder: Path, name: str, result: Path) -> Path:
    if not (folder / name).is_file():
        raise HubError(f"{shown}: the repository has no file {name}, or it is not in the cache")
    return result


@contextmanager
def hub_errors(shown: str) -> Iterator[None]:
    """Turns any error of huggingface_hub into a HubError that begins with `shown`."""
    from huggingface_hub import errors

    try:
        yield
    except HubError:
        raise
    except errors.GatedRepoError as error:
        reason = "access to it must be requested on its page, and HF_TOKEN set to your token"
        raise HubError(f"{shown}: {reason}") from error
    except errors.RepositoryNotFoundError as error:
        reason = "there is no such repository; or it is private, and HF_TOKEN is not set"
        raise HubError(f"{shown}: {reason}") from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{shown}: the repository has no such revision") from error
    except errors.LocalEntryNotFoundError as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        why = "HF_HUB_OFFLINE is set" if offline else "the hub cannot be reached"
        raise HubError(f"{shown} is not in the cache folder of the hub, and {why}") from error
    except Exception as error:  # also of its HTTP library, another one in each major version
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise HubError(f"{shown}: {reason}") from error
