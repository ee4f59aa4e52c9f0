"""The gate: who may ask, and how much may be sent."""

import asyncio
import json

import pytest
from pydantic import SecretStr

from vlaa_ray.errors import ConfigError
from vlaa_ray.serving.exposition import merged
from vlaa_ray.serving.gate import Gate, admit, is_loopback, read_body, require_key
from vlaa_ray.serving.refusals import RequestRefused

KEY = SecretStr("s3cret")
NEAR, FAR = ("127.0.0.1", 5), ("10.1.2.3", 5)


def test_the_right_key_is_admitted() -> None:
    admit(b"Bearer s3cret", FAR, KEY)
    admit(b"bearer  s3cret ", NEAR, KEY)
    admit(b"", NEAR, None)
    admit(b"", None, None)


@pytest.mark.parametrize(
    ("header", "client", "key", "status", "code"),
    [
        (b"", NEAR, KEY, 401, "missing_api_key"),
        (b"Basic s3cret", NEAR, KEY, 401, "missing_api_key"),
        (b"Bearer ", NEAR, KEY, 401, "missing_api_key"),
        (b"Bearer wrong", NEAR, KEY, 401, "invalid_api_key"),
        (b"Bearer \xff\xfe", NEAR, KEY, 401, "invalid_api_key"),
        (b"", FAR, None, 403, "no_key_configured"),
    ],
)
def test_others_are_refused(header, client, key, status, code) -> None:
    with pytest.raises(RequestRefused) as caught:
        admit(header, client, key)
    assert (caught.value.status, caught.value.code) == (status, code) and "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("path", "status"), [("/v1/models", 401), ("/health", 200), ("/metrics", 200)])
def test_the_gate_answers_for_the_server_and_leaves_health_and_metrics_open(path, status) -> None:
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": [], "client": NEAR}
    asyncio.run(Gate(app, lambda: KEY)(scope, None, send))
    assert sent[0]["status"] == status
    if status == 401:
        assert (b"www-authenticate", b"Bearer") in sent[0]["headers"]
        assert json.loads(sent[1]["body"])["error"]["type"] == "authentication_error"


def test_a_wider_address_needs_a_key_before_anything_starts() -> None:
    require_key("127.0.0.1", "", "NAME")
    require_key("0.0.0.0", "x", "NAME")
    for host in ("0.0.0.0", "::", "example.org", "10.0.0.1"):
        with pytest.raises(ConfigError, match="NAME"):
            require_key(host, "", "NAME")
    assert is_loopback("::1") and is_loopback("localhost") and is_loopback("::ffff:127.0.0.1")


def test_a_body_is_read_up_to_its_limit() -> None:
    async def parts():
        for part in (b"ab", b"cd"):
            yield part

    assert asyncio.run(read_body(parts(), None, 4)) == b"abcd"
    assert asyncio.run(read_body(parts(), "4", 4)) == b"abcd"
    for announced in (None, "4", "99"):
        with pytest.raises(RequestRefused) as caught:
            asyncio.run(read_body(parts(), announced, 3))
        assert caught.value.status == 413


def test_metrics_of_two_nodes_are_one_text() -> None:
    one = '# HELP ray_vllm_x What.\n# TYPE ray_vllm_x counter\nray_vllm_x{n="1"} 1.0\n# HELP other o\nother 3\n'
    two = '# HELP ray_vllm_x What.\n# TYPE ray_vllm_x counter\nray_vllm_x{n="2"} 2.0\n'
    text = '# HELP ray_vllm_x What.\n# TYPE ray_vllm_x counter\nray_vllm_x{n="1"} 1.0\nray_vllm_x{n="2"} 2.0\n'
    assert merged([one, two]) == text
