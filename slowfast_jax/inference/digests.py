"""Digests of texts and files, which tell whether two results come from the same inputs."""

import hashlib
from pathlib import Path

from slowfast_jax.published.download import sha256_of


def digest(text: str) -> str:
    """First 16 digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of(path: Path) -> str:
    """First 16 digits of the SHA-256 of a file, or of the digests of all files in a folder."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return digest("\n".join(map(digest_of, files)))
    return sha256_of(path)[:16]
