"""Learning that begins before all groups of a step are there.

    async with StreamedLearning(config, learner) as learning:
        learning.add(group)            # as groups come, in their order; full parts go to the learner at once
    metrics = await learning.finish()

The learner adds up the gradients of one part while other groups are still being sampled. The optimizer step waits for
the last group. What is learned, and in which order, does not depend on when groups come.
"""

from __future__ import annotations

import asyncio
from typing import Any

from vlaa_ray.algorithms.advantages import ADVANTAGES
from vlaa_ray.algorithms.step_plan import Dealer, counts, is_trained, last_part, optimizer_steps, with_advantages
from vlaa_ray.config import GrpoConfig
from vlaa_ray.records import Group
from vlaa_ray.roles import LearnerRole, Metrics


class StreamedLearning:
    """The learning of one training step.

    It waits for all groups where the config has several optimizer steps in a training step, an estimator whose
    advantages depend on all groups, or devices that engines and learner share in turn.
    """

    def __init__(self, config: GrpoConfig, learner: LearnerRole) -> None:
        self._config, self._learner = config, learner
        needs_all = ADVANTAGES[config.grpo.advantage].needs_whole_batch
        waits = needs_all or config.learner.updates_per_step > 1 or config.colocated
        self._dealer = None if waits else Dealer(config.learner)
        self._groups: list[Group] = []
        self._accumulating: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> StreamedLearning:
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, at: Any) -> None:
        if error is not None:  # the step is given up: no more of it must be learned
            for task in self._accumulating:
                task.cancel()

    def add(self, group: Group) -> None:
        """Take the next group of the step.

        Raises:
            LearnerError: the learner failed at a part before.

        """
        if self._dealer is None:
            self._groups.append(group)
            return
        (group,) = with_advantages([group], self._config.grpo)
        self._groups.append(group)
        if not (is_trained(group) and counts(group, self._config.grpo)):
            return
        if part := self._dealer.add(group):
            before = self._accumulating[-1] if self._accumulating else None
            if before and before.done():
                before.result()
            self._accumulating.append(asyncio.ensure_future(self._accumulate(part, before)))

    def groups(self) -> list[Group]:
        """Return the groups of the step with their advantages; call it when all are there."""
        if self._dealer is None:
            self._groups = with_advantages(self._groups, self._config.grpo)
        return self._groups

    async def finish(self) -> Metrics:
        """Learn what is left, do the optimizer steps, and return the metrics of the update.

        Raises:
            LearnerError: the loss is not finite, or a rank was lost.

        """
        grpo = self._config.grpo
        if self._dealer is None:
            return await self._learner.update(optimizer_steps(self._groups, grpo, self._config.learner))
        if self._accumulating:
            await self._accumulating[-1]
        return await self._learner.update(last_part(self._groups, self._dealer.rest(), grpo))

    async def _accumulate(self, part: list[list[Group]], before: asyncio.Task[None] | None) -> None:
        if before:
            await before
        await self._learner.accumulate(part)
