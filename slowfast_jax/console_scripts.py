"""The installed commands slowfast-jax, slowfast-jax-predict, -convert, -demo, -web and so on.

Those that run networks first restart themselves with other malloc settings (malloc.py), before the
slow imports.
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


def visualize() -> None:
    """slowfast-jax-visualize: `python -m slowfast_jax.visualize`."""
    _begin()
    from slowfast_jax.visualize.__main__ import cli

    sys.exit(cli())


def web() -> None:
    """slowfast-jax-web: `python -m slowfast_jax.web`."""
    _begin()
    from slowfast_jax.web.__main__ import run

    run()


def annotate() -> None:
    """slowfast-jax-annotate: `python -m slowfast_jax.annotate`."""
    interrupts.end_at_once()
    from slowfast_jax.annotate.__main__ import cli

    sys.exit(cli())


def _begin() -> None:
    interrupts.end_at_once()
    malloc.restart_with_settings()
