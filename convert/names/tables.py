"""Tables of names: rows of patterns, one for this project and PySlowFast, one for each program.

A row is a pair of patterns for modules; placeholders such as `{s}`, a stage, are listed in
PLACEHOLDERS.
"""

PLACEHOLDERS = {
    "s": r"\d+",  # stage; 1 is the stem, as in PySlowFast
    "i": r"\d+",  # block
    "p": r"\d",  # pathway
    "k": r"\d",  # fully connected layer of squeeze-and-excitation
    "x": r"[abc]|b_t",  # convolution of a residual block
    "n": r"theta|phi|g|out",  # convolution of a non-local block
    "w": r"\w+",  # layer of a transformer block, or a leaf
}


def _pathway(ours: str, pathway: int) -> tuple[tuple[str, str], ...]:
    """Rows for the stages of one pathway; this project's modules begin with `ours`."""
    block, stage = f"{ours}res{{s}}/block{{i}}", f"s{{s}}.pathway{pathway}_"
    nonlocal_block = f"{ours}res{{s}}/nonlocal{{i}}"
    return (
        (f"{block}/{{x}}", f"{stage}res{{i}}.branch2.{{x}}"),
        (f"{block}/{{x}}_bn", f"{stage}res{{i}}.branch2.{{x}}_bn"),
        (f"{block}/shortcut", f"{stage}res{{i}}.branch1"),
        (f"{block}/shortcut_bn", f"{stage}res{{i}}.branch1_bn"),
        (f"{block}/se/fc{{k}}", f"{stage}res{{i}}.branch2.se.fc{{k}}"),
        (f"{nonlocal_block}/{{n}}", f"{stage}nonlocal{{i}}.conv_{{n}}"),
        (f"{nonlocal_block}/out_bn", f"{stage}nonlocal{{i}}.bn"),
    )


HEAD = (("head/projection", "head.projection"),)
# PySlowFast's heads of boxes have no hidden layer; a name like its others stands for MMAction2's.
BOX_HEAD = (*HEAD, ("head/hidden", "head.hidden"))
# Family of networks -> rows (module of this project, module of PySlowFast). Both columns are unique
# within a family.
FAMILIES = {
    "one pathway": (
        ("stem/conv", "s1.pathway0_stem.conv"),
        ("stem/conv_bn", "s1.pathway0_stem.bn"),
        *_pathway("", 0),
        *BOX_HEAD,
    ),
    "SlowFast": (
        ("slow_stem/conv", "s1.pathway0_stem.conv"),
        ("slow_stem/conv_bn", "s1.pathway0_stem.bn"),
        ("fast_stem/conv", "s1.pathway1_stem.conv"),
        ("fast_stem/conv_bn", "s1.pathway1_stem.bn"),
        *_pathway("slow_", 0),
        *_pathway("fast_", 1),
        ("lateral{s}/conv", "s{s}_fuse.conv_f2s"),
        ("lateral{s}/conv_bn", "s{s}_fuse.bn"),
        *BOX_HEAD,
    ),
    "X3D": (
        ("stem/conv_xy", "s1.pathway0_stem.conv_xy"),
        ("stem/conv_t", "s1.pathway0_stem.conv"),
        ("stem/conv_t_bn", "s1.pathway0_stem.bn"),
        *_pathway("", 0),
        ("head/conv_5", "head.conv_5"),
        ("head/conv_5_bn", "head.conv_5_bn"),
        ("head/lin_5", "head.lin_5"),
        ("head/lin_5_bn", "head.lin_5_bn"),
        *HEAD,
    ),
    "MViT": (
        ("", ""),  # class token and absolute positions
        ("patch_embed", "patch_embed.proj"),
        ("block{i}/{w}", "blocks.{i}.{w}"),
        ("block{i}/attn/{w}", "blocks.{i}.attn.{w}"),
        ("block{i}/mlp/{w}", "blocks.{i}.mlp.{w}"),
        ("norm_stem", "norm_stem"),
        ("norm", "norm"),
        *HEAD,
    ),
    "Rev-MViT": (
        ("", ""),
        ("patch_embed", "patch_embed.proj"),
        *(
            (f"block{{i}}/{ours}", f"rev_backbone.layers.{{i}}.{theirs}")
            for ours, theirs in (
                ("F/{w}", "F.{w}"),
                ("F/attn/{w}", "F.attn.{w}"),
                ("G/{w}", "G.{w}"),
                ("G/mlp/{w}", "G.mlp.{w}"),
                ("res_proj", "res_proj"),
                ("fusion/norm", "pre_q_fuse.fuse_fn.0"),
                ("fusion/norm_mlp/{w}", "pre_q_fuse.fuse_fn.1.{w}"),
                ("fusion/mlp/{w}", "pre_q_fuse.fuse_fn.{w}"),
            )
        ),
        ("fusion/norm", "fuse.fuse_fn.0"),
        ("fusion/norm_mlp/{w}", "fuse.fuse_fn.1.{w}"),
        ("fusion/mlp/{w}", "fuse.fuse_fn.{w}"),
        ("norm_stem", "norm_stem"),
        ("norm", "norm"),
        *HEAD,
    ),
}
# Families without batch norms.
TRANSFORMERS = ("MViT", "Rev-MViT")

