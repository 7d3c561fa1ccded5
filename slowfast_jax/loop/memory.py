"""An error that says that a device is out of memory, and what helps."""

import jax
from ml_collections import ConfigDict

from slowfast_jax.config import clips_of_example


def out_of_memory(error: BaseException, config: ConfigDict, mode: str) -> str:
    """One line for an error of JAX about memory: the batch and the flags to change; else ""."""
    if not isinstance(error, (jax.errors.JaxRuntimeError, MemoryError)):
        return ""
    reason = str(error).strip()
    if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in reason:
        return ""
    protocol, frames = config.protocol, config.protocol.num_frames
    test = (
        f"{config.test.batch_size} views of {frames} x {protocol.test_crop} x {protocol.test_crop}"
    )
    if mode == "train":
        clips = config.train.batch_size * clips_of_example(config)
        batch = f"a batch of {clips} clips of {frames} x {protocol.train_crop} x " \
                f"{protocol.train_crop}"
        advice = (
            "lower --config.train.batch_size (the learning rate follows it if "
            "config.schedule.reference_batch is set), split the batch with "
            f"--config.train.accumulate={2 * config.train.accumulate}, recompute stages with "
            f"--config.model.remat, or, if validation failed ({test}), lower "
            "--config.test.batch_size"
        )
    else:
        batch, advice = f"a batch of {test}", "lower --config.test.batch_size"
    first = next(iter(reason.splitlines()), type(error).__name__)
    return (
        f"out of memory: {batch} does not fit on {jax.device_count()} {jax.default_backend()} "
        f"device(s): {advice} ({first[:200]})"
    )
