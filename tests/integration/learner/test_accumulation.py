"""DeepSpeed as this project configures it, in bf16: what 64 added gradients lose; whether ZeRO-3 can prefetch."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(540)]


@pytest.fixture(scope="module")
def found():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("accumulation.py")), str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=480)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("stage", "limit"), [("1", 2e-3), ("2", 1e-6), ("3", 1e-6)])
def test_64_bf16_gradients_are_added_up_in_fp32(found, stage, limit):
    assert found[stage]["error"] <= limit  # 9e-3 where they are added up in bf16; stage 1 rounds the sum once
    assert found[stage]["norm"] == pytest.approx(1, abs=1e-4)


def test_zero_3_keeps_its_trace_of_modules_after_the_first_step(found):
    assert all(found["3"]["complete"][2:])


@pytest.mark.parametrize("stage", ["0", "1", "2", "3"])
def test_fused_adamw_in_bf16_resumes_exactly(found, stage):
    assert found["resumed"][stage] == 0
