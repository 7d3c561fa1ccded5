"""Uploads a network to the Hugging Face hub."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from absl import logging

from convert.trees import flatten
from slowfast_jax.published.hub import HubError, address_of, hub_errors, library, parse
from slowfast_jax.weights.folders import describe, origin_of, read_any, recorded_test
from slowfast_jax.weights.safetensors_folder import CARD, FORMAT, save_safetensors_folder

if TYPE_CHECKING:
    from slowfast_jax.recognizer import Recognizer


def push_to_hub(
    recognizer: "Recognizer", repository: str, *, private: bool | None = None
) -> str:
    """Uploads a network with a model card; the repository is made if needed.

    The current variables are uploaded; or those that were read, if batch norms are folded. A model
    card that the repository has already is kept.

    Args:
      recognizer: the network.
      repository: "ORGANIZATION/NAME", with or without "hf://".
      private: whether a new repository is private; None: the organization's default.

    Returns:
      The address of the upload, "hf://ORGANIZATION/NAME@COMMIT".

    Raises:
      HubError: the upload failed, huggingface_hub is not installed, or batch norms are folded and
        the weights are not from a file.
    """
    shown = f"hf://{repository.removeprefix('hf://')}"
    address = parse(shown)
    if address.revision or address.file:
        raise HubError(f"{shown}: expected a repository, hf://ORGANIZATION/NAME, to upload to")
    hub = library(shown)
    variables, metadata = _content(recognizer, shown)
    with tempfile.TemporaryDirectory() as parent, hub_errors(shown):
        folder = Path(parent, "upload")
        save_safetensors_folder(
            folder, variables, metadata, card=True, repository=address.repository
        )
        api = hub.HfApi()
        api.create_repo(address.repository, private=private, exist_ok=True)
        if api.file_exists(address.repository, CARD):
            logging.info("%s has a model card, which is kept", shown)
            (folder / CARD).unlink()
        commit = api.upload_folder(
            repo_id=address.repository, folder_path=folder, commit_message="Upload of slowfast_jax"
        )
    return f"{shown}@{commit.oid}"


def _content(recognizer: "Recognizer", shown: str) -> tuple[Mapping, dict[str, Any]]:
    """Variables and metadata. Source and results are those of the file if the variables are."""
    config, model, path = recognizer.config, recognizer.model, recognizer.config.test.checkpoint
    read = recognizer.read_again if path else None
    stored = read()[0] if read else None
    variables = jax.device_get(recognizer.variables)
    if model.foldable and model.folded:
        if stored is None:
            raise HubError(f"{shown}: the batch norms are folded; load the network with fold=False")
        variables = stored
    metadata = describe(config, recognizer.class_names)
    if stored is None:
        return variables, metadata
    if read.keywords["skip"] or not _same(variables, stored):
        start = {"program": FORMAT, "started_from": address_of(path) or Path(path).name}
        return variables, metadata | {"converted_from": start}
    origin = origin_of(path, read_any(path, read.keywords["entry"]))
    return variables, metadata | {"converted_from": origin} | recorded_test(path)


def _same(ours: Mapping, theirs: Mapping) -> bool:
    ours, theirs = flatten(ours), flatten(theirs)
    return ours.keys() == theirs.keys() and all(
        np.array_equal(leaf, theirs[key]) for key, leaf in ours.items()
    )
