"""A served model under load: eight clients for a minute, from one replica to two, and one replica killed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from processes import with_command
from served import Served, messages_of, questions, served, shared_files, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]
CLIENTS, SECONDS, TOKENS = 8, 60, 96
OVERRIDES = ["replicas.max=2", "replicas.target_requests=3", "replicas.upscale_delay_s=5", "engine.max_num_seqs=8"]


class Clients:
    """Clients that ask without a retry of their own, each as soon as it has its answer, until they are told to stop."""

    def __init__(self, server: Served, streams: int) -> None:
        self._server, self._stop = server, threading.Event()
        self.whole, self.faults, self.broken = Counter[int](), list[str](), 0
        self._prompts = [messages_of(prompt) for prompt in questions(40)]
        self._threads = [
            threading.Thread(target=self._ask, args=(number, number < streams)) for number in range(CLIENTS)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(180)

    def _ask(self, number: int, stream: bool) -> None:
        client, turn = self._server.client(max_retries=0), 0
        while not self._stop.is_set():
            turn += 1
            asked: dict[str, Any] = {"messages": self._prompts[(7 * number + turn) % 40], "max_tokens": TOKENS}
            try:
                self._one(client, {"model": "tiny-base", **asked}, stream)
                self.whole[number] += 1
            except openai.APIStatusError as error:
                self.faults.append(f"{number}: {error}")
            except openai.APIError as error:  # a stream that had begun
                self.broken += 1
                self.faults.extend([] if stream else [f"{number}: {error!r}"])

    def _one(self, client: openai.OpenAI, asked: dict[str, Any], stream: bool) -> None:
        extra = {"ignore_eos": True}
        if not stream:
            answer = client.chat.completions.create(**asked, extra_body=extra)
            assert answer.usage.completion_tokens == TOKENS and answer.choices[0].finish_reason == "length"
            return
        options = {"include_usage": True}
        chunks = list(client.chat.completions.create(**asked, stream=True, stream_options=options, extra_body=extra))
        assert chunks[-1].usage.completion_tokens == TOKENS


def replicas(server: Served) -> list[psutil.Process]:
    """The processes of the replicas whose model is loaded."""
    found = with_command("PolicyServer", psutil.Process(server.process.pid).children(recursive=True))
    return [process for process in found if process.is_running() and process.children()]


def test_eight_clients_a_second_replica_and_the_loss_of_one(tmp_path: Path) -> None:
    before = shared_files()
    with served(tmp_path, *OVERRIDES) as server:
        assert len(replicas(server)) == 1
        with Clients(server, streams=4) as clients:
            time.sleep(SECONDS)
        assert clients.faults == [] and clients.broken == 0
        print(f"{sum(clients.whole.values())} whole answers of {TOKENS} tokens in {SECONDS} s")
        with Clients(server, streams=4) as clients:
            wait_until(lambda: len(replicas(server)) == 2, 180, server)
            time.sleep(20)  # until both have requests
            victim = replicas(server)[0]
            victim.kill()
            time.sleep(20)
        print(f"a replica killed: {sum(clients.whole.values())} whole, {clients.broken} streams broke off")
        assert clients.faults == [], clients.faults
        assert clients.broken <= 4 and len(clients.whole) == CLIENTS
    assert server.process.returncode == 0, server.log.read_text()[-3000:]
    deadline = time.monotonic() + 20
    while shared_files() - before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert shared_files() - before == set()
