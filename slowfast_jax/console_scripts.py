"""The installed commands slowfast-jax, slowfast-jax-predict, -convert and -demo.

Each first restarts itself with other malloc settings (malloc.py), before the slow imports.
"""

import sys

from slowfast_jax import interrupts, malloc


def main() -> None:
    """slowfast-jax: `python -m slowfast_jax.main`."""
    _begin()
    from slowfast_jax.main import cli

    cli()


def predict() -> None:
    """slowfast-jax-predict: `python -m slowfast_jax.predict`."""
    _begin()
    from slowfast_jax.predict import cli

    sys.exit(cli())


def convert() -> None:
    """slowfast-jax-convert: `python -m convert`."""
    _begin()
    from slowfast_jax.convert_command import cli

    sys.exit(cli())


def demo() -> None:
    """slowfast-jax-demo: `python -m slowfast_jax.demo`."""
    _begin()
    from slowfast_jax.demo.__main__ import cli

    sys.exit(cli())


def _begin() -> None:
    interrupts.end_at_once()
    malloc.restart_with_settings()
