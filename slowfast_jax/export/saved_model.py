"""A network as a SavedModel of TensorFlow, which holds the same program of StableHLO.

TensorFlow is no dependency of this project: only this module imports it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import flax.linen as nn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before the import: without its notes

import tensorflow as tf
from jax.experimental import jax2tf

from data_pipelines.atomic_files import whole
from data_pipelines.paths import PathLike
from slowfast_jax.export.exported_file import METADATA
from slowfast_jax.export.metadata import Metadata
from slowfast_jax.export.program import form_for, scores_function
from slowfast_jax.ops.backend import written_for

FORMAT = "slowfast_jax SavedModel 1"
EXTRA = "assets.extra"  # where TensorFlow leaves files of others alone


def write_saved_model(
    path: PathLike, model: nn.Module, variables: Mapping[str, Any], metadata: Metadata
) -> None:
    """Writes a folder, as a whole, whose `serving_default` maps clip (and boxes) to scores.

    assets.extra/metadata.json has the fields of the metadata.
    """
    n, b = metadata.batch or "n", metadata.box_count or "b"
    clip = (metadata.batch, *metadata.clip_size, 3)
    specs = [tf.TensorSpec(clip, tf.uint8, name="clip")]
    shapes = [f"({n}, {', '.join(map(str, clip[1:]))})"]
    if metadata.boxes:
        specs.append(tf.TensorSpec((metadata.batch, metadata.box_count, 4), tf.float32, "boxes"))
        shapes.append(f"({n}, {b}, 4)")
    converted = jax2tf.convert(
        scores_function(model, variables), polymorphic_shapes=shapes, with_gradient=False,
        native_serialization_platforms=tuple(metadata.platforms),
    )
    module = tf.Module()
    module.scores = tf.function(
        lambda *inputs: {"scores": converted(*inputs)}, autograph=False, input_signature=specs
    )
    with written_for(form_for(metadata.platforms)):
        signature = module.scores.get_concrete_function()
    described = asdict(replace(metadata, format=FORMAT))
    described["versions"] = {**metadata.versions, "tensorflow": tf.__version__}
    del described["sha256"]
    with whole(path) as part:
        tf.saved_model.save(module, os.fspath(part), signatures=signature)
        (part / EXTRA).mkdir()
        text = json.dumps(described, indent=1) + "\n"
        (part / EXTRA / METADATA).write_text(text, encoding="utf-8")
