"""The gate before the server: an ASGI layer that checks the key, and the reading of a body up to its limit."""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from pydantic import SecretStr

from vlaa_ray.errors import ConfigError
from vlaa_ray.serving.refusals import RequestRefused

OPEN_PATHS = frozenset({"/health", "/metrics"})
"""The paths that answer without a key: load balancers and Prometheus ask them, and they show no text of a request."""
_Send = Callable[[Mapping[str, Any]], Awaitable[None]]
_App = Callable[[dict[str, Any], Any, _Send], Awaitable[None]]


class Gate:
    """An ASGI app around another one: it answers 401 or 403 itself, and passes on requests that may be asked.

    `key` returns the key that requests must carry; None if none is needed. Then only this machine may ask.
    """

    def __init__(self, app: _App, key: Callable[[], SecretStr | None]) -> None:
        self._app, self._key = app, key

    async def __call__(self, scope: dict[str, Any], receive: Any, send: _Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            try:
                admit(dict(scope["headers"]).get(b"authorization", b""), scope.get("client"), self._key())
            except RequestRefused as refused:
                return await _refuse(refused, send)
        await self._app(scope, receive, send)


def admit(header: bytes, client: tuple[str, int] | None, key: SecretStr | None) -> None:
    """Check the `Authorization` header of a request that comes from `client` (address, port).

    Raises:
        RequestRefused: 401 for a missing or a wrong key; 403 without a key for a request from another machine.

    """
    if key is None:
        if client is not None and client[0] and not is_loopback(client[0]):
            fix = "set the environment variable of http.key_env where the server starts"
            message = "the server has no key and answers this machine alone"
            raise RequestRefused(message, status=403, code="no_key_configured", fix=fix)
        return
    scheme, _, given = header.partition(b" ")
    if scheme.lower() != b"bearer" or not given.strip():
        fix = "send the header Authorization: Bearer KEY"
        raise RequestRefused("the request carries no API key", status=401, code="missing_api_key", fix=fix)
    if not hmac.compare_digest(given.strip(), key.get_secret_value().encode()):
        raise RequestRefused("the API key is wrong", status=401, code="invalid_api_key")


def require_key(host: str, key: str, key_env: str) -> None:
    """Check that a server which other machines can reach has a key.

    Raises:
        ConfigError: it has none.

    """
    if not key and not is_loopback(host):
        raise ConfigError(
            "a server that other machines can reach needs an API key",
            host=host,
            fix=f"set the environment variable {key_env} to a secret where the server starts, or listen on 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach the address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


async def read_body(parts: AsyncIterator[bytes], announced: str | None, max_bytes: int) -> bytes:
    """Return the body of a request; `announced` is its `Content-Length` header.

    Raises:
        RequestRefused: 413 as soon as it has more than `max_bytes`; nothing is kept of it.

    """
    if announced is not None and announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(int(announced), max_bytes)
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > max_bytes:
            raise _too_large(len(body), max_bytes)
    return bytes(body)


def _too_large(size: int, limit: int) -> RequestRefused:
    message = f"the request has {size:,} bytes or more; at most {limit:,} are taken"
    return RequestRefused(message, status=413, code="request_too_large", fix="send fewer or smaller images")


async def _refuse(refused: RequestRefused, send: _Send) -> None:
    body = json.dumps(refused.body()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
