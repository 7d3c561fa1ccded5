"""Commands that download data sets and weights from the addresses of their publishers.

The videos of Something-Something have no public address; downloading them takes an account.
"""

FAIR = "https://dl.fbaipublicfiles.com"
ZOO = f"{FAIR}/pyslowfast/model_zoo"
MVIT2 = f"{ZOO}/mvitv2/pysf_video_models"
MVIT2_KINETICS = tuple(f"{MVIT2}/MViTv2_{name}.pyth" for name in (
    "S_16x4_k400_f302660347", "B_32x3_k400_f304025456", "L_40x3_k400_f306903192",
))
REVERSIBLE = f"{FAIR}/pyslowfast/rev"
MULTIGRID = f"{FAIR}/pyslowfast/pyslowfast/model_zoo/multigrid/model_zoo"
LFB = f"{FAIR}/video-long-term-feature-banks/data/ava"
PYTORCHVIDEO = f"{FAIR}/pytorchvideo/model_zoo"
PYTORCHVIDEO_8X8 = ("SLOW_8x8_R50", "SLOWFAST_8x8_R50")
AVA = "https://s3.amazonaws.com/ava-dataset"
OPENMMLAB = "https://download.openmmlab.com/mmaction/dataset/ava"
DEEPMIND = "https://storage.googleapis.com/deepmind-media/Datasets"
CHARADES = "https://ai2-public-datasets.s3-us-west-2.amazonaws.com/charades"


def _fetch(folder: str, *addresses: str) -> list[str]:
    return [f"wget -c -P {folder} {address}" for address in addresses]


def _unpack(folder: str, address: str) -> list[str]:
    name = address.rpartition("/")[2]
    unpack = f"unzip {name} -d {folder}" if name.endswith(".zip") else f"tar -xf {name} -C {folder}"
    return [f"wget -c {address}", f"mkdir -p {folder} && {unpack}"]


