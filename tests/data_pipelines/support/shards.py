"""Writes data sets in the layout of TFDS."""

import json
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter

CONTENT = tfds.features.Tensor(shape=(), dtype=np.object_)


def write_shard(path: Path, features: dict, examples: list[dict]) -> None:
    """Writes an ArrayRecord file of examples, which hold values by name of the feature."""
    known = tfds.features.FeaturesDict(features)
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for example in examples:
        writer.write(known.serialize_example(example))
    writer.close()


def write_set(
    data_dir: Path, name: str, nodes: dict, features: dict, splits: dict[str, list[list[dict]]],
    *, config: str = "", version: str = "1.0.0", file_format: str = "array_record",
) -> Path:
    """Writes a data set as TFDS prepares it; returns its folder.

    Args:
        nodes: features in the format of features.json, for those that TFDS cannot create without
            TensorFlow.
        features: the other features.
        splits: for each split, the examples of each file.
    """
    folder = data_dir / name / config / version
    folder.mkdir(parents=True)
    described = tfds.features.FeaturesDict(features)
    described.save_config(str(folder))
    path = folder / "features.json"
    content = json.loads(path.read_text())
    content["featuresDict"]["features"] |= nodes
    path.write_text(json.dumps(content))
    infos = []
    for split, shards in splits.items():
        for number, examples in enumerate(shards):
            file = f"{name}-{split}.array_record-{number:05d}-of-{len(shards):05d}"
            write_shard(folder / file, features, examples)
        infos.append({
            "name": split, "shardLengths": [str(len(shard)) for shard in shards],
            "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        })
    (folder / "dataset_info.json").write_text(json.dumps({
        "fileFormat": file_format, "name": name, "splits": infos, "version": version,
    }))
    return folder
