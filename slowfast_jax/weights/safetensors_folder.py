"""Checkpoints to share: a folder with model.safetensors and config.json.

model.safetensors has the arrays under their collection and path, such as
"params/stem/conv/kernel", so that in Flax

    flax.traverse_util.unflatten_dict(safetensors.numpy.load_file(FILE), sep="/")

gives the variables of the network. config.json has what else is needed to run it:

  format, version   "slowfast_jax", and the version of this program that wrote it
  model             name and keywords of the network
  class_names       by class index
  mean, std         of the normalization of pixels
  protocol          how videos are tested
  source            where the weights come from, see `source_of`
  tested            metrics of a test with its fingerprint, if there was one
  fingerprint       SHA-256 of model.safetensors, and 16 digits of that of the class names
  config            the complete config, without folders of the machine that wrote it
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convert.formats.safetensors_file import write_safetensors
from convert.readers import ForeignCheckpoint, read_checkpoint
from convert.trees import flatten
from convert.unpickle import CheckpointError
from slowfast_jax import __version__
from slowfast_jax.published.download import sha256_of
from slowfast_jax.training.checkpoint import COLLECTIONS, whole_folder
from slowfast_jax.weights.description import check_description
from slowfast_jax.weights.model_card import model_card

WEIGHTS, DESCRIPTION, CARD = "model.safetensors", "config.json", "README.md"
FORMAT, KIND = "slowfast_jax", "safetensors folder"
LARGEST_DESCRIPTION = 16 << 20  # bytes
# Fields of the config that name folders of the machine that wrote it.
FOLDERS = (("data", "root"), ("data", "path_prefix"), ("test", "checkpoint"))


def is_safetensors_folder(directory: str | Path) -> bool:
    """Whether `directory` has the two files of such a checkpoint."""
    return all(Path(directory, name).is_file() for name in (WEIGHTS, DESCRIPTION))


def save_safetensors_folder(
    directory: str | Path, variables: Mapping, metadata: Mapping[str, Any], *,
    overwrite: bool = False, card: bool = False, repository: str = "",
) -> None:
    """Writes a checkpoint to `directory` atomically: the folder appears when it is complete.

    Args:
      directory: the folder.
      variables: {"params": tree[, "batch_stats": tree]} of arrays.
      metadata: as `slowfast_jax.weights.describe` makes it, with "converted_from" and "tested" if
        there are such.
      overwrite: replace the folder if it exists.
      card: also write README.md, the model card of the hub.
      repository: the repository on the hub that the folder is for, if known.

    Raises:
      FileExistsError: `directory` exists and `overwrite` is false.
    """
    tensors = {
        f"{collection}/{path}": np.asarray(leaf)
        for (collection, path), leaf in flatten(variables).items()
    }
    with whole_folder(Path(directory), overwrite=overwrite) as folder:
        folder.mkdir()
        write_safetensors(folder / WEIGHTS, tensors, {"format": FORMAT})
        description = _description(metadata, sha256_of(folder / WEIGHTS))
        text = json.dumps(description, indent=1, ensure_ascii=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        if card:
            parameters = sum(a.size for name, a in tensors.items() if name.startswith("params/"))
            text = model_card(description, parameters, repository)
            (folder / CARD).write_text(text, encoding="utf-8")


def source_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Where weights come from, by the metadata of a checkpoint.

    Returns:
      For converted weights {"file", "format", "program", ...}, with "published" (the name of the
      published checkpoint) if the file is one; for trained ones {"program": "slowfast_jax"}, and
      in "started_from" the name of the file that the training started from.
    """
    if metadata.get("converted_from"):
        return dict(metadata["converted_from"])
    start = metadata.get("config", {}).get("train", {}).get("init_from", {})
    file = str(start.get("path") or "").replace("\\", "/").rpartition("/")[2]
    return {"program": FORMAT} | ({"started_from": file} if file else {})


def _description(metadata: Mapping[str, Any], digest: str) -> dict[str, Any]:
    names = metadata["class_names"]
    config = json.loads(json.dumps(metadata["config"]))
    for section, field in FOLDERS:
        if field in config.get(section, {}):
            config[section][field] = ""
    tested = {"tested": metadata["tested"]} if metadata.get("tested") else {}
    return {
        "format": FORMAT,
        "version": __version__,
        "model": metadata["model"],
        "class_names": names,
        "mean": metadata["mean"],
        "std": metadata["std"],
        "protocol": config["protocol"],
        "source": source_of(metadata),
        **tested,
        "fingerprint": {
            "weights_sha256": digest,
            "class_list_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest()[:16],
        },
        "config": config,
    }


def read_description(directory: str | Path) -> dict[str, Any]:
    """The metadata in config.json, with "converted_from" as other checkpoints have it.

    Raises:
      CheckpointError: the file does not describe a network of this project, or a field has a value
        of the wrong type or range.
    """
    path = Path(directory, DESCRIPTION)
    try:
        if path.stat().st_size > LARGEST_DESCRIPTION:
            raise ValueError(f"it has more than {LARGEST_DESCRIPTION:,} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"expected an object with \"format\": \"{FORMAT}\"")
        for name, kind in (("model", dict), ("class_names", list), ("config", dict)):
            if not isinstance(found.get(name), kind):
                raise ValueError(f"it has no {name}")
        for section in ("model", "protocol", "test", "data"):
            if not isinstance(found["config"].get(section), dict):
                raise ValueError(f"its config has no section {section}")
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} does not describe a network of this project ({error}). To read weights of "
            f"another program, name the file {WEIGHTS} itself, and the network with --config"
        ) from error
    check_description(found, path)
    return found | ({"converted_from": found["source"]} if "source" in found else {})


def read_safetensors_folder(directory: str | Path) -> ForeignCheckpoint:
    """Reads such a checkpoint, in the form that `convert.fit` takes.

    Raises:
      CheckpointError: a file is damaged, or the two do not belong together.
    """
    metadata, path = read_description(directory), Path(directory, WEIGHTS)
    expected = metadata.get("fingerprint", {}).get("weights_sha256")
    if expected and sha256_of(path) != expected:
        raise CheckpointError(
            f"{path} is not the file that {DESCRIPTION} beside it describes: its SHA-256 is "
            f"{sha256_of(path)}, expected {expected}. Download both again"
        )
    checkpoint = own_tensors(read_checkpoint(path))
    if not checkpoint.own:
        raise CheckpointError(
            f"{path} has tensors like {next(iter(checkpoint.tensors))}, expected paths like "
            "params/stem/conv/kernel"
        )
    return checkpoint._replace(metadata=metadata)


def own_tensors(checkpoint: ForeignCheckpoint) -> ForeignCheckpoint:
    """The checkpoint of a file model.safetensors of this project, and any other unchanged."""
    parts = {name: name.partition("/") for name in checkpoint.tensors}
    if checkpoint.kind != "safetensors" or any(
        collection not in COLLECTIONS or not path for collection, _, path in parts.values()
    ):
        return checkpoint
    tensors = {path: checkpoint.tensors[name] for name, (_, _, path) in parts.items()}
    return ForeignCheckpoint(KIND, tensors, {})