# By data set: descriptions of its parts, and the commands that download each.
COMMANDS: dict[str, list[tuple[str, list[str]]]] = {
    "ava": [
        ("annotations 2.1 and 2.2 with predicted boxes, under the names that the recipes use",
         _unpack("AVA", f"{FAIR}/pyslowfast/annotation/ava/ava_annotations.tar")),
        ("annotations 2.2 as published by AVA", [
            "wget -c https://research.google.com/ava/download/ava_v2.2.zip",
            "unzip -j ava_v2.2.zip -d AVA/annotations",
        ]),
        ("predicted boxes of Long-Term Feature Banks for version 2.1", _fetch(
            "AVA/annotations",
            *(f"{LFB}/annotations/ava_{split}_predicted_boxes.csv" for split in ("train", "val")),
        )),
        ("the same boxes in the format of MMAction2 and PaddleVideo", _fetch(
            "AVA/annotations",
            *(f"{OPENMMLAB}/ava_dense_proposals_{split}.FAIR.recall_93.9.pkl"
              for split in ("train", "val")),
        )),
        ("frame lists (the preparation writes them as well)",
         _fetch("AVA/frame_lists", f"{LFB}/frame_lists/train.csv", f"{LFB}/frame_lists/val.csv")),
        ("films: 299 for training and validation", [
            *_fetch("AVA", f"{AVA}/annotations/ava_file_names_trainval_v2.1.txt"),
            f"sed 's|^|{AVA}/trainval/|' AVA/ava_file_names_trainval_v2.1.txt | "
            "wget -c -P AVA/videos -i -",
        ]),
        ("weights to start from", _fetch(
            "weights/pretrain", f"{ZOO}/ava/pretrain/C2D_8x8_R50.pkl",
            f"{ZOO}/ava/pretrain/SLOWFAST_32x2_R101_50_50_v2.1.pkl",
            f"{ZOO}/ava/pretrain/SLOWFAST_32x2_R101_50_50.pkl",
            f"{ZOO}/ava/pretrain/SLOWFAST_64x2_R101_50_50.pkl",
        ) + _fetch("weights", f"{ZOO}/kinetics400/SLOWFAST_8x8_R50.pkl")),
        ("trained weights", _fetch(
            "weights/ava", f"{ZOO}/ava/C2D_8x8_R50.pkl",
            f"{ZOO}/ava/SLOWFAST_32x2_R101_50_50_v2.1.pkl",
            f"{ZOO}/ava/SLOWFAST_32x2_R101_50_50.pkl", f"{ZOO}/ava/SLOWFAST_64x2_R101_50_50.pkl",
        )),
        ("AVA-Kinetics: annotations; the videos are those of Kinetics-700", [
            *_unpack("AVA_KINETICS", f"{DEEPMIND}/ava_kinetics_v1_0.tar.gz"),
            "python -m data_pipelines.prepare kinetics --downloads",
        ]),
    ],
    "kinetics": [
        *((f"annotations of Kinetics-{number}: YouTube ids, times and classes",
           _unpack("KINETICS", f"{DEEPMIND}/kinetics{number}.tar.gz"))
          for number in (400, 600, 700)),
        ("videos: scripts that download a copy, and a program that downloads them from YouTube", [
            "git clone https://github.com/cvdfoundation/kinetics-dataset",
            "git clone https://github.com/activitynet/ActivityNet  # Crawler/Kinetics",
        ]),
        ("UCF101: videos and splits", [
            "wget -c https://www.crcv.ucf.edu/datasets/human-actions/ucf101/UCF101.rar",
            "wget -c https://www.crcv.ucf.edu/wp-content/uploads/2019/03/"
            "UCF101TrainTestSplits-RecognitionTask.zip",
            "unrar x UCF101.rar && unzip UCF101TrainTestSplits-RecognitionTask.zip",
        ]),
        ("HMDB51: videos and splits", [
            "wget -c http://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/hmdb51_org.rar",
            "wget -c http://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/"
            "test_train_splits.rar",
            "mkdir -p HMDB51 && unrar x hmdb51_org.rar HMDB51/ && unrar x test_train_splits.rar",
            "cd HMDB51 && for class in *.rar; do unrar x $class; done",
        ]),
        ("trained weights", _fetch(
            "weights",
            *(f"{ZOO}/kinetics400/{name}.pkl" for name in (
                "C2D_NOPOOL_8x8_R50", "I3D_8x8_R50", "I3D_NLN_8x8_R50", "SLOWONLY_4x16_R50",
                "SLOWONLY_8x8_R50", "SLOWFAST_4x16_R50", "SLOWFAST_8x8_R50",
            )),
            *(f"{MULTIGRID}/Kinetics/SLOWFAST_8x8_R50_stepwise{suffix}.pkl"
              for suffix in ("", "_multigrid")),
            *(f"{FAIR}/pyslowfast/x3d_models/x3d_{size}.pyth" for size in ("xs", "s", "m", "l")),
            f"{ZOO}/mvit/k400.pyth",
            *MVIT2_KINETICS,
            f"{REVERSIBLE}/REV_MVIT_B_16x4.pyth",
            *(f"{PYTORCHVIDEO}/kinetics/{name}.pyth"
              for name in ("CSN_32x2_R101", "R2PLUS1D_16x4_R50")),
        )),
        ("ImageNet weights to start from", _fetch("weights", f"{ZOO}/kinetics400/R50_IN1K.pyth")),
        ("trained ImageNet weights", _fetch(
            "weights/imagenet",
            *(f"{FAIR}/mvit/mvitv2_models/MViTv2_{size}_in1k.pyth" for size in ("T", "S", "B")),
            *(f"{REVERSIBLE}/REV_{name}.pyth" for name in ("VIT_S", "VIT_B", "MVIT_B")),
        )),
    ],
    "ssv2": [
        ("videos and labels: sign in, download all parts, then unpack them", [
            "# https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
            "cat 20bn-something-something-v2-?? | tar -xz",
        ]),
        ("frame lists (the preparation writes them as well)", _fetch(
            "SSV2", *(f"{FAIR}/pyslowfast/dataset/ssv2/frame_lists/{split}.csv"
                      for split in ("train", "val")),
        )),
        ("weights to start from", _fetch(
            "weights", f"{ZOO}/kinetics400/SLOWFAST_8x8_R50.pkl",
            *MVIT2_KINETICS,
        )),
        ("trained weights", _fetch(
            "weights/ssv2", f"{MULTIGRID}/SSv2/SLOWFAST_16x8_R50.pkl",
            f"{MULTIGRID}/SSv2/SLOWFAST_16x8_R50_multigrid.pkl",
            *(f"{MVIT2}/MViTv2_{name}.pyth" for name in (
                "S_16x4_ssv2_f308341823", "B_32x3_ssv2_f305803282", "L_40x3_ssv2_f309603968",
            )),
            *(f"{PYTORCHVIDEO}/ssv2/{name}.pyth" for name in PYTORCHVIDEO_8X8),
        )),
    ],
    "charades": [
        ("annotations", [f"wget -c {CHARADES}/Charades.zip", "unzip Charades.zip"]),
        ("frames at 24 fps", _unpack(
            "CHARADES", "http://ai2-website.s3.amazonaws.com/data/Charades_v1_rgb.tar"
        ) + ["mv CHARADES/Charades_v1_rgb CHARADES/frames"]),
        ("or the videos instead of the frames", [
            f"wget -c {CHARADES}/Charades_v1_480.zip", "unzip Charades_v1_480.zip",
        ]),
        ("frame lists (the preparation writes them as well)", _fetch(
            "CHARADES", *(f"{FAIR}/pyslowfast/dataset/charades/frame_lists/{split}.csv"
                          for split in ("train", "val")),
        )),
        ("weights to start from", _fetch("weights", f"{ZOO}/kinetics400/SLOWFAST_8x8_R50.pkl")),
        ("trained weights", _fetch(
            "weights/charades", f"{MULTIGRID}/Charades/SLOWFAST_16x8_R50.pkl",
            f"{MULTIGRID}/Charades/SLOWFAST_16x8_R50_multigrid.pkl",
            *(f"{PYTORCHVIDEO}/charades/{name}.pyth" for name in PYTORCHVIDEO_8X8),
        )),
    ],
    "own": [
        ("weights to start from", _fetch(
            "weights", f"{FAIR}/pyslowfast/x3d_models/x3d_xs.pyth",
            f"{FAIR}/pyslowfast/x3d_models/x3d_m.pyth",
            f"{ZOO}/kinetics400/SLOWFAST_8x8_R50.pkl",
        )),
    ],
}


def commands(name: str) -> str:
    """Commands that download a data set and weights for it, each part under a comment."""
    return "\n\n".join(
        "\n".join([f"# {what}", *lines]) for what, lines in COMMANDS[name]
    )
