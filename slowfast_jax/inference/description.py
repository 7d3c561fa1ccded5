"""The description of a recognizer that `print` shows."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from data_pipelines.text_files import counted

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer


def describe(recognizer: "Recognizer") -> str:
    """The network, its weights and its test protocol, on a few lines."""
    model, config, names = recognizer.model, recognizer.config, recognizer.class_names
    protocol = config.protocol
    count = sum(leaf.size for leaf in jax.tree.leaves(recognizer.variables["params"]))
    shown = names if len(names) <= 6 else [*names[:3], "...", names[-1]]
    views = f"{counted(protocol.clips, 'clip')} x {counted(protocol.crops, 'crop')}"
    lines = {
        "network": f"{type(model).__name__}, {count / 1e6:.2f} million parameters, "
                   f"{jnp.dtype(model.dtype).name}",
        "weights": config.test.checkpoint or "random",
        "classes": f"{len(names)} ({', '.join(shown)})",
        "clip": f"{protocol.num_frames} frames, every {protocol.sampling_rate} at "
                f"{protocol.target_fps:g} per second, {protocol.test_crop} pixels",
        "input": "clips and boxes" if recognizer.takes_boxes else f"clips; videos as {views}",
    }
    if recognizer.runtime:
        lines["backend"] = recognizer.runtime
    rows = "".join(f"\n  {key}: {value}" for key, value in lines.items())
    return f"Recognizer({config.name}){rows}"
