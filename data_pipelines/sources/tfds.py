"""Video data sets prepared by TFDS, read without TensorFlow:

    read_tfds("ucf101/ucf101_1:train")     read_tfds("ucf101/ucf101_1:2.0.0:train[:10%]")

Names are those of `tfds.data_source`, followed by the split. That function cannot read
tfds.features.Video without TensorFlow, so this module reads only the features it needs, the video
and its label or labels, from the files by TFDS's own functions.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data_pipelines.sources.list_labels import read_label
from data_pipelines.video.records import Record, RecordPictures, place, read_values

NAME = re.compile(
    r"(?P<name>\w+)(/(?P<config>[\w.+-]+))?(:(?P<version>\d+\.\d+\.\d+))?:(?P<split>[^:\d].*)"
)
FORMAT = "array_record"


@dataclass(frozen=True)
class TfdsSample:
    """A video in a record that also holds its label, which is read on first use.

    Otherwise like video_lists.Sample.
    """

    source: Record | RecordPictures
    features: Any  # only that of the label
    num_classes: int | None
    multi_label: bool
    frames = None
    frame_labels = None

    @property
    def path(self) -> str:
        return str(self.source)

    @cached_property
    def label(self) -> int | tuple[int, ...]:
        """The class, or with `multi_label` a tuple of them.

        Raises:
            VideoError: the record cannot be read.
            ValueError: its label is not a class, or there are several without `multi_label`.
        """
        shard, index = self.source.shard, self.source.index
        value = next(iter(read_values(shard, index, self.features).values()))
        labels = [int(v) for v in value] if hasattr(value, "__len__") else [int(value)]
        return read_label(place(shard, index), labels, self.num_classes, self.multi_label)


@dataclass(frozen=True)
class TfdsSplit:
    """The samples of a split, the class names ([] if the data set has none), and the file that
    describes the data set."""

    samples: list[TfdsSample]
    class_names: list[str]
    file: Path


def read_tfds(
    name: str,
    *,
    data_dir: str | os.PathLike = "",
    num_classes: int | None = None,
    multi_label: bool = False,
) -> TfdsSplit:
    """Reads a split of a data set that TFDS has prepared as ArrayRecord files.

    The video is the feature `video`, or else the only feature that can be a video: encoded
    (tfds.features.Tensor of shape () and type object, or Text), frames (Video, or Sequence of
    Image) or an array (Tensor (T,H,W,3) of uint8). The label is the feature `label` or `labels`, or
    else the only ClassLabel or sequence of these.

    Args:
        name: "name[/config][:version]:split"; the split may have slices, in TFDS's syntax.
        data_dir: TFDS's data_dir; "": its default, TFDS_DATA_DIR or ~/tensorflow_datasets.
        num_classes: labels must lie within 0..num_classes-1.

    Raises:
        FileNotFoundError: the data set has not been prepared there.
        ValueError: `name` has no split or an unknown one, or no feature is a video or a label.
    """
    import tensorflow_datasets as tfds  # takes most of a second

    match = NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"{name!r} is not the name of a TFDS data set with a split; expected something like "
            "'ucf101/ucf101_1:train' or 'ucf101/ucf101_1:2.0.0:train[:90%]'"
        )
    folder = _find(Path(data_dir or tfds.core.constants.DATA_DIR).expanduser(), match)
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    if info.get("fileFormat") != FORMAT:
        raise ValueError(
            f"{folder}: its files are {info.get('fileFormat', 'tfrecord')}, which have no "
            f"random access; prepare it as {FORMAT}: `tfds build {match['name']} "
            f"--file_format={FORMAT}`, or convert it by tensorflow_datasets.scripts.convert_format"
        )
    nodes = _nodes(folder)
    video, kind = _video(folder, nodes)
    label, class_names = _label(folder, nodes)
    features = tfds.features.FeaturesDict({label: tfds.features.FeatureConnector.from_json(
        nodes[label]
    )})
    array = None
    if kind == "array":
        array = tfds.features.FeatureConnector.from_json(nodes[video])
    samples = []
    for shard, index in _records(folder, info, match["split"]):
        if kind == "encoded":
            source: Record | RecordPictures = Record(shard, index, video)
        else:
            source = RecordPictures(shard, index, video, array)
        samples.append(TfdsSample(source, features, num_classes, multi_label))
    return TfdsSplit(samples, class_names, folder / "dataset_info.json")


def _find(data_dir: Path, match: re.Match) -> Path:
    """The folder data_dir/name[/config]/version: the only config and latest version by default."""
    folder = data_dir / match["name"]
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such data set; prepare it (`tfds build {match['name']} "
            f"--file_format={FORMAT}`), or set data.root to TFDS's data_dir"
        )
    configs = sorted(e.name for e in folder.iterdir() if e.is_dir() and _versions(e))
    if match["config"]:
        if match["config"] not in configs:
            raise FileNotFoundError(f"{folder}: no config {match['config']} in it{_of(configs)}")
        folder /= match["config"]
    elif not _versions(folder):
        if len(configs) != 1:
            raise FileNotFoundError(f"{folder}: name one of its configs{_of(configs)}")
        folder /= configs[0]
    versions = _versions(folder)
    version = match["version"] or versions[-1]
    if version not in versions:
        raise FileNotFoundError(f"{folder}: no version {version} in it{_of(versions)}")
    return folder / version


def _versions(folder: Path) -> list[str]:
    """Prepared versions, in ascending order."""
    found = [path.parent.name for path in folder.glob("*/dataset_info.json")]
    numbered = [name for name in found if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    return sorted(numbered, key=lambda name: tuple(map(int, name.split("."))))


def _of(names: Sequence[str]) -> str:
    return f"; there are {', '.join(names)}" if names else "; nothing is prepared"


def _records(folder: Path, info: dict, split: str) -> list[tuple[str, int]]:
    """(file, index in it) of each record of a split."""
    import tensorflow_datasets as tfds

    infos = []
    for entry in info["splits"]:
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=info["name"], split=entry["name"],
            filetype_suffix=FORMAT, template=entry.get("filepathTemplate"),
        )
        lengths = [int(length) for length in entry["shardLengths"]]
        infos.append(tfds.core.SplitInfo(
            name=entry["name"], shard_lengths=lengths, num_bytes=0, filename_template=template
        ))
    try:
        instructions = tfds.core.SplitDict(infos)[split].file_instructions
    except (ValueError, KeyError) as error:
        names = ", ".join(entry["name"] for entry in info["splits"])
        raise ValueError(f"{folder}: no split {split!r}; there are {names}") from error
    records = [
        (os.fspath(part.filename), index)
        for part in instructions for index in range(part.skip, part.skip + part.take)
    ]
    if not records:
        raise ValueError(f"{folder}: the split {split!r} is empty")
    return records


def _nodes(folder: Path) -> dict[str, dict]:
    """The features by name, as features.json describes them."""
    path = folder / "features.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["featuresDict"]["features"]
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise ValueError(
            f"{path}: cannot be read ({error!r}); expected what TFDS writes (4.5 or later)"
        ) from error


def _video(folder: Path, nodes: dict[str, dict]) -> tuple[str, str]:
    """Name and kind ("encoded", "pictures", "array") of the feature that is the video."""
    kinds = {name: kind for name, node in nodes.items() if (kind := _kind(node))}
    if "video" in kinds:
        return "video", kinds["video"]
    frames = [name for name, kind in kinds.items() if kind != "encoded"]
    if len(frames) != 1:  # text cannot be told from an encoded video
        raise ValueError(
            f"{folder}: which feature is the video? There are {', '.join(nodes)}; expected one "
            "named video: encoded, frames, or an array of uint8"
        )
    return frames[0], kinds[frames[0]]


def _kind(node: dict) -> str:
    name = node["pythonClassName"].rpartition(".")[2]
    tensor = node.get("tensor", {})
    if name == "Video":
        return "pictures"
    if name == "Sequence" and "image" in node["sequence"]["feature"]:
        return "pictures"
    if name == "Text":
        return "encoded"
    dimensions = tensor.get("shape", {}).get("dimensions", [])
    if name == "Tensor" and tensor["dtype"] in ("string", "object") and not dimensions:
        return "encoded"
    if name == "Tensor" and tensor["dtype"] == "uint8" and len(dimensions) == 4:
        return "array"
    return ""


def _label(folder: Path, nodes: dict[str, dict]) -> tuple[str, list[str]]:
    """The feature that is the label, and the names of its classes."""
    classes = [
        name for name, node in nodes.items()
        if "classLabel" in node or "classLabel" in node.get("sequence", {}).get("feature", {})
    ]
    name = next((name for name in ("label", "labels") if name in nodes), None)
    if name is None and len(classes) == 1:
        name = classes[0]
    if name is None:
        raise ValueError(
            f"{folder}: which feature is the label? There are {', '.join(nodes)}; expected one "
            "named label or labels"
        )
    names = folder / f"{name}.labels.txt"
    if not names.is_file():
        return name, []
    return name, [line for line in names.read_text(encoding="utf-8").splitlines() if line.strip()]
