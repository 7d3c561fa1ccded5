"""What values of the original become, where no published file has them."""

import pytest

from slowfast_jax.config import ConfigError, build_model, load_config, training_problems
from slowfast_jax.config.pyslowfast import networks
from slowfast_jax.config.pyslowfast.tables import KEYS
from slowfast_jax.config.pyslowfast.transformers import reversible, transformer
from tests.slowfast_jax.config.pyslowfast.published import AVA, PYTORCHVIDEO, pair, single, write

SLOW = {**single("slow"), "NUM_GPUS": 8}
DEFAULTS = {key: entry.default for key, entry in KEYS.items()}


def load(tmp_path, values, *overrides):
    return load_config(str(write(tmp_path / "a.yaml", values)), overrides=overrides)


@pytest.mark.parametrize(("overrides", "size", "reference", "group", "devices"), [
    ("", 64, 64, 8, 1),
    ("NUM_SHARDS 4", 256, 64, 8, 1),
    ("NUM_SHARDS 4 SOLVER.BASE_LR_SCALE_NUM_SHARDS False", 256, 0, 8, 1),
    ("NUM_GPUS 1 TRAIN.BATCH_SIZE 6", 6, 6, 6, 1),
    ("NUM_GPUS 0", 64, 64, 64, 1),
    ("BN.NORM_TYPE sync_batchnorm BN.NUM_SYNC_DEVICES 4", 64, 64, 32, 4),
    ("BN.NORM_TYPE sync_batchnorm BN.NUM_SYNC_DEVICES 4 NUM_GPUS 2", 64, 64, 64, 2),
    ("BN.NORM_TYPE sync_batchnorm BN.GLOBAL_SYNC True NUM_SHARDS 2", 128, 64, 128, 16),
    ("BN.NORM_TYPE sub_batchnorm BN.NUM_SPLITS 2", 64, 64, 4, 1),
    ("AUG.NUM_SAMPLE 2 DATA.TRAIN_CROP_NUM_TEMPORAL 3", 64, 64, 48, 1),
])
def test_batches(tmp_path, overrides, size, reference, group, devices):
    config = load(
        tmp_path, {**SLOW, "SOLVER.BASE_LR_SCALE_NUM_SHARDS": True}, *overrides.split()
    )
    assert config.train.batch_size == size and config.schedule.reference_batch == reference
    assert config.norm.group_size == group and config.norm.sync_devices == devices
    assert config.schedule.base_lr == 0.1  # the rates of one machine


def test_the_number_of_machines_in_a_file_does_not_count(tmp_path):
    assert load(tmp_path, {**SLOW, "NUM_SHARDS": 16}).train.batch_size == 64


def test_sub_batch_norm_is_initialized_and_decayed_as_in_the_original(tmp_path):
    values = {**SLOW, "BN.NORM_TYPE": "sub_batchnorm", "RESNET.ZERO_INIT_FINAL_BN": True}
    config = load(tmp_path, values, "SOLVER.WEIGHT_DECAY", "0.5")
    assert not config.model.zero_init_final_bn and config.optimizer.norm_weight_decay == 0.5


@pytest.mark.parametrize(("values", "fields"), [
    ({"AUG.AA_TYPE": "rand-m7-n4-mstd0.5-inc1"}, {"rand_augment": "", "erasing_probability": 0}),
    ({"AUG.ENABLE": True, "AUG.RE_COUNT": 2},
     {"rand_augment": "rand-m9-mstd0.5-inc1", "erasing_probability": 0.25, "erasing_count": 2}),
    ({"MIXUP.ENABLE": True, "MIXUP.PROB": 0.0},
     {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "mix_prob": 0.0, "label_smoothing": 0.1}),
    ({"DATA.SSL_COLOR_HUE": 0.2}, {"hue": 0.0}),
    ({"DATA.SSL_COLOR_JITTER": True, "DATA.COLOR_RND_GRAYSCALE": 0.2},
     {"color_jitter": (0.4, 0.4, 0.4), "hue": 0.1, "grey_probability": 0.2, "moco_v2": False}),
    ({"DATA.TRAIN_CROP_NUM_SPATIAL": 3, "AUG.NUM_SAMPLE": 2}, {"num_samples": 6}),
])
def test_augmentation(tmp_path, values, fields):
    augment = load(tmp_path, {**SLOW, **values}).augment
    assert {key: augment[key] for key in fields} == fields


