"""The published models: name -> network class, keywords, test protocol, class names.

An entry holds what belongs to the weights. A recipe in configs/ names an entry and adds data and
schedule. `ZOO[name]` is a dict with

  make         the network class
  model        its keywords, except those in FROM_PROTOCOL
  protocol     how clips are sampled and videos tested, see PROTOCOL
  sampling     config.data.sampling of tests, where the name of the entry does not say it, or ""
  class_names  name of a list of classes in `data_pipelines.labels`

docs/model_zoo.md has the size, the accuracy and the source of every entry.
"""

import difflib
from typing import Any

from slowfast_jax.models.base import VideoNetwork
from slowfast_jax.models.factorized import FactorizedResNet3D
from slowfast_jax.models.resnet3d import ResNet3D
from slowfast_jax.models.slowfast import SlowFast
from slowfast_jax.models.x3d import X3D
from slowfast_jax.models.zoo.transformers import ROWS

PROTOCOL = dict(
    num_frames=8,  # frames per clip
    sampling_rate=8,  # every 8th frame of the video, at target_fps
    target_fps=30,
    train_crop=224,  # pixels; also determines the window of the head's pooling
    test_crop=256,
    clips=10,  # clips and crops per clip of a test video: 10 x 3 views
    crops=3,
    ensemble="sum",  # how the scores of a video's views are combined: "sum" or "max"
    offset_sampling=False,  # True: the last test clip ends with the video
    mean=(0.45, 0.45, 0.45),  # on the 0..1 scale
    std=(0.225, 0.225, 0.225),
)
# Keyword of a network -> the field of the protocol that sets it.
FROM_PROTOCOL = {
    "num_frames": "num_frames", "crop_size": "train_crop", "mean": "mean", "std": "std"
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NO_BLOCKS = ((), (), (), ())
R50_NONLOCAL = ((), (1, 3), (1, 3, 5), ())
R101_NONLOCAL = ((), (), (6, 13, 20), ())


def entry(
    make: type[VideoNetwork], model: dict, class_names: str = "kinetics400", sampling: str = "",
    **protocol: Any,
) -> dict[str, Any]:
    """An entry of the zoo; `protocol` has the values that differ from PROTOCOL."""
    unknown = set(protocol) - set(PROTOCOL)
    if unknown:
        raise ValueError(
            f"unknown protocol keys {', '.join(sorted(unknown))}; expected some of "
            f"{', '.join(PROTOCOL)}"
        )
    return dict(
        make=make, model=model, protocol=PROTOCOL | protocol, class_names=class_names,
        sampling=sampling,
    )


def kinetics_resnet(arch: str, frames: int, rate: int, **model: Any) -> dict[str, Any]:
    model = dict(num_classes=400, arch=arch) | model
    if model.get("depth") == 101:
        model.setdefault("num_block_temp_kernel", (3, 4, 23, 3))
    return entry(ResNet3D, model, num_frames=frames, sampling_rate=rate)


def slowfast(
    alpha: int, kernel: int, depth: Any = 50, res4_temporal: tuple[int, int] = (6, 6), **model: Any
) -> dict[str, Any]:
    """Keywords of PySlowFast's SlowFast networks.

    `res4_temporal`: number of blocks in stage 4 of either pathway that have a temporal kernel.
    """
    temporal = tuple((3, blocks3, blocks, 3) for blocks3, blocks in
                     zip((4, 4), res4_temporal, strict=True))
    return dict(
        num_classes=400, depth=depth, alpha=alpha, fusion_kernel=kernel,
        num_block_temp_kernel=temporal,
    ) | model


def kinetics_slowfast(frames: int = 32, **model: Any) -> dict[str, Any]:
    return entry(SlowFast, slowfast(**model), num_frames=frames, sampling_rate=2)


ALL_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
# MMAction2's box networks: the last stage keeps its stride and is not dilated.
MMACTION_AVA = dict(
    num_classes=80, detection=True, activation="sigmoid", strides=(1, 2, 2, 1), roi_resolution=8
)
TRICKS = dict(roi_context=True, roi_time_pool="max", roi_hidden=True)


def mmaction_slowfast(
    depth: tuple[int, int], alpha: int, kernel: int, class_names: str = "kinetics400",
    sampling: str = "mmaction2", **model: Any,
) -> dict[str, Any]:
    """MMAction2's SlowFast networks: strided slow frames, no lateral norm, global pooling."""
    model = dict(
        num_classes=400, depth=depth, alpha=alpha, fusion_kernel=kernel, slow_frames="stride",
        lateral_norm=False, head_pool="global",
        num_block_temp_kernel=tuple(ALL_BLOCKS[d] for d in depth),
    ) | model
    return entry(
        SlowFast, model, class_names, sampling,
        num_frames=32, sampling_rate=2, mean=IMAGENET_MEAN, std=IMAGENET_STD,
    )


def mmaction_slowonly(
    frames: int, rate: int, depth: int = 50, class_names: str = "kinetics400", **model: Any
) -> dict[str, Any]:
    """MMAction2's SlowOnly networks; their figures are older than its present sampling."""
    model = dict(
        num_classes=400, arch="slow", depth=depth, head_pool="global",
        num_block_temp_kernel=ALL_BLOCKS[depth],
    ) | model
    return entry(
        ResNet3D, model, class_names, "mmaction2_v0",
        num_frames=frames, sampling_rate=rate, mean=IMAGENET_MEAN, std=IMAGENET_STD,
    )


def x3d(frames: int, rate: int, train_crop: int, test_crop: int, **model: Any) -> dict[str, Any]:
    return entry(
        X3D, dict(num_classes=400) | model,
        num_frames=frames, sampling_rate=rate, train_crop=train_crop, test_crop=test_crop,
    )


def something(make: type[VideoNetwork], model: dict, **protocol: Any) -> dict[str, Any]:
    """Something-Something v2, where a video has a single clip."""
    return entry(make, model | dict(num_classes=174), "ssv2", clips=1, **protocol)


def charades(make: type[VideoNetwork], model: dict, **protocol: Any) -> dict[str, Any]:
    """Charades, where a video has several classes and the maximum of its views counts."""
    model = model | dict(num_classes=157, activation="sigmoid")
    return entry(make, model, "charades", ensemble="max", **protocol)


AVA = dict(
    num_classes=80, detection=True, activation="sigmoid",
    strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2),
)


