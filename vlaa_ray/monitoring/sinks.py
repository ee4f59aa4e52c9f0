"""Copies of a run's metrics to TensorBoard and W&B, from threads of their own: a tracker can never stop a run."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from vlaa_ray.errors import VlaaRayError

LOG = logging.getLogger(__name__)


class Sink(Protocol):
    def write(self, row: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


class BackgroundSink:
    """A sink in a daemon thread of its own, behind a bounded queue; its first failure is its last."""

    def __init__(self, name: str, make: Callable[[], Sink], capacity: int = 1000) -> None:
        self._name, self._make = name, make
        self._rows: queue.Queue[dict[str, Any]] = queue.Queue(capacity)
        self.finish, self._told = threading.Event(), False
        self._thread = threading.Thread(target=self._serve, name=f"tracker-{name}", daemon=True)
        self._thread.start()

    def put(self, row: dict[str, Any]) -> None:
        if not self._thread.is_alive():
            return
        try:
            self._rows.put_nowait(row)
        except queue.Full:
            if not self._told:
                LOG.warning("%s is too slow and misses steps; metrics.jsonl has them all", self._name)
            self._told = True

    def join(self, deadline: float) -> None:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            LOG.warning("%s did not finish in time and is left behind; metrics.jsonl has every step", self._name)
            if self._name == "W&B":
                undo = threading.Thread(target=_kill_wandb_service, daemon=True)
                undo.start()
                undo.join(5.0)

    def _serve(self) -> None:
        try:
            sink = self._make()
            while not (self.finish.is_set() and self._rows.empty()):
                try:
                    sink.write(self._rows.get(timeout=0.2))
                except queue.Empty:
                    continue
            sink.close()
        except Exception as error:  # noqa: BLE001 - a tracker fails in ways of its own, and none may stop a run
            LOG.warning("%s is off from here on: %s: %s", self._name, type(error).__name__, error)


class TensorBoardSink:
    """Scalars as TensorBoard's event files, written in the calling thread (SummaryWriter would start another)."""

    def __init__(self, run_dir: Path, next_step: int | None) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder = run_dir / "tensorboard"
        folder.mkdir(exist_ok=True)
        self._event = Event
        self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        if next_step is not None:  # hides the steps that a resumed run makes again
            start = SessionLog(status=SessionLog.START)
            self._writer.write_event(Event(wall_time=time.time(), step=next_step, session_log=start))

    def write(self, row: dict[str, Any]) -> None:
        from tensorboardX.summary import scalar

        for name, value in row.items():
            if name != "step" and value is not None:
                event = self._event(wall_time=time.time(), step=row["step"], summary=scalar(name, value))
                self._writer.write_event(event)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandbSink:
    """A W&B run that prints nothing, never asks for a key, keeps its files in the run folder and can't interrupt."""

    def __init__(self, run_dir: Path, mode: Any, project: str, name: str, config: dict[str, Any]) -> None:
        import wandb

        # By default W&B interrupts the main thread when a run is stopped on its page or an upload fails.
        settings = wandb.Settings(
            silent=True, console="off", stop_fn=lambda: None, init_timeout=60, finish_timeout=10, root_dir=str(run_dir),
            disable_git=True, save_code=False, x_disable_stats=True, x_save_requirements=False,
        )  # fmt: skip
        wandb.setup(settings)
        online = mode not in ("offline", "dryrun")
        if online and not wandb.login(prompt=False, verify=False):
            raise VlaaRayError("no W&B key", fix="run `wandb login`, or set tracking.wandb=offline")
        id_file = run_dir / "wandb" / "run_id"
        id_file.parent.mkdir(exist_ok=True)
        if not id_file.exists():
            id_file.write_text(os.urandom(6).hex())
        self._wandb = wandb
        self._run = wandb.init(
            project=project, name=name, config=config, dir=str(run_dir), mode=mode, id=id_file.read_text(),
            resume="allow" if online else None, settings=settings,
        )  # fmt: skip
        self._run.define_metric("*", step_metric="step")  # steps of a resumed run may come again

    def write(self, row: dict[str, Any]) -> None:
        self._run.log({name: value for name, value in row.items() if value is not None})

    def close(self) -> None:
        self._run.finish()
        self._wandb.teardown()  # takes away the exit hook, which waits for the service without a limit


def _kill_wandb_service() -> None:
    """Ends W&B's service process and its exit hook, which would wait for that process without a limit."""
    import psutil
    import wandb

    for child in psutil.Process().children():
        if child.name() == "wandb-core":
            child.kill()
    with contextlib.suppress(OSError):
        wandb.teardown()
