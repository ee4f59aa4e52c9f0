"""Facts about NVIDIA's GPUs and driver on this machine, and about the CUDA of the installed torch."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

_TIMEOUT_S = 10
_OLDEST_DRIVERS = {"11": "450.80.02", "12": "525.60.13", "13": "580.65.06"}
"""The oldest Linux driver for each major version of CUDA (NVIDIA's guide "CUDA Compatibility", minor versions)."""


def nvidia_smi(fact: str) -> list[str]:
    """Return a fact, such as its "name", about each GPU; [] if there is no driver or it does not answer."""
    if not (tool := shutil.which("nvidia-smi")):
        return []
    query = [tool, f"--query-gpu={fact}", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except (subprocess.TimeoutExpired, OSError):
        return []
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def torch_cuda() -> str | None:
    """Return the CUDA version that torch was built with, such as "13.0", without importing it; None for a CPU build."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    return cuda_in(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))


def cuda_in(version_module: str) -> str | None:
    """Return the CUDA version that the text of torch's `version.py` names; None if it names none."""
    match = re.search(r"^cuda\b[^=]*= '([\d.]+)'$", version_module, re.MULTILINE)
    return match[1] if match else None


def oldest_driver(cuda: str) -> str | None:
    """Return the version of the oldest driver that a CUDA version, such as "13.0", runs with; None if not known."""
    return _OLDEST_DRIVERS.get(cuda.partition(".")[0])
