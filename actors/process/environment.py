"""The environment variables that an actor needs before its first import."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vlaa_ray.errors import PlacementError

_SHARED_GPUS = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"


def role_environment(role: str, num_threads: int | None, cpus: float, gpus: float) -> dict[str, str]:
    """Return variables for threads, the path to the interpreter's tools, DeepSpeed's accelerator, and GPU memory."""
    environment = {
        "OMP_NUM_THREADS": str(num_threads or max(1, int(cpus))),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUTF8": "1",  # torch and vLLM read their own files in the locale's encoding
        # DeepSpeed builds an operator with ninja, which pip installs beside the interpreter
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    if role == "learner" and not gpus:
        environment["DS_ACCELERATOR"] = "cpu"
    elif role == "learner":  # rows differ in length: fixed segments would break up; the sleep of an engine needs them
        environment["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
    return environment


def require_own_gpus(gpus: float) -> None:
    """Check that Ray shows each process only its own GPUs, if it has any; every rank of the learner takes the first.

    Raises:
        PlacementError: Ray is told to show all of them, so that all ranks would take the same one.

    """
    value = os.environ.get(_SHARED_GPUS, "")
    if gpus and value.lower() in ("1", "true"):
        raise PlacementError(f"{_SHARED_GPUS} would put all ranks on one GPU", got=value, fix=f"unset {_SHARED_GPUS}")
