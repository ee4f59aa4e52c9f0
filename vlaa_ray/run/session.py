"""The shell around every kind of run: folder, lock, signals, terminal, log file, and one typed error if it fails.

    with open_run(config, resume) as run:
        if not run.finished:
            ... run.log(step, metrics) ...

GRPO logs and saves through the session itself. Supervised training writes from rank 0, and `run.following()` shows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from vlaa_ray.config import AnyConfig, TrainingConfig
from vlaa_ray.data.fingerprint import fingerprint
from vlaa_ray.errors import (
    DeadlineExceeded,
    LearnerError,
    RolloutError,
    RunInterrupted,
    VlaaRayError,
    WeightSyncError,
)
from vlaa_ray.monitoring.alarms import Alarms
from vlaa_ray.monitoring.health import RunHealth
from vlaa_ray.monitoring.sinks import BackgroundSink, Sink
from vlaa_ray.monitoring.study import CompletionStudy
from vlaa_ray.monitoring.terminal import Progress
from vlaa_ray.records import Defect, Group, Prompt
from vlaa_ray.roles import Metrics, Phase
from vlaa_ray.run.checkpoints import Checkpoint
from vlaa_ray.run.folder import Resume, RunFolder
from vlaa_ray.run.repeating import repeating
from vlaa_ray.run.writer import RunWriter
from vlaa_ray.storage.layout import NOTES, PLAN
from vlaa_ray.storage.mapping_file import read_mapping
from vlaa_ray.storage.metrics_file import read_metrics, truncate_after
from vlaa_ray.storage.notes import read_notes
from vlaa_ray.text.openings import Openings

Result = TypeVar("Result")
Training = TypeVar("Training", bound=TrainingConfig)
LOG = logging.getLogger(__name__)
_OF_PROCESSES = (DeadlineExceeded, LearnerError, RolloutError, WeightSyncError)
"""The errors whose cause is in the log of an actor or a rank."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SINK_S = 5.0
_CONTINUES = "run the same command again to continue"


class Display(Protocol):
    """The display of a run on the terminal."""

    def __enter__(self) -> Any: ...

    def __exit__(self, kind: Any, error: Any, at: Any) -> None: ...

    def note(self, text: str) -> None:
        """Print one line that stays."""


Shown = TypeVar("Shown", bound=Display)


