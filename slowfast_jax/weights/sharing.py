"""Uploads a network to the Hugging Face hub."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging

from slowfast_jax.published.hub import HubError, hub_errors, library, parse
from slowfast_jax.weights.safetensors_folder import CARD, save_safetensors_folder


def push_to_hub(
    repository: str, variables: Mapping | None, metadata: Mapping[str, Any], *,
    private: bool | None = None,
) -> str:
    """Writes a checkpoint with a model card and uploads it; the repository is made if needed.

    A model card that the repository has already is kept.

    Args:
      repository: "ORGANIZATION/NAME", with or without "hf://".
      variables: see `save_safetensors_folder`; None: there are none with separate batch norms.
      metadata: see `save_safetensors_folder`.
      private: whether a new repository is private; None: the organization's default.

    Returns:
      The address of the upload, "hf://ORGANIZATION/NAME@COMMIT".

    Raises:
      HubError: the upload failed, or huggingface_hub is not installed.
    """
    shown = f"hf://{repository.removeprefix('hf://')}"
    address = parse(shown)
    if address.revision or address.file:
        raise HubError(f"{shown}: expected a repository, hf://ORGANIZATION/NAME, to upload to")
    if variables is None:
        raise HubError(f"{shown}: the batch norms are folded; load the network with fold=False")
    hub = library(shown)
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
