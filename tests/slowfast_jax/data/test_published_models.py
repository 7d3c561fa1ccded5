"""A zoo name knows the format of its data: it is read without any further setting."""

import pytest

from slowfast_jax.config import check_test, load_config
from slowfast_jax.data.keyframe_lists import find_keyframes
from slowfast_jax.data.video_lists import find_samples
from slowfast_jax.evaluate import evaluate
from slowfast_jax.models import zoo
from slowfast_jax.tasks import make_task
from tests.support.tiny_models import Tiny

# A file that each format reads first.
FIRST = {
    "ava": r"ava_action_list_v2\.[12]_for_activitynet_201[89].pbtxt", "kinetics": "test.csv",
    "ssv2": "something-something-v2-", "charades": "val.csv", "imagenet": "val",
}


@pytest.mark.parametrize("name", sorted(zoo.ZOO))
def test_data_of_a_published_model(tmp_path, name):
    config = load_config(name)
    check_test(config)
    config.data.root = str(tmp_path)
    find = find_keyframes if config.task == "detection" else find_samples
    arguments = (config, None, "test")
    with pytest.raises((FileNotFoundError, ValueError), match=FIRST[config.data.format]) as error:
        find(*arguments)
    assert str(tmp_path) in str(error.value) and make_task(config)
    expected = "ava" if zoo.ZOO[name]["class_names"] == "ava" else name.split("/")[0]
    assert config.data.format == (expected if expected in FIRST else "kinetics")


@pytest.mark.slow
def test_a_box_network_is_evaluated_by_its_zoo_name(tmp_path, monkeypatch):
    model = {"num_classes": 80, "detection": True, "activation": "sigmoid"}
    entry = zoo.entry(
        Tiny, model, "ava", num_frames=4, sampling_rate=4, train_crop=32, test_crop=32
    )
    monkeypatch.setitem(zoo.ZOO, "test/tiny_ava", entry)
    config = load_config("test/tiny_ava")
    config.data.generate, config.data.video_dir = "ava_mini", "videos"
    results = evaluate(config, tmp_path, weights="random")
    assert results["metrics"]["num_keyframes"] > 10 and results["metrics"]["map"] >= 0