# Rows (Caffe2 blob without its suffix, PySlowFast module).
CAFFE2 = (
    ("conv1", "s1.pathway0_stem.conv"),
    ("conv1_xy", "s1.pathway0_stem.conv_xy"),
    ("res_conv1_bn", "s1.pathway0_stem.bn"),
    ("t_conv1", "s1.pathway1_stem.conv"),
    ("t_res_conv1_bn", "s1.pathway1_stem.bn"),
    ("t_pool1_subsample", "s1_fuse.conv_f2s"),
    ("t_pool1_subsample_bn", "s1_fuse.bn"),
    ("t_res{s}_{i}_branch2{x}_bn_subsample", "s{s}_fuse.conv_f2s"),
    ("t_res{s}_{i}_branch2{x}_bn_subsample_bn", "s{s}_fuse.bn"),
    *(
        row
        for prefix, pathway in (("", 0), ("t_", 1))
        for block, ours in [(f"{prefix}res{{s}}_{{i}}", f"s{{s}}.pathway{pathway}_res{{i}}")]
        for row in (
            (f"{block}_branch1", f"{ours}.branch1"),
            (f"{block}_branch1_bn", f"{ours}.branch1_bn"),
            (f"{block}_branch2{{x}}", f"{ours}.branch2.{{x}}"),
            (f"{block}_branch2{{x}}_bn", f"{ours}.branch2.{{x}}_bn"),
            (f"{block}_branch2b_bn_fc{{k}}", f"{ours}.branch2.se.fc{{k}}"),
        )
    ),
    ("nonlocal_conv{s}_{i}_{n}", "s{s}.pathway0_nonlocal{i}.conv_{n}"),
    ("nonlocal_conv{s}_{i}_bn", "s{s}.pathway0_nonlocal{i}.bn"),
    ("conv_5", "head.conv_5"),
    ("conv_5_bn", "head.conv_5_bn"),
    ("lin_5", "head.lin_5"),
    ("lin_5_bn", "head.lin_5_bn"),
    ("pred", "head.projection"),
)
CAFFE2_NORM_LEAVES = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
CAFFE2_OTHER_LEAVES = {"w": "weight", "b": "bias"}

def _hub_blocks(prefix: str, pathway: str, b: tuple[tuple[str, str], ...] = ()):
    """Rows for the blocks of PyTorchVideo; those of `b` come before the usual ones."""
    return tuple(
        (f"s{{s}}.{prefix}res_blocks.{{i}}.{theirs}", f"s{{s}}.pathway{pathway}_res{{i}}.{name}")
        for theirs, name in (
            ("branch1_conv", "branch1"),
            ("branch1_norm", "branch1_bn"),
            *b,
            ("branch2.conv_{x}", "branch2.{x}"),
            ("branch2.norm_{x}", "branch2.{x}_bn"),
        )
    )


