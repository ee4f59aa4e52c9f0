"""The learner's ranks: processes that are called alike and together, and that end together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError

from actors.waiting import wait_for_all
from vlaa_ray.config import RunConfig
from vlaa_ray.errors import DeadlineExceeded, LearnerError
from vlaa_ray.learner.plan import OptimizerStep


class LearnerRanks:
    """Implements `LearnerRole`. The loss of a rank ends the run: its collectives can't go on without it."""

    def __init__(self, config: RunConfig, spawn: Callable[[int], Any]) -> None:
        self._deadlines = config.deadlines
        self._ranks = [spawn(rank) for rank in range(config.learner.num_ranks)]
        self.weight_version = 0
        self.node_id = ""

    async def start(self) -> None:
        """Load the model on every rank; returns when they have met."""
        ((address, port, self.node_id),) = await self._all(
            [self._ranks[0].meeting_point.remote()], self._deadlines.start_s, "rank 0 to start"
        )
        await self._all(
            [rank.start.remote(address, port) for rank in self._ranks], self._deadlines.start_s, "the ranks to meet"
        )

    async def update(self, shares: list[list[OptimizerStep]]) -> dict[str, float]:
        calls = [rank.update.remote(steps) for rank, steps in zip(self._ranks, shares, strict=True)]
        answers = await self._all(calls, self._deadlines.learn_s, "the update")
        self.weight_version, metrics = answers[0]
        return dict(metrics)

    async def manifest(self) -> list[Any]:
        (wire,) = await self._all([self._ranks[0].manifest.remote()], self._deadlines.weight_sync_s, "the manifest")
        return list(wire)

    async def next_bucket(self) -> Any:
        """The next piece of the weights; None after the last. It waits for an update that is under way."""
        timeout_s = self._deadlines.learn_s + self._deadlines.weight_sync_s
        return (await self._all([rank.next_bucket.remote() for rank in self._ranks], timeout_s, "the weights"))[0]

    def packed_bucket(self) -> Any:
        """A reference to the current piece's bytes, in the object store."""
        return self._ranks[0].packed_bucket.remote()

    async def save(self, folder: Path) -> None:
        calls = [rank.save.remote(str(folder)) for rank in self._ranks]
        await self._all(calls, self._deadlines.checkpoint_s, "the checkpoint")

    async def load(self, folder: Path) -> None:
        calls = [rank.load.remote(str(folder)) for rank in self._ranks]
        self.weight_version = (await self._all(calls, self._deadlines.checkpoint_s, "the checkpoint to load"))[0]

    async def metrics(self) -> dict[str, float]:
        sizes = await self._all([rank.rss_bytes.remote() for rank in self._ranks], self._deadlines.learn_s, "memory")
        return {"memory/learner_rss_bytes": float(max(sizes))}

    async def _all(self, calls: list[Any], timeout_s: float, what: str) -> list[Any]:
        try:
            return await wait_for_all(calls, timeout_s, f"the learner: {what}")
        except (RayActorError, DeadlineExceeded) as error:
            raise LearnerError(
                f"a learner rank was lost during {what}: {str(error).strip().splitlines()[0]}",
                step=self.weight_version,
                fix="look at logs/learner_*.log in the run folder; the same command continues from the last checkpoint",
            ) from error
