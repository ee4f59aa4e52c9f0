"""Images that records name by URL: fetched from listed hosts only, once, into a folder that is looked at first.

    fetcher = Fetcher(FetchSection(hosts=("images.example.org",)))
    fetcher.file("https://images.example.org/a.png")  -> Path("~/.cache/vlaa-ray/images/3f/3f2a….png")

Data is not trusted: a URL could ask a machine inside the network for something that only we may see. So redirects are
not followed, a listed name must not lead to a private address, and the address that was checked is the one that is
asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx

from vlaa_ray.config import FetchSection
from vlaa_ray.errors import ConfigError, DataError, DeadlineExceeded
from vlaa_ray.images.decode import MAX_IMAGE_BYTES, reference_of
from vlaa_ray.services.client import OVERLOADS, WORTH_RETRYING
from vlaa_ray.services.rate_limits import backoff_s
from vlaa_ray.storage.atomic import replacing

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_MAX_ATTEMPTS = 3
_OUTAGE = 5
"""Images in a row that a host failed to send: then it may be the host, not the images."""
_JOIN_S = 10.0
_UNICAST, _6TO4 = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("2002::/16")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


class _RetryFetch(Exception):
    def __init__(self, said: str, *, too_many: bool = False) -> None:
        super().__init__(said)
        self.too_many = too_many


class Fetcher:
    """May be used from many threads at once, and again after `close`."""

    def __init__(self, section: FetchSection) -> None:
        self._section, self._networks = section, section.networks()
        self._names = {_raw_name(name) for name in section.names()}
        self._cache = Path(section.cache).expanduser()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None  # which ends an exchange in time, whatever it waits for
        self._thread: threading.Thread | None = None
        self._clients: dict[bytes, httpx.AsyncClient] = {}
        self._failed_in_a_row: Counter[bytes] = Counter()

    def file(self, address: str) -> Path:
        """The image's file in the cache; DataError if there is none to be had.

        DeadlineExceeded once its host has been failing for `give_up_s`.
        """
        try:
            url = httpx.URL(address)
        except (httpx.InvalidURL, ValueError) as error:
            raise DataError(f"not a URL: {error}", got=address[:200]) from error
        self._refuse_unlisted(url)
        digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
        suffix = Path(url.path).suffix.lower()
        file = self._cache / digest[:2] / f"{digest}{suffix if suffix in _SUFFIXES else ''}"
        if not file.exists():
            with self._lock:
                coming = asyncio.run_coroutine_threadsafe(self._until_sent(url), self._started())
            data = coming.result()
            reference_of(data)  # nothing else is kept
            _write(file, data)
        return file

    def close(self) -> None:
        """End what is on its way, and the connections."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            if loop:
                asyncio.run_coroutine_threadsafe(self._end(), loop)
        if thread:
            thread.join(_JOIN_S)

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()
        asyncio.get_running_loop().stop()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_run, args=(self._loop,), name="fetch", daemon=True)
            self._thread.start()
        return self._loop

    def _refuse_unlisted(self, url: httpx.URL) -> None:
        named = url.raw_host in self._names or _is_in(_literal(url.host), self._networks)
        if url.scheme not in ("http", "https") or url.userinfo or not named:
            fix = "name its host in fetch.hosts of the config if you trust it, or put the image below the image root"
            raise DataError("an image that is not fetched", got=str(url)[:200], fix=fix)

    async def _until_sent(self, url: httpx.URL) -> bytes:
        started, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                data = await self._get(url)
                self._failed_in_a_row[url.raw_host] = 0
                return data
            except _RetryFetch as failure:
                if attempt >= _MAX_ATTEMPTS and not failure.too_many and await self._is_to_blame(url):
                    _refuse(url, f"can't fetch the image, {attempt} times: {failure}")
                if attempt >= _MAX_ATTEMPTS and time.monotonic() - started > self._section.give_up_s:
                    fix = f"the same command goes on; what was fetched is in {self._cache}"
                    patience = f"{self._section.give_up_s:g} s"
                    message = f"no image came from {url.host} for {patience}: {failure}"
                    raise DeadlineExceeded(message, url=str(url)[:200], fix=fix) from None
            await asyncio.sleep(backoff_s(attempt))

    async def _is_to_blame(self, url: httpx.URL) -> bool:
        """Whether it is this image that fails, and not its host: at an outage all wait, and no image is given up."""
        if self._failed_in_a_row[url.raw_host] >= _OUTAGE:
            try:
                if await self._status(url.copy_with(raw_path=b"/")) in WORTH_RETRYING:
                    return False
            except _RetryFetch:
                return False
        self._failed_in_a_row[url.raw_host] += 1
        return True

    async def _status(self, url: httpx.URL) -> int:
        async with self._asked(url) as response:
            return response.status_code

    async def _get(self, url: httpx.URL) -> bytes:
        parts, size = [], 0
        async with self._asked(url) as response:
            _look_at(response, url)
            async for part in response.aiter_raw():
                parts.append(part)
                size += len(part)
                if size > MAX_IMAGE_BYTES:
                    _refuse(url, "the image file is too large", limit_bytes=MAX_IMAGE_BYTES)
        return b"".join(parts)

    @asynccontextmanager
    async def _asked(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        """The response, left within `timeout_s`, whatever it waits for; httpx's own timeout is of each read."""
        headers = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        options: dict[str, Any] = {"headers": headers, "extensions": {"sni_hostname": url.raw_host.decode("ascii")}}
        try:
            async with asyncio.timeout(self._section.timeout_s):
                at = url.copy_with(host=str(await self._address(url)))
                async with self._client(url.raw_host).stream("GET", at, **options) as response:
                    yield response
        except TimeoutError:
            raise _RetryFetch(f"not sent within {self._section.timeout_s:g} s") from None
        except (httpx.RequestError, socket.gaierror, UnicodeError) as error:
            raise _RetryFetch(f"{type(error).__name__}: {error}") from None

    async def _address(self, url: httpx.URL) -> _Address:
        """The first address of the host that may be asked."""
        port = url.port or (443 if url.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
        for _, _, _, _, address in found:
            one = ipaddress.ip_address(str(address[0]).partition("%")[0])
            if _is_public(one) or _is_in(one, self._networks):
                return one
        fix = "name the address, too, in fetch.hosts if you trust it"
        _refuse(url, "can't fetch the image: its host is at a private address", address=found[0][4][0], fix=fix)

    def _client(self, host: bytes) -> httpx.AsyncClient:
        """A client of this host alone: a connection is checked for the name that it was opened with."""
        if host not in self._clients:
            # a transport of its own goes through no proxy, which would look the name up by itself
            transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=self._section.concurrency))
            self._clients[host] = httpx.AsyncClient(timeout=None, transport=transport)
        return self._clients[host]


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _look_at(response: httpx.Response, url: httpx.URL) -> None:
    status = response.status_code
    if status in WORTH_RETRYING:
        raise _RetryFetch(f"status {status}", too_many=status in OVERLOADS)
    if response.has_redirect_location:
        target = response.headers["location"][:200]
        _refuse(url, f"can't fetch the image: redirects are not followed, and it leads to {target}")
    if status != httpx.codes.OK:
        _refuse(url, f"can't fetch the image: status {status}")


def _refuse(url: httpx.URL, message: str, **facts: object) -> NoReturn:
    raise DataError(message, **{"got": str(url)[:200], **facts})  # type: ignore[arg-type]


def _raw_name(name: str) -> bytes:
    try:
        return httpx.URL(f"http://{name}").raw_host
    except httpx.InvalidURL as error:
        raise ConfigError(f"fetch.hosts: {name!r} is no name of a host: {error}") from error


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: _Address) -> bool:
    """Whether it leads nowhere but to the internet: not to an address of version 4 that it holds, either."""
    address = getattr(address, "ipv4_mapped", None) or address
    if address.version == 6 and (address not in _UNICAST or address in _6TO4):
        return False
    return address.is_global and not address.is_multicast


def _is_in(address: _Address | None, networks: _Networks) -> bool:
    return address is not None and any(address in network for network in networks)


def _write(file: Path, data: bytes) -> None:
    """Keep the image whole or not at all, also where several processes fetch it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            partial.write_bytes(data)
    except OSError as error:
        fix = "free space there, or set fetch.cache"
        raise ConfigError(f"can't keep a fetched image: {error}", file=str(file), fix=fix) from error
