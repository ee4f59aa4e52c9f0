"""A served model for tests and benchmarks: `vlaa-ray serve` as a user starts it, and questions to it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI

from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.images.decode import chat_part, encoded
from vlaa_ray.records import Prompt
from vlaa_ray.text.conversation import spoken_turns

START_S = 240
SHARED = Path("/dev/shm")


@dataclass
class Served:
    """A running server: its process, its address up to /v1, and its key."""

    process: subprocess.Popen[bytes]
    url: str
    key: str
    log: Path

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def client(self, key: str | None = None, **options: Any) -> OpenAI:
        return OpenAI(base_url=self.url, api_key=key or self.key or "none", timeout=120, **options)

    def post(self, body: Any, **headers: str) -> httpx.Response:
        """The reply to a chat request that no client would send."""
        headers = {"Authorization": f"Bearer {self.key}"} | headers
        options = {"content": body} if isinstance(body, bytes) else {"json": body}
        return httpx.post(f"{self.url}/chat/completions", headers=headers, timeout=60, **options)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def served(folder: Path, *overrides: str, key: str = "") -> Iterator[Served]:
    """`vlaa-ray serve --model builtin` with overrides, once it is healthy; killed afterwards if it still runs."""
    port, log = free_port(), folder / "serve.log"
    command = [sys.executable, "-m", "vlaa_ray", "serve", "--model", "builtin", f"http.port={port}", *overrides]
    environment = {name: value for name, value in os.environ.items() if name != "VLAA_RAY_API_KEY"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment | ({"VLAA_RAY_API_KEY": key} if key else {}),
            start_new_session=True,
        )
    server = Served(process, f"http://127.0.0.1:{port}/v1", key, log)
    try:
        wait_until(lambda: _is_healthy(server), START_S, server)
        yield server
    finally:
        for number, patience in ((signal.SIGTERM, 60), (signal.SIGKILL, 10)):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                process.send_signal(number)
                process.wait(patience)


def wait_until(is_so: Any, seconds: float, server: Served) -> None:
    """Wait until `is_so()`; fails with the server's log."""
    end = time.monotonic() + seconds
    while not is_so():
        assert server.process.poll() is None and time.monotonic() < end, server.log.read_text()[-4000:]
        time.sleep(0.5)


def shared_files() -> set[str]:
    """The names of the files in shared memory."""
    return {path.name for path in SHARED.iterdir()}


def questions(number: int) -> list[Prompt]:
    """Prompts of the built-in held-out data, each with one picture."""
    data = BuiltinData("heldout")
    return [data[index] for index in range(number)]


def messages_of(prompt: Prompt) -> list[dict[str, Any]]:
    """The prompt as a client of OpenAI's API sends it."""
    pictures = iter(prompt.images)
    (turn,) = spoken_turns(prompt)
    parts = [
        chat_part(encoded(next(pictures))) if part is None else {"type": "text", "text": part} for part in turn.parts
    ]
    return [{"role": "user", "content": parts}]


def _is_healthy(server: Served) -> bool:
    try:
        return httpx.get(f"{server.root}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