class RunShell(Generic[Shown]):
    """The common part of all kinds of run: a locked folder, a terminal, and a way to stop."""

    def __init__(self, folder: RunFolder[Any], display: Shown) -> None:
        self._folder = folder
        self._stop: asyncio.Future[VlaaRayError] | None = None
        self.display = display
        self.path = folder.path.resolve()
        self.log_dir = folder.log_dir.resolve()
        if folder.remote:
            folder.remote.tell(self.note)
        self.finished = folder.finished
        """True if an earlier process did all steps, so that nothing is left to do."""

    def note(self, text: str) -> None:
        """Print one line for people."""
        self.display.note(text)

    def alarm(self, message: str) -> None:
        """Report a problem that does not end the run, on the terminal and in the log."""
        LOG.error(message)
        self.note(message)

    async def stoppable(self, waiting: Awaitable[Result]) -> Result:
        """Wait for a result and return it.

        From the first call on, a signal does not raise where it arrives; it ends this wait or the next one.

        Raises:
            RunInterrupted: the run was asked to stop meanwhile.
            VlaaRayError: the error that was given to `end` meanwhile.

        """
        stop = self._stopped()
        task = asyncio.ensure_future(waiting)
        waits: list[asyncio.Future[Any]] = [task, stop]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise stop.result()

    def end(self, error: VlaaRayError) -> None:
        """See `roles.Run`."""
        stop = self._stopped()
        if not stop.done():
            stop.set_result(error)
            self.alarm(f"{error.message}: the run is saved if it can be, and ends")

    def _stopped(self) -> asyncio.Future[VlaaRayError]:
        """Return the future with the error that ends the next stoppable wait."""
        if self._stop is None:
            self._stop = asyncio.get_running_loop().create_future()
        return self._stop

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Raise RunInterrupted, or end `stoppable`; after that, a second signal ends the process at once."""
        if self._stop is None or self._stop.get_loop().is_closed():
            raise _interrupted(number, "")
        if not self._stop.done():
            self._stop.get_loop().call_soon_threadsafe(self._ask_to_stop, number)

    def _ask_to_stop(self, number: int) -> None:
        if self._stop is not None and not self._stop.done():
            self._stop.set_result(_interrupted(number, "the finished steps are saved if they can be"))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            name = signal.Signals(number).name
            self.note(f"{name}: the run is saved and ends after this phase; a second {name} ends it at once")


class RunSession(RunShell[Progress]):
    """The session of a training run; it implements `roles.Run`."""

    def __init__(self, config: TrainingConfig, folder: RunFolder[TrainingConfig]) -> None:
        super().__init__(folder, Progress(config.num_steps))
        self._config = config
        self._alarms = Alarms(config.metric_limits)
        self._study = CompletionStudy(config.tracking)
        self._sinks: list[BackgroundSink] = []
        self.name = config.run.name
        """`run.name`."""
        self.health = RunHealth(self.path, config.num_steps, config.completions_per_row, config.metric_limits)
        """What the run is doing right now, for live metrics."""
        self.checkpoint_request = asyncio.Event()
        """See `roles.Run`."""
        self.resume_from: Checkpoint | None = folder.resume_from
        self._saved = [] if self.resume_from is None else [self.resume_from]
        if not folder.finished:
            truncate_after(folder.path, self.resume_from.step if self.resume_from else -1)

    def resolved(self, config: Training) -> Training:
        """Return the run's config with a folder as `model.path`, where the one that was given names another run."""
        return config.model_copy(update={"model": self._config.model})

    @property
    def resume_state(self) -> dict[str, Any] | None:
        """See `roles.Run`."""
        return self.resume_from.state if self.resume_from else None

    @property
    def resume_folder(self) -> Path | None:
        """See `roles.Run`."""
        return self.resume_from.path.resolve() if self.resume_from else None

    @cached_property
    def _writer(self) -> RunWriter:
        return RunWriter(self._config, self.path, self.resume_from, self._folder.remote)

    def use_data(self, prompts: Sequence[Prompt], quarantine: Sequence[Defect] = ()) -> None:
        """Record the data's fingerprint, and write the left-out records to `quarantine.jsonl`.

        If the data is not that of the resumed checkpoint, there is an alarm.
        """
        for note in self._writer.use_data(fingerprint(prompts), quarantine):
            self.alarm(note)

    def compare_openings(self, openings: Openings) -> None:
        """Compare the first words of completions with these from now on."""
        self._study = CompletionStudy(self._config.tracking, openings)

    def study(self, groups: Sequence[Group]) -> Metrics:
        """See `roles.Run`."""
        return self._study.metrics(groups)

    def phase(self, name: Phase) -> None:
        """See `roles.Run`."""
        self.display.phase(name)
        self.health.phase(name)

    def log(self, step: int, metrics: Metrics, groups: Sequence[Group] = ()) -> None:
        """See `roles.Run`. Prompts without rollouts are listed in `dropped.jsonl` with their reasons.

        There is an alarm when a metric goes beyond its limit.
        """
        dropped = [
            {"step": step, "id": group.prompt.prompt_id, "reason": group.failure} for group in groups if group.failure
        ]
        for row in dropped:
            self.note(f"dropped prompt {row['id']}: {row['reason']}")
        if self._folder.remote:
            metrics = metrics | self._folder.remote.metrics()
        self._writer.log_dropped(dropped)
        self._writer.log(step, metrics, groups)
        self._show(step, metrics)
        for message in self._alarms.messages(step, metrics):
            self.alarm(message)

    def begin_checkpoint(self, step: int) -> Path:
        """See `roles.Run`."""
        return self._writer.begin_checkpoint(step)

    def commit_checkpoint(self, step: int, state: dict[str, Any]) -> None:
        """See `roles.Run`."""
        path = self._writer.commit_checkpoint(step, state)
        self._saved.insert(0, Checkpoint(step=step, path=path.resolve(), state=state))

    def saved_checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints on this run's way that still exist, newest first: its own, and where it started."""
        return [checkpoint for checkpoint in [*self._saved] if checkpoint.path.is_dir()]

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """Show the steps and notes that another process writes into the run folder, until the block ends.

        What it finds out about the length of the run goes into `run.json`.
        """
        for name in (NOTES, PLAN):  # those of an earlier process
            (self.path / name).unlink(missing_ok=True)
        shown, num_notes = self.resume_from.step if self.resume_from else -1, 0
        known: dict[str, Any] = {}

        def follow() -> None:
            nonlocal shown, num_notes, known
            if (plan := read_mapping(self.path / PLAN, json.loads)[0]) and plan != known:
                known = plan
                self.display.plan(plan["num_steps"])
                self.health.num_steps = plan["num_steps"]
                self._folder.record(**plan)
            notes = read_notes(self.path)
            for note in notes[num_notes:]:
                self.note(note)
            num_notes = len(notes)
            for row in read_metrics(self.path):
                if row["step"] > shown:
                    shown = row["step"]
                    self.phase("learn")
                    self._show(shown, row)

        with repeating(follow):
            yield

    @contextlib.contextmanager
    def copying(self, name: str, make: Callable[[], Sink]) -> Iterator[None]:
        """Copy the metrics to one more sink until the block ends, in a thread of its own; see `BackgroundSink`.

        It begins with the last step that is logged already.
        """
        sink = BackgroundSink(name, make)
        for row in read_metrics(self.path)[-1:]:
            sink.put(row)
        self._sinks.append(sink)
        try:
            yield
        finally:
            self._sinks.remove(sink)
            sink.end(_SINK_S)

    def require_ownership(self) -> None:
        """Raise OwnershipLost if another attempt has taken over the run's folder in a bucket."""
        if self._folder.remote:
            self._folder.remote.require_ownership()

    def close(self) -> None:
        """End the trackers, if this process wrote any metrics."""
        if "_writer" in self.__dict__:
            self._writer.close()

    def _show(self, step: int, metrics: Metrics) -> None:
        self.display.step(step, metrics)
        self._folder.record(step=step)
        self.health.step(metrics)
        for sink in self._sinks:
            sink.put({"step": step, **metrics})


