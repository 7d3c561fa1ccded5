"""The programs that run a network: JAX, or on a CPU OpenVINO or onnxruntime."""
