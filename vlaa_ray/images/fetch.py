"""Images by URL: each is fetched once, from listed hosts only, and kept in a folder (the cache).

    fetcher = Fetcher(FetchSection(hosts=("images.example.org",)))
    fetcher.file("https://images.example.org/a.png")  -> Path("~/.cache/vlaa-ray/images/3f/3f2a….png")

Data is not trusted: its URLs could reach machines inside the private network. Therefore redirects are not followed, a
listed name must not resolve to a private address, and the request goes to the very address that was checked.
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
from vlaa_ray.services.retries import OVERLOAD_STATUSES, RETRYABLE_STATUSES, TryAgain, backoff_s
from vlaa_ray.storage.atomic import replacing

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_MAX_ATTEMPTS = 3
_OUTAGE = 5
"""After this number of failed images in a row, the host is tested, because it may be down."""
_JOIN_S = 10.0
_UNICAST, _6TO4 = ipaddress.ip_network("2000::/3"), ipaddress.ip_network("2002::/16")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


class Fetcher:
    """Fetches images, for use from many threads at the same time. It may be used again after `close`.

    Raises ConfigError if `fetch.hosts` holds a name that can't be a host's.
    """

    def __init__(self, section: FetchSection) -> None:
        self._section, self._networks = section, section.networks()
        self._names = {_raw_name(name) for name in section.names()}
        self._cache = Path(section.cache).expanduser()
        self._lock = threading.Lock()
        # An asyncio task can be ended at its deadline, no matter what it waits for. A thread can't.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._clients: dict[bytes, httpx.AsyncClient] = {}
        self._failed_in_a_row: Counter[bytes] = Counter()

    def file(self, address: str) -> Path:
        """Return the image's file in the cache; fetch it first if it is not there.

        Raises DataError if this image can't be fetched or is not an image, DeadlineExceeded once its host has failed
        for `give_up_s` seconds, and ConfigError if the cache can't be written.
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
            reference_of(data)  # only images are kept
            _write(file, data)
        return file

    def close(self) -> None:
        """End all requests in flight and close all connections."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
            if loop:
                asyncio.run_coroutine_threadsafe(self._end(), loop)
        if thread:
            thread.join(_JOIN_S)

    async def _end(self) -> None:
        """Cancel all tasks of the event loop, close the clients and stop the loop."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()
        asyncio.get_running_loop().stop()

    def _started(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop. If no loop is running yet, start one in its own thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_run, args=(self._loop,), name="fetch", daemon=True)
            self._thread.start()
        return self._loop

    def _refuse_unlisted(self, url: httpx.URL) -> None:
        """Raise DataError unless the URL is http(s), holds no user name, and its host is in `fetch.hosts`."""
        named = url.raw_host in self._names or _is_in(_literal(url.host), self._networks)
        if url.scheme not in ("http", "https") or url.userinfo or not named:
            fix = "if you trust its host, add it to fetch.hosts in the config; else put the image below the image root"
            reason = "its URL holds a user name" if url.userinfo else "fetch.hosts does not list its host"
            raise DataError(f"the image is not fetched: {reason}", got=str(url)[:200], fix=fix)

    async def _until_sent(self, url: httpx.URL) -> bytes:
        """Return the image's bytes. Tries 3 times; during an outage of the host, until `give_up_s` has passed."""
        started, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                data = await self._get(url)
                self._failed_in_a_row[url.raw_host] = 0
                return data
            except TryAgain as failure:
                if attempt >= _MAX_ATTEMPTS and not failure.overloaded and await self._host_is_up(url):
                    _refuse(url, f"can't fetch the image, tried {attempt} times: {failure}")
                if attempt >= _MAX_ATTEMPTS and time.monotonic() - started > self._section.give_up_s:
                    fix = f"repeat the command later: it continues with the images that are already in {self._cache}"
                    patience = f"{self._section.give_up_s:g} s"
                    message = f"no image came from {url.host} for {patience}: {failure}"
                    raise DeadlineExceeded(message, url=str(url)[:200], fix=fix) from None
            await asyncio.sleep(backoff_s(attempt))

    async def _host_is_up(self, url: httpx.URL) -> bool:
        """Return whether the image's host works. If it does, the image itself can't be fetched and is given up.

        The host is asked only after 5 images in a row have failed. Until then it counts as working.
        """
        if self._failed_in_a_row[url.raw_host] >= _OUTAGE:
            try:
                if await self._status(url.copy_with(raw_path=b"/")) in RETRYABLE_STATUSES:
                    return False
            except TryAgain:
                return False
        self._failed_in_a_row[url.raw_host] += 1
        return True

    async def _status(self, url: httpx.URL) -> int:
        """Return the status of the response to a GET request. Raises TryAgain if there is no response."""
        async with self._asked(url) as response:
            return response.status_code

    async def _get(self, url: httpx.URL) -> bytes:
        """Return the image's bytes from one attempt. Raises TryAgain or DataError."""
        parts, size = [], 0
        async with self._asked(url) as response:
            _check_status(response, url)
            async for part in response.aiter_raw():
                parts.append(part)
                size += len(part)
                if size > MAX_IMAGE_BYTES:
                    _refuse(url, "the image file is too large", limit_bytes=MAX_IMAGE_BYTES)
        return b"".join(parts)

    @asynccontextmanager
    async def _asked(self, url: httpx.URL) -> AsyncIterator[httpx.Response]:
        """Yield the response; the whole exchange takes at most `timeout_s`. (The timeout of httpx limits one read.)

        Raises TryAgain if the request fails or takes longer, and DataError if the host has no allowed address.
        """
        headers = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        options: dict[str, Any] = {"headers": headers, "extensions": {"sni_hostname": url.raw_host.decode("ascii")}}
        try:
            async with asyncio.timeout(self._section.timeout_s):
                at = url.copy_with(host=str(await self._address(url)))
                async with self._client(url.raw_host).stream("GET", at, **options) as response:
                    yield response
        except TimeoutError:
            raise TryAgain(f"the image did not arrive within {self._section.timeout_s:g} s") from None
        except (httpx.RequestError, socket.gaierror, UnicodeError) as error:
            raise TryAgain(f"{type(error).__name__}: {error}") from None

    async def _address(self, url: httpx.URL) -> _Address:
        """Return the host's first address that is public or listed. Raises DataError if it has none."""
        port = url.port or (443 if url.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        results = await loop.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
        for _, _, _, _, socket_address in results:
            address = ipaddress.ip_address(str(socket_address[0]).partition("%")[0])
            if _is_public(address) or _is_in(address, self._networks):
                return address
        fix = "if you trust this address, add it to fetch.hosts, too"
        _refuse(url, "can't fetch the image: its host is at a private address", address=results[0][4][0], fix=fix)

    def _client(self, host: bytes) -> httpx.AsyncClient:
        """Return the client of this host. Hosts share no connections, as each is checked for one name when it opens."""
        if host not in self._clients:
            # With a transport of our own no proxy is used. A proxy would resolve the name again, unchecked.
            transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=self._section.concurrency))
            self._clients[host] = httpx.AsyncClient(timeout=None, transport=transport)
        return self._clients[host]


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the event loop until it is stopped."""
    loop.run_forever()
    loop.close()


def _check_status(response: httpx.Response, url: httpx.URL) -> None:
    """Raise TryAgain where the same request may succeed later, DataError for any other status but 200."""
    status = response.status_code
    if status in RETRYABLE_STATUSES:
        raise TryAgain(f"status {status}", overloaded=status in OVERLOAD_STATUSES)
    if response.has_redirect_location:
        target = response.headers["location"][:200]
        _refuse(url, f"can't fetch the image: redirects are not followed, and its URL redirects to {target}")
    if status != httpx.codes.OK:
        _refuse(url, f"can't fetch the image: status {status}")


def _refuse(url: httpx.URL, message: str, **facts: object) -> NoReturn:
    """Raise DataError for this URL."""
    raise DataError(message, **{"got": str(url)[:200], **facts})  # type: ignore[arg-type]


def _raw_name(name: str) -> bytes:
    """Return a host's name as it is in a request: in lower case, letters outside ASCII as Punycode."""
    try:
        return httpx.URL(f"http://{name}").raw_host
    except httpx.InvalidURL as error:
        raise ConfigError(f"fetch.hosts: {name!r} is not a valid name of a host: {error}") from error


def _literal(host: str) -> _Address | None:
    """Return the IP address that a host is written as, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: _Address) -> bool:
    """Return whether the address is on the public internet, and so is any IPv4 address that it embeds."""
    address = getattr(address, "ipv4_mapped", None) or address
    if address.version == 6 and (address not in _UNICAST or address in _6TO4):
        return False
    return address.is_global and not address.is_multicast


def _is_in(address: _Address | None, networks: _Networks) -> bool:
    """Return whether the address belongs to one of the networks."""
    return address is not None and any(address in network for network in networks)


def _write(file: Path, data: bytes) -> None:
    """Write the image whole or not at all, also where several processes fetch it at the same time."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial:
            partial.write_bytes(data)
    except OSError as error:
        fix = "make room there, or choose another folder with fetch.cache"
        raise ConfigError(f"can't save a fetched image: {error}", file=str(file), fix=fix) from error
