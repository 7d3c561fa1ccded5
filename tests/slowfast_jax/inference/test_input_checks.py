"""Sizes of clips that networks accept."""

import numpy as np
import pytest

from slowfast_jax.config import build_model, load_config
from slowfast_jax.inference.input_checks import check_clips


def test_clips_smaller_than_the_head_window_are_refused():
    model = build_model(load_config("kinetics/slow_4x16_r50"))
    check_clips(np.zeros((1, 4, 200, 256, 3), np.uint8), model)
    with pytest.raises(ValueError, match="160x256, too small.*crop_size=160"):
        check_clips(np.zeros((1, 4, 160, 256, 3), np.uint8), model)


def test_longer_clips_need_pathways_that_fit_together():
    model = build_model(load_config("kinetics/slow_4x16_r50"))
    check_clips(np.zeros((1, 6, 224, 224, 3), np.uint8), model)
    two_pathways = build_model(load_config("kinetics/slowfast_8x8_r50"))
    with pytest.raises(ValueError, match="have 64 frames, but the pathways .* only with 32"):
        check_clips(np.zeros((1, 64, 224, 224, 3), np.uint8), two_pathways)
    check_clips(np.zeros((1, 64, 224, 224, 3), np.uint8), two_pathways.clone(head_pool="global"))
