"""Tokens a second of `vlaa-ray serve` and of vLLM's own server, on the same small model with the same engine arguments.

Both servers stand side by side; eight clients ask one and then the other, in rounds. The ratio should be 0.8 or more.

    python tests/bench/serving.py [seconds of a round] [rounds]
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from common import show

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from served import Served, free_port, messages_of, questions, served, wait_until

from vlaa_ray.config import ServeConfig
from vlaa_ray.models.paths import local_path
from vlaa_ray.serving.settings import engine_arguments, engine_environment, settings_of

CLIENTS, TOKENS, WIDTH = 8, 128, 16
AIM = 0.8


@contextmanager
def vllms_own(folder: Path) -> Iterator[Served]:
    """vLLM's server with the engine arguments that `vlaa-ray serve` gives."""
    settings = settings_of(
        ServeConfig.model_validate({"policy": {"model": "builtin"}, "engine": {"max_num_seqs": WIDTH}})
    )
    port, log = free_port(), folder / "vllm.log"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", local_path("builtin:tiny-base")]
    command += ["--served-model-name", settings.name, "--host", "127.0.0.1", "--port", str(port)]
    for name, value in engine_arguments(settings).items():
        command += _flag(name.replace("_", "-"), value)
    with log.open("wb") as out:
        environment = os.environ | engine_environment(settings)
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
    server = Served(process, f"http://127.0.0.1:{port}/v1", "", log)
    try:
        wait_until(lambda: _answers(server), 240, server)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", json.dumps(value) if isinstance(value, dict) else str(value)]


def _answers(server: Served) -> bool:
    try:
        return httpx.get(f"{server.root}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


async def tokens_per_s(server: Served, seconds: float, stream: bool, first: int) -> float:
    """Tokens of all answers a second, with eight clients that each ask as soon as they have their answer."""
    bodies = [
        json.dumps(
            {
                "model": "tiny-base",
                "messages": messages_of(prompt),
                "max_tokens": TOKENS,
                "ignore_eos": True,
                "stream": stream,
                "seed": number,
            }
        ).encode()
        for number, prompt in enumerate(questions(64), first)
    ]
    numbers, answered, end = count(), 0, time.monotonic() + seconds
    headers = {"Content-Type": "application/json"}

    async def client(http: httpx.AsyncClient) -> None:
        nonlocal answered
        while time.monotonic() < end:
            body = bodies[next(numbers) % len(bodies)]
            async with http.stream("POST", f"{server.url}/chat/completions", content=body, headers=headers) as reply:
                text = await reply.aread()
            assert reply.status_code == 200, text
            assert not stream or text.rstrip().endswith(b"data: [DONE]"), text[-200:]
            answered += 1

    started = time.monotonic()
    async with httpx.AsyncClient(timeout=120) as http:
        await asyncio.gather(*(client(http) for _ in range(CLIENTS)))
    return answered * TOKENS / (time.monotonic() - started)


def main(seconds: float = 15, rounds: int = 3) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder, f"engine.max_num_seqs={WIDTH}") as ours, vllms_own(folder) as theirs:
            for kind, stream in (("whole answers", False), ("streams", True)):
                speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
                for server in (ours, theirs):
                    asyncio.run(tokens_per_s(server, 5, stream, 0))
                for number in range(rounds):
                    speeds["ours"].append(asyncio.run(tokens_per_s(ours, seconds, stream, 1000 * number)))
                    speeds["theirs"].append(asyncio.run(tokens_per_s(theirs, seconds, stream, 1000 * number)))
                mine, others = (statistics.median(speeds[which]) for which in ("ours", "theirs"))
                rows.append([kind, f"{mine:,.0f}", f"{others:,.0f}", f"{mine / others:.2f}", f"{AIM}"])
    columns = ["8 clients, one replica", "vlaa-ray serve, tokens/s", "vLLM's server, tokens/s", "ratio", "aim"]
    show("Serving", columns, rows, f"{TOKENS} tokens an answer, median of {rounds} rounds of {seconds:g} s.")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
