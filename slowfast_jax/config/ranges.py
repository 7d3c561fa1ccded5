"""Checks the type and range of each field by the schema."""

from collections.abc import Mapping

from ml_collections import ConfigDict

from slowfast_jax.config.field import Field, Section, expected, shown
from slowfast_jax.config.recipe_files import ConfigError


def field_problems(config: ConfigDict, section: Section, name: str = "config") -> list[str]:
    """The fields whose value has another type than in the schema, or is out of its range.

    Args:
      config: a config, or one of its sections.
      section: the schema of `config`. Fields that `config` lacks are not checked.
      name: name of `config` in the messages.
    """
    problems = []
    for key, field in section.items():
        if key not in config:
            continue
        value = config[key]
        if isinstance(field, Field):
            if words := expected(field, value):
                problems.append(f"{name}.{key} is {shown(value)}, expected {words}")
        elif isinstance(value, Mapping | ConfigDict):
            problems += field_problems(value, field, f"{name}.{key}")
        else:
            problems.append(
                f"{name}.{key} is {shown(value)}, expected a section with {', '.join(field)}"
            )
    return problems


def check_ranges(config: ConfigDict, section: Section, name: str = "config") -> None:
    """Raises ConfigError with the problems of `field_problems`, if there are any."""
    if problems := field_problems(config, section, name):
        raise ConfigError(*problems)
