"""PySlowFast's video models in JAX.

    import slowfast_jax
    recognizer = slowfast_jax.load("kinetics/x3d_xs", weights="x3d_xs.pyth")
    recognizer.predict_video("a.mp4", top_k=5)
    slowfast_jax.show("a.mp4")  # in Jupyter
"""

import fnmatch
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slowfast_jax.display.show import show
    from slowfast_jax.recognizer import Recognizer, load

__version__ = "0.1.0"
__all__ = ["Recognizer", "__version__", "list_models", "load", "show"]


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """Sorted names that `load` takes.

    Args:
      pattern: a shell pattern that the names match, such as "*x3d*".
      pretrained: list the published checkpoints, which `load(name, weights="published")` loads,
        instead of the networks. Those whose network this project does not have yet are left out.
    """
    from slowfast_jax.models.zoo import ZOO
    from slowfast_jax.published import loadable

    return sorted(fnmatch.filter(loadable() if pretrained else ZOO, pattern))


def __getattr__(name: str) -> Any:
    """`load` and others, imported when they are first used: JAX takes a second to import."""
    if name == "show":
        from slowfast_jax.display.show import show

        return show
    if name in ("Recognizer", "load"):
        from slowfast_jax import recognizer

        return getattr(recognizer, name)
    raise AttributeError(f"module 'slowfast_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
