"""Sessions of onnxruntime, imported without its telemetry.

On Linux and macOS, onnxruntime from 1.29 on stores an identifier of the machine in the user's cache
folder and reports its use to Microsoft, unless an environment variable forbids it when it is
imported: https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from data_pipelines.cores import available_cores


def session_options() -> onnxruntime.SessionOptions:
    """Options with a thread for each core that this process may use."""
    options = onnxruntime.SessionOptions()
    # By default there is a thread for each core of the machine, allowed or not.
    options.intra_op_num_threads = available_cores()
    return options


def open_session(
    network: str | bytes, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    """A session on the CPU. network: the path of an ONNX file, or its content."""
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
