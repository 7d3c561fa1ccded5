"""The zoo: every entry has its published number of parameters; errors help."""

import jax
import jax.numpy as jnp
import pytest

from slowfast_jax.models import zoo
from slowfast_jax.weights import variable_shapes

# Parameters by the published tables and the original's own count; M: by MMAction2's.
PARAMETERS = {
    "kinetics/c2d_8x8_r50": 24_327_632,
    "kinetics/c2d_nopool_8x8_r50": 24_327_632,
    "kinetics/c2d_nln_8x8_r50": 31_686_096,
    "kinetics/i3d_8x8_r50": 28_043_472,
    "kinetics/i3d_8x8_r101": 51_754_192,
    "kinetics/i3d_nln_8x8_r50": 35_401_936,
    "kinetics/i3d_nln_8x8_r101": 59_112_656,
    "kinetics/slow_4x16_r50": 32_454_096,
    "kinetics/slow_8x8_r50": 32_454_096,
    "kinetics/slow_nln_4x16_r50": 39_812_560,
    "kinetics/slow_nln_8x8_r50": 39_812_560,
    "kinetics/slowfast_4x16_r50": 34_480_216,
    "kinetics/slowfast_8x8_r50": 34_566_488,
    "kinetics/slowfast_nln_4x16_r50": 41_838_680,
    "kinetics/slowfast_nln_8x8_r50": 41_838_680,
    "kinetics/slowfast_8x8_r101_50_50": 53_774_808,
    "kinetics/slowfast_8x8_r101_50_101": 53_914_072,
    "kinetics/slowfast_8x8_r101_101_101": 62_826_968,
    "kinetics/slowfast_16x8_r101_50_50": 53_774_808,
    "kinetics/slowfast_nln_16x8_r101_50_50": 60_080_088,
    "kinetics/x3d_xs": 3_794_322,
    "kinetics/x3d_s": 3_794_322,
    "kinetics/x3d_m": 3_794_322,
    "kinetics/x3d_l": 6_153_432,
    "kinetics/csn_32x2_r101": 22_213_776,
    "kinetics/r2plus1d_16x4_r50": 28_107_600,
    "kinetics/slowfast_4x16_r101": 62_384_312,  # M
    "kinetics/slowfast_8x8_r101": 62_912_312,  # M
    "kinetics/slowfast_4x16_r152": 84_843_704,  # M
    "kinetics/slowfast_8x8_r152": None,  # not published
    "mmaction2/slowfast_4x16_r50": 34_479_288,  # M
    "mmaction2/slowfast_8x8_r50": 34_565_560,  # M
    "mmaction2/slowfast_8x8_r50_steplr": 34_566_488,  # M
    "mmaction2/slowonly_4x16_r50": 32_454_096,  # M
    "mmaction2/slowonly_8x8_r50": 32_454_096,  # M
    "mmaction2/slowonly_8x8_r101": 60_359_120,  # M
    # M has no bias in non-local outputs, and one more class, the background, for boxes.
    "mmaction2/slowonly_nl_4x16_r50": 39_808_464 + 2 * 512 + 3 * 1024,
    "mmaction2/ava_slowfast_4x16_r50": 33_743_993 - 2305,
    "mmaction2/ava_slowfast_8x8_r50": 33_830_265 - 2305,
    "mmaction2/ava_slowonly_4x16_r50": 31_800_465 - 2049,
    "mmaction2/ava_slowonly_8x8_r50": 31_800_465 - 2049,
    "mmaction2/ava_slowonly_8x8_r101": 59_705_489 - 2049,
    "mmaction2/ava_slowfast_8x8_r50_temporal_max": 33_830_265 - 2305,  # M
    "mmaction2/ava_slowfast_4x16_r50_context": 33_930_617 - 2 * 2304 - 1,  # M
    "mmaction2/ava_slowonly_8x8_r50_context": 31_800_465 - 2049 + 80 * 2048,
    "mmaction2/ava_slowonly_8x8_r50_context_temporal_max": 31_800_465 - 2049 + 80 * 2048,
    # A hidden layer as wide as its input.
    "mmaction2/ava_slowonly_8x8_r50_context_temporal_max_nl_head":
        31_800_465 - 2049 + 80 * 2048 + 4096 * 4097,
    "mmaction2/ava_slowonly_16x4_r50_context_temporal_max_nl_head":
        31_800_465 - 2049 + 80 * 2048 + 4096 * 4097,
    # Without background and lateral norms, which PaddleVideo stores but does not use.
    "paddlevideo/ava_slowfast_8x8_r50": 33_744_921 - 2305 - 2 * (16 + 64 + 128 + 256),
    "mindspore/ava_slowfast_32x2_r50_short": 33_828_888,
    "ava/slow_8x8_r50": 31_798_416,
    "ava/slow_8x8_r50_short": 31_798_416,
    "ava/slowfast_32x2_r50": 33_828_888,
    "ava/slowfast_32x2_r50_short": 33_828_888,
    "ava/slowfast_32x2_r101_50_50": 59_342_488,
    "ava/slowfast_64x2_r101_50_50": 59_342_488,
    "ssv2/slowfast_16x8_r50": 34_045_558,
    "charades/slowfast_16x8_r50": 34_006_373,
    # The heads of other numbers of classes.
    "ssv2/slow_8x8_r50": 32_454_096 - (400 - 174) * 2049,
    "ssv2/slowfast_8x8_r50": 34_045_558,
    "charades/slow_8x8_r50": 32_454_096 - (400 - 157) * 2049,
    "charades/slowfast_8x8_r50": 34_006_373,
    "imagenet/res_r50": 25_557_032,
    "kinetics/mvit_b_16x4_conv": 36_610_672,
    "kinetics/mvit_b_32x3_conv": 53_115_280,
    "kinetics/mvitv2_s_16x4": 34_537_744,
    "kinetics/mvitv2_b_32x3": 51_230_128,
    "kinetics/mvitv2_l_40x3": 213_390_112,  # the published 217.6 M is that of another network
    "ssv2/mvitv2_s_16x4": 34_363_950,
    "ssv2/mvitv2_b_32x3": 51_056_334,
    "ssv2/mvitv2_l_40x3": 213_129_534,
    "imagenet/mvit_b_16_conv": 36_982_600,
    "imagenet/mvitv2_t": 24_173_320,
    "imagenet/mvitv2_s": 34_870_216,
    "imagenet/mvitv2_b": 51_472_744,
    "kinetics/rev_mvit_b_16x4_conv": 34_963_120,
    "imagenet/rev_vit_s": 22_434_664,
    "imagenet/rev_vit_b": 87_335_656,
    "imagenet/rev_mvit_b_16_conv": 39_689_320,
    "imagenet/mvit_b_16_conv_pytorchvideo": 36_521_296 + 600 * 769,  # theirs: 400 classes
}


