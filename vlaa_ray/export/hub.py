"""Uploads an exported folder to the Hugging Face hub. The token comes from the environment, never from an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlaa_ray.errors import ConfigError, VlaaRayError

_TOKEN_FIX = "set HF_TOKEN to a token that may write, or log in with `hf auth login`"


def require_push(repo_id: str) -> None:
    """Check, before any work, that the repository's name is valid and that there is a token.

    Raises:
        ConfigError: one of them is not so.

    """
    from huggingface_hub import get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ConfigError(f"not the name of a repository: {error}", got=repo_id, fix="give OWNER/NAME") from error
    if not get_token():
        raise ConfigError("there is no token for the Hugging Face hub", fix=_TOKEN_FIX)


def push(folder: Path, repo_id: str, *, public: bool = False, api: Any = None) -> str:
    """Upload the folder as one commit, and return the repository's URL; a new repository is private unless `public`.

    `api` takes the place of huggingface_hub's `HfApi`.

    Raises:
        VlaaRayError: the hub refuses, or can't be reached; the folder stays, and the same upload can be tried again.

    """
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = api or HfApi(library_name="vlaa-ray")
    try:
        repository = api.create_repo(repo_id, private=not public, repo_type="model", exist_ok=True)
        api.upload_folder(
            repo_id=repo_id, folder_path=folder, repo_type="model", commit_message="Model exported by vlaa-ray"
        )
    except (HfHubHTTPError, HTTPError, OSError, ValueError) as error:
        fix = f"{_TOKEN_FIX}; the folder is complete, so `hf upload {repo_id} {folder}` finishes the work"
        raise VlaaRayError(f"the hub did not take the model: {error}", repository=repo_id, fix=fix) from error
    return str(repository)
