"""Checks what a checkpoint of this project says about itself: types and ranges of its fields."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.unpickle import CheckpointError
from slowfast_jax.config import schema
from slowfast_jax.config.schema_model import MODEL
from slowfast_jax.fields import Field, Range, Section, field_problems

TABLE = Field(object, "", Range("a table", lambda value: isinstance(value, Mapping)))
FIELDS: Section = {
    "version": Field("", ""),
    "model": MODEL,
    "class_names": Field((), "", Range(
        "a list of names", lambda value: all(isinstance(name, str) for name in value)
    )),
    "mean": schema.PROTOCOL["mean"],
    "std": schema.PROTOCOL["std"],
    "protocol": schema.PROTOCOL,
    "source": TABLE,
    "converted_from": TABLE,
    "tested": {"metrics": TABLE, "fingerprint": TABLE},
    "fingerprint": {"weights_sha256": Field("", ""), "class_list_sha256": Field("", "")},
    "config": {
        **schema.TESTING, "protocol": schema.PROTOCOL, "model": MODEL,
        "data": {**schema.DATA, "jitter": schema.TRAINING_DATA["jitter"]},
    },
}


def check_description(found: Mapping[str, Any], path: str | Path) -> None:
    """Checks the fields of a description that it has.

    Args:
      found: the metadata of a checkpoint, see `slowfast_jax.weights.describe`.
      path: where they were read, for the message.

    Raises:
      CheckpointError: fields have another type, or values out of range; all are named.
    """
    if wrong := field_problems(found, FIELDS, ""):
        raise CheckpointError(f"{path}: {'; '.join(wrong)}")
