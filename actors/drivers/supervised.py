"""Training on written answers (SFT, reward models) on Ray Train: a worker is one rank of the core that GRPO uses."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from actors.roles.supervised_rank import NOTES, Task, train_on_rank
from vlaa_ray.config import SupervisedConfig
from vlaa_ray.errors import LearnerError, VlaaRayError
from vlaa_ray.run.folder import RunFolder, run_in_folder

_POLL_S = 1.0
_FIX = "the same command continues from the last checkpoint"


def run_supervised(config: SupervisedConfig, resume: str = "auto") -> None:
    """Train until `run.num_steps`; the model is `hf/` of the newest checkpoint. Continues a run of this name."""
    run_in_folder(config, resume, functools.partial(_run, config))


def _run(config: SupervisedConfig, folder: RunFolder) -> None:
    import ray
    from ray.train import RunConfig as TrainRunConfig
    from ray.train import ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from actors.fleet.placement import start_ray
    from actors.process.environment import role_environment
    from actors.process.signals import signals_as_errors
    from vlaa_ray.planning.placement import plan
    from vlaa_ray.storage.metrics_file import truncate_after

    learner, checkpoint = config.learner, folder.resume_from
    truncate_after(folder.path, checkpoint.step if checkpoint else -1)
    task = Task(
        config=config,
        folder=folder.path.resolve(),
        resume_from=checkpoint.path.resolve() if checkpoint else None,
        data=checkpoint.state.get("data") if checkpoint else None,
    )
    trainer = TorchTrainer(
        train_on_rank,
        train_loop_config={"task": task},
        torch_config=TorchConfig(backend="nccl" if learner.gpus_per_rank else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=learner.num_ranks,
            use_gpu=bool(learner.gpus_per_rank),
            resources_per_worker={"CPU": learner.cpus_per_rank},
        ),
        run_config=TrainRunConfig(
            name=config.run.name,
            storage_path=str((folder.path / "ray_train").resolve()),
            worker_runtime_env={
                "env_vars": role_environment(
                    "learner", learner.num_threads, learner.cpus_per_rank, learner.gpus_per_rank
                )
            },
        ),
    )
    with _watch(config, folder) as note:
        try:
            if config.data.fetch.hosts:
                with signals_as_errors(_FIX):
                    _fetch_images(config, note)
            start_ray(config, plan(config))
            with signals_as_errors(_FIX):
                _fit(trainer)
        finally:
            ray.shutdown()
    folder.update(config.run.num_steps)


def _fetch_images(config: SupervisedConfig, note: Callable[[str], None]) -> None:
    """Reads the data once: the ranks find its images in the cache, instead of asking for them side by side."""
    from vlaa_ray.data.reading_progress import report_progress
    from vlaa_ray.data.supervised import open_supervised

    with report_progress(note):
        open_supervised(config, [])


def _fit(trainer: Any) -> None:
    """Train in a thread, so that this one hears signals; one typed cause if it fails."""
    from ray.train import TrainingFailedError

    outcome: Future[None] = Future()

    def fit() -> None:
        try:
            trainer.fit()
            outcome.set_result(None)
        except Exception as error:  # noqa: BLE001 - it is raised below, in the thread that waits
            outcome.set_exception(error)

    threading.Thread(target=fit, name="ray-train", daemon=True).start()
    while not outcome.done():
        time.sleep(_POLL_S / 10)
    try:
        outcome.result()
    except TrainingFailedError as error:
        raise _cause(error) from error


def _cause(error: Any) -> VlaaRayError:
    """What a rank said; the first one's error, if it is one of ours, is the cause."""
    failures = getattr(error, "worker_failures", {})
    for _, failure in sorted(failures.items()):
        cause = getattr(failure, "_base_exc", failure)
        if isinstance(cause, VlaaRayError):
            return cause
    first = next((repr(failure).splitlines()[0] for _, failure in sorted(failures.items())), str(error).splitlines()[0])
    fix = "look at logs/ in the run folder; the same command continues from the last checkpoint"
    return LearnerError(f"training failed: {first}", ranks=sorted(failures), fix=fix)


@contextlib.contextmanager
def _watch(config: SupervisedConfig, folder: RunFolder) -> Iterator[Callable[[str], None]]:
    """Show the steps that rank 0 writes, wherever it runs; with the first of them what it notes of the data."""
    from vlaa_ray.monitoring.terminal import Progress
    from vlaa_ray.storage.metrics_file import read_metrics

    ended = threading.Event()
    with Progress(config.run.num_steps) as progress:

        def show() -> None:
            first = shown = folder.resume_from.step if folder.resume_from else 0
            while True:
                over = ended.wait(_POLL_S)
                new = [row for row in read_metrics(folder.path) if row["step"] > shown]
                if new and shown == first:
                    for note in (folder.path / NOTES).read_text(encoding="utf-8").splitlines():
                        progress.note(note)
                for row in new:
                    shown = row["step"]
                    if count := row.get("samples/dropped"):
                        progress.note(f"step {shown}: {count:g} samples dropped; dropped.jsonl says why")
                    progress.phase("learn")
                    progress.step(shown, row)
                    folder.update(shown)
                if over:
                    return

        thread = threading.Thread(target=show, name="progress", daemon=True)
        thread.start()
        try:
            yield progress.note
        finally:
            ended.set()
            thread.join(10 * _POLL_S)
