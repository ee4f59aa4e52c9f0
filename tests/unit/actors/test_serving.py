"""What is served asks for a token, and tells it to nobody."""

import asyncio
import json
import socket

import pytest
from pydantic import SecretStr
from starlette.requests import Request

from actors.serving.reward_server import RewardServer, is_authorised
from actors.serving.vllm_server import vllm_command
from vlaa_ray.cli import main
from vlaa_ray.config import OpenEndedSection, TeacherSection
from vlaa_ray.curation.teacher_client import SERVED_KEY
from vlaa_ray.services.secret import secret_in

TOKEN = SecretStr("s3cret")


def request(body: dict, **headers: str) -> Request:
    """A POST request with a JSON body."""

    async def receive() -> dict:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


def server(token: SecretStr | None) -> RewardServer:
    """A replica whose model scores every answer with its length."""
    made = RewardServer.__new__(RewardServer)
    made._token = token
    made._model = type("Lengths", (), {"scores": lambda self, prompt, answers: [float(len(one)) for one in answers]})()
    return made


BODY = {"question": "?", "images": [], "answers": ["a", "bcd"]}


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        (TOKEN, {}, 401),
        (TOKEN, {"authorization": "Bearer wrong"}, 401),
        (TOKEN, {"authorization": "s3cret"}, 401),
        (TOKEN, {"authorization": "Bearer s3cret"}, 200),
        (None, {}, 200),
    ],
)
def test_a_request_without_the_token_gets_401(token, headers, status) -> None:
    reply = asyncio.run(server(token)(request(BODY, **headers)))
    assert reply.status_code == status
    if status == 200:
        assert json.loads(reply.body) == {"scores": [1.0, 3.0]}
    assert b"s3cret" not in reply.body


def test_a_token_beyond_ascii_is_only_wrong() -> None:
    assert not is_authorised("Bearer ü", TOKEN)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "::", "gpu-node"])
def test_a_server_that_others_can_reach_needs_a_token(host, capsys, monkeypatch) -> None:
    monkeypatch.delenv("VLAA_RAY_TOKEN", raising=False)
    assert main(["reward-server", "--model", "builtin:tiny-reward", "--host", host]) == 2
    assert "needs a token" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", ""], "the path is empty"),
        (["--model", "builtin:none"], "no built-in model"),
        (["--model", "/"], "/ holds no model"),
        (["--min-pixels", "5000", "--max-pixels", "4000"], "min_pixels (5000) is above max_pixels (4000)"),
        (["--min-pixels", "0"], "min_pixels: Input should be greater than or equal to 784"),
        (["--port", "0"], "'--port'"),
        (["--port", "70000"], "'--port'"),
        (["--replicas", "0"], "'--replicas'"),
        (["--gpus", "-1"], "'--gpus'"),
        (["--gpus", "1.5"], "--gpus must be a whole number or at most 1"),
        (["--address", "head"], "'head' is no address of a Ray cluster"),
        (["--token-env", "NOT_SET_ANYWHERE"], "'NOT_SET_ANYWHERE' of --token-env holds no token"),
    ],
)
def test_options_of_the_reward_server_are_checked_before_ray_starts(options, says, capsys) -> None:
    assert main(["reward-server", "--model", "builtin:tiny-reward", *options]) == 2
    assert says in capsys.readouterr().err


def test_a_port_in_use_is_named(capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["reward-server", "--model", "builtin:tiny-reward", "--port", str(port)]) == 2
    assert f"can't listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(capsys, monkeypatch) -> None:
    monkeypatch.setenv("VLAA_RAY_TOKEN", "s3cret\nline")
    assert main(["reward-server", "--model", "builtin:tiny-reward"]) == 2
    shown = capsys.readouterr().err
    assert "not allowed in an HTTP header" in shown and "VLAA_RAY_TOKEN" in shown and "s3cret" not in shown
    monkeypatch.setenv("VLAA_RAY_TOKEN", " s3cret\n")
    assert secret_in("VLAA_RAY_TOKEN", "--token-env") == "s3cret"


def test_the_key_of_a_teachers_server_is_not_on_its_command_line() -> None:
    command = vllm_command(TeacherSection(model="builtin:tiny-base"), "127.0.0.1", 8000)
    assert "--host" in command and not any("key" in word for word in command)
    assert "s3cret" not in repr(TOKEN)


def test_a_server_that_the_run_started_is_asked_with_its_key(endpoint, monkeypatch) -> None:
    from vlaa_ray.curation.teacher_client import _service

    monkeypatch.setenv(SERVED_KEY, "made-for-this-run")
    seen = []
    endpoint.answer = lambda body: (200, {"fine": True})
    service = _service("t", TeacherSection(model="m"), endpoint.url)
    assert service._client.headers["authorization"] == "Bearer made-for-this-run" and not seen
    assert service.post("x", {}) == {"fine": True}


def test_the_section_has_no_token() -> None:
    assert "token" not in OpenEndedSection.model_fields
