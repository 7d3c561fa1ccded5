"""Networks as graphs of other programs: ONNX, which OpenVINO and onnxruntime run."""
