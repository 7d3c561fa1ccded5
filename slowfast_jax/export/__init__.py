"""Networks as programs of their own: StableHLO for JAX, and ONNX for other runtimes."""
