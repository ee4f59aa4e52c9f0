"""A vLLM server for a teacher that has no address: the same protocol as any other, on resources of the run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import ray

from actors.process.set_up import set_up_actor_process
from vlaa_ray.config import TeacherSection
from vlaa_ray.errors import TeacherError
from vlaa_ray.models.paths import local_path

START_S = 900.0  # a large checkpoint loads slowly
_POLL_S = 0.5
_CPU = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "TORCH_COMPILE_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
}


class VllmServer:
    """The actor that owns the server's process, which ends with it."""

    def __init__(self, log_file: str) -> None:
        set_up_actor_process(log_file, "")
        self._log_file = log_file

    def start(self, teacher: TeacherSection) -> str:
        """Its address, once it answers; TeacherError says why it doesn't."""
        host = ray.util.get_node_ip_address()
        with socket.socket() as one:
            one.bind((host, 0))
            port = one.getsockname()[1]
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", local_path(teacher.model)]
        command += ["--served-model-name", teacher.model, "--host", host, "--port", str(port)]
        command += ["--max-model-len", str(teacher.max_model_tokens), "--max-num-seqs", str(teacher.concurrency)]
        command += ["--generation-config", "vllm"]
        environment = os.environ | {"VLLM_NO_USAGE_STATS": "1"}
        if teacher.gpus:
            command += ["--tensor-parallel-size", str(teacher.gpus)]
        else:
            command += ["--dtype", "float32", "--enforce-eager"]
            environment |= _CPU
        self._process = subprocess.Popen(command, env=environment)
        end = time.monotonic() + START_S
        while not self._answers(f"http://{host}:{port}/health"):
            if self._process.poll() is not None or time.monotonic() > end:
                lines = Path(self._log_file).read_text(errors="replace").strip().splitlines()
                fix = "its log tells why; the model must be one that vLLM can serve"
                raise TeacherError(
                    f"vLLM does not serve {teacher.model!r}", last=lines[-1:], log=self._log_file, fix=fix
                )
            time.sleep(_POLL_S)
        return f"http://{host}:{port}/v1"

    def _answers(self, url: str) -> bool:
        try:
            return httpx.get(url, timeout=5).is_success
        except httpx.TransportError:
            return False
