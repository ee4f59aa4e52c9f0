"""A run as the step loop sees it: where it reports to, where its checkpoints go, and how it is asked to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vlaa_ray.config import GrpoConfig
from vlaa_ray.data.fingerprint import change_of, fingerprint
from vlaa_ray.errors import CheckpointError, RunInterrupted
from vlaa_ray.monitoring.rollout_log import rollout_rows
from vlaa_ray.monitoring.terminal import Progress
from vlaa_ray.monitoring.tracker import Tracker
from vlaa_ray.records import Defect, Group, Prompt
from vlaa_ray.roles import Phase
from vlaa_ray.run.folder import RunFolder
from vlaa_ray.run.quarantine import quarantine_note, write_quarantine
from vlaa_ray.storage.metrics_file import truncate_after

Result = TypeVar("Result")
LOG = logging.getLogger(__name__)
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Session:
    """Implements `loop.Run` on a run folder. A context manager: signals and log file are its own inside."""

    def __init__(self, config: GrpoConfig, folder: RunFolder) -> None:
        self._config = config
        self._folder = folder
        self.progress = Progress(config.run.num_steps)
        checkpoint = folder.resume_from
        self.resume_state: dict[str, Any] | None = checkpoint.state if checkpoint else None
        self.resume_folder: Path | None = checkpoint.path if checkpoint else None
        truncate_after(folder.path, checkpoint.step if checkpoint else -1)
        self._tracker = Tracker(folder.path, config.tracking, config.run.name, config.model_dump(mode="json"))
        self._stop: asyncio.Future[int] | None = None
        self._data: dict[str, Any] = {}

    def __enter__(self) -> Session:
        self._log_handler = logging.FileHandler(self._folder.log_dir / "driver.log")
        self._log_handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(self._log_handler)
        self.progress.__enter__()
        if self.resume_state:
            self.progress.note(f"Continuing after step {self.resume_state['step']}, from {self.resume_folder}")
        return self

    def __exit__(self, kind: Any, error: Any, at: Any) -> None:
        if error is not None:
            LOG.error("the run ended", exc_info=(kind, error, at))
        self.progress.__exit__(kind, error, at)
        self._tracker.close()
        logging.getLogger().removeHandler(self._log_handler)
        self._log_handler.close()

    def listen_for_signals(self) -> None:
        """From now on SIGINT and SIGTERM end the run at its next safe point; call it on the running event loop."""
        loop = asyncio.get_running_loop()
        self._stop = loop.create_future()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._ask_to_stop, number)

    def use_data(self, prompts: Sequence[Prompt], quarantine: Sequence[Defect] = ()) -> None:
        """Say what the run trains on, and what is left out of it (`quarantine.jsonl`).

        Raises an alarm if that isn't what the resumed checkpoint was made with.
        """
        write_quarantine(self._folder.path, quarantine)
        if note := quarantine_note(self._folder.path):
            self.progress.note(note)
        self._data = fingerprint(prompts)
        if change := change_of((self.resume_state or {}).get("data"), self._data):
            self.alarm(change)

    def phase(self, name: Phase) -> None:
        self.progress.phase(name)

    def log(self, step: int, metrics: dict[str, float], groups: Sequence[Group]) -> None:
        dropped = [
            {"step": step, "id": group.prompt.prompt_id, "reason": group.failure} for group in groups if group.failure
        ]
        for row in dropped:
            self.progress.note(f"dropped prompt {row['id']}: {row['reason']}")
        self._tracker.log_dropped(dropped)
        limit = self._config.tracking.rollouts_per_step
        if groups and limit:
            self._tracker.log_rollouts(step, rollout_rows(groups, step, limit, self._tracker.save_image))
        self._tracker.log(step, metrics)
        self.progress.step(step, metrics)
        self._folder.update(step)

    def alarm(self, message: str) -> None:
        LOG.error(message)
        self.progress.note(message)

    def begin_checkpoint(self, step: int) -> Path:
        return self._folder.checkpoints.begin(step)

    def commit_checkpoint(self, step: int, state: dict[str, Any]) -> None:
        partial = self._folder.checkpoints.partial(step)
        if not (partial / "hf" / "config.json").is_file():
            raise CheckpointError(
                "the learner's files are not there",
                folder=str(partial),
                fix="put run.dir on a file system that all nodes share",
            )
        self._folder.checkpoints.commit(step, state | {"data": self._data})

    async def stoppable(self, waiting: Awaitable[Result]) -> Result:
        """See `loop.Run`."""
        task = asyncio.ensure_future(waiting)
        waits: list[asyncio.Future[Any]] = [task]
        if self._stop is not None:
            waits.append(self._stop)
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if self._stop is None or not self._stop.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        number = signal.Signals(self._stop.result())
        raise RunInterrupted(
            f"stopped by {number.name}; the state is saved",
            fix="the same command continues the run",
            signal=int(number),
        )

    def _ask_to_stop(self, number: int) -> None:
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(number)
            for one in _STOP_SIGNALS:
                asyncio.get_running_loop().remove_signal_handler(one)
            self.progress.note(f"{signal.Signals(number).name}: saving and leaving after this phase; again: at once")
