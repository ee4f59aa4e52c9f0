"""The process that asks the teachers, and the connection by which the run's workers reach it.

    python -m vlaa_ray.curation.teacher_process --config FILE --folder DIR --socket PATH --pid 4711 --urls JSON

The process is not a child of the run. When the run is killed, it waits for the replies in flight, stores them and ends,
so nothing that was paid for is lost. Messages are lines of JSON over a Unix socket. {"id", "call"} is answered by
{"id", "reply"} or {"id", "error"}. {"id", "state": true} is answered by the totals so far, and so is
{"id", "stop": true}, which also ends the process.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from vlaa_ray.config import CurationConfig, load_config
from vlaa_ray.curation.steps import Call
from vlaa_ray.curation.teacher_client import TeacherClient
from vlaa_ray.errors import DataError, TeacherError, VlaaRayError
from vlaa_ray.services.call_store import CALLS, CallStore, Reply

_START_S = 120.0
_STATE_S = 30.0
_MARGIN_S = 10.0
_LINE_BYTES = 64 << 20


class TeacherProcess:
    """The driver's handle of the process. `address` is the path of the socket to which workers connect.

    `outlives` names the environment variable by which leftover processes of a run are found and ended. The process is
    started without it, so that it can store the last replies after a kill. Raises TeacherError if it doesn't start, and
    the process's own TeacherError or DataError if it reports one.
    """

    def __init__(self, config: CurationConfig, folder: Path, urls: Mapping[str, str], outlives: str = "") -> None:
        # not in the run's folder: the path of a socket must be short
        self._directory = tempfile.TemporaryDirectory(prefix="vlaa-ray-")
        self.address = str(Path(self._directory.name) / "caller")
        self._log = folder / "logs" / "caller.log"
        arguments = {"config": folder / "config.yaml", "folder": folder, "socket": self.address, "pid": os.getpid()}
        command = [sys.executable, "-m", __name__, "--urls", json.dumps(dict(urls))]
        command += [str(word) for name, value in arguments.items() for word in (f"--{name}", value)]
        with self._log.open("ab") as out:
            environment = {name: value for name, value in os.environ.items() if name != outlives}
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            # without this, glibc's caches for many threads grow for hours, although nothing leaks
            environment.setdefault("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
            options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, "env": environment}
            try:
                subprocess.run(command, check=True, start_new_session=True, timeout=_START_S, **options)
            except subprocess.SubprocessError as error:
                raise _gone(str(self._log)) from error
        self._wait_until_it_listens(drain_s(config))

    def state(self) -> dict[str, Any]:
        """Return {"spent": {step: totals}, "recalled": {step: number}, "in_flight": number}.

        Raises TeacherError if the process is gone.
        """
        return dict(self._exchange({"id": 0, "state": True}))

    def close(self) -> None:
        """End the process. It still stores the replies to calls in flight."""
        with suppress(TeacherError):
            self._exchange({"id": 0, "stop": True})
        self._directory.cleanup()

    def _exchange(self, message: dict[str, Any]) -> Any:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_STATE_S)
                connection.connect(self.address)
                connection.sendall(json.dumps(message).encode() + b"\n")
                return json.loads(connection.makefile("rb").readline())
        except (OSError, ValueError) as error:
            raise _gone(str(self._log)) from error

    def _wait_until_it_listens(self, patience_s: float) -> None:
        end = time.monotonic() + _START_S + patience_s
        while not Path(self.address).exists():
            if Path(f"{self.address}.error").exists():
                raise _as_error(json.loads(Path(f"{self.address}.error").read_text()))
            if time.monotonic() > end:
                raise _gone(str(self._log))
            time.sleep(0.05)


class TeacherProxy:
    """A worker's connection to the process, for all coroutines of one event loop."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._number = 0
        self._connecting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, call: Call) -> Reply:
        """Return the teacher's reply. Raises the process's TeacherError or DataError, or TeacherError if it is gone."""
        async with self._connecting:
            if self._writer is None:
                await self._connect()
        assert self._writer
        self._number += 1
        number, future = self._number, asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._writer.write(json.dumps({"id": number, "call": dataclasses.asdict(call)}).encode() + b"\n")
        reply: Reply = await future
        return reply

    async def _connect(self) -> None:
        try:
            reader, self._writer = await asyncio.open_unix_connection(self._address, limit=_LINE_BYTES)
        except OSError as error:
            raise _gone("logs/caller.log") from error
        self._reading = asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Pass the replies on until the connection ends. Then all waiting calls fail; the next call connects again."""
        try:
            with suppress(OSError, ValueError):  # a kill of the process may cut a line in two
                while line := await reader.readline():
                    self._hand_out(json.loads(line))
        finally:
            self._writer = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(_gone("logs/caller.log"))
            self._waiting.clear()

    def _hand_out(self, message: dict[str, Any]) -> None:
        future = self._waiting.pop(message["id"])
        if future.done():  # the caller was cancelled
            return
        if "reply" in message:
            future.set_result(Reply(**message["reply"]))
        else:
            future.set_exception(_as_error(message["error"]))


def drain_s(config: CurationConfig) -> float:
    """Return the time in seconds that replies in flight may still take."""
    return max(teacher.timeout_s for teacher in config.used_teachers.values()) + _MARGIN_S


def main() -> None:
    """Run the process: read the arguments, detach from the run, and answer its workers until the run ends.

    If the config or the store can't be opened, the error is written beside the socket, where the driver reads it.
    """
    parser = argparse.ArgumentParser()
    for name in ("config", "folder", "socket", "urls"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--pid", type=int, required=True)
    args = parser.parse_args()
    if os.fork():  # detached: a clean-up that ends the run's children must not end this process
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # these signals are for the run, which then tells this process to stop
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    folder = Path(args.folder)
    try:
        config: CurationConfig = load_config(args.config, kind=CurationConfig)
        store = CallStore(folder / CALLS, wait_s=drain_s(config))
        client = TeacherClient(config, folder / "images", store, json.loads(args.urls))
    except VlaaRayError as error:
        Path(f"{args.socket}.new").write_text(json.dumps(error.as_dict(), default=str))
        os.rename(f"{args.socket}.new", f"{args.socket}.error")  # the driver never sees half a file
        raise
    asyncio.run(_serve(args.socket, args.pid, client, config))
    client.drain(drain_s(config))
    store.close()
    with suppress(OSError):  # usually the run removes them, but not after a kill
        os.unlink(args.socket)
        os.rmdir(Path(args.socket).parent)
    os._exit(0)  # does not wait for threads whose reply will never come


async def _serve(address: str, pid: int, client: TeacherClient, config: CurationConfig) -> None:
    """Answer the workers until the process `pid` ends, or tells this one to stop."""
    over = asyncio.Event()
    num_threads = 2 * config.max_calls_in_flight  # twice as many as calls: some wait before they try again
    threads = ThreadPoolExecutor(num_threads, thread_name_prefix="call")

    async def answer(writer: asyncio.StreamWriter, number: int, call: Call) -> None:
        loop = asyncio.get_running_loop()
        message: dict[str, Any] = {"id": number, "error": _gone("logs/caller.log").as_dict()}
        try:
            reply = client.recall(call)
            if reply is None:
                reply = await loop.run_in_executor(threads, client.ask, call)
            message = {"id": number, "reply": dataclasses.asdict(reply)}
        except VlaaRayError as error:
            message["error"] = error.as_dict()
        finally:  # an answer is sent even after an unexpected error, so the worker does not wait forever
            send(writer, message)

    def send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        with suppress(OSError):
            writer.write(json.dumps(message, default=str).encode() + b"\n")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: set[asyncio.Task[None]] = set()
        with suppress(OSError):
            while line := await reader.readline():
                message = json.loads(line)
                if "call" in message:
                    task = asyncio.create_task(answer(writer, message["id"], Call(**message["call"])))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    continue
                send(writer, client.state())
                if "stop" in message:
                    over.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()

    server = await asyncio.start_unix_server(connected, f"{address}.new", limit=_LINE_BYTES)
    os.rename(f"{address}.new", address)  # the address appears only when the server listens
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(process, over.set)
        await over.wait()
    client.stop(TeacherError("the run has ended"))
    server.close()


def _as_error(values: dict[str, Any]) -> VlaaRayError:
    error_class = DataError if values.pop("type") == "DataError" else TeacherError
    return error_class(values.pop("message"), fix=values.pop("fix"), **values)


def _gone(log_file: str) -> TeacherError:
    fix = "see its log for the cause, then run the same command again to continue"
    return TeacherError("the process that asks the teachers is gone", log=log_file, fix=fix)


if __name__ == "__main__":
    main()
