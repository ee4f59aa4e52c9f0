"""The process that asks the teachers, and what the run's workers reach it by.

    python -m vlaa_ray.curation.teacher_process --config FILE --folder DIR --socket PATH --pid 4711 --urls JSON

It is no child of the run: when the run is killed, it waits for the replies that are on their way, records them and
ends, so that nothing that was paid for is lost. A line of JSON is a message, over a Unix socket: {"id", "call"} is
answered by {"id", "reply"} or {"id", "error"}, {"id", "state": true} by what was spent so far, {"id", "stop": true} by
the same, and the end.
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
from vlaa_ray.curation.steps import Call, Reply
from vlaa_ray.curation.store import CALLS, CallStore
from vlaa_ray.curation.teacher_client import TeacherClient
from vlaa_ray.errors import DataError, TeacherError, VlaaRayError

_START_S = 120.0
_STATE_S = 30.0
_MARGIN_S = 10.0
_LINE_BYTES = 64 << 20


class TeacherProcess:
    """The process as the driver sees it: started, asked for its state, ended. `address` is what workers connect to.

    `outlives` names the variable by which those who clear up after the run know its processes; this one lacks it.
    """

    def __init__(self, config: CurationConfig, folder: Path, urls: Mapping[str, str], outlives: str = "") -> None:
        # not in the run's folder, whose path may be longer than that of a socket can be
        self._directory = tempfile.TemporaryDirectory(prefix="vlaa-ray-")
        self.address = str(Path(self._directory.name) / "caller")
        self._log = folder / "logs" / "caller.log"
        arguments = {"config": folder / "config.yaml", "folder": folder, "socket": self.address, "pid": os.getpid()}
        command = [sys.executable, "-m", __name__, "--urls", json.dumps(dict(urls))]
        command += [str(word) for name, value in arguments.items() for word in (f"--{name}", value)]
        with self._log.open("ab") as out:
            environment = {name: value for name, value in os.environ.items() if name != outlives}
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
            # glibc's caches of many threads fill slowly: memory would creep up for hours, with nothing leaking
            environment.setdefault("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
            options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, "env": environment}
            try:
                subprocess.run(command, check=True, start_new_session=True, timeout=_START_S, **options)
            except subprocess.SubprocessError as error:
                raise _gone(str(self._log)) from error
        self._wait_until_it_listens(drain_s(config))

    def state(self) -> dict[str, Any]:
        """{"spent": {step: ...}, "recalled": {step: number}, "in_flight": number}; TeacherError if it is gone."""
        return dict(self._exchange({"id": 0, "state": True}))

    def close(self) -> None:
        """End it; the calls on their way are still recorded."""
        with suppress(TeacherError):
            self._exchange({"id": 0, "stop": True})
        self._directory.cleanup()

    def _exchange(self, message: dict[str, Any]) -> Any:
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(_STATE_S)
                one.connect(self.address)
                one.sendall(json.dumps(message).encode() + b"\n")
                return json.loads(one.makefile("rb").readline())
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
    """A worker's connection: `ask` from any number of coroutines of one event loop."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._number = 0
        self._connecting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, call: Call) -> Reply:
        """The teacher's reply; TeacherError or DataError as the process raised it, or if it is gone."""
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
        """Hands the replies out until the connection ends; then nobody waits any more, and who asks connects anew."""
        try:
            with suppress(OSError, ValueError):  # it ends in the middle of a line if the process is killed
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
        if future.done():  # whoever asked was cancelled
            return
        if "reply" in message:
            future.set_result(Reply(**message["reply"]))
        else:
            future.set_exception(_as_error(message["error"]))


def drain_s(config: CurationConfig) -> float:
    """How long the replies on their way may take."""
    return max(teacher.timeout_s for teacher in config.used_teachers.values()) + _MARGIN_S


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("config", "folder", "socket", "urls"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--pid", type=int, required=True)
    args = parser.parse_args()
    if os.fork():  # whoever clears up after the run must not find it among its children
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are for the run, which says when to stop
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    folder = Path(args.folder)
    try:
        config: CurationConfig = load_config(args.config, kind=CurationConfig)
        store = CallStore(folder / CALLS, wait_s=drain_s(config))
        caller = TeacherClient(config, folder / "images", store, json.loads(args.urls))
    except VlaaRayError as error:
        Path(f"{args.socket}.new").write_text(json.dumps(error.as_dict(), default=str))
        os.rename(f"{args.socket}.new", f"{args.socket}.error")  # it is whole before it can be seen
        raise
    asyncio.run(_serve(args.socket, args.pid, caller, config))
    caller.drain(drain_s(config))
    store.close()
    with suppress(OSError):  # the run does it, unless it was killed
        os.unlink(args.socket)
        os.rmdir(Path(args.socket).parent)
    os._exit(0)  # threads that wait for a reply that won't come any more don't hold it up


async def _serve(address: str, pid: int, caller: TeacherClient, config: CurationConfig) -> None:
    """Answers until the run of this pid is gone, or says stop."""
    over = asyncio.Event()
    num_threads = 2 * config.max_calls_in_flight  # some of them wait to try again
    threads = ThreadPoolExecutor(num_threads, thread_name_prefix="call")

    async def answer(writer: asyncio.StreamWriter, number: int, call: Call) -> None:
        loop = asyncio.get_running_loop()
        message: dict[str, Any] = {"id": number, "error": _gone("logs/caller.log").as_dict()}
        try:
            reply = caller.recall(call)
            if reply is None:
                reply = await loop.run_in_executor(threads, caller.ask, call)
            message = {"id": number, "reply": dataclasses.asdict(reply)}
        except VlaaRayError as error:
            message["error"] = error.as_dict()
        finally:  # nobody waits in vain, whatever has happened
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
                send(writer, caller.state())
                if "stop" in message:
                    over.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()

    server = await asyncio.start_unix_server(connected, f"{address}.new", limit=_LINE_BYTES)
    os.rename(f"{address}.new", address)  # it listens before it can be seen
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(process, over.set)
        await over.wait()
    caller.stop(TeacherError("the run has ended"))
    server.close()


def _as_error(values: dict[str, Any]) -> VlaaRayError:
    kind = DataError if values.pop("type") == "DataError" else TeacherError
    return kind(values.pop("message"), fix=values.pop("fix"), **values)


def _gone(log_file: str) -> TeacherError:
    fix = "its log tells why; the same command goes on where the run was"
    return TeacherError("the process that asks the teachers is gone", log=log_file, fix=fix)


if __name__ == "__main__":
    main()
