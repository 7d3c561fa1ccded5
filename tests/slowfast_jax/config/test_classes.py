"""Loss, activation, number and names of classes follow from the labels or are refused."""

import pytest

from slowfast_jax.config import ConfigError, check_test, check_training, follow, load_config
from tests.slowfast_jax.config.test_config import recipe, write


def given(config, **values):
    """The config after flags such as data__multi_label=True."""
    values = {key.replace("__", "."): value for key, value in values.items()}
    with config.unlocked():
        config.update_from_flattened_dict(values)
    follow(config, values)
    return config


def mini(**values):
    return given(load_config("kinetics/mini", train=True), **values)


def test_loss_and_activation_follow_multi_label_alone():
    config = mini(data__multi_label=True)
    assert (config.train.loss, config.model.activation) == ("bce_logits", "sigmoid")
    check_training(config)
    config = given(load_config("kinetics/x3d_xs"), data__multi_label=True)  # has no train section
    assert config.model.activation == "sigmoid"
    check_test(config)


def test_a_recipe_that_sets_multi_label_gets_the_fitting_loss(tmp_path):
    path = write(tmp_path / "mine.py", recipe(
        model={"name": "kinetics/mini"}, data={"multi_label": True}, train={},
    ))
    config = load_config(path)
    assert (config.train.loss, config.model.activation) == ("bce_logits", "sigmoid")
    path = write(tmp_path / "own.py", recipe(
        model={"name": "kinetics/mini", "activation": "softmax"}, data={"multi_label": True},
        train={"loss": "bce"},
    ))
    config = load_config(path)
    assert (config.train.loss, config.model.activation) == ("bce", "softmax")


@pytest.mark.parametrize(("values", "problems"), [
    ({"data__multi_label": True, "train__loss": "cross_entropy"}, ["train.loss is cross_entropy"]),
    ({"data__multi_label": True, "train__loss": "soft_cross_entropy"}, ["train.loss is soft"]),
    ({"data__multi_label": True, "model__activation": "softmax"}, ["activation is softmax"]),
    ({"train__loss": "bce_logits"}, ["train.loss is bce_logits"]),
    ({"model__activation": "sigmoid"}, ["activation is sigmoid"]),
    ({"train__loss": "bce", "model__activation": "sigmoid"}, ["activation is", "train.loss is"]),
])
def test_contradictions_are_refused(values, problems):
    with pytest.raises(ConfigError) as error:
        check_training(mini(**values))
    assert len(error.value.problems) == len(problems)
    for line, start in zip(error.value.problems, problems, strict=True):
        assert f"config.{start}" in line or start in line
        assert "config.data.multi_label is" in line


def test_softmax_scores_of_several_classes_are_refused_in_tests_too():
    config = load_config("kinetics/x3d_xs")
    config.data.multi_label = True
    with pytest.raises(ConfigError, match="activation is softmax, expected sigmoid"):
        check_test(config)


@pytest.mark.parametrize("name", ["ava/mini", "own/mini"])
def test_boxes_have_several_classes(name):
    config = load_config(name)
    check_training(config)
    with config.unlocked():
        config.train.loss, config.model.activation = "cross_entropy", "softmax"
    with pytest.raises(ConfigError) as error:
        check_training(config)
    assert len(error.value.problems) == 2 and "a box may have several" in str(error.value)


def test_one_class_is_refused_unless_it_is_scored_by_itself():
    with pytest.raises(ConfigError, match="1, expected 2 or more.*multi_label=True"):
        check_training(mini(model__num_classes=1))
    check_training(mini(model__num_classes=1, data__multi_label=True))


@pytest.mark.parametrize("name", ["kinetics/x3d_xs", "ssv2/slowfast_16x8_r50"])
@pytest.mark.parametrize("train", [False, True])
def test_another_number_of_classes_drops_the_names(name, train):
    config = load_config(name, train=train)
    count = config.model.num_classes
    assert config.class_names
    assert given(config, model__num_classes=count).class_names
    assert given(config, model__num_classes=2).class_names == ""
    if train:
        check_training(config)


def test_names_given_by_a_flag_decide_the_number(tmp_path):
    names = write(tmp_path / "names.txt", "a\nb\nc\n")
    config = given(load_config("kinetics/x3d_xs", train=True), class_names=names)
    assert config.model.num_classes == 3
    check_training(config)
    config = given(config, class_names=names, model__num_classes=4)
    with pytest.raises(ConfigError, match=r"names.txt has 3 names, but .*num_classes is 4: set "):
        check_training(config)
    with pytest.raises(ConfigError, match=r"config\.class_names: .*'nowhere'"):
        given(config, class_names="nowhere")


def test_the_classes_of_the_data(tmp_path):
    write(tmp_path / "classes.txt", "wave\nsit\nrun\n")
    config = mini(data__root=str(tmp_path), data__generate="")
    assert config.model.num_classes == 3 and config.class_names == str(tmp_path / "classes.txt")
    config = mini(data__root=str(tmp_path), data__generate="", model__num_classes=5)
    assert config.model.num_classes == 5 and config.class_names == ""
    with pytest.raises(ConfigError, match=r"classes.txt has 3 names, but .*num_classes is 5"):
        check_training(config)
    own = write(tmp_path / "own.txt", "a\nb\n")
    config = mini(data__root=str(tmp_path), data__generate="", class_names=own)
    assert config.model.num_classes == 2 and config.class_names == own
    # A published network keeps its classes.
    config = given(load_config("kinetics/x3d_xs"), data__root=str(tmp_path))
    assert config.model.num_classes == 400 and config.class_names == "kinetics400"


def test_the_classes_of_data_that_has_moved(tmp_path):
    write(tmp_path / "old/classes.txt", "wave\nsit\n")
    config = mini(data__root=str(tmp_path / "old"), data__generate="")
    (tmp_path / "old").rename(tmp_path / "new")
    given(config, data__root=str(tmp_path / "new"))
    assert config.class_names == str(tmp_path / "new/classes.txt")


def test_an_empty_list_of_names_is_one_line(tmp_path):
    write(tmp_path / "classes.txt", "\n")
    with pytest.raises(ConfigError, match="no class names"):
        mini(data__root=str(tmp_path), data__generate="")
