"""What a model is, apart from its path: answers of two folders with the same files are the same answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vlaa_ray.errors import ModelError

_PART_BYTES = 1 << 20


def folder_identity(folder: Path) -> str:
    """Return a hash of the model's files: of each its name, its size, and its first and last megabyte.

    A model of a training run differs from the step before in all of its weights, so parts of the files are enough.
    Raises ModelError if a file can't be read.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            size = path.stat().st_size
            digest.update(f"{path.name}\0{size}\0".encode("utf-8", "surrogateescape"))
            with path.open("rb") as file:
                digest.update(file.read(_PART_BYTES))
                file.seek(max(0, size - _PART_BYTES))
                digest.update(file.read(_PART_BYTES))
    except OSError as error:
        raise ModelError(f"can't read the model's files: {error.strerror}", path=str(folder)) from error
    return digest.hexdigest()