_HUB_STEM = (("s1.conv", "s1.pathway0_stem.conv"), ("s1.norm", "s1.pathway0_stem.bn"))
_HUB_HEAD = (("head.proj", "head.projection"), ("detection_head.proj", "head.projection"))
# Family of networks -> rows (PyTorchVideo module with `blocks.N` replaced by the role of that
# block, PySlowFast module).
PYTORCHVIDEO = {
    "one pathway": (*_HUB_STEM, *_hub_blocks("", "0"), *_HUB_HEAD),
    "R(2+1)D": (
        *_HUB_STEM,
        *_hub_blocks("", "0", (
            ("branch2.conv_b.conv_t", "branch2.b_t"),
            ("branch2.conv_b.norm", "branch2.b_t_bn"),
            ("branch2.conv_b.conv_xy", "branch2.b"),
        )),
        *_HUB_HEAD,
    ),
    "SlowFast": (
        ("s1.multipathway_blocks.{p}.conv", "s1.pathway{p}_stem.conv"),
        ("s1.multipathway_blocks.{p}.norm", "s1.pathway{p}_stem.bn"),
        *_hub_blocks("multipathway_blocks.{p}.", "{p}"),
        ("s{s}.multipathway_fusion.conv_fast_to_slow", "s{s}_fuse.conv_f2s"),
        ("s{s}.multipathway_fusion.norm", "s{s}_fuse.bn"),
        *_HUB_HEAD,
    ),
    "X3D": (
        ("s1.conv.conv_t", "s1.pathway0_stem.conv_xy"),  # PyTorchVideo swaps the two names
        ("s1.conv.conv_xy", "s1.pathway0_stem.conv"),
        ("s1.norm", "s1.pathway0_stem.bn"),
        *_hub_blocks("", "0", (  # norm_b is a list [norm, squeeze-and-excitation]
            ("branch2.norm_b.0", "branch2.b_bn"),
            ("branch2.norm_b.1.block.0", "branch2.se.fc1"),
            ("branch2.norm_b.1.block.2", "branch2.se.fc2"),
        )),
        ("head.pool.pre_conv", "head.conv_5"),
        ("head.pool.pre_norm", "head.conv_5_bn"),
        ("head.pool.post_conv", "head.lin_5"),
        ("head.pool.post_norm", "head.lin_5_bn"),
        *_HUB_HEAD,
    ),
    "MViT": (
        ("patch_embed.patch_model", "patch_embed.proj"),
        ("cls_positional_encoding", ""),
        ("blocks.{i}.{w}", "blocks.{i}.{w}"),
        ("blocks.{i}.attn.{w}", "blocks.{i}.attn.{w}"),
        ("blocks.{i}.mlp.{w}", "blocks.{i}.mlp.{w}"),
        ("norm_embed", "norm"),
        ("head.proj", "head.projection"),
    ),
}
# Roles of the blocks that have tensors, in order. Blocks without tensors (the pool after the first
# stage of C2D and I3D, SlowFast's pool and concatenation) are numbered in PyTorchVideo's names too,
# but have no role.
PYTORCHVIDEO_ROLES = ("s1", "s2", "s3", "s4", "s5", "head")

def _mmaction2(path: str, pathway: int) -> tuple[tuple[str, str], ...]:
    """Rows for the stem and the stages of one pathway; MMAction2's modules begin with `path`."""
    rows = [
        (f"{path}conv1.{theirs}", f"s1.pathway{pathway}_stem.{theirs}") for theirs in ("conv", "bn")
    ]
    for stage in range(2, 6):
        block, ours = f"{path}layer{stage - 1}.{{i}}", f"s{stage}.pathway{pathway}_"
        for number, x in enumerate("abc", 1):
            rows += [
                (f"{block}.conv{number}.conv", f"{ours}res{{i}}.branch2.{x}"),
                (f"{block}.conv{number}.bn", f"{ours}res{{i}}.branch2.{x}_bn"),
            ]
        rows += [
            (f"{block}.downsample.conv", f"{ours}res{{i}}.branch1"),
            (f"{block}.downsample.bn", f"{ours}res{{i}}.branch1_bn"),
            (f"{block}.non_local_block.conv_out.conv", f"{ours}nonlocal{{i}}.conv_out"),
            (f"{block}.non_local_block.conv_out.bn", f"{ours}nonlocal{{i}}.bn"),
            (f"{block}.non_local_block.{{n}}.conv", f"{ours}nonlocal{{i}}.conv_{{n}}"),
            # before a max pool
            (f"{block}.non_local_block.{{n}}.0.conv", f"{ours}nonlocal{{i}}.conv_{{n}}"),
        ]
    return tuple(rows)


