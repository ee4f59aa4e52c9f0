"""The composition root of a GRPO run: Ray, the roles on it, the loop, and the end of it all."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlaa_ray.config import GrpoConfig
from vlaa_ray.records import Defect, Prompt
from vlaa_ray.run.folder import RunFolder, run_in_folder

if TYPE_CHECKING:
    from vlaa_ray.run.session import Session


def run_grpo(config: GrpoConfig, resume: str = "auto") -> None:
    """Train, or go on where the run of this name stopped; returns when it has finished, else raises one typed cause."""
    run_in_folder(config, resume, functools.partial(_run, config))


def _run(config: GrpoConfig, folder: RunFolder) -> None:
    from vlaa_ray.run.session import Session

    with Session(config, folder) as session:
        import ray

        from actors.fleet.placement import start_ray
        from actors.process.signals import signals_as_errors
        from vlaa_ray.planning.placement import plan

        session.phase("start")
        with signals_as_errors("the same command starts the run"):
            prompts, heldout = _read_data(config, session)
        try:
            start_ray(config, plan(config))
            asyncio.run(_train(config, folder, session, prompts, heldout))
        finally:
            ray.shutdown()


def _read_data(config: GrpoConfig, session: Session) -> tuple[Sequence[Prompt], Sequence[Prompt]]:
    from vlaa_ray.data.dataset import open_dataset
    from vlaa_ray.data.reading_progress import report_progress

    data, verifier_types = config.data, config.rewards.verifier_types()
    quarantine: list[Defect] = []
    with report_progress(session.progress.note):
        prompts = open_dataset(data.train, data, data.num_train, verifier_types, quarantine)
        heldout = open_dataset(data.heldout, data, data.num_heldout, verifier_types, quarantine)
    session.use_data(prompts, quarantine)
    return prompts, heldout


async def _train(
    config: GrpoConfig, folder: RunFolder, session: Session, prompts: Sequence[Prompt], heldout: Sequence[Prompt]
) -> None:
    from actors.fleet.placement import Reservation
    from actors.fleet.pools import RewardPool, RolloutPool
    from actors.fleet.ranks import LearnerRanks
    from vlaa_ray.loop import train
    from vlaa_ray.planning.placement import plan
    from vlaa_ray.roles import Roles

    session.listen_for_signals()
    note = session.progress.note
    reservation = Reservation(plan(config))
    await session.stoppable(reservation.wait(config.deadlines.start_s, note))
    spawn = functools.partial(_spawner, config, folder.log_dir.resolve(), reservation)
    learner = LearnerRanks(config, spawn("learner"))
    rollouts = RolloutPool(config, spawn("rollout"), note)
    rewards = RewardPool(config, spawn("reward"), note)
    await session.stoppable(asyncio.gather(learner.start(), rollouts.start(), rewards.start()))
    await train(config, prompts, heldout, Roles(rollouts=rollouts, rewards=rewards, learner=learner), session)


def _spawner(config: GrpoConfig, log_dir: Path, reservation: Any, role: str) -> Callable[[int], Any]:
    """Index to the handle of a new actor of the role, in its bundle."""
    import ray

    from actors.fleet.pools import groups_at_once
    from actors.process.environment import role_environment
    from actors.roles.learner import LearnerActor
    from actors.roles.reward import RewardActor
    from actors.roles.rollout import RolloutActor

    rollout, learner = config.rollout, config.learner
    environment = {
        "learner": role_environment(role, learner.num_threads, learner.cpus_per_rank, learner.gpus_per_rank),
        "rollout": role_environment(role, None, rollout.cpus_per_actor, rollout.gpus_per_actor),
        "reward": role_environment(role, None, config.rewards.cpus_per_actor, config.rewards.gpus_per_actor),
    }[role]

    def spawn(index: int) -> Any:
        options = reservation.options(role, index) | {"runtime_env": {"env_vars": environment}}
        log_file = str(log_dir / f"{role}_{index}.log")
        prefix = f"vlaa-{config.run.name}-{secrets.token_hex(4)}-"  # of what this actor alone leaves in /dev/shm
        if role == "learner":
            return ray.remote(LearnerActor).options(**options).remote(config, index, log_file, prefix)
        if role == "rollout":
            return ray.remote(RolloutActor).options(**options).remote(config, log_file, prefix)
        options["max_concurrency"] = groups_at_once(config)
        return ray.remote(RewardActor).options(**options).remote(config, log_file, prefix)

    return spawn