def test_other_fields(tmp_path):
    config = load(tmp_path, {
        **SLOW, "MODEL.DETACH_FINAL_FC": True, "TRAIN.MIXED_PRECISION": True,
        "SOLVER.CLIP_GRAD_L2NORM": 1, "SOLVER.OPTIMIZING_METHOD": "mt_adamw",
        "TRAIN.CHECKPOINT_FILE_PATH": "a.pyth", "TRAIN.CHECKPOINT_INFLATE": True,
        "TEST.CHECKPOINT_FILE_PATH": "b.pyth", "DATA.PATH_TO_DATA_DIR": "lists",
        "MODEL.FROZEN_BN": True, "MODEL.NUM_CLASSES": 101,
    })
    assert config.train.train_only == "head/projection/.*" and config.model.dtype == "bfloat16"
    assert config.optimizer.clip_norm == 1.0 and config.optimizer.clip_value == 0.0
    assert config.optimizer.name == "adamw" and config.model.frozen_norm
    assert config.train.init_from.path == "a.pyth" and config.test.checkpoint == "b.pyth"
    assert config.train.init_from.skip == ("head/.*", "res./nonlocal.*")
    assert config.data.root == "lists" and config.class_names == ""
    assert not training_problems(config)


@pytest.mark.parametrize(("values", "resumes"), [
    ({}, True), ({"TRAIN.CHECKPOINT_EPOCH_RESET": True}, False),
    ({"TRAIN.CHECKPOINT_TYPE": "caffe2"}, False), ({"TRAIN.CHECKPOINT_FILE_PATH": ""}, False),
    ({"TRAIN.ENABLE": False}, False),
])
def test_a_checkpoint_of_the_original_is_resumed_as_there(tmp_path, values, resumes):
    config = load(tmp_path, {**SLOW, "TRAIN.CHECKPOINT_FILE_PATH": "a.pyth", **values})
    assert config.train.init_from.resume == resumes


def test_the_long_cycle_alone_needs_a_global_head(tmp_path):
    config = load(tmp_path, {**SLOW, "MULTIGRID.LONG_CYCLE": True})
    assert config.model.head_pool == "global" and config.multigrid.split_norm_decay


def test_folders_of_ava_are_not_relative_to_the_lists(tmp_path):
    values = {
        **SLOW, "TRAIN.DATASET": "ava", "TEST.DATASET": "ava", "DETECTION.ENABLE": True,
        "MODEL.NUM_CLASSES": 80, "AVA.FRAME_DIR": "frames", "AVA.TEST_LISTS": ["a.csv"],
    }
    assert load(tmp_path, values).data.frame_dir == "frames"
    data = load(tmp_path, values, "DATA.PATH_TO_DATA_DIR", "lists").data
    assert data.frame_dir.startswith("/") and data.test_list == data.val_list == "a.csv"


def test_what_a_tutorial_edits_to_train_on_own_films(tmp_path):
    """Names of files and folders, the checkpoint, the batch and the schedule."""
    config = load(tmp_path, AVA["c2_slowfast_32x2_r101_50_50"], *(
        "TRAIN.ENABLE True TRAIN.CHECKPOINT_TYPE caffe2 TRAIN.AUTO_RESUME True TRAIN.BATCH_SIZE 2 "
        "TRAIN.CHECKPOINT_FILE_PATH AVA/weights.pkl NUM_GPUS 1 DATA.PATH_TO_DATA_DIR AVA "
        "AVA.FRAME_DIR AVA/frames AVA.FRAME_LIST_DIR AVA/frame_lists AVA.ANNOTATION_DIR AVA/tables "
        "AVA.TRAIN_PREDICT_BOX_LISTS ['own_train.csv'] AVA.TEST_PREDICT_BOX_LISTS ['own_val.csv'] "
        "DEMO.ENABLE False SOLVER.MAX_EPOCH 20"
    ).split())
    train, data = config.train, config.data
    assert (train.batch_size, train.epochs, train.enable) == (2, 20, True)
    assert train.init_from.path == "AVA/weights.pkl"
    folders = data.frame_dir, data.frame_list_dir, data.annotation_dir
    assert [path.rsplit("/AVA/")[-1] for path in folders] == ["frames", "frame_lists", "tables"]
    assert data.train_box_lists == ("own_train.csv",) and data.test_box_lists == ("own_val.csv",)