@pytest.mark.parametrize("name", zoo.ZOO)
def test_entry_has_the_published_number_of_parameters(name):
    assert set(zoo.find(name)["protocol"]) == set(zoo.PROTOCOL)
    params = variable_shapes(zoo.create(name))["params"]
    if PARAMETERS.get(name):
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == PARAMETERS[name]


def test_sizes_cover_the_zoo():
    published = {name for name in zoo.ZOO if not name.endswith("/mini")}
    assert set(PARAMETERS) == {name for name in published if not name.startswith("test/")}


def test_num_classes_changes_only_the_head():
    def shapes(num_classes):
        model = zoo.create("kinetics/mini", num_classes=num_classes)
        clip = jax.ShapeDtypeStruct((1, 8, 64, 64, 3), jnp.uint8)
        logits, _ = jax.eval_shape(
            lambda c: model.init_with_output(jax.random.key(0), c)[0], clip
        )
        return logits.shape

    assert shapes(7) == (1, 7)
    assert shapes(0) == (1, 32 * 8 + 32 * 2)  # features


def test_unknown_names_list_close_ones():
    with pytest.raises(ValueError, match="close: .*kinetics/x3d_xs"):
        zoo.create("kinetics/x3d_sx")
    with pytest.raises(ValueError, match=r"kinetics/x3d_xs \(X3D\) takes no aplha; it takes"):
        zoo.create("kinetics/x3d_xs", aplha=4)
