"""Video models of PySlowFast in JAX.

    import slowfast_jax
    recognizer = slowfast_jax.load("kinetics/x3d_xs", weights="x3d_xs.pyth")
    recognizer.predict_video("a.mp4", top_k=5)
"""

import fnmatch
from typing import Any


def list_models(pattern: str = "*") -> list[str]:
    """Names of the published models, those that match a shell pattern ("*x3d*"), sorted."""
    from slowfast_jax.models.zoo import ZOO

    return sorted(fnmatch.filter(ZOO, pattern))


def load(spec: Any, weights: Any = None, **options: Any) -> Any:
    """A model with weights, ready to predict: see `slowfast_jax.recognizer.load`."""
    from slowfast_jax.recognizer import load as load_recognizer

    return load_recognizer(spec, weights, **options)
