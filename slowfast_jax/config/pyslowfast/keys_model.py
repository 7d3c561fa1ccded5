"""The keys of PySlowFast about networks: MODEL, RESNET, SLOWFAST, NONLOCAL, X3D, DETECTION, BN,
MVIT, MASK, CONTRASTIVE. networks.py computes the keywords of a network from them."""

from collections.abc import Mapping
from typing import Any

from slowfast_jax.config.pyslowfast import transformers
from slowfast_jax.config.pyslowfast.keys import Keys, computed, copied, fixed, unneeded

INF = float("inf")

MODEL: Keys = {
    **computed("MODEL", "`model.name`: the closest entry of the zoo, whose keywords are then set "
               "to the values of the file", {"MODEL_NAME": "SlowFast"}),
    **computed("MODEL", "`model.arch`", {"ARCH": "slowfast"}),
    **copied("MODEL", {
        "NUM_CLASSES": ("model.num_classes", 400),
        "DROPOUT_RATE": ("model.dropout", 0.5),
        "FC_INIT_STD": ("model.fc_init_std", 0.01),
        "HEAD_ACT": ("model.activation", "softmax"),
    }),
    **computed("MODEL", "`train.loss`, where `bce_logit` is `bce_logits`", {
        "LOSS_FUNC": "cross_entropy",
    }),
    **computed("MODEL", "`model.frozen_norm`", {"FROZEN_BN": False}),
    **computed("MODEL", "`train.train_only=head/projection/.*`", {"DETACH_FINAL_FC": False}),
    **unneeded("MODEL", "SINGLE_PATHWAY_ARCH MULTI_PATHWAY_ARCH",
               "a network takes one clip and picks the slow frames itself"),
    **unneeded("MODEL", "DROPCONNECT_RATE",
               "the original reads it but never applies it; `model.drop_connect` of X3D does"),
    **unneeded("MODEL", "ACT_CHECKPOINT",
               "changes memory, not results; `model.remat` names the stages to recompute"),
    **unneeded("MODEL", "FP16_ALLREDUCE", "gradients are summed in float32"),
}

RESNET: Keys = {
    **computed("RESNET", "`model.block`: `bottleneck` or `basic`", {
        "TRANS_FUNC": "bottleneck_transform",
    }),
    **computed("RESNET", "`model.groups`", {"NUM_GROUPS": 1}),
    **computed("RESNET", "`model.width`", {"WIDTH_PER_GROUP": 64}),
    **computed("RESNET", "`model.stride_1x1`, which SlowFast ignores", {"STRIDE_1X1": False}),
    **computed("RESNET", "`model.zero_init_final_bn`, which sub-BN turns off, as in the original", {
        "ZERO_INIT_FINAL_BN": False,
    }),
    **computed("RESNET", "`model.depth`", {"DEPTH": 50}),
    **computed("RESNET", "`model.num_block_temp_kernel`", {
        "NUM_BLOCK_TEMP_KERNEL": ((3,), (4,), (6,), (3,)),
    }),
    **computed("RESNET", "`model.strides`", {"SPATIAL_STRIDES": ((1,), (2,), (2,), (2,))}),
    **computed("RESNET", "`model.dilations`", {"SPATIAL_DILATIONS": ((1,), (1,), (1,), (1,))}),
    **fixed("RESNET", "the last convolution of a block is not initialized with zeros", {
        "ZERO_INIT_FINAL_CONV": False,
    }),
    **unneeded("RESNET", "INPLACE_RELU", "XLA decides"),
}

SLOWFAST: Keys = {
    **computed("SLOWFAST", "`model.alpha`", {"ALPHA": 8}),
    **computed("SLOWFAST", "`model.beta`", {"BETA_INV": 8}),
    **computed("SLOWFAST", "`model.fusion_ratio`", {"FUSION_CONV_CHANNEL_RATIO": 2}),
    **computed("SLOWFAST", "`model.fusion_kernel`", {"FUSION_KERNEL_SZ": 5}),
}

NONLOCAL: Keys = {
    **computed("NONLOCAL", "`model.nonlocal_blocks`", {"LOCATION": (((),), ((),), ((),), ((),))}),
    **computed("NONLOCAL", "`model.nonlocal_group`", {"GROUP": ((1,), (1,), (1,), (1,))}),
    **computed("NONLOCAL", "`model.nonlocal_mode`", {"INSTANTIATION": "dot_product"}),
    **computed("NONLOCAL", "`model.nonlocal_pool`", {"POOL": (((1, 2, 2), (1, 2, 2)),) * 4}),
}

X3D: Keys = {
    **computed("X3D", "`model.width_factor`", {"WIDTH_FACTOR": 1.0}),
    **computed("X3D", "`model.depth_factor`", {"DEPTH_FACTOR": 1.0}),
    **computed("X3D", "`model.bottleneck_factor`", {"BOTTLENECK_FACTOR": 1.0}),
    **computed("X3D", "`model.head_width`", {"DIM_C5": 2048}),
    **computed("X3D", "`model.stem_width`", {"DIM_C1": 12}),
    **computed("X3D", "`model.scale_res2`", {"SCALE_RES2": False}),
    **computed("X3D", "`model.norm_lin_5`", {"BN_LIN5": False}),
    **fixed("X3D", "the 3x3x3 convolutions are depthwise", {"CHANNELWISE_3x3x3": True}),
}

DETECTION: Keys = {
    **computed("DETECTION", "`task=detection`, `model.detection`", {"ENABLE": False}),
    **computed("DETECTION", "`model.roi_aligned`", {"ALIGNED": True}),
    **computed("DETECTION", "`model.roi_scale`, 1 / 16 where PySlowFast has 16", {
        "SPATIAL_SCALE_FACTOR": 16,
    }),
    **computed("DETECTION", "`model.roi_resolution`", {"ROI_XFORM_RESOLUTION": 7}),
}

