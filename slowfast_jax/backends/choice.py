"""Chooses the program that runs a network, and explains what is missing for it."""

import importlib.util
from collections.abc import Callable
from importlib import metadata

import jax
import jax.numpy as jnp
from absl import logging

from data_pipelines.command import install
from slowfast_jax.backends.graph_predictor import GraphPredictor
from slowfast_jax.config import ConfigError
from slowfast_jax.inference.predict_step import Output, Predictor, probabilities
from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.option_names import BACKENDS

JAX, AUTO = "jax", "auto"
# Dtypes in which the others compute; {name: package}, the package being also the name of the extra.
DTYPES = {"openvino": ("float32", "bfloat16"), "onnxruntime": ("float32",)}
EXTRAS = {"openvino": "openvino", "onnxruntime": "onnx"}
PACKAGES = {"openvino": ("openvino", "onnx"), "onnxruntime": ("onnxruntime", "onnx")}


def choose_backend(name: str, model: VideoNetwork) -> str:
    """The backend that `name` means for a network: "jax", "openvino" or "onnxruntime".

    "auto" is OpenVINO if it is installed, the device is a CPU, and the network computes in one
    dtype that OpenVINO has; otherwise JAX. A log line says which.

    Raises:
      ConfigError: there is no such backend, its package is not installed, or it does not compute in
        the dtype of the network.
    """
    if name not in BACKENDS:
        raise ConfigError(f"backend is {name!r}, expected one of {', '.join(BACKENDS)}")
    if name == JAX:
        return JAX
    if name == AUTO:
        why = _obstacle("openvino", model)
        if not why and jax.default_backend() != "cpu":
            why = f"the device is a {jax.default_backend()}"
        chosen, because = (JAX, why) if why else ("openvino", "the device is a CPU")
        logging.info("backend auto: %s runs the network (%s)", chosen, because)
        return chosen
    if why := _obstacle(name, model):
        raise ConfigError(f"backend {name}: {why}")
    return name


def _obstacle(name: str, model: VideoNetwork) -> str:
    """Why a backend cannot run a network; "" if it can."""
    missing = [name for name in PACKAGES[name] if importlib.util.find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} cannot be imported; {install(EXTRAS[name])}"
    dtype = jnp.dtype(model.dtype).name
    if dtype not in DTYPES[name]:
        return f"computes in {' or '.join(DTYPES[name])}, and the dtype of the network is {dtype}"
    if getattr(model, "dtypes", ()):
        return f"computes the whole network in one dtype, and dtypes is {tuple(model.dtypes)}"
    return ""


def predictor_maker(name: str, model: VideoNetwork) -> Callable[..., Predictor | GraphPredictor]:
    """`make(output)` makes predictors of a network; `name` is one that `choose_backend` returned.
    """

    def make(output: Output = probabilities) -> Predictor | GraphPredictor:
        if name == JAX:
            return Predictor(model, output)
        return GraphPredictor(model, output, _compiler(name))

    return make


def describe_backend(name: str, model: VideoNetwork) -> str:
    """What computes the scores, such as "openvino 2026.4.1, float32"; "" if it is JAX."""
    if name == JAX:
        return ""
    return f"{name} {metadata.version(name)}, {jnp.dtype(model.dtype).name}"


def _compiler(name: str) -> Callable:
    # Imported here, because the packages are extras.
    if name == "openvino":
        from slowfast_jax.backends.openvino_graph import compile_graph
    else:
        from slowfast_jax.backends.onnxruntime_graph import compile_graph
    return compile_graph
