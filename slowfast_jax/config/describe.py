"""A config in words: every field with its value, default and meaning."""

import shlex
from collections.abc import Container, Mapping
from typing import Any

from ml_collections import ConfigDict

from slowfast_jax.config import schema
from slowfast_jax.config.completion import default_keywords
from slowfast_jax.config.schema_model import MODEL
from slowfast_jax.fields import Field, Section
from slowfast_jax.models import zoo


def full_schema(config: ConfigDict) -> dict[str, Any]:
    """The schema of all sections of a config."""
    data_format = config.data.get("format", "")
    known = data_format if isinstance(data_format, str) else ""
    task = config.task if isinstance(config.task, str) else ""
    return {
        **schema.training_sections(known), "model": MODEL, "protocol": schema.PROTOCOL,
        "augment": schema.AUGMENT.get(task, {}),
    }


def describe(config: ConfigDict, given: Container[str] = ()) -> str:
    """All fields as flags, with default, range and meaning.

    Args:
      config: a complete config.
      given: fields ("train.epochs") that were set by flags.
    """
    entry = zoo.find(config.model.name)
    of_network = default_keywords(entry["make"]) | entry["model"] | {"name": config.model.name}
    defaults = {"model": of_network, "protocol": entry["protocol"]}
    make = entry["make"]
    source = f"A keyword of {make.__module__}.{make.__qualname__}."
    lines: list[str] = []

    def add(section: Any, fields: Section, known: Mapping[str, Any], path: str) -> None:
        for key, value in section.items():
            field, name = fields.get(key), f"{path}{key}"
            if isinstance(value, ConfigDict):
                inner = field if isinstance(field, Mapping) else {}
                add(value, inner, known.get(key, {}), f"{name}.")
                continue
            default = known.get(key, field.default if isinstance(field, Field) else value)
            notes = ["set by a flag"] if name in given else []
            if not isinstance(default, type) and default != value:
                notes.append(f"default: {_text(default)}")
            if isinstance(field, Field) and field.range:
                notes.append(f"expected: {field.range.words}")
            lines.append(f"--config.{name}={_text(value)}")
            if notes:
                lines.append(f"    ({'; '.join(notes)})")
            lines.append(f"    {field.help if isinstance(field, Field) else source}")

    add(config, full_schema(config), defaults, "")
    return "\n".join(lines)


def _text(value: Any) -> str:
    return shlex.quote(str(value)) if value != "" else ""
