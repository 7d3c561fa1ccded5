"""Meaning and range of the fields of config.model that networks have in common.

A network's class determines which of them it has, and their defaults. Fields that this table lacks
are documented in the class.
"""

from typing import Any

from slowfast_jax.fields import Field, Range, at_least, between, is_a, one_of, texts
from slowfast_jax.models import factorized, resnet3d
from slowfast_jax.models.dtypes import DTYPES
from slowfast_jax.models.heads import ACTIVATIONS, ROI_VARIANTS, TIME_POOLS
from slowfast_jax.models.transformer.attention import MODES
from slowfast_jax.models.transformer.positions import KINDS

MOST_CLASSES = 100_000
ARCHS = (*resnet3d.ARCHS, *factorized.ARCHS)
BELOW_ONE = Range("0 or more, below 1", lambda value: 0 <= value < 1)
SIZE = between(1, 100_000)


def _whole(least: int) -> Range:
    """Nested tuples of whole numbers from `least` on."""

    def holds(value: Any) -> bool:
        if is_a(tuple, value):
            return all(map(holds, value))
        return is_a(int, value) and value >= least

    return Range(f"whole numbers of {least} or more, nested as in the network's class", holds)


FOUR = Range(
    "four whole numbers of 1 or more",
    lambda value: len(value) == 4 and all(is_a(int, number) and number >= 1 for number in value),
)


def _is_depth(value: Any) -> bool:
    return value >= 1 if is_a(int, value) else is_a(tuple, value) and _whole(1).holds(value)


# The default only gives the type; the network's class has the actual one.
MODEL: dict[str, Field] = {
    "name": Field("", "Entry of the zoo that the network is made from."),
    "num_classes": Field(0, "Number of classes. 0: features.", between(0, MOST_CLASSES)),
    "detection": Field(False, "Classifies boxes instead of whole clips."),
    "dropout": Field(0.0, "Probability that a feature is dropped before the classifier.",
                     BELOW_ONE),
    "activation": Field("", "From logits to scores: softmax, sigmoid or none.",
                        one_of(ACTIVATIONS)),
    "average": Field("", "What is averaged over the positions of the head: probs or logits.",
                     one_of(("probs", "logits"))),
    "fc_init_std": Field(0.0, "Standard deviation of the classifier's initial weights.",
                         at_least(0)),
    "dtype": Field("", "Dtype of the computation; parameters are float32.", one_of(DTYPES)),
    "dtypes": Field((), "Parts that compute in another dtype, as in ('head:float32',).", texts()),
    "remat": Field((), "Stages that training recomputes for the gradient to save memory.",
                   texts()),
    "head_pool": Field("", "The head averages over windows (window) or the whole map (global).",
                       one_of(("window", "global"))),
    "frozen_norm": Field(False, "Batch norms use their running statistics in training, too."),
    "folded": Field(False, "Batch norms are folded into the convolutions."),
    "zero_init_final_bn": Field(False, "The last batch norm of a residual branch starts at 0."),
    "drop_path": Field(0.0, "Probability that a clip skips a branch of the last block in training.",
                       BELOW_ONE),
    "drop_connect": Field(0.0, "Probability that a clip skips a residual branch in training.",
                          BELOW_ONE),
    "roi_resolution": Field(0, "Cells of ROIAlign along height and width.", between(1, 100)),
    "roi_scale": Field(0.0, "Positions of the feature map per pixel.",
                       Range("above 0, at most 1", lambda value: 0 < value <= 1)),
    "roi_aligned": Field(False, "Whether ROIAlign shifts boxes by half a pixel."),
    "roi_variant": Field("", "ROIAlign of detectron2 or mindspore.", one_of(ROI_VARIANTS)),
    "roi_time_pool": Field("", "How features of boxes are pooled over time: mean or max.",
                           one_of(TIME_POOLS)),
    "roi_context": Field(False, "Boxes also get the features of the whole frame."),
    "roi_hidden": Field(False, "The classifier of boxes has a hidden layer."),
    "arch": Field("", "Row of ARCHS in the module of the network.", one_of(ARCHS)),
    "stride_1x1": Field(False, "The stride is in a bottleneck's first convolution."),
    "depth": Field(object, "Layers, or the blocks of stages 2 to 5; or those of each pathway. "
                   "Transformers: blocks.",
                   Range("a whole number of 1 or more, or four numbers of blocks", _is_depth)),
    "width": Field(0, "Channels of the stem.", SIZE),
    "groups": Field(0, "Groups of the 3x3 convolutions.", SIZE),
    "stem_width": Field(0, "Channels of the stem.", SIZE),
    "head_width": Field(0, "Channels before the classifier.", SIZE),
    "width_factor": Field(0.0, "Factor of the channels.", between(0.1, 100)),
    "depth_factor": Field(0.0, "Factor of the blocks per stage.", between(0.1, 100)),
    "bottleneck_factor": Field(0.0, "Factor of the channels within a block.", between(0.1, 100)),
    "alpha": Field(0, "Frames of the fast pathway per frame of the slow one.", SIZE),
    "beta": Field(0, "Channels of the slow pathway per channel of the fast one.", SIZE),
    "fusion_ratio": Field(0, "Channels of a lateral connection per channel it reads.", SIZE),
    "fusion_kernel": Field(0, "Frames that a lateral connection reads.", SIZE),
    "slow_frames": Field("", "How the slow pathway chooses frames: linspace or stride.",
                         one_of(("linspace", "stride"))),
    "lateral_norm": Field(False, "Whether lateral connections have a batch norm."),
    "block": Field("", "Residual block: bottleneck or basic.", one_of(("bottleneck", "basic"))),
    "strides": Field((), "Strides of stages 2 to 5.", FOUR),
    "dilations": Field((), "Dilations of stages 2 to 5.", FOUR),
    "num_block_temp_kernel": Field((), "Blocks of each stage with temporal kernels.", _whole(0)),
    "heads": Field(0, "Attention heads of the first block.", SIZE),
    "mlp_ratio": Field(0.0, "Hidden channels of an MLP per channel.", between(0.1, 100)),
    "pool_mode": Field("", f"Pooling in attention: {', '.join(MODES)}.", one_of(MODES)),
    "abs_pos": Field("", f"Absolute positions: {', '.join(KINDS)}.", one_of(KINDS)),
    "head_init_scale": Field(0.0, "Factor of the classifier's initial values.", at_least(0)),
    "nonlocal_blocks": Field((), "Blocks of each stage followed by a non-local block.", _whole(0)),
    "nonlocal_pool": Field((), "Pooling of the non-local blocks of each stage.", _whole(1)),
    "nonlocal_group": Field((), "Groups of frames of the non-local blocks.", _whole(1)),
    "nonlocal_mode": Field("", "Weights of a non-local block: softmax or dot_product.",
                           one_of(("softmax", "dot_product"))),
    "nonlocal_pool_first": Field(False, "Whether a non-local block pools before projecting."),
}
