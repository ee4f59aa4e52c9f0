"""The folders of models. This module does not import torch, so that plans are made quickly."""

from __future__ import annotations

from pathlib import Path

from vlaa_ray.config.base_folder import is_remote
from vlaa_ray.errors import ModelError
from vlaa_ray.storage.local_copies import local_copy

BUILTIN_MODELS = Path(__file__).parent / "builtin"
UNTRAINED = "builtin:tiny-untrained"
"""The `model.path` of SFT that stands for the quickstart's small model with random weights, made in the run folder."""


def local_path(path: str) -> str:
    """Return the folder of a model: that of `builtin:NAME` in this package, or this node's copy of one in a bucket.

    Any other path or hub id is returned as it is.

    Raises:
        ModelError: there is no built-in model with this name.
        StorageError: the model in a bucket can't be copied to this machine.

    """
    if is_remote(path):
        return str(local_copy(path))
    if not path.startswith("builtin:"):
        return path
    folder = BUILTIN_MODELS / path.removeprefix("builtin:")
    if not folder.is_dir():
        names = [f"builtin:{model.name}" for model in BUILTIN_MODELS.iterdir()]
        raise ModelError(f"no built-in model {path!r}", expected=names)
    return str(folder)


def description_path(path: str) -> str:
    """Return the folder with the config, tokenizer and processor of a model.

    It is `local_path(path)`, but for UNTRAINED, which is made in the run and has those of the trained small model. Of a
    model in a bucket, the weights are not copied. Errors as `local_path`.
    """
    if is_remote(path):
        return str(local_copy(path, weights=False))
    return local_path("builtin:tiny-base" if path == UNTRAINED else path)
