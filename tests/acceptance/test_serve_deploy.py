"""The Serve config file on a Ray that runs already, as docs/serve.md shows: `ray start --head`, then `serve deploy`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
import yaml
from quickstart import ROOT
from served import free_port, messages_of, questions

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]
BIN = Path(sys.executable).parent


@contextmanager
def head(folder: Path, dashboard_port: int) -> Iterator[None]:
    """A Ray head of its own, which ends with the block."""
    ports = [
        f"--port={free_port()}",
        f"--dashboard-port={dashboard_port}",
        f"--dashboard-agent-listen-port={free_port()}",
    ]
    command = [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=2", "--node-ip-address=127.0.0.1", *ports]
    with (folder / "ray.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def deploy(config: Path, address: str) -> None:
    command = [str(BIN / "serve"), "deploy", str(config), "--address", address]
    deadline = time.monotonic() + 120
    while (done := subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)).returncode:
        assert time.monotonic() < deadline, done.stdout + done.stderr  # the head may still start
        time.sleep(2)


def test_the_config_file_is_deployed_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # "every node needs the project"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    settings = yaml.safe_load((ROOT / "configs/serve/local.yaml").read_text())
    port, dashboard = free_port(), free_port()
    settings["http_options"]["port"] = port
    config = tmp_path / "local.yaml"
    config.write_text(yaml.safe_dump(settings))
    with head(tmp_path, dashboard):
        deploy(config, f"http://127.0.0.1:{dashboard}")
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=60)
        deadline = time.monotonic() + 300
        while True:
            try:
                (model,) = client.models.list().data
                break
            except openai.APIError:
                assert time.monotonic() < deadline, (tmp_path / "ray.log").read_text()[-3000:]
                time.sleep(2)
        answer = client.chat.completions.create(model=model.id, messages=messages_of(questions(1)[0]), temperature=0)
        assert answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"