@contextlib.contextmanager
def open_run(config: TrainingConfig, resume: Resume = "auto") -> Iterator[RunSession]:
    """Yield the session of a training run in its locked folder; at the end `run.json` says how the run ended.

    `resume` "auto" continues from the newest sound checkpoint, or starts a new run. "never" refuses a folder with
    checkpoints. A path continues from that checkpoint or run folder.

    Raises:
        ConfigError, CheckpointError: the run can't start or continue in that folder; see `RunFolder.open`.

    """
    folder = RunFolder.open(config, resume)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ending(folder))
        run = RunSession(folder.config, folder)
        stack.callback(run.close)
        stack.enter_context(_shell(folder, run))
        if run.resume_from:
            run.note(f"Continuing after step {run.resume_from.step}, from {run.resume_from.path}")
        if folder.config.model.path != config.model.path:
            run.note(f"{config.model.path} is {folder.config.model.path}")
        yield run


@contextlib.contextmanager
def open_shell(config: AnyConfig, display: Shown) -> Iterator[RunShell[Shown]]:
    """Yield the shell of a run without steps, such as a curation; it always continues with what its folder holds."""
    folder = RunFolder.open(config)
    with _ending(folder):
        shell = RunShell(folder, display)
        with _shell(folder, shell):
            yield shell


@contextlib.contextmanager
def _ending(folder: RunFolder[Any]) -> Iterator[None]:
    """Write into `run.json` how the block ended, and unlock the folder."""
    try:
        yield
    except _OF_PROCESSES as error:
        error.add_facts(logs=str(folder.log_dir.resolve()))  # the deadline that was missed does not know the run
        folder.fail(error)
        raise
    except BaseException as error:
        folder.fail(error)
        raise
    folder.finish()


@contextlib.contextmanager
def _shell(folder: RunFolder[Any], run: RunShell[Any]) -> Iterator[None]:
    """Let the run handle signals, log file and terminal until the block ends; a finished run leaves them alone."""
    if folder.finished:
        yield
        return
    with _log_file(folder.log_dir / "driver.log"), run.display, _signals(run):
        try:
            yield
        except BaseException:
            LOG.error("the run ended", exc_info=True)
            raise


@contextlib.contextmanager
def _log_file(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


@contextlib.contextmanager
def _signals(run: RunShell[Any]) -> Iterator[None]:
    before = {number: signal.signal(number, run.on_signal) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupted(number: int, state: str) -> RunInterrupted:
    message = f"stopped by {signal.Signals(number).name}" + (f"; {state}" if state else "")
    return RunInterrupted(message, fix=_CONTINUES, signal=int(number))
