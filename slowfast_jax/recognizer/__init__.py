"""The library's entry point: a network with its weights, class names and test protocol.

    recognizer = load("kinetics/x3d_xs", weights="x3d_xs.pyth")
    recognizer.predict_video("a.mp4", top_k=5)
"""

from slowfast_jax.recognizer.loading import load
from slowfast_jax.recognizer.recognizer import Recognizer

__all__ = ["Recognizer", "load"]
