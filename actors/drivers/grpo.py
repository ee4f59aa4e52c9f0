"""The driver of a GRPO run: it starts Ray and the roles, runs the loop, and ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vlaa_ray.config import GrpoConfig
from vlaa_ray.records import Defect, Prompt
from vlaa_ray.run.session import open_run

if TYPE_CHECKING:
    from actors.fleet.ranks import LearnerRanks
    from actors.fleet.role_pools import RolloutPool
    from vlaa_ray.evaluation.in_training import HeldOut
    from vlaa_ray.roles import Roles
    from vlaa_ray.run.session import RunSession


async def run_grpo(config: GrpoConfig, resume: str = "auto") -> None:
    """Train until `run.num_steps` steps are done, from step 0 or from the checkpoint that `resume` chooses.

    A failure raises a VlaaRayError.
    """
    with open_run(config, resume) as run:
        if run.finished:
            return
        config = run.resolved(config)
        import ray

        from actors.fleet.nodes import check_nodes, notes
        from actors.fleet.placement import start_ray
        from vlaa_ray.loop import train
        from vlaa_ray.planning.placement import plan

        run.phase("start")
        prompts, heldout = _read_data(config, run)
        try:
            start_ray(config, plan(config))
            for note in notes(check_nodes(config, run.path)):
                run.alarm(note)
            await train(config, prompts, heldout, await run.stoppable(_start_roles(config, run)), run)
        finally:
            ray.shutdown()


def _read_data(config: GrpoConfig, run: RunSession) -> tuple[Sequence[Prompt], HeldOut]:
    """Return the training prompts and what is evaluated; records that are left out are written and reported."""
    from vlaa_ray.data.dataset import open_dataset
    from vlaa_ray.data.openings import read_openings
    from vlaa_ray.data.reading_progress import report_progress
    from vlaa_ray.evaluation.in_training import HeldOut
    from vlaa_ray.evaluation.questions import open_benchmark

    data, quarantine = config.data, list[Defect]()
    with report_progress(run.note):
        prompts = open_dataset(data.train, data, data.num_train, config.verifier_types, quarantine)
        heldout = open_dataset(data.heldout, data, data.num_heldout, config.verifier_types, quarantine)
        if traces := config.tracking.sft_data:
            run.compare_openings(read_openings(data, traces, config.tracking.opening_words, config.verifier_types))
    run.use_data(prompts, quarantine)
    benchmarks = [open_benchmark(section, config.eval.style) for section in config.eval.benchmarks]
    return prompts, HeldOut(heldout, benchmarks)


async def _start_roles(config: GrpoConfig, run: RunSession) -> Roles:
    """Reserve resources, start all actors, and return the roles when every actor is ready."""
    from actors.fleet.placement import Reservation
    from actors.fleet.ranks import LearnerRanks
    from actors.fleet.role_pools import RewardPool, RolloutPool
    from actors.fleet.shared_devices import share_devices
    from actors.fleet.spawn import TrainingSpawner
    from actors.fleet.weight_sync import WeightSync
    from vlaa_ray.planning.placement import plan
    from vlaa_ray.roles import Roles
    from vlaa_ray.turns import LearnerInTurn

    reservation = Reservation(plan(config))
    await reservation.wait(config.deadlines.start_s, run.note)
    spawn = TrainingSpawner(config, run.log_dir, reservation)
    learner = LearnerRanks(config, spawn.learner)
    rollouts = RolloutPool(config, spawn.rollout, run.note)
    rewards = RewardPool(config, spawn.reward, run.note)
    await asyncio.gather(rewards.start(), _start_engines_and_learner(config, rollouts, learner))
    if not config.colocated:
        weight_sync = WeightSync(config, learner, rollouts)
        return Roles(rollouts=rollouts, rewards=rewards, learner=learner, weight_sync=weight_sync)
    turns = share_devices(config, learner, rollouts)
    weight_sync = WeightSync(config, learner, rollouts, turns)
    return Roles(rollouts=rollouts, rewards=rewards, learner=LearnerInTurn(learner, turns), weight_sync=weight_sync)


async def _start_engines_and_learner(config: GrpoConfig, rollouts: RolloutPool, learner: LearnerRanks) -> None:
    if config.colocated and config.learner.gpus_per_rank:
        await rollouts.start()  # first, and alone on its GPUs: vLLM measures their memory; the engines then sleep
        await learner.start()
    else:
        await asyncio.gather(learner.start(), rollouts.start())
