"""Data sets of TFDS, written file by file as TFDS lays them out."""

import json
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter

CONTENT = tfds.features.Tensor(shape=(), dtype=np.object_)


def write_shard(path: Path, features: dict, examples: list[dict]) -> None:
    """An ArrayRecord file of examples; `features` by name, of which examples hold the values."""
    known = tfds.features.FeaturesDict(features)
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for example in examples:
        writer.write(known.serialize_example(example))
    writer.close()


def write_set(
    data_dir: Path, name: str, nodes: dict, features: dict, splits: dict[str, list[list[dict]]],
    *, config: str = "", version: str = "1.0.0", file_format: str = "array_record",
) -> Path:
    """A data set that TFDS could have prepared; returns its folder.

    nodes: features as features.json describes them, for those that TFDS cannot make without
    TensorFlow; the others come from `features`. splits: examples of each file of each split.
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
