"""Images that records name by URL: fetched from listed hosts only, once, into a folder that is looked at first.

    fetcher = Fetcher(FetchSection(hosts=("images.example.org",)))
    fetcher.file("https://images.example.org/a.png")  -> Path("~/.cache/vlaa-ray/images/3f/3f2a….png")

Data is not trusted: a URL could ask a machine inside the network for something that only we may see. So redirects are
not followed, a listed name must not lead to a private address, and the address that was checked is the one that is
asked.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import httpx

from vlaa_ray.config import FetchSection
from vlaa_ray.data.images import MAX_IMAGE_BYTES, reference_of
from vlaa_ray.errors import ConfigError, DataError, DeadlineExceeded
from vlaa_ray.service import WORTH_RETRYING

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
_MAX_ATTEMPTS = 3
_OUTAGE = 5
"""Images in a row that a host failed to send: then it is the host, not the images."""
_FIRST_WAIT_S, _MAX_WAIT_S = 0.25, 8.0
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


class _TryAgain(Exception):
    pass


class Fetcher:
    """May be used from many threads at once."""

    def __init__(self, section: FetchSection) -> None:
        self._section, self._networks = section, section.networks()
        self._cache = Path(section.cache).expanduser()
        self._clients: dict[str, httpx.Client] = {}
        self._failed_in_a_row: Counter[str] = Counter()
        self._lock = threading.Lock()

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
            data = self._until_sent(url)
            reference_of(data)  # nothing else is kept
            _write(file, data)
        return file

    def _refuse_unlisted(self, url: httpx.URL) -> None:
        named = url.host in self._section.hosts or _is_in(_literal(url.host), self._networks)
        if url.scheme not in ("http", "https") or url.userinfo or not named:
            fix = "name its host in fetch.hosts of the config if you trust it, or put the image below the image root"
            raise DataError("an image that is not fetched", got=str(url)[:200], fix=fix)

    def _until_sent(self, url: httpx.URL) -> bytes:
        started, attempt = time.monotonic(), 0
        while True:
            try:
                data = self._get(url)
                self._failed_in_a_row[url.host] = 0
                return data
            except _TryAgain as failure:
                attempt += 1
                with self._lock:
                    outage = self._failed_in_a_row[url.host] >= _OUTAGE  # then all wait, and no image is given up
                    if attempt >= _MAX_ATTEMPTS and not outage:
                        self._failed_in_a_row[url.host] += 1
                        _refuse(url, f"can't fetch the image, {attempt} times: {failure}")
                if outage and time.monotonic() - started > self._section.give_up_s:
                    fix = f"the same command goes on; what was fetched is in {self._cache}"
                    patience = f"{self._section.give_up_s:g} s"
                    message = f"no image came from {url.host} for {patience}: {failure}"
                    raise DeadlineExceeded(message, url=str(url)[:200], fix=fix) from None
            time.sleep(random.uniform(0, min(_MAX_WAIT_S, _FIRST_WAIT_S * 2**attempt)))

    def _get(self, url: httpx.URL) -> bytes:
        """The bytes that the host sends within `timeout_s` in all: httpx's own timeout is of each read."""
        end, parts, size = time.monotonic() + self._section.timeout_s, [], 0
        headers = {"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        try:
            at = url.copy_with(host=str(self._address(url)))
            options = {"headers": headers, "extensions": {"sni_hostname": url.raw_host.decode("ascii")}}
            with self._client(url.host).stream("GET", at, **options) as response:
                self._look_at(response, url)
                for part in response.iter_raw():
                    parts.append(part)
                    size += len(part)
                    if size > MAX_IMAGE_BYTES:
                        _refuse(url, "the image file is too large", limit_bytes=MAX_IMAGE_BYTES)
                    if time.monotonic() > end:
                        raise httpx.ReadTimeout(f"no whole image within {self._section.timeout_s:g} s")
        except (httpx.RequestError, socket.gaierror) as error:
            raise _TryAgain(f"{type(error).__name__}: {error}") from None
        return b"".join(parts)

    def _look_at(self, response: httpx.Response, url: httpx.URL) -> None:
        status = response.status_code
        if status in WORTH_RETRYING:
            raise _TryAgain(f"status {status}")
        if response.has_redirect_location:
            target = response.headers["location"][:200]
            _refuse(url, f"can't fetch the image: redirects are not followed, and it leads to {target}")
        if status != httpx.codes.OK:
            _refuse(url, f"can't fetch the image: status {status}")

    def _address(self, url: httpx.URL) -> _Address:
        """The first address of the host that may be asked."""
        port = url.port or (443 if url.scheme == "https" else 80)
        found = socket.getaddrinfo(url.raw_host.decode("ascii"), port, type=socket.SOCK_STREAM)
        for _, _, _, _, address in found:
            one = ipaddress.ip_address(str(address[0]).partition("%")[0])
            if _is_public(one) or _is_in(one, self._networks):
                return one
        fix = "name the address, too, in fetch.hosts if you trust it"
        _refuse(url, "can't fetch the image: its host is at a private address", address=found[0][4][0], fix=fix)

    def _client(self, host: str) -> httpx.Client:
        """A client of this host alone: a connection is checked for the name that it was opened with."""
        with self._lock:
            if host not in self._clients:
                # a transport of its own goes through no proxy, which would look the name up by itself
                transport = httpx.HTTPTransport(limits=httpx.Limits(max_connections=self._section.concurrency))
                self._clients[host] = httpx.Client(timeout=self._section.timeout_s, transport=transport)
            return self._clients[host]


def _refuse(url: httpx.URL, message: str, **facts: object) -> NoReturn:
    raise DataError(message, **{"got": str(url)[:200], **facts})  # type: ignore[arg-type]


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_public(address: _Address) -> bool:
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_global and not address.is_multicast


def _is_in(address: _Address | None, networks: _Networks) -> bool:
    return address is not None and any(address in network for network in networks)


def _write(file: Path, data: bytes) -> None:
    """Whole or not at all, whoever else writes it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as partial:
            partial.write(data)
        os.chmod(partial.name, 0o644)
        os.replace(partial.name, file)
    except OSError as error:
        fix = "free space there, or set fetch.cache"
        raise ConfigError(f"can't keep a fetched image: {error}", file=str(file), fix=fix) from error
