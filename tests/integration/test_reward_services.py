"""What judges over HTTP: a reward model served by Ray Serve, and a judge served by vLLM, both real."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from vlaa_ray.config import OpenEndedSection
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.models.paths import local_path
from vlaa_ray.rewards.scorers import score_model
from vlaa_ray.rewards.scorers.judge import Judge

pytestmark = pytest.mark.integration
START_S = 240
PIXELS = {"min_pixels": 3136, "max_pixels": 12544}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(command: list[str], probe: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server, once `probe` answers; ended with its children afterwards."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_S
        while True:
            try:
                if httpx.get(probe, timeout=5).status_code < 500:
                    break
            except httpx.TransportError:
                pass
            assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(1)
        yield process
    finally:
        for number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(30)


def test_a_reward_model_behind_ray_serve_scores_as_in_this_process(tmp_path: Path, monkeypatch) -> None:
    port = free_port()
    command = ["vlaa_ray", "reward-server", "--model", "builtin:tiny-reward", "--port", str(port)]
    command += ["--min-pixels", "3136", "--max-pixels", "12544", "--replicas", "2"]
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("VLAA_RAY_TOKEN", "s3cret")
    with serving(command, f"{url}/-/healthz", tmp_path / "log"):
        assert httpx.post(f"{url}/score", json={}, timeout=90).status_code == 401
        service = {"url": url, "give_up_s": 60, "api_key_env": "VLAA_RAY_TOKEN"}
        remote = score_model(OpenEndedSection(scorer="reward_model", service=service))
        local = score_model(OpenEndedSection(scorer="reward_model", model="builtin:tiny-reward", **PIXELS))
        for index in range(3):
            prompt = BuiltinData("heldout", ["open_ended"])[index]
            answers = [prompt.gold, "a circle", "", "<|im_end|>"]
            expected, found = local.scores(prompt, answers), remote.scores(prompt, answers)
            assert found[:3] == pytest.approx(expected[:3], abs=1e-4)
            assert found[3] == expected[3] and "control token" in str(found[3])
        bad = [{}, {"question": "?", "images": ["!"], "answers": ["a"]}, {"question": "?", "images": [], "answers": []}]
        token = {"Authorization": "Bearer s3cret"}
        for body in [*bad, {"question": "?", "images": ["aGVsbG8="], "answers": ["a"]}]:
            assert httpx.post(f"{url}/score", json=body, headers=token, timeout=90).status_code == 422


def test_a_judge_behind_vllm(tmp_path: Path) -> None:
    """Its grades are a small model's and mean nothing; that they are grades is the structured output's doing."""
    port = free_port()
    command = ["vllm.entrypoints.openai.api_server", "--model", local_path("builtin:tiny-base")]
    command += ["--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    command += ["--enforce-eager", "--max-model-len", "4096", "--max-num-seqs", "8"]
    command += ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
    environment = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    environment |= {"VLLM_NO_USAGE_STATS": "1", "TORCH_COMPILE_DISABLE": "1"}
    url = f"http://127.0.0.1:{port}"
    with serving(command, f"{url}/health", tmp_path / "log", **environment):
        service = {"url": f"{url}/v1", "timeout_s": 60, "give_up_s": 120}
        judge = Judge(OpenEndedSection(scorer="judge", model="tiny", service=service))
        prompt = BuiltinData("heldout", ["open_ended"])[0]
        results = judge.score(prompt, ["a red circle", "a blue square", "a red circle"])
        assert all(result.valid and 0 <= result.value <= 1 for result in results), results
        assert results[0] == results[2]
