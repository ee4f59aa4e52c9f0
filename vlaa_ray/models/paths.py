"""Where models lie; without torch, for those who only plan."""

from __future__ import annotations

from pathlib import Path

from vlaa_ray.errors import ModelError

BUILTIN_MODELS = Path(__file__).parent / "builtin"
UNTRAINED = "builtin:tiny-untrained"
"""As `model.path` of SFT: the quickstart's small model with random weights, made in the run folder."""


def local_path(path: str) -> str:
    """The folder of a `builtin:NAME` model, which lies in this package; any other path or hub id as it is."""
    if not path.startswith("builtin:"):
        return path
    folder = BUILTIN_MODELS / path.removeprefix("builtin:")
    if not folder.is_dir():
        raise ModelError(
            f"no built-in model {path!r}", expected=[f"builtin:{one.name}" for one in BUILTIN_MODELS.iterdir()]
        )
    return str(folder)
