"""Every field of every recipe with a wrong value is one line that names it, never a traceback."""

import itertools

import pytest
from ml_collections import ConfigDict

from slowfast_jax.config import (
    ConfigError,
    build_model,
    load_config,
    recipe_names,
    training_problems,
)
from slowfast_jax.config.completion import check_keys
from slowfast_jax.config.schema_model import MODEL
from slowfast_jax.fields import Field, expected
from slowfast_jax.weights import variable_shapes
from tests.slowfast_jax.config.test_schema import ALL

INF, NAN = float("inf"), float("nan")
WRONG = (
    "nonsense", "", 0, -1, -1.5, 10**30, NAN, INF, None, (), (1, 2), ("a",), True, [3], {"a": 1},
    "a\nb", (NAN,), ((0,),),
)
# Recipes that together have all sections, tasks and kinds of networks.
QUICK = ("kinetics/x3d_xs", "ava/mini")
OF_OTHER_TYPE = {
    bool: ("nonsense", 2, None, (1,)), int: ("nonsense", 1.5, NAN, None, True, (1,)),
    float: ("nonsense", NAN, INF, None, True, (1,), 10**400), str: (1, None, True, ("a",), "a\nb"),
    tuple: ("nonsense", 1, None, True),
}
FIELDS = ALL | {f"config.model.{key}": field for key, field in MODEL.items()}


@pytest.mark.parametrize("path", FIELDS)
def test_values_of_another_type_are_refused(path):
    field: Field = FIELDS[path]
    kind = type(field.default)
    for value in OF_OTHER_TYPE.get(kind, ()):
        words = expected(field, value)
        assert words and "\n" not in words, value
    for value in WRONG:
        assert "\n" not in expected(field, value)


def trainable(name):
    config = load_config(name, train=True)
    with config.unlocked():
        config.train.enable = True
        config.model.num_classes = config.model.num_classes or 5
    return config


def fields_of(section, path=()):
    for key, value in section.items():
        if isinstance(value, ConfigDict):
            yield from fields_of(value, (*path, key))
        else:
            yield section, key, ".".join((*path, key))


def put(section, key, value):
    del section[key]  # a field that exists converts its values
    section[key] = value


def try_values(name, values_of):
    """Sets each field to wrong values; everything that follows must be one line, or accepted."""
    config = trainable(name)
    assert training_problems(config) == []
    with config.unlocked():
        for section, key, path in list(fields_of(config)):
            before = section[key]
            for value in values_of(path):
                put(section, key, ConfigDict(value) if isinstance(value, dict) else value)
                problems = training_problems(config)
                assert not any("\n" in problem for problem in problems), (path, value)
                optional = path.startswith("published.")
                if value is None and not optional or value == {"a": 1}:
                    assert f"config.{path} is" in problems[0], value
                put(section, key, before)
    assert training_problems(config) == []


@pytest.mark.parametrize("name", QUICK)
def test_wrong_values_in_a_recipe(name):
    turns = itertools.cycle(range(6))

    def some(path):  # all values, over three fields
        first = next(turns)
        return (None, *WRONG[first::6])

    try_values(name, some)


@pytest.mark.slow
@pytest.mark.parametrize("name", recipe_names())
def test_all_wrong_values_in_all_recipes(name):
    try_values(name, lambda path: WRONG)


def test_all_problems_are_reported_at_once():
    config = trainable("kinetics/x3d_xs")
    with config.unlocked():
        config.schedule.base_lr = -1.0
        config.optimizer.name = "adamm"
        config.train.batch_size = 100
        config.model.num_classes = 1
        config.class_names = ""
        config.model.dtype = "float16"
    with pytest.raises(ConfigError) as error:
        raise ConfigError(*training_problems(config))
    problems = error.value.problems
    assert str(error.value).splitlines() == list(problems) and len(problems) == 5
    text = str(error.value)
    for part in (
        "config.schedule.base_lr is -1.0, expected above 0",
        "config.optimizer.name is adamm, expected sgd or adam or adamw; did you mean adam",
        "config.train.batch_size=96 or config.norm.group_size=10",
        "config.model.num_classes is 1, expected 2 or more",
    ):
        assert part in text, part


@pytest.mark.parametrize(("values", "message"), [
    ({"schedule.warmup_epochs": 5.0, "train.epochs": 5},
     r"warmup_epochs is 5, expected less than config\.train\.epochs, 5"),
    ({"schedule.warmup_epochs": 34.0, "train.epochs": 25, "schedule.style": "mmengine"},
     r"set a shorter warm-up, such as config\.schedule\.warmup_epochs=2$"),
    ({"schedule.warmup_epochs": 1.0, "schedule.warmup_start_lr": 1.0},
     r"warmup_start_lr is 1, expected at most config\.schedule\.base_lr"),
    ({"model.dtype": "float16"}, "float16, expected bfloat16 or float32"),
    ({"model.dtypes": ("head:float16",)}, "float16, expected bfloat16 or float32"),
    ({"model.dtypes": ("heads:float32",)}, r"config\.model\.dtypes has 'heads:float32'"),
    ({"train.batch_size": 12}, r"set config\.train\.batch_size=8 or config\.norm\.group_size=6"),
    ({"data.jitter": (32, 40)}, r"data\.jitter is \(32, 40\), expected numbers from .*train_crop"),
    ({"data.format": "boxes"}, r"data\.format is boxes, expected kinetics or .* for task classif"),
    ({"model.detection": True}, r"model\.detection is True, which does not fit config\.task"),
    ({"protocol.num_frames": 6}, r"num_frames is 6, expected a multiple of config\.model\.alpha"),
    ({"augment.rand_augment": "random"}, r"config\.augment\.rand_augment: .*must begin with rand"),
    ({"data.jitter_scales_relative": (0.1, 1.0)}, "set both or neither"),
    ({"optimizer.name": "adamw", "optimizer.lars": True}, r"lars cannot be combined with adamw"),
    ({"train.loss": "mse"}, r"train\.loss is mse, expected cross_entropy or soft_cross_entropy"),
    ({"class_names": "nowhere.txt"}, r"config\.class_names: class names 'nowhere.txt'"),
    ({"class_names": "ucf101"}, "has 101 names, but config.model.num_classes is 4"),
])
def test_fields_that_do_not_fit_each_other(values, message):
    config = trainable("kinetics/mini")
    config.update_from_flattened_dict(values)
    problems = training_problems(config)
    with pytest.raises(ConfigError, match=message):
        raise ConfigError(*problems)
    assert len(problems) == 1


@pytest.mark.parametrize(("field", "value"), [
    ("depth", ()), ("depth", (1, 2)), ("nonlocal_blocks", ()), ("nonlocal_blocks", (1, 2)),
    ("num_block_temp_kernel", ()), ("num_block_temp_kernel", (1, 2)), ("remat", ("a",)),
    ("alpha", 3), ("width", 1),
])
def test_fields_that_make_no_network_are_one_line(field, value):
    config = load_config("kinetics/mini")
    with config.unlocked():
        put(config.model, field, value)
    with pytest.raises(ConfigError, match="do not make a network: ") as error:
        variable_shapes(build_model(config))
    assert "\n" not in str(error.value)


def test_a_field_of_another_section_is_suggested():
    with pytest.raises(ConfigError, match=r"did you mean config\.train\.epochs\?"):
        check_keys("config.schedule", ["epochs"], ["base_lr"])