def test_images_with_augmentation(tmp_path):
    config = load(tmp_path, {
        **single("2d", 1), "TRAIN.DATASET": "imagenet", "TEST.DATASET": "imagenet",
        "AUG.ENABLE": True, "MODEL.NUM_CLASSES": 1000, "DATA.TEST_CROP_SIZE": 224,
    })
    assert tuple(config.data.jitter) == (256, 256) and config.protocol.test_crop == 224
    assert config.data.jitter_scales_relative == (0.08, 1.0) and config.data.pca_jitter == 0.0


def test_a_network_like_none_of_the_zoo(tmp_path):
    """The nearest entry is named; all that differs from it is set."""
    config = load(tmp_path, {
        **pair(8, 5, 16), "RESNET.DEPTH": 18, "RESNET.TRANS_FUNC": "basic_transform",
        "RESNET.WIDTH_PER_GROUP": 8, "RESNET.NUM_BLOCK_TEMP_KERNEL": [[2, 1]] * 4,
        "MODEL.NUM_CLASSES": 174, "TRAIN.DATASET": "kinetics",
    })
    network = build_model(config)
    assert (network.depth, network.block, network.width, network.alpha) == (18, "basic", 8, 8)
    assert network.num_block_temp_kernel == ((2, 2, 2, 2), (1, 1, 1, 1))
    assert config.class_names == ""  # 174 classes of another data set than Something-Something


@pytest.mark.parametrize(("values", "message"), [
    ({"MODEL.MODEL_NAME": "SlowFst"}, r"MODEL_NAME is SlowFst, expected .* mean SlowFast"),
    ({"MODEL.MODEL_NAME": "MaskMViT"}, r"MaskMViT, but this program lacks self-supervised tr"),
    ({"MODEL.MODEL_NAME": "PTVCSN", "DETECTION.ENABLE": True, "TRAIN.DATASET": "ava",
      "TEST.DATASET": "ava"}, r"MODEL\.MODEL_NAME PTVCSN does not classify boxes"),
    ({"MODEL.ARCH": "csn"}, r"a\.yaml: MODEL\.ARCH is csn, expected 2d or c2d or"),
    ({"MODEL.LOSS_FUNC": "multi_mse"}, r"LOSS_FUNC is multi_mse, which this program lacks"),
    ({"SOLVER.LR_POLICY": "steps_with_lrs"}, r"LR_POLICY is steps_with_lrs, which this program"),
    ({"AVA.BGR": True}, r"AVA\.BGR is True, expected False: clips are RGB"),
    ({"DATA.INPUT_CHANNEL_NUM": [2]}, r"INPUT_CHANNEL_NUM is \(2,\), expected \(3, 3\) or \(3,\)"),
    ({"TRAIN.DATASET": "kinetic"}, r"TRAIN\.DATASET is kinetic, expected .* did you mean kinetics"),
    ({"TEST.DATASET": "ssv2"}, r"TEST\.DATASET is ssv2, expected that of training, kinetics"),
    ({"DETECTION.ENABLE": True}, r"DETECTION\.ENABLE is True, which does not fit TRAIN\.DATASET"),
    ({"TRAIN.BATCH_SIZE": 12}, r"TRAIN\.BATCH_SIZE is 12, expected a multiple of NUM_GPUS, 8"),
    ({"BN.NORM_TYPE": "groupnorm"}, r"BN\.NORM_TYPE is groupnorm, expected batchnorm, sub_batch"),
])
def test_what_this_program_lacks(tmp_path, values, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, {**SLOW, **values})


