"""A learner that outlives its ranks: they start again from the newest checkpoint, and learn once more what was learned.

The groups come from the journal, so that nothing is sampled again, and engines go on sampling meanwhile. On as many
ranks the weights are the same as before.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ray

from actors.fleet.ranks import LearnerRanks
from actors.process.causes import first_line
from actors.process.deadlines import died
from vlaa_ray.config import GrpoConfig
from vlaa_ray.elastic.journal import Journal, Learned, merged_part, merged_update
from vlaa_ray.errors import CheckpointError, LearnerError, LearnerLost
from vlaa_ray.planning.failures import Action, LossBudget, Losses, after_rank_loss, loss_cause, with_fewer_ranks
from vlaa_ray.records import Group, OptimizerStep
from vlaa_ray.roles import Metrics
from vlaa_ray.run.checkpoints import Checkpoint
from vlaa_ray.run.parts import verify_for_ranks

Result = TypeVar("Result")


class RankPlaces(Protocol):
    """The places of the ranks on the cluster."""

    def spawn(self, rank: int) -> Any:
        """Start a rank in its place, and return its handle."""

    async def respawn(self) -> list[Any]:
        """Give back the places of the old ranks, and return the handles of new ones; there may be fewer.

        Raises:
            PlacementError: the cluster has no room for the smallest number of ranks.

        """

    async def has_room(self) -> bool:
        """Return True if there is room for the ranks that are missing; the first call asks the cluster for it."""

    async def respawn_all(self) -> list[Any]:
        """Return the handles of as many new ranks as the config asks for; `has_room` must have said True."""

    def is_leaving(self) -> bool:
        """Return True if the end of a node of the ranks was announced: the loss of a rank then does not count."""


class SavedRun(Protocol):
    """The run, as ranks that start again use it."""

    @property
    def checkpoint_request(self) -> asyncio.Event:
        """See `roles.Run`."""

    def saved_checkpoints(self) -> Sequence[Checkpoint]:
        """Return the checkpoints that this run may start from, newest first."""

    def note(self, text: str) -> None:
        """Print one line for people."""


class RestartingRanks(LearnerRanks):
    """The ranks, which start again when one is lost, as often as the budget allows.

    Where a loss has left fewer ranks than the config asks for, they start again on all as soon as there is room.
    """

    def __init__(self, config: GrpoConfig, places: RankPlaces, run: SavedRun) -> None:
        super().__init__(config, places.spawn)
        section = config.learner
        self._config, self._places, self._run = config, places, run
        self._budget = LossBudget(section.max_restarts, section.restart_window_s)
        self._journal = Journal()
        self._losses = Losses()
        self._reached = 0  # the version of the weights before a loss
        self._asked_to_save = -1  # the version of the weights at the last request of a checkpoint
        self.restarts = 0
        """The number of times that the ranks were started again."""
        self.causes: Counter[str] = Counter()
        """The number of losses so far, by cause; see `planning.failures.loss_cause`."""
        self.lost: Callable[[], None] = lambda: None
        """A function that is called after each loss of a rank, before the ranks get new places."""

    @property
    def weight_version(self) -> int:
        """The number of optimizer steps done; while ranks are brought back, that of before."""
        return self._reached

    async def accumulate(self, shares: list[list[Group]]) -> None:
        """See `LearnerRole`."""

        async def learn() -> None:
            version = self._version
            await self._accumulate(merged_part(shares, len(self._ranks)))
            self._journal.add(Learned(version, part=shares))

        await self._lasting(learn)

    async def update(self, shares: list[list[OptimizerStep]]) -> Metrics:
        """See `LearnerRole`."""

        async def learn() -> Metrics:
            version = self._version
            metrics = await self._update(merged_update(shares, len(self._ranks)))
            self._journal.add(Learned(version, update=shares, loss=metrics["policy/loss"]))
            return metrics

        return await self._lasting(learn)

    async def save(self, folder: Path) -> None:
        """See `LearnerRole`."""
        if old := self._run.saved_checkpoints()[:2]:  # two: the newest one may turn out to be damaged
            self._journal.forget_before(min(_version(checkpoint) for checkpoint in old))
        await self._lasting(lambda: self._save(folder))

    async def metrics(self) -> Metrics:
        """See `LearnerRole`; without the memory of ranks that were lost."""
        try:
            return await super().metrics() | {"learner/restarts": self.restarts, "learner/ranks": len(self._ranks)}
        except LearnerLost:
            return {"learner/restarts": self.restarts}

    async def load(self, folder: Path) -> None:
        """See `LearnerRole`."""
        await self._lasting(lambda: self._load(folder))

    async def recover(self) -> None:
        """See `WeightSource`."""

        async def nothing() -> None:
            pass

        await self._lasting(nothing)

    async def offload(self) -> None:
        """See `LearnerRanks`. If a rank is lost, all end, which frees the devices, too; `reload` starts them again."""
        async with self.turn:
            with contextlib.suppress(LearnerLost):
                if self._lost is None:
                    return await super().offload()
            self._end_all()

    async def reload(self) -> None:
        """See `LearnerRanks`; ranks that were lost start again on their devices."""
        await self._lasting(super().reload)

    async def _lasting(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Make a call in the learner's turn, again after each restart of the ranks."""
        async with self.turn:
            while True:
                try:
                    if self._lost is not None:
                        await self._restart()
                    else:
                        await self._grow_if_possible()
                    result = await call()
                    self._reached = self._version
                    return result
                except LearnerLost:
                    continue  # the next round starts the ranks again, or says that this was too often

    async def _restart(self) -> None:
        """Start ranks again after a loss, and bring them to where they were; the caller holds the turn.

        Raises:
            LearnerError: this was too often.
            LearnerLost: a rank was lost on the way.
            PlacementError: the cluster has no room for the ranks.

        """
        lost = self._lost
        assert lost is not None
        now = asyncio.get_running_loop().time()
        self.lost()
        is_announced, error = self._places.is_leaving(), lost.__cause__ or lost
        self.causes[loss_cause(error, process_died=died(error), is_announced=is_announced)] += 1
        if not is_announced:
            self._losses = self._losses.with_loss(now, "", now)
        if after_rank_loss(self._losses, self._budget, now) is Action.STOP:
            count, seconds = self._losses.num_counted(self._budget, now), self._budget.window_s
            message = f"learner ranks were lost {count} times within {seconds:g} s: {lost.message}"
            raise LearnerError(message, step=lost.facts.get("step"), fix=lost.fix) from lost
        self._run.note(f"{first_line(lost)}; the ranks start again")
        await self._start_again(self._places.respawn)

    async def _grow_if_possible(self) -> None:
        """Start all ranks again where fewer run, as soon as this repeats no step; the caller holds the turn."""
        count, wanted = len(self._ranks), self._config.learner.num_ranks
        if count == wanted:
            return
        saved = max((_version(checkpoint) for checkpoint in self._run.saved_checkpoints()[:1]), default=0)
        has_room = await self._places.has_room()
        action = with_fewer_ranks(count, wanted, has_room=has_room, version=self._version, saved_version=saved)
        if action is Action.SAVE and self._asked_to_save != self._version:
            self._asked_to_save = self._version
            self._run.checkpoint_request.set()
        if action is Action.RESTART:
            self._run.note(f"there is room for {wanted} ranks of the learner; all start again")
            await self._start_again(self._places.respawn_all)

    async def _start_again(self, respawn: Callable[[], Awaitable[list[Any]]]) -> None:
        """Replace the ranks, and bring the new ones to where the old ones were."""
        self.restarts += 1
        self._end_all()
        self._ranks = await respawn()
        self._lost = None
        await self.start()
        await self._repeat()

    def _end_all(self) -> None:
        for rank in self._ranks:
            ray.kill(rank)

    async def _repeat(self) -> None:
        """Load the newest sound checkpoint, and learn what was learned after it, up to the version before."""
        newest = await asyncio.to_thread(self._newest_sound)
        self._version = 0
        if newest is not None:
            await self._load(newest.path)
        repeated, difference = 0, 0.0
        for entry in self._journal.since(self._version):
            if entry.version != self._version:
                break  # a gap: what is missing is said below
            if entry.update is not None:
                metrics = await self._update(merged_update(entry.update, len(self._ranks)))
                repeated += 1
                difference = max(difference, abs(metrics["policy/loss"] - (entry.loss or 0.0)))
            elif entry.part is not None:
                await self._accumulate(merged_part(entry.part, len(self._ranks)))
        if self._version != self._reached:
            message = "the ranks can't be brought back to where they were"
            fix = "the same command continues from the last checkpoint"
            raise LearnerError(message, got=self._version, expected=self._reached, fix=fix)
        start = f"step {newest.step}" if newest is not None else "the start"
        self._run.note(
            f"the learner goes on with {len(self._ranks)} ranks from {start}; {repeated} updates repeated, "
            f"whose losses differ by at most {difference:.1e}"
        )

    def _newest_sound(self) -> Checkpoint | None:
        for checkpoint in self._run.saved_checkpoints():
            try:
                verify_for_ranks(self._config, checkpoint.path)
            except CheckpointError as error:
                self._run.note(f"the ranks can't start from {checkpoint.path.name}: {first_line(error)}")
            else:
                return checkpoint
        return None


def _version(checkpoint: Checkpoint) -> int:
    return int(checkpoint.state["weight_version"])
