"""Training on written answers (SFT, reward models) on Ray Train: a worker is one rank of the core that GRPO uses."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from vlaa_ray.config import RewardModelConfig, SftConfig, SupervisedConfig
from vlaa_ray.errors import LearnerError, VlaaRayError
from vlaa_ray.run_folder import RunFolder, run_in_folder

_POLL_S = 1.0
_NOTES = "logs/data.txt"  # what people are to know of the data


def run_supervised(config: SupervisedConfig, resume: str = "auto") -> None:
    """Train until `run.num_steps`; the model is `hf/` of the newest checkpoint. Continues a run of this name."""
    run_in_folder(config, resume, functools.partial(_run, config))


def _run(config: SupervisedConfig, folder: RunFolder) -> None:
    import ray
    from ray.train import RunConfig as TrainRunConfig
    from ray.train import ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from actors.environment import role_environment
    from actors.placement import start_ray
    from actors.signals import signals_as_errors
    from vlaa_ray.metrics import truncate_after
    from vlaa_ray.placement import plan

    learner, checkpoint = config.learner, folder.resume_from
    truncate_after(folder.path, checkpoint.step if checkpoint else -1)
    trainer = TorchTrainer(
        _train_on_rank,
        train_loop_config={
            "config": config,
            "folder": str(folder.path.resolve()),
            "resume_from": str(checkpoint.path.resolve()) if checkpoint else None,
            "data": checkpoint.state.get("data") if checkpoint else None,
        },
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
    with _watch(config, folder):
        try:
            start_ray(config, plan(config))
            with signals_as_errors("the same command continues from the last checkpoint"):
                _fit(trainer)
        finally:
            ray.shutdown()
    folder.update(config.run.num_steps)


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


def _train_on_rank(task: dict[str, Any]) -> None:
    """The whole run on one rank. All of them take the same steps; rank 0 writes metrics and checkpoints."""
    import os

    os.environ["LOCAL_SIZE"] = os.environ.get("LOCAL_WORLD_SIZE", "1")
    from vlaa_ray.cpu_wheels import register

    register()
    import torch
    from ray.train import get_context

    from vlaa_ray.checkpoints import CheckpointStore
    from vlaa_ray.config import dump_config
    from vlaa_ray.data.dataset import SeededOrder, change_of, fingerprint
    from vlaa_ray.data.quarantine import quarantine_note, write_quarantine
    from vlaa_ray.metrics import Tracker
    from vlaa_ray.records import Defect

    config, folder = task["config"], Path(task["folder"])
    rank, num_ranks = get_context().get_world_rank(), config.learner.num_ranks
    learner = _learner(config, folder)
    first = learner.load(Path(task["resume_from"])) if task["resume_from"] else 0
    quarantine: list[Defect] = []
    training, heldout = learner.datasets(quarantine)
    data = fingerprint(training)
    if rank == 0:
        write_quarantine(folder, quarantine)
        notes = (quarantine_note(folder), change_of(task["data"], data))
        (folder / _NOTES).write_text("\n".join(filter(None, notes)), encoding="utf-8", errors="backslashreplace")
    order = SeededOrder(training, config.run.seed)
    store = CheckpointStore(folder / "checkpoints", config.checkpoint.keep, config=dump_config(config))
    tracker = Tracker(folder, config.tracking, config.run.name, config.model_dump(mode="json")) if rank == 0 else None
    size = config.limits.samples_per_step
    for step in range(first, config.run.num_steps):
        mine = [order[position] for position in range(step * size + rank, (step + 1) * size, num_ranks)]
        metrics = learner.update(mine, step)
        done = step + 1
        if metrics["samples/dropped"]:
            dropped = _from_all_ranks(learner.usable.dropped)
            if tracker:
                tracker.log_dropped([{"step": done, **one} for one in dropped])
        last = done == config.run.num_steps
        if done % config.eval.every_steps == 0 or last:
            count = min(len(heldout), config.eval.num_prompts or len(heldout))
            metrics |= learner.evaluate([heldout[i] for i in range(rank, count, num_ranks)])
        if tracker:
            tracker.log(done, metrics)
        if done % config.checkpoint.every_steps == 0 or last:
            partial = [str(store.begin(done)) if rank == 0 else ""]
            torch.distributed.broadcast_object_list(partial)
            learner.save(Path(partial[0]), done)
            torch.distributed.barrier()
            if rank == 0:
                store.commit(done, {"step": done, "data": data})
    if tracker:
        tracker.close()


def _from_all_ranks(mine: list[Any]) -> list[Any]:
    """The items of every rank, on every rank; a collective."""
    import torch

    lists: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(lists, mine)
    return [item for one in lists for item in one]


def _learner(config: SupervisedConfig, folder: Path) -> Any:
    if isinstance(config, RewardModelConfig):
        from vlaa_ray.learner.preference import PreferenceLearner

        return PreferenceLearner(config, folder)
    from vlaa_ray.learner.supervised import SupervisedLearner

    assert isinstance(config, SftConfig)
    return SupervisedLearner(config, folder)


@contextlib.contextmanager
def _watch(config: SupervisedConfig, folder: RunFolder) -> Any:
    """Show the steps that rank 0 writes, wherever it runs; with the first of them what it notes of the data."""
    from vlaa_ray.metrics import read_metrics
    from vlaa_ray.progress import Progress

    ended = threading.Event()
    with Progress(config.run.num_steps) as progress:

        def show() -> None:
            first = shown = folder.resume_from.step if folder.resume_from else 0
            while True:
                over = ended.wait(_POLL_S)
                new = [row for row in read_metrics(folder.path) if row["step"] > shown]
                if new and shown == first:
                    for note in (folder.path / _NOTES).read_text(encoding="utf-8").splitlines():
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
            yield
        finally:
            ended.set()
            thread.join(10 * _POLL_S)
