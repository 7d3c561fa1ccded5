"""Keeps compiled programs in the user's cache folder, so that the next start need not compile.

The folder is that of the environment variable SLOWFAST_JAX_CACHE; "off" keeps nothing. Default:
~/.cache/slowfast_jax, or slowfast_jax in XDG_CACHE_HOME. Programs are in its sub-folder `compiled`,
by the type of the CPU: XLA compiles for the instructions of the CPU at hand, and another type may
lack them. Published weights are in its sub-folder `weights`, person detectors in `detectors`
(published/cached_files.py).
"""

import glob
import hashlib
import os
import platform
import re
import sys
import warnings
import zlib
from pathlib import Path

VARIABLE = "SLOWFAST_JAX_CACHE"
# JAX's warning about a file of the cache that it cannot read, for example because the disk was full
# when it was written. JAX leaves the file there, and would repeat the warning at each start.
UNREADABLE = r"Error reading persistent compilation cache entry for '([^']+)'"
LEAST_SECONDS = 0.2  # programs that compile faster are not worth a file


def cache_folder() -> Path | None:
    """The folder of this project's caches; None if the user wants none."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() == "off":
        return None
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else Path.home() / ".cache") / "slowfast_jax"


def keep_compiled(folder: str | os.PathLike | None = None) -> Path | None:
    """Makes JAX keep compiled programs, and use those of earlier starts.

    Call it before anything is compiled.

    Args:
      folder: where to keep them. Default: the folder of JAX's own variable
        JAX_COMPILATION_CACHE_DIR, or else the user's cache folder, see the module.

    Returns:
      The folder in use; None if nothing is kept: the user wants no cache, or the default folder
      cannot be written.
    """
    import jax  # not above: commands print their help without waiting for JAX

    place = _default_place() if folder is None else Path(folder)
    if place is None:
        return None
    jax.config.update("jax_compilation_cache_dir", os.fspath(place))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    _remove_unreadable(place)
    return place


def _remove_unreadable(place: Path) -> None:
    """Removes files of the cache that JAX warns about, so that the programs are kept anew."""
    show = warnings.showwarning

    def remove_or_show(message, *arguments, **options) -> None:
        match = re.match(UNREADABLE, str(message))
        files = list(place.glob(f"{glob.escape(match[1])}-*-cache")) if match else []
        if not files:
            show(message, *arguments, **options)
            return
        damaged = [file for file in files if not _is_complete(file)] or files
        try:
            for file in damaged:
                file.unlink(missing_ok=True)
        except OSError as error:
            print(f"{file} is damaged and cannot be removed ({error.strerror}): remove it",
                  file=sys.stderr)
            return
        names = ", ".join(file.name for file in damaged)
        print(f"the compilation cache {place} had a damaged file, which was removed: {names}",
              file=sys.stderr)

    warnings.showwarning = remove_or_show


def _is_complete(file: Path) -> bool:
    try:
        zlib.decompress(file.read_bytes())
    except (OSError, zlib.error):  # or another compression: then all programs of this name go
        return False
    return True


def _default_place() -> Path | None:
    if own := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(own)
    try:
        root = cache_folder()
        if root is None:
            return None
        place = root / "compiled" / _cpu_type()
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
    return place if os.access(place, os.W_OK) else None


def _cpu_type() -> str:
    """A name for the architecture and the instructions of this machine's CPU."""
    names = [platform.machine(), platform.processor()]
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features", "model name")):
                names.append(line)
                if not line.startswith("model name"):
                    break
    except OSError:  # not Linux: the architecture must do
        pass
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
    return f"{platform.machine() or 'cpu'}-{digest}"
