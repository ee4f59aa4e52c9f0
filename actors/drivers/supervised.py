"""The driver of training on written answers (SFT, reward models) on Ray Train; a worker is one rank of the learner."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from actors.process.causes import first_line, typed_cause
from vlaa_ray.config import SupervisedConfig
from vlaa_ray.errors import DeadlineExceeded, LearnerError
from vlaa_ray.run.session import open_run
from vlaa_ray.storage.layout import HELDOUT_MODEL

if TYPE_CHECKING:
    from vlaa_ray.run.session import RunSession

_POLL_S = 0.1


def run_supervised(config: SupervisedConfig, resume: str = "auto") -> None:
    """Train until all steps are done, from step 0 or from the checkpoint that `resume` chooses.

    The resulting model is in `hf/` of the newest checkpoint. A failure raises a VlaaRayError.
    """
    with open_run(config, resume) as run:
        if run.finished:
            return
        config = run.resolved(config)
        import ray

        from actors.fleet.actor_logs import bringing_logs
        from actors.fleet.nodes import check_nodes
        from actors.fleet.placement import start_ray
        from actors.process.ray_metrics import exported
        from vlaa_ray.planning.placement import plan

        if config.data.fetch.hosts:
            _fetch_images(config, run)
        try:
            start_ray(config, plan(config))
            check_nodes(config, run.path, run.alarm)
            with (
                exported(run, []),
                bringing_logs(run.log_dir),
                run.following(),
                _heldout_rewards(config, run) as heldout,
            ):
                _fit(_trainer(config, run, heldout), run)
        finally:
            ray.shutdown()


@contextmanager
def _heldout_rewards(config: SupervisedConfig, run: RunSession) -> Iterator[Any]:
    """Yield the handle of the actor that samples held-out answers; None without it."""
    if not config.samples_heldout:
        yield None
        return
    import ray

    from actors.fleet.heldout_rewards import HeldOutRewardsActor
    from actors.process.deadlines import GRACE_S

    prefix = f"vlaa-{config.run.name}-{secrets.token_hex(4)}-"
    actor = ray.remote(HeldOutRewardsActor).options(num_cpus=0).remote(config, str(run.path), prefix)
    try:
        ray.get(actor.prepare.remote(), timeout=2 * config.deadlines.start_s + GRACE_S)
    except ray.exceptions.GetTimeoutError as error:
        fix = "look at logs/heldout_rewards.log in the run folder; raise deadlines.start_s"
        raise DeadlineExceeded("the held-out prompts are not read", fix=fix) from error
    except ray.exceptions.RayError as error:
        raise typed_cause(error) or _failed(error) from error
    try:
        yield actor
    finally:
        shutil.rmtree(run.path / HELDOUT_MODEL, ignore_errors=True)


def _trainer(config: SupervisedConfig, run: RunSession, heldout: Any) -> Any:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from actors.fleet.ray_train_ranks import RanksConfig
    from actors.process.environment import role_environment
    from actors.roles.supervised_rank import RankTask, train_on_rank
    from vlaa_ray.planning.placement import MARKET_LABEL

    learner = config.learner
    environment = role_environment("learner", learner.num_threads, learner.cpus_per_rank, learner.gpus_per_rank)
    return TorchTrainer(
        train_on_rank,
        train_loop_config={"task": RankTask(config, run.path, run.resume_from, heldout)},
        torch_config=RanksConfig(cpu=not learner.gpus_per_rank),
        scaling_config=ScalingConfig(
            num_workers=learner.num_ranks,
            use_gpu=bool(learner.gpus_per_rank),
            resources_per_worker={"CPU": learner.cpus_per_rank},
            label_selector={MARKET_LABEL: learner.nodes} if learner.nodes else None,
        ),
        run_config=RunConfig(
            name=config.run.name,
            storage_path=str(run.path / "ray_train"),
            worker_runtime_env={"env_vars": environment},
        ),
    )


def _fetch_images(config: SupervisedConfig, run: RunSession) -> None:
    """Read the data once, so that the ranks find its images in the cache and don't all download them."""
    from vlaa_ray.data.reading_progress import report_progress
    from vlaa_ray.data.supervised import open_supervised

    with report_progress(run.note):
        open_supervised(config, [])


def _fit(trainer: Any, run: RunSession) -> None:
    """Train in another thread, so that this thread handles signals; a failure raises a VlaaRayError."""
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
        time.sleep(_POLL_S)
        run.require_ownership()
    try:
        outcome.result()
    except TrainingFailedError as error:
        raise typed_cause(error) or _failed(error) from error


def _failed(error: Any) -> LearnerError:
    """The error to show where neither a rank nor Ray Train's controller has raised a typed one."""
    failures = getattr(error, "worker_failures", {})
    controller = first_line(getattr(error, "controller_failure", error))
    first = next((repr(failure).splitlines()[0] for _, failure in sorted(failures.items())), controller)
    fix = "look at logs/ in the run folder; the same command continues from the last checkpoint"
    return LearnerError(f"training failed: {first}", ranks=sorted(failures), fix=fix)
