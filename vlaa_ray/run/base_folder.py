"""The folder in which relative run folders are made: the current one, but not the copy that Ray makes for a job."""

from __future__ import annotations

import os
from pathlib import Path

from vlaa_ray.errors import ConfigError

BASE_FOLDER = "VLAA_RAY_BASE_DIR"
"""The environment variable with that folder in a Ray job; `vlaa-ray submit` sets it to the folder of the sender."""
_RAYS_COPIES = "working_dir_files"


def base_folder(run_dir: str) -> Path:
    """Return the folder from which the relative path `run_dir` starts.

    A Ray job runs in a copy of the sender's folder. The copy has another name after every edit and is deleted later, so
    results would be lost there. A job uses the sender's folder instead.

    Raises:
        ConfigError: the job does not name the sender's folder, or that folder is not on this node.

    """
    current = Path.cwd()
    if _RAYS_COPIES not in current.parts:
        return current
    base = os.environ.get(BASE_FOLDER)
    fix = "set run.dir to an absolute path on storage that all nodes share"
    if not base:
        message = "run.dir is relative, and this Ray job runs in a temporary copy of the folder it was sent from"
        raise ConfigError(message, run_dir=run_dir, fix=f"{fix}, or send the job with vlaa-ray submit")
    if not Path(base).is_dir():
        message = "run.dir is relative to the folder that the job was sent from, which is not on this node"
        raise ConfigError(message, run_dir=run_dir, folder=base, fix=fix)
    return Path(base)