_MMACTION2_HEAD = (
    ("cls_head.fc_cls", "head.projection"),
    ("roi_head.bbox_head.fc_cls", "head.projection"),
    ("roi_head.bbox_head.fc_cls.0", "head.hidden"),
    ("roi_head.bbox_head.fc_cls.2", "head.projection"),
)
# Family of networks -> rows (MMAction2 module, PySlowFast module).
MMACTION2 = {
    "one pathway": (*_mmaction2("backbone.", 0), *_MMACTION2_HEAD),
    "SlowFast": (
        *_mmaction2("backbone.slow_path.", 0),
        *_mmaction2("backbone.fast_path.", 1),
        *(
            (f"backbone.slow_path.{theirs}_lateral.{part}", f"s{stage}_fuse.{name}")
            for stage, theirs in enumerate(("conv1", "layer1", "layer2", "layer3"), 1)
            for part, name in (("conv", "conv_f2s"), ("bn", "bn"))
        ),
        *_MMACTION2_HEAD,
    ),
}

# Rows (name in torchvision's MViT, PySlowFast name) of whole names; both columns are unique.
TORCHVISION = (
    ("conv_proj.{w}", "patch_embed.proj.{w}"),
    ("pos_encoding.class_token", "cls_token"),
    ("pos_encoding.class_pos", "pos_embed_class"),
    ("pos_encoding.spatial_pos", "pos_embed_spatial"),
    ("pos_encoding.temporal_pos", "pos_embed_temporal"),
    *((name, name) for name in (
        "blocks.{i}.norm1.{w}", "blocks.{i}.norm2.{w}", "blocks.{i}.attn.qkv.{w}",
        "blocks.{i}.attn.rel_pos_{w}", "norm.{w}",
    )),
    ("blocks.{i}.attn.project.0.{w}", "blocks.{i}.attn.proj.{w}"),
    *(
        (f"blocks.{{i}}.attn.pool_{x}.{theirs}.{{w}}", f"blocks.{{i}}.attn.{name}_{x}.{{w}}")
        for x in "qkv" for theirs, name in (("pool", "pool"), ("norm_act.0", "norm"))
    ),
    ("blocks.{i}.mlp.0.{w}", "blocks.{i}.mlp.fc1.{w}"),
    ("blocks.{i}.mlp.3.{w}", "blocks.{i}.mlp.fc2.{w}"),
    ("blocks.{i}.project.{w}", "blocks.{i}.proj.{w}"),
    ("head.1.{w}", "head.projection.{w}"),
)

# Rows (module of torchvision's ResNets, PySlowFast module).
TORCHVISION_RESNET = (
    ("conv1", "s1.pathway0_stem.conv"),
    ("bn1", "s1.pathway0_stem.bn"),
    *(
        (f"layer{stage - 1}.{{i}}.{theirs}", f"s{stage}.pathway0_res{{i}}.{name}")
        for stage in range(2, 6)
        for theirs, name in (
            *((f"conv{number}", f"branch2.{x}") for number, x in enumerate("abc", 1)),
            *((f"bn{number}", f"branch2.{x}_bn") for number, x in enumerate("abc", 1)),
            ("downsample.0", "branch1"),
            ("downsample.1", "branch1_bn"),
        )
    ),
    ("fc", "head.projection"),
)

NORM_LEAVES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
OTHER_LEAVES = {"weight": "kernel", "bias": "bias"} | {
    name: name for name in (
        "cls_token", "pos_embed", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class",
        "rel_pos_h", "rel_pos_w", "rel_pos_t",
    )
}
