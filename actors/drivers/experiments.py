"""The driver of an experiment: it runs each job as an ordinary run in a process of its own, and keeps the page current.

A job that fails does not stop the others. A signal is passed on to the runs, which save what they have done.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from dataclasses import dataclass, field
from pathlib import Path

from actors.process.reaper import start_reaper
from vlaa_ray.config import ExperimentConfig, dump_config
from vlaa_ray.errors import ExperimentError, VlaaRayError
from vlaa_ray.experiments.changes import changed_arms, remember_arms
from vlaa_ray.experiments.jobs import Job
from vlaa_ray.experiments.order import Room, needs_of
from vlaa_ray.experiments.plan import ExperimentPlan
from vlaa_ray.experiments.progress import JobStates, left_s
from vlaa_ray.experiments.results import write_result
from vlaa_ray.experiments.terminal import ExperimentProgress
from vlaa_ray.planning.nvidia import nvidia_smi
from vlaa_ray.report.experiment_page import write_experiment_page
from vlaa_ray.run.run_json import read_run
from vlaa_ray.run.session import RunShell, open_shell
from vlaa_ray.storage.atomic import write_whole

_POLL_S = 2.0
_PAGE_EVERY_S = 60.0
_PAGE_SHARE = 20  # with large evaluations, a page that takes long is written more rarely
_STOP_S = 900.0
"""The seconds that runs have to save and end after a signal; then they are killed."""
_GPUS = "CUDA_VISIBLE_DEVICES"
_MODULE = ["-m", "vlaa_ray"]


def run_experiment(plan: ExperimentPlan) -> Path:
    """Run the jobs that are not finished, and return the folder with `result.json` and `page.html`.

    Raises:
        ExperimentError: some arms are not complete; the others are, and the page names both.
        RunInterrupted: a signal stopped the experiment; the same command continues it.

    """
    with open_shell(plan.config, ExperimentProgress()) as run:
        for name, text in changed_arms(plan).items():
            run.note(f"arm {name} is new" if text == "new" else f"arm {name} changed and is run again: {text}")
        for name, problems in plan.broken().items():
            run.note(f"arm {name} can't be run: {'; '.join(problems)}")
        remember_arms(plan)
        states = JobStates.of(plan.jobs.values())
        if done := states.count("finished"):
            run.note(f"{done} of {len(plan.jobs)} runs are finished already")
        start_reaper()  # if this process is killed, the runs must not go on without it
        asyncio.run(_Runner(plan, run, states, _room(plan.config)).run())
        _write_outcome(plan, states, None)
        _raise_incomplete(plan, states)
    return plan.folder


@dataclass
class _Runner:
    plan: ExperimentPlan
    shell: RunShell[ExperimentProgress]
    states: JobStates
    room: Room
    gpus: dict[str, list[str]] = field(default_factory=dict)
    """The GPUs of each running job, where jobs share this machine."""

    async def run(self) -> None:
        """Run all jobs that can be run; RunInterrupted if a signal arrives."""
        await self.shell.stoppable(self._run_all())

    async def _run_all(self) -> None:
        tasks: dict[asyncio.Task[str], Job] = {}
        page = asyncio.create_task(self._keep_page())
        try:
            while True:
                self._skip_dependents()
                while job := self._next():
                    self.room.take(job)
                    self.states.start(job)
                    tasks[asyncio.create_task(self._run_job(job))] = job
                if not tasks:
                    return
                done, _ = await asyncio.wait(tasks, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._ended(tasks.pop(task), task.result())
                self._show()
        finally:
            page.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(page, *tasks, return_exceptions=True)

    def _next(self) -> Job | None:
        """Return the first job of the plan that can start now; None without any."""
        for key, job in self.plan.jobs.items():
            waits = self.states.states[key] == "waiting"
            if waits and self._met(job) and self.room.fits(job):
                return job
        return None

    def _met(self, job: Job) -> bool:
        return all(self.states.states[need] == "finished" for need in job.needs)

    def _skip_dependents(self) -> None:
        for key, job in self.plan.jobs.items():
            failed = [need for need in job.needs if self.states.states[need] in ("failed", "skipped")]
            if self.states.states[key] == "waiting" and failed:
                self.states.states[key] = "skipped"
                self.states.causes[key] = f"{self.plan.jobs[failed[0]].label} failed"

    def _ended(self, job: Job, cause: str) -> None:
        self.room.free(job)
        self.gpus.pop(job.key, None)
        self.states.end(job, cause)
        if cause:
            arms = ", ".join(self.plan.users(job.key))
            self.shell.note(f"{job.label} failed ({arms}): {cause}; log: {_log_of(self.plan, job)}")
        else:
            self.shell.note(f"{job.label} is finished")

    def _show(self) -> None:
        running = [job.label for key, job in self.plan.jobs.items() if self.states.states[key] == "running"]
        left = left_s(self.plan.jobs, self.states, self.room)
        self.shell.display.update(self.states.count("finished"), len(self.plan.jobs), running, left)

    async def _keep_page(self) -> None:
        while True:
            left = left_s(self.plan.jobs, self.states, self.room)
            start = time.monotonic()
            try:
                await asyncio.to_thread(_write_outcome, self.plan, self.states, left)
            except (VlaaRayError, OSError) as error:  # the runs go on; the last page is written when they have ended
                self.shell.alarm(f"the page can't be written: {error}")
            took_s = time.monotonic() - start
            await asyncio.sleep(max(_PAGE_EVERY_S, _PAGE_SHARE * took_s))

    async def _run_job(self, job: Job) -> str:
        """Run a job to its end, and return why it failed, "" if it did not."""
        maker = self.plan.jobs.get(job.weights_of or "")
        if maker is not None:
            job = job.started_from(maker.output)
        file = self.plan.folder / "configs" / f"{job.name}-{job.key}.{job.kind}.yaml"
        file.parent.mkdir(exist_ok=True)
        write_whole(file, dump_config(job.config))
        log = _log_of(self.plan, job)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *_MODULE, *job.command(file)),
                env=os.environ | self._devices(job),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C of the terminal reaches it through this process alone
            )
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                await _stop(process)
                raise
        return "" if code == 0 and job.finished() else _cause(job, log, code, process.pid)

    def _devices(self, job: Job) -> dict[str, str]:
        """Return the variable that shows the job its own GPUs, if runs share the GPUs of this machine."""
        wanted = needs_of(job)[1]
        if not wanted or job.config.ray.address != "local":
            return {}
        shown = os.environ.get(_GPUS)
        names = shown.split(",") if shown else [str(number) for number in range(self.room.gpus)]
        taken = {name for used in self.gpus.values() for name in used}
        self.gpus[job.key] = [name for name in names if name not in taken][:wanted]
        return {_GPUS: ",".join(self.gpus[job.key])}


async def _stop(process: Process) -> None:
    """Ask a run to save and end; kill it if it takes too long."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _log_of(plan: ExperimentPlan, job: Job) -> Path:
    return plan.folder / "logs" / f"{job.name}-{job.key}.{job.kind}.log"


