"""PySlowFast's video models in JAX.

    import slowfast_jax
    recognizer = slowfast_jax.load("kinetics/x3d_xs", weights="x3d_xs.pyth")
    recognizer.predict_video("a.mp4", top_k=5)
"""

import fnmatch
from typing import Any

__version__ = "0.1.0"


def list_models(pattern: str = "*") -> list[str]:
    """Sorted names of the published models that match a shell pattern, such as "*x3d*"."""
    from slowfast_jax.models.zoo import ZOO

    return sorted(fnmatch.filter(ZOO, pattern))


def load(spec: Any, weights: Any = None, **options: Any) -> Any:
    """Loads a model with its weights, ready to predict; see `slowfast_jax.recognizer.load`."""
    from slowfast_jax.recognizer import load as load_recognizer

    return load_recognizer(spec, weights, **options)
