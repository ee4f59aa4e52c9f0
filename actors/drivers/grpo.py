"""The driver of a GRPO run: it starts Ray and the roles, runs the loop, and ends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vlaa_ray.config import GrpoConfig
from vlaa_ray.records import Defect, Prompt
from vlaa_ray.run.session import open_run

if TYPE_CHECKING:
    from vlaa_ray.evaluation.in_training import HeldOut
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

        from actors.fleet.nodes import check_nodes
        from actors.fleet.placement import start_ray
        from vlaa_ray.planning.placement import plan

        run.phase("start")
        prompts, heldout = _read_data(config, run)
        try:
            start_ray(config, plan(config))
            check_nodes(config, run.path, run.alarm)
            await _train(config, prompts, heldout, run)
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


async def _train(config: GrpoConfig, prompts: Sequence[Prompt], heldout: HeldOut, run: RunSession) -> None:
    """Reserve resources, start all actors, and run the loop when they are ready."""
    from actors.fleet.fleet import open_fleet
    from vlaa_ray.loop import train

    async with open_fleet(config, run) as fleet:
        await train(config, prompts, heldout, await run.stoppable(fleet.start()), run)