def ava_slow(**model: Any) -> dict[str, Any]:
    return entry(
        ResNet3D, AVA | dict(arch="slow") | model, "ava", num_frames=4, sampling_rate=16
    )


def ava_slowfast(
    frames: int = 32, test_crop: int = 256, nonlocal_res4: bool = False, **model: Any
) -> dict[str, Any]:
    if nonlocal_res4:
        model["nonlocal_blocks"] = (R101_NONLOCAL, NO_BLOCKS)
        model["nonlocal_pool"] = (((2, 2, 2),) * 4,) * 2
    return entry(
        SlowFast, slowfast(**(AVA | model)), "ava",
        num_frames=frames, sampling_rate=2, test_crop=test_crop,
    )


SLOWFAST_NONLOCAL = dict(nonlocal_blocks=(R50_NONLOCAL, NO_BLOCKS))

ZOO: dict[str, dict[str, Any]] = {
    # Kinetics-400, PySlowFast
    "kinetics/c2d_8x8_r50": kinetics_resnet("c2d", 8, 8),
    "kinetics/c2d_nopool_8x8_r50": kinetics_resnet("slow_c2d", 8, 8),
    "kinetics/c2d_nln_8x8_r50": kinetics_resnet(
        "c2d", 8, 8, nonlocal_blocks=R50_NONLOCAL, nonlocal_mode="softmax"
    ),
    "kinetics/i3d_8x8_r50": kinetics_resnet("i3d", 8, 8),
    "kinetics/i3d_8x8_r101": kinetics_resnet("i3d", 8, 8, depth=101),
    "kinetics/i3d_nln_8x8_r50": kinetics_resnet(
        "i3d", 8, 8, nonlocal_blocks=R50_NONLOCAL, nonlocal_mode="softmax"
    ),
    "kinetics/i3d_nln_8x8_r101": kinetics_resnet(
        "i3d", 8, 8, depth=101, nonlocal_blocks=R50_NONLOCAL, nonlocal_mode="softmax"
    ),
    "kinetics/slow_4x16_r50": kinetics_resnet("slow", 4, 16),
    "kinetics/slow_8x8_r50": kinetics_resnet("slow", 8, 8),
    "kinetics/slow_nln_4x16_r50": kinetics_resnet("slow", 4, 16, nonlocal_blocks=R50_NONLOCAL),
    "kinetics/slow_nln_8x8_r50": kinetics_resnet("slow", 8, 8, nonlocal_blocks=R50_NONLOCAL),
    "kinetics/slowfast_4x16_r50": kinetics_slowfast(alpha=8, kernel=5),
    "kinetics/slowfast_8x8_r50": kinetics_slowfast(alpha=4, kernel=7),
    "kinetics/slowfast_nln_4x16_r50": kinetics_slowfast(alpha=8, kernel=5, **SLOWFAST_NONLOCAL),
    "kinetics/slowfast_nln_8x8_r50": kinetics_slowfast(alpha=4, kernel=5, **SLOWFAST_NONLOCAL),
    "kinetics/slowfast_8x8_r101_50_50": kinetics_slowfast(alpha=4, kernel=5, depth=101),
    "kinetics/slowfast_8x8_r101_50_101": kinetics_slowfast(
        alpha=4, kernel=5, depth=101, res4_temporal=(6, 23)
    ),
    "kinetics/slowfast_8x8_r101_101_101": kinetics_slowfast(
        alpha=4, kernel=5, depth=101, res4_temporal=(23, 23)
    ),
    "kinetics/slowfast_16x8_r101_50_50": kinetics_slowfast(64, alpha=4, kernel=5, depth=101),
    "kinetics/slowfast_nln_16x8_r101_50_50": kinetics_slowfast(
        64, alpha=4, kernel=5, depth=101, nonlocal_blocks=(R101_NONLOCAL, NO_BLOCKS)
    ),
    "kinetics/x3d_xs": x3d(4, 12, 160, 182),
    "kinetics/x3d_s": x3d(13, 6, 160, 182),
    "kinetics/x3d_m": x3d(16, 5, 224, 256),
    "kinetics/x3d_l": x3d(16, 5, 312, 356, depth_factor=5.0),
    # Kinetics-400, from MMAction2's table of version 0.12
    "kinetics/slowfast_4x16_r101": mmaction_slowfast(
        (101, 50), alpha=8, kernel=5, sampling="mmaction2_v0"
    ),
    "kinetics/slowfast_8x8_r101": mmaction_slowfast(
        (101, 101), alpha=4, kernel=7, sampling="mmaction2_v0"
    ),
    "kinetics/slowfast_4x16_r152": mmaction_slowfast(
        (152, 50), alpha=8, kernel=5, sampling="mmaction2_v0"
    ),
    "kinetics/slowfast_8x8_r152": mmaction_slowfast(
        (152, 50), alpha=4, kernel=7, sampling="mmaction2_v0"
    ),
    # Kinetics-400 and AVA, MMAction2's other checkpoints
    "mmaction2/slowfast_4x16_r50": mmaction_slowfast((50, 50), alpha=8, kernel=5),
    "mmaction2/slowfast_8x8_r50": mmaction_slowfast((50, 50), alpha=4, kernel=7),
    "mmaction2/slowfast_8x8_r50_steplr": mmaction_slowfast(
        (50, 50), alpha=4, kernel=7, lateral_norm=True
    ),
    "mmaction2/slowonly_4x16_r50": mmaction_slowonly(4, 16),
    "mmaction2/slowonly_8x8_r50": mmaction_slowonly(8, 8),
    "mmaction2/slowonly_8x8_r101": mmaction_slowonly(8, 8, 101),
    "mmaction2/slowonly_nl_4x16_r50": mmaction_slowonly(
        4, 16, nonlocal_blocks=((), (0, 2), (0, 2, 4), ()), nonlocal_mode="softmax",
        nonlocal_pool_first=False,
    ),
    "mmaction2/ava_slowfast_4x16_r50": mmaction_slowfast((50, 50), 8, 5, "ava", **MMACTION_AVA),
    "mmaction2/ava_slowfast_8x8_r50": mmaction_slowfast((50, 50), 4, 7, "ava", **MMACTION_AVA),
    "mmaction2/ava_slowonly_4x16_r50": mmaction_slowonly(4, 16, 50, "ava", **MMACTION_AVA),
    "mmaction2/ava_slowonly_8x8_r50": mmaction_slowonly(8, 8, 50, "ava", **MMACTION_AVA),
    "mmaction2/ava_slowonly_8x8_r101": mmaction_slowonly(8, 8, 101, "ava", **MMACTION_AVA),
    "mmaction2/ava_slowfast_4x16_r50_context": mmaction_slowfast(
        (50, 50), 8, 5, "ava", roi_context=True, **MMACTION_AVA
    ),
    "mmaction2/ava_slowfast_8x8_r50_temporal_max": mmaction_slowfast(
        (50, 50), 4, 7, "ava", roi_time_pool="max", **MMACTION_AVA
    ),
    "mmaction2/ava_slowonly_8x8_r50_context": mmaction_slowonly(
        8, 8, 50, "ava", roi_context=True, **MMACTION_AVA
    ),
    "mmaction2/ava_slowonly_8x8_r50_context_temporal_max": mmaction_slowonly(
        8, 8, 50, "ava", roi_context=True, roi_time_pool="max", **MMACTION_AVA
    ),
    "mmaction2/ava_slowonly_8x8_r50_context_temporal_max_nl_head": mmaction_slowonly(
        8, 8, 50, "ava", **TRICKS, **MMACTION_AVA
    ),
    "mmaction2/ava_slowonly_16x4_r50_context_temporal_max_nl_head": mmaction_slowonly(
        16, 4, 50, "ava", **TRICKS, **MMACTION_AVA
    ),
    # AVA, PaddleVideo (its Kinetics networks are PySlowFast's)
    "paddlevideo/ava_slowfast_8x8_r50": entry(
        SlowFast, slowfast(4, 5, lateral_norm=False, **MMACTION_AVA), "ava",
        num_frames=32, sampling_rate=2, mean=IMAGENET_MEAN, std=IMAGENET_STD,
    ),
    # AVA, MindSpore's port of PySlowFast
    "mindspore/ava_slowfast_32x2_r50_short": ava_slowfast(
        alpha=4, kernel=7, roi_variant="mindspore"
    ),
    # AVA, PySlowFast: recipes train the "short" networks, the others are Caffe2 checkpoints
    "ava/slow_8x8_r50_short": ava_slow(),
    "ava/slowfast_32x2_r50_short": ava_slowfast(alpha=4, kernel=7, test_crop=224),
    "ava/slow_8x8_r50": ava_slow(roi_aligned=False),
    "ava/slowfast_32x2_r50": ava_slowfast(alpha=4, kernel=7, roi_aligned=False),
    "ava/slowfast_32x2_r101_50_50": ava_slowfast(
        alpha=4, kernel=5, depth=101, nonlocal_res4=True, roi_aligned=False
    ),
    "ava/slowfast_64x2_r101_50_50": ava_slowfast(
        64, alpha=4, kernel=5, depth=101, nonlocal_res4=True, roi_aligned=False
    ),
    # Kinetics-400, networks of PyTorchVideo alone
    "kinetics/csn_32x2_r101": entry(
        FactorizedResNet3D, dict(num_classes=400, arch="csn", depth=101, average="logits"),
        num_frames=32, sampling_rate=2,
    ),
    "kinetics/r2plus1d_16x4_r50": entry(
        FactorizedResNet3D, dict(num_classes=400, arch="r2plus1d"),
        num_frames=16, sampling_rate=4,
    ),
    # Something-Something v2 and Charades, PySlowFast (16x8) and PyTorchVideo (8x8)
    "ssv2/slowfast_16x8_r50": something(
        SlowFast, slowfast(4, 7), num_frames=64, sampling_rate=2, crops=1
    ),
    "ssv2/slow_8x8_r50": something(ResNet3D, dict(arch="slow", average="logits")),
    "ssv2/slowfast_8x8_r50": something(
        SlowFast, slowfast(4, 7, average="logits"), num_frames=32, sampling_rate=2
    ),
    "charades/slowfast_16x8_r50": charades(
        SlowFast, slowfast(4, 7), num_frames=64, sampling_rate=2
    ),
    "charades/slow_8x8_r50": charades(ResNet3D, dict(arch="slow", average="logits")),
    "charades/slowfast_8x8_r50": charades(
        SlowFast, slowfast(4, 7, average="logits"), num_frames=32, sampling_rate=2
    ),
    # ImageNet
    "imagenet/res_r50": entry(
        ResNet3D, dict(num_classes=1000, arch="2d"), "",
        num_frames=1, test_crop=224, clips=1, crops=1, mean=IMAGENET_MEAN, std=IMAGENET_STD,
    ),
    # A small SlowFast network for tests and demonstrations; there are no published weights
    "kinetics/mini": entry(
        SlowFast,
        dict(num_classes=4, depth=18, width=8, alpha=4, beta=4, fusion_kernel=5,
             num_block_temp_kernel=((2, 2, 2, 2),) * 2),
        "", num_frames=8, sampling_rate=4, train_crop=64, test_crop=64, clips=2, crops=1,
    ),
    # Vision transformers
    **{
        name: entry(make, model, class_names, **protocol)
        for name, (make, model, class_names, protocol) in ROWS.items()
    },
}


