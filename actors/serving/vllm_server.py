"""A vLLM server for a teacher without an address; it runs on the resources of the run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import ray
from pydantic import SecretStr

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
    """The actor that owns the server's process; the process ends with it."""

    def __init__(self, log_file: str) -> None:
        set_up_actor_process(log_file, "")
        self._log_file = log_file

    def start(self, teacher: TeacherSection, key: SecretStr, driver_node_id: str) -> str:
        """Start the server and return its address when it answers.

        It listens on loopback if the run's driver is on this node, else on the node's address. Requests need `key`.

        Raises:
            TeacherError: the server ended or does not answer in time; the message has the last line of its log.

        """
        host = ray.util.get_node_ip_address()
        if ray.get_runtime_context().get_node_id() == driver_node_id:
            host = "127.0.0.1"
        with socket.socket() as free:
            free.bind((host, 0))
            port = free.getsockname()[1]
        environment = os.environ | {"VLLM_NO_USAGE_STATS": "1", "VLLM_API_KEY": key.get_secret_value()}
        if not teacher.gpus:
            environment |= _CPU
        self._process = subprocess.Popen(vllm_command(teacher, host, port), env=environment)
        end = time.monotonic() + START_S
        while not self._answers(f"http://{host}:{port}/health"):
            if self._process.poll() is not None or time.monotonic() > end:
                lines = Path(self._log_file).read_text(errors="replace").strip().splitlines()
                fix = "see its log for the cause; the model must be one that vLLM can serve"
                raise TeacherError(
                    f"the vLLM server for {teacher.model!r} did not start", last=lines[-1:], log=self._log_file, fix=fix
                )
            time.sleep(_POLL_S)
        return f"http://{host}:{port}/v1"

    def _answers(self, url: str) -> bool:
        try:
            return httpx.get(url, timeout=5).is_success
        except httpx.TransportError:
            return False


def vllm_command(teacher: TeacherSection, host: str, port: int) -> list[str]:
    """Return the command line of the server, without the key, since every user of the machine can see it."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", local_path(teacher.model)]
    command += ["--served-model-name", teacher.model, "--host", host, "--port", str(port)]
    command += ["--max-model-len", str(teacher.max_model_tokens), "--max-num-seqs", str(teacher.concurrency)]
    command += ["--generation-config", "vllm"]
    if teacher.gpus:
        return [*command, "--tensor-parallel-size", str(teacher.gpus)]
    return [*command, "--dtype", "float32", "--enforce-eager"]
