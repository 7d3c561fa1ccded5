"""The schema is complete, and its defaults lie within its ranges."""

import importlib

import pytest
from ml_collections import ConfigDict

from slowfast_jax.config import ConfigError, check_ranges, load_config, schema
from slowfast_jax.config.completion import default_values
from slowfast_jax.fields import (
    Field,
    above,
    at_least,
    between,
    one_of,
)
from slowfast_jax.models import zoo
from tests.support.paths import ROOT

STEMS = ("ava", "charades", "imagenet", "kinetics", "mmaction2", "own", "ssv2")


def fields_of(section, name="config"):
    for key, field in section.items():
        if isinstance(field, Field):
            yield f"{name}.{key}", field
        else:
            yield from fields_of(field, f"{name}.{key}")


ALL = {
    **dict(fields_of(schema.training_sections("*"))),
    **dict(fields_of(schema.PROTOCOL, "config.protocol")),
    **{path: field for section in schema.AUGMENT.values()
       for path, field in fields_of(section, "config.augment")},
}


@pytest.mark.parametrize("path", ALL)
def test_fields_have_help_and_a_possible_default(path):
    field = ALL[path]
    assert len(field.help) > 10 and field.help.endswith(".")
    assert field.range is None or field.range.holds(field.default)


def test_protocol_is_that_of_the_zoo():
    assert default_values(schema.PROTOCOL) == zoo.PROTOCOL


@pytest.mark.parametrize("stem", STEMS)
def test_every_field_of_a_recipe_is_documented(stem):
    for variant in importlib.import_module(f"configs.{stem}").VARIANTS:
        config = load_config(f"{ROOT}/configs/{stem}.py:{variant}")
        sections = {
            **schema.training_sections(config.data.format), "protocol": schema.PROTOCOL,
            "augment": schema.AUGMENT[config.task],
        }
        assert set(config) == {*sections, "model"}
        for name, section in sections.items():
            if not isinstance(section, Field):
                assert set(config[name]) == set(section), f"{variant}: {name}"


def test_defaults_are_not_shared():
    first, second = (ConfigDict(default_values(schema.TRAINING)) for _ in range(2))
    first.published.top1 = 1.0
    first.train.init_from.path = "a"
    assert second.published.top1 is None and second.train.init_from.path == ""


@pytest.mark.parametrize(("range_", "inside", "outside", "words"), [
    (at_least(1), (1, 2), (0, -1), "at least 1"),
    (at_least(0), (0, 0.5), (-0.1,), "0 or more"),
    (above(0), (0.1,), (0, -1), "above 0"),
    (between(0, 1), (0, 0.5, 1), (-0.1, 1.1), "0..1"),
    (one_of(("a", "b")), ("a", "b"), ("c", ""), "a or b"),
])
def test_ranges(range_, inside, outside, words):
    assert range_.words == words
    assert all(map(range_.holds, inside)) and not any(map(range_.holds, outside))


def test_values_out_of_range_are_named_with_their_section():
    section = {"outer": {"inner": Field(1, "A number.", at_least(1))}}
    check_ranges(ConfigDict({"outer": {"inner": 1}, "other": -1}), section)
    check_ranges(ConfigDict({}), section)
    with pytest.raises(ConfigError, match=r"^config\.outer\.inner is 0, expected at least 1$"):
        check_ranges(ConfigDict({"outer": {"inner": 0}}), section)