def test_pathways_with_different_strides(tmp_path):
    values = {**pair(4, 7), "RESNET.SPATIAL_STRIDES": [[1, 1], [2, 2], [2, 2], [1, 2]]}
    with pytest.raises(ConfigError, match=r"SPATIAL_STRIDES is .*, expected the same for both"):
        load(tmp_path, values)


def test_x3d_of_pytorchvideo_has_no_nonlocal_blocks(tmp_path):
    values = {"MODEL.MODEL_NAME": "X3D", "MODEL.ARCH": "x3d",
              "RESNET.TRANS_FUNC": "x3d_transform", "NONLOCAL.LOCATION": [[[]], [[1]], [[]], [[]]]}
    with pytest.raises(ConfigError, match=r"NONLOCAL\.LOCATION is set, but X3D has no non-local"):
        load(tmp_path, values)


def test_residual_networks_of_pytorchvideo_have_temporal_kernels_in_all_blocks(tmp_path):
    values = {**single("slow", depth=101), "RESNET.NUM_BLOCK_TEMP_KERNEL": [[3], [4], [6], [3]],
              "MODEL.MODEL_NAME": "PTVResNet"}
    assert load(tmp_path, values).model.num_block_temp_kernel == (3, 4, 23, 3)


@pytest.mark.parametrize(
    "name", [name for name in PYTORCHVIDEO if not name.startswith("pytorchvideo/")]
)
def test_files_of_pytorchvideo_name_the_network_whose_weights_they_test(tmp_path, name):
    """`--weights published` takes those of the network that the config names."""
    config = load(tmp_path, {**PYTORCHVIDEO[name], "NUM_GPUS": 8})
    assert config.model.name == name and config.class_names == name.split("/")[0]
    assert config.model.average == "probs" and not config.data.inverse_uniform_jitter


def test_keywords_of_transformers():
    made = transformer({
        **DEFAULTS, "MVIT.PATCH_2D": True, "MVIT.PATCH_KERNEL": (7, 7),
        "MVIT.PATCH_STRIDE": (4, 4), "MVIT.PATCH_PADDING": (3, 3), "MVIT.USE_ABS_POS": False,
        "MVIT.POOL_KV_STRIDE_ADAPTIVE": (1, 4, 4), "MVIT.POOL_KV_STRIDE": ((0, 1, 4, 4),),
        "MVIT.EMBED_DIM": 144, "MODEL.FC_INIT_STD": 0.3,
    })
    assert made["patch_kernel"] == (1, 7, 7) and made["patch_stride"] == (1, 4, 4)
    assert made["patch_padding"] == (0, 3, 3) and made["width"] == 144
    assert made["adaptive_kv_stride"] == (1, 4, 4) and made["kv_strides"] == ()
    assert made["abs_pos"] == "none" and made["fc_init_std"] == 0.02
    assert made["pool_kernel"] == ()  # None in the original
    assert not made["decay_positions"]


def test_keywords_of_reversible_transformers():
    made = reversible({
        **DEFAULTS, "MVIT.REV.BUFFER_LAYERS": (1, 3), "MVIT.REV.PRE_Q_FUSION": "concat_linear_2",
    })
    assert made["transitions"] == (1, 3) and made["stage_fusion"] == "concat_linear_2"
    assert made["final_fusion"] == "concat" and "class_token" not in made


@pytest.mark.parametrize(("values", "kind"), [
    ({}, "joint"), ({"MVIT.SEP_POS_EMBED": True}, "separate"),
    ({"MVIT.USE_FIXED_SINCOS_POS": True}, "sincos"),
])
def test_positions_of_transformers(values, kind):
    assert transformer({**DEFAULTS, **values})["abs_pos"] == kind


def test_every_row_of_networks_is_whole():
    for name, row in networks.NETWORKS.items():
        assert row.make is None or row.keywords is not None, name
        assert bool(row.missing) == (row.make is None), name
        assert set(row.sections) <= set(networks.OF_NETWORKS), name
