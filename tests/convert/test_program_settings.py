"""Settings of MMAction2 with which this project computes something else are found in its config."""

import pickle

import numpy as np
import pytest

from convert import read_checkpoint
from convert.program_settings import (
    box_head_keywords,
    box_head_settings,
    unsupported_settings,
)

CONFIG = """
_base_ = ["x.py"]
import os
url = os.path.join("a", "b")
model = dict(
    type="AVAFastRCNN", _scope_="mmdet", init_cfg=dict(type="Pretrained", checkpoint=url),
    backbone=dict(type="mmaction.ResNet3dSlowFast", slow_pathway=dict(style="pytorch", depth=50)),
    roi_head=dict(
        type="AVARoIHead",
        bbox_roi_extractor=dict(
            type="SingleRoIExtractor3D", roi_layer_type="RoIAlign", output_size=8,
            with_temporal_pool=True, temporal_pool_mode="avg"),
        bbox_head=dict(
            background_class=True, type="BBoxHeadAVA", in_channels=2304, num_classes=81,
            dropout_ratio=0.5)),
    train_cfg=dict(rcnn=dict(assigner=dict(type="MaxIoUAssignerAVA"))))
"""


def test_the_usual_settings():
    assert unsupported_settings(CONFIG) == []
    for text in ("", "not a config: {", "model = 3", "model = __import__('os')", "x = 1"):
        assert unsupported_settings(text) == []
    head = "model = {'type': 'Recognizer3D', 'cls_head': {'type': 'SlowFastHead'}}"
    assert unsupported_settings(head) == []


@pytest.mark.parametrize("old, new, words", [
    ("in_channels=2304", 'spatial_pool_type="avg"', "spatial_pool_type is 'avg'"),
    ("with_temporal_pool=True", "with_temporal_pool=False", "with_temporal_pool is False"),
    ("background_class=True", "background_class=False", "class 0 is not the background"),
    ('type="AVARoIHead"', 'shared_head=dict(type="ACRNHead")', "'ACRNHead'"),
    ('type="AVARoIHead"', 'shared_head=dict(type="LFBInferHead")', "'LFBInferHead'"),
    ('style="pytorch"', 'style="caffe"', "style is 'caffe'"),
    ('"BBoxHeadAVA"', '"BBoxHeadTITAN"', "'BBoxHeadTITAN'"),
])
def test_settings_that_this_project_does_not_have(old, new, words):
    assert old in CONFIG
    (found,) = unsupported_settings(CONFIG.replace(old, new))
    assert words in found


PLAIN = {
    "roi_time_pool": "mean", "roi_context": False, "roi_hidden": False, "roi_aligned": True,
    "roi_resolution": 8, "roi_scale": 1 / 16,
}


@pytest.mark.parametrize("old, new, keywords", [
    ("output_size=8", "output_size=8", {}),
    ('pool_mode="avg"', 'pool_mode="max"', {"roi_time_pool": "max"}),
    ("output_size=8", "with_global=True", {"roi_context": True, "roi_resolution": 16}),
    ("output_size=8", "output_size=7, aligned=False", {"roi_aligned": False, "roi_resolution": 7}),
    ("output_size=8", "output_size=8, featmap_stride=32", {"roi_scale": 1 / 32}),
    ("in_channels=2304", "mlp_head=True", {"roi_hidden": True}),
    # has no effect on maps without time, which the extractor gives
    ("in_channels=2304", 'temporal_pool_type="max"', {}),
])
def test_keywords_of_the_head_of_boxes(old, new, keywords):
    assert old in CONFIG
    config = CONFIG.replace(old, new)
    assert unsupported_settings(config) == []
    found = box_head_keywords(config)
    assert found == PLAIN | keywords
    # For a network with these keywords, the command prints the settings of this config.
    told = [part.partition(": ")[2] for part in box_head_settings(found)]
    assert all(one in config.replace('"', "'") for one in ", ".join(told).split(", "))


def test_a_config_without_boxes_needs_no_keywords():
    for text in ("", "not a config: {", "model = 3", "model = dict(cls_head=dict(type='A'))"):
        assert box_head_keywords(text) == {}


@pytest.mark.parametrize("key", ["cfg", "config"])
def test_the_config_in_a_checkpoint(tmp_path, key):
    content = {"state_dict": {"a.weight": np.ones(2)}, "meta": {key: CONFIG, "epoch": 3}}
    (tmp_path / "w.pth").write_bytes(pickle.dumps(content))
    assert read_checkpoint(tmp_path / "w.pth").metadata["program_config"] == CONFIG