def classifiers() -> list[str]:
    """Names of the published networks that classify whole videos."""
    return [
        name for name, found in ZOO.items()
        if found["class_names"] and not found["model"].get("detection")
    ]


def find(name: str) -> dict[str, Any]:
    """The zoo's entry `name`. Raises ValueError, with similar names, if it does not exist."""
    if name not in ZOO:
        close = difflib.get_close_matches(name, ZOO, n=5, cutoff=0.4)
        hint = f"; close: {', '.join(close)}" if close else ""
        raise ValueError(
            f"no model {name!r} in the zoo{hint} (slowfast_jax.list_models() lists all)"
        )
    return ZOO[name]


def fields(make: type[VideoNetwork]) -> set[str]:
    """Keywords that a network class takes."""
    return set(make.__dataclass_fields__) - {"parent", "name"}


def create(name: str, **overrides: Any) -> VideoNetwork:
    """The network of that name, with keywords overridden.

    Raises ValueError for an unknown name, and for a keyword that the network does not take.
    """
    found = find(name)
    make, protocol = found["make"], found["protocol"]
    allowed = fields(make)
    keywords = {k: protocol[key] for k, key in FROM_PROTOCOL.items() if k in allowed}
    keywords |= found["model"] | overrides
    unknown = set(keywords) - allowed
    if unknown:
        raise ValueError(
            f"{name} ({make.__name__}) takes no {', '.join(sorted(unknown))}; "
            f"it takes {', '.join(sorted(allowed))}"
        )
    return make(**keywords)