def _cause(job: Job, log: Path, code: int, pid: int) -> str:
    """Return why a run failed: the error that this process wrote into `run.json`, or the last line that it printed."""
    state = read_run(job.folder)
    error = state.get("error")
    if isinstance(error, dict) and error.get("message") and state.get("pid", pid) == pid:
        return f"{error.get('type')}: {error['message']}"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"exit code {code}" + (f": {lines[-1][:300]}" if lines else "")


def _write_outcome(plan: ExperimentPlan, states: JobStates, left: float | None) -> None:
    result = write_result(plan, states, left)
    write_experiment_page(plan.folder, result)


def _room(config: ExperimentConfig) -> Room:
    """Return what runs may use together: what the config says, else what the cluster or this machine has."""
    cpus, gpus = config.room.cpus, config.room.gpus
    if cpus is None or gpus is None:
        known_cpus, known_gpus = _cluster(config.ray.address) if config.ray.address != "local" else _machine()
        cpus = known_cpus if cpus is None else cpus
        gpus = known_gpus if gpus is None else gpus
    return Room(cpus, gpus, config.room.runs)


def _machine() -> tuple[float, int]:
    shown = os.environ.get(_GPUS)
    gpus = len(list(filter(None, shown.split(",")))) if shown is not None else len(nvidia_smi("name"))
    return float(len(os.sched_getaffinity(0))), gpus


def _cluster(address: str) -> tuple[float, int]:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="WARNING")
        resources = ray.cluster_resources()
    finally:
        ray.shutdown()
    return float(resources.get("CPU", 1)), int(resources.get("GPU", 0))


def _raise_incomplete(plan: ExperimentPlan, states: JobStates) -> None:
    """Raise ExperimentError if an arm is not complete."""
    reasons = {name: problems[0] for name, problems in plan.broken().items()}
    for name, arm in plan.arms.items():
        causes = [states.causes[key] for key in plan.needed(arm) if key in states.causes] if not arm.problems else []
        if causes:
            reasons[name] = causes[0]
    if reasons:
        lines = "".join(f"\n  - {name}: {reason}" for name, reason in reasons.items())
        raise ExperimentError(
            f"{len(reasons)} of {len(plan.arms)} arms are not complete:{lines}\n",
            page=str(plan.folder / "page.html"),
            fix="see logs/ there; the same command tries these again, and runs nothing else",
        )