BN: Keys = {
    **copied("BN", {
        "USE_PRECISE_STATS": ("norm.precise", False),
        "NUM_BATCHES_PRECISE": ("norm.precise_batches", 200),
    }),
    **computed("BN", "`optimizer.norm_weight_decay`; with sub-BN that of `SOLVER.WEIGHT_DECAY`, as "
               "in the original", {"WEIGHT_DECAY": 0.0}),
    **computed("BN", "`norm.group_size`, the clips that share batch statistics: those of a GPU "
               "(`TRAIN.BATCH_SIZE / NUM_GPUS`, times the clips of a video), divided by "
               "`NUM_SPLITS` with sub-BN, times `NUM_SYNC_DEVICES` (`norm.sync_devices`) with "
               "sync-BN; the long cycle of multigrid training changes it by itself", {
        "NORM_TYPE": "batchnorm", "NUM_SPLITS": 1, "NUM_SYNC_DEVICES": 1, "GLOBAL_SYNC": False,
    }),
}


def _same(defaults: Mapping[str, Any]) -> Keys:
    """Keys of MVIT whose value is that of a keyword."""
    keys: Keys = {}
    for name, default in defaults.items():
        keys |= computed("MVIT", f"`{transformers.SAME[name]}`", {name: default})
    return keys


MVIT: Keys = {
    **_same({
        "DEPTH": 16, "EMBED_DIM": 96, "NUM_HEADS": 1, "MLP_RATIO": 4.0, "DIM_MUL": (),
        "HEAD_MUL": (), "MODE": "conv", "POOL_FIRST": False, "POOL_KVQ_KERNEL": None,
        "POOL_Q_STRIDE": (), "POOL_KV_STRIDE": (), "POOL_KV_STRIDE_ADAPTIVE": None,
        "RESIDUAL_POOLING": False, "SEPARATE_QKV": False, "QKV_BIAS": True,
        "REL_POS_SPATIAL": False, "REL_POS_TEMPORAL": False, "REL_POS_ZERO_INIT": False,
        "USE_MEAN_POOLING": False, "NORM_STEM": False, "DROPPATH_RATE": 0.1,
        "HEAD_INIT_SCALE": 1.0, "CLS_EMBED_ON": True, "DIM_MUL_IN_ATT": False,
    }),
    **computed("MVIT", "`patch_kernel`, `patch_stride`, `patch_padding`; those of images get 1, 1 "
               "and 0 in time", {
        "PATCH_KERNEL": (3, 7, 7), "PATCH_STRIDE": (2, 4, 4), "PATCH_PADDING": (2, 4, 4),
        "PATCH_2D": False,
    }),
    **computed("MVIT", "`abs_pos`: `none`, `sincos`, `separate` or `joint`", {
        "USE_ABS_POS": True, "USE_FIXED_SINCOS_POS": False, "SEP_POS_EMBED": False,
    }),
    **computed("MVIT", "`decay_positions`, its opposite", {"ZERO_DECAY_POS_CLS": True}),
    **fixed("MVIT", "the norms are layer norms", {"NORM": "layernorm"}),
    **fixed("MVIT", "blocks have no dropout besides stochastic depth", {"DROPOUT_RATE": 0.0}),
    **unneeded("MVIT", "LAYER_SCALE_INIT_VALUE", "the original never hands it to its blocks"),
    **computed("MVIT", "a reversible network, without class token", {"REV.ENABLE": False}),
    **computed("MVIT", "`transitions`", {"REV.BUFFER_LAYERS": ()}),
    **computed("MVIT", "`stage_fusion`", {"REV.PRE_Q_FUSION": "avg"}),
    **computed("MVIT", "`final_fusion`", {"REV.RESPATH_FUSE": "concat"}),
    **fixed("MVIT", "the residual path of a transition is pooled like its queries", {
        "REV.RES_PATH": "conv",
    }),
}

PRETRAINING: Keys = {
    **computed("MASK", "masked pretraining, which this program lacks", {
        "ENABLE": False, "MAE_ON": False, "MAE_RND_MASK": False, "PER_FRAME_MASKING": False,
        "TIME_STRIDE_LOSS": True, "NORM_PRED_PIXEL": True, "SCALE_INIT_BY_DEPTH": False,
        "DECODER_EMBED_DIM": 512, "DECODER_SEP_POS_EMBED": False, "DEC_KV_KERNEL": (),
        "DEC_KV_STRIDE": (), "PRETRAIN_DEPTH": (15,), "HEAD_TYPE": "separate", "DECODER_DEPTH": 0,
        "PRED_HOG": False,
    }),
    **computed("CONTRASTIVE", "contrastive pretraining, which this program lacks", {
        "T": 0.07, "DIM": 128, "LENGTH": 239975, "QUEUE_LEN": 65536, "MOMENTUM": 0.5,
        "MOMENTUM_ANNEALING": False, "TYPE": "mem", "INTERP_MEMORY": False, "MEM_TYPE": "1d",
        "NUM_CLASSES_DOWNSTREAM": 400, "NUM_MLP_LAYERS": 1, "MLP_DIM": 2048, "BN_MLP": False,
        "BN_SYNC_MLP": False, "LOCAL_SHUFFLE_BN": True, "MOCO_MULTI_VIEW_QUEUE": False,
        "DELTA_CLIPS_MIN": -INF, "DELTA_CLIPS_MAX": INF, "PREDICTOR_DEPTHS": (),
        "SEQUENTIAL": False, "SIMCLR_DIST_ON": True, "SWAV_QEUE_LEN": 0, "KNN_ON": True,
    }),
}
