"""The environment variables that an actor needs before its first import."""

from __future__ import annotations

import os
import sys
from pathlib import Path


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
