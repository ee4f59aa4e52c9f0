"""The learner's ranks: processes that get the same calls at the same time, and that are lost together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

from actors.process.causes import first_line
from actors.process.deadlines import answer_of, wait_for_all
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import CheckpointError, LearnerLost, VlaaRayError
from vlaa_ray.planning.failures import is_rank_lost
from vlaa_ray.records import Group, OptimizerStep
from vlaa_ray.roles import Metrics

_WRITTEN_POLL_S = 0.2


class LearnerRanks:
    """The ranks as a `LearnerRole` and a `WeightSource`; after the loss of one, no call is made to the others."""

    def __init__(self, config: GrpoConfig, spawn: Callable[[int], Any]) -> None:
        self._deadlines = config.deadlines
        self.can_pause_series = config.learner.zero_stage < 3
        """See `WeightSource`: under ZeRO-3 weights are gathered over the end of a bucket."""
        self._ranks = [spawn(rank) for rank in range(config.learner.num_ranks)]
        self._lost: LearnerLost | None = None
        self._version = 0
        self._saving = Path()
        self.node_id = ""
        """Ray's id of the node of rank 0."""
        self.turn = asyncio.Lock()
        """The lock of a caller that makes several calls in a row, or that changes the weights."""

    @property
    def weight_version(self) -> int:
        """The number of optimizer steps done."""
        return self._version

    async def start(self) -> None:
        """Load the model on every rank, and return when all ranks are connected."""
        address, port, self.node_id = await self.meeting_point()
        calls = [rank.start.remote(address, port) for rank in self._ranks]
        await self._all(calls, self._deadlines.start_s, "the start")

    async def meeting_point(self) -> tuple[str, int, str]:
        """Return (address, free port, node id) of rank 0."""
        calls = [self._ranks[0].meeting_point.remote()]
        (place,) = await self._all(calls, self._deadlines.start_s, "the first answer of rank 0")
        return tuple(place)

    async def accumulate(self, shares: list[list[Group]]) -> None:
        """See `LearnerRole`."""
        async with self.turn:
            await self._accumulate(shares)

    async def update(self, shares: list[list[OptimizerStep]]) -> Metrics:
        """See `LearnerRole`."""
        async with self.turn:
            return await self._update(shares)

    async def manifest(self) -> list[Any]:
        """Return the names, dtypes and shapes of all tensors that `next_bucket` gives, as plain lists."""
        (wire,) = await self._all([self._ranks[0].manifest.remote()], self._deadlines.weight_sync_s, "the manifest")
        return list(wire)

    async def next_bucket(self) -> Any:
        """Return the next bucket of weights; None after the last. The caller must hold `turn`."""
        calls = [rank.next_bucket.remote() for rank in self._ranks]
        return (await self._all(calls, self._deadlines.weight_sync_s, "the gathering of weights"))[0]

    async def drop_series(self) -> None:
        """End a series of buckets before its last one. The caller must hold `turn`."""
        calls = [rank.drop_series.remote() for rank in self._ranks]
        await self._all(calls, self._deadlines.weight_sync_s, "the end of a series of weights")

    def packed_bucket(self) -> Any:
        """Return a reference to the current bucket's bytes in Ray's object store."""
        return self._ranks[0].packed_bucket.remote()

    async def open_broadcast(self, address: str, port: int, num_engine_ranks: int) -> None:
        """Open an NCCL group on rank 0, which waits for the engines; they must join at the same time."""
        call = self._ranks[0].open_broadcast.remote(address, port, num_engine_ranks)
        await self._all([call], self._deadlines.weight_sync_s, "the wait for the engines to join")

    async def broadcast(self) -> None:
        """Send the weights to the engines of the NCCL group, which must receive at the same time."""
        calls = [rank.broadcast.remote() for rank in self._ranks]
        await self._all(calls, self._deadlines.weight_sync_s, "the broadcast")

    async def save(self, folder: Path) -> None:
        """See `LearnerRole`."""
        async with self.turn:
            await self._save(folder)

    async def load(self, folder: Path) -> None:
        """See `LearnerRole`."""
        async with self.turn:
            await self._load(folder)

    async def written(self) -> None:
        """See `LearnerRole`."""
        folder, ranks = str(self._saving), self._ranks
        # with the longest update, behind which the questions wait for their turn
        limit_s = self._deadlines.checkpoint_s + self._deadlines.learn_s
        try:
            async with asyncio.timeout(limit_s):
                # all ranks to their end: one that still writes would disturb the next checkpoint
                while False in (answers := await _answers(rank.is_written.remote() for rank in ranks)):
                    await asyncio.sleep(_WRITTEN_POLL_S)
                for answer in [*answers, *await _answers(rank.hand_over.remote(folder) for rank in ranks)]:
                    if isinstance(answer, BaseException):
                        raise answer
        except TimeoutError as error:
            fix = "raise deadlines.checkpoint_s, or use a faster disk"
            raise CheckpointError(f"the checkpoint was not written in {limit_s:g} s", folder=folder, fix=fix) from error
        except RayError as error:  # the next call to the ranks finds out what it means for them
            message = f"a learner rank was lost while its checkpoint was written: {first_line(error)}"
            raise CheckpointError(message, folder=folder) from error

    async def recover(self) -> None:
        """See `WeightSource`."""
        if self._lost is not None:
            raise self._lost

    async def offload(self) -> None:
        """Move the memory of all ranks from their devices into RAM."""
        calls = [rank.offload.remote() for rank in self._ranks]
        await self._all(calls, self._deadlines.weight_sync_s, "the way from its devices into RAM")

    async def reload(self) -> None:
        """Bring back what `offload` moved."""
        calls = [rank.reload.remote() for rank in self._ranks]
        await self._all(calls, self._deadlines.weight_sync_s, "the way from RAM onto its devices")

    async def metrics(self) -> Metrics:
        """See `LearnerRole`."""
        calls = [rank.rss_bytes.remote() for rank in self._ranks]
        sizes = await self._all(calls, self._deadlines.learn_s, "the measurement of memory")
        return {"memory/learner_rss_bytes": float(max(sizes))}

    async def _accumulate(self, shares: list[list[Group]]) -> None:
        calls = [rank.accumulate.remote(groups) for rank, groups in zip(self._ranks, shares, strict=True)]
        await self._all(calls, self._deadlines.learn_s, "the update")

    async def _update(self, shares: list[list[OptimizerStep]]) -> Metrics:
        calls = [rank.update.remote(steps) for rank, steps in zip(self._ranks, shares, strict=True)]
        answers = await self._all(calls, self._deadlines.learn_s, "the update")
        self._version, metrics = answers[0]
        return dict(metrics)

    async def _save(self, folder: Path) -> None:
        self._saving = folder
        calls = [rank.save.remote(str(folder)) for rank in self._ranks]
        await self._all(calls, self._deadlines.checkpoint_s, "the saving of the checkpoint")

    async def _load(self, folder: Path) -> None:
        calls = [rank.load.remote(str(folder)) for rank in self._ranks]
        answers = await self._all(calls, self._deadlines.checkpoint_s, "the loading of the checkpoint")
        self._version = answers[0]

    async def _all(self, calls: list[Any], timeout_s: float, what: str) -> list[Any]:
        """Return the answers of all ranks; `what` names the call, such as "the update"."""
        try:
            return await wait_for_all(calls, timeout_s, f"the learner: {what}")
        except (RayError, VlaaRayError) as error:
            if not is_rank_lost(error, process_died=isinstance(error, RayError)):
                raise
            self._lost = LearnerLost(
                f"a learner rank was lost during {what}: {first_line(error)}",
                step=self._version,
                fix="look at logs/learner_*.log in the run folder; the same command continues from the last checkpoint",
            )
            raise self._lost from error


async def _answers(calls: Iterable[Any]) -> list[Any]:
    """Return the answer of each call, or the error with which it failed."""
    return await asyncio.gather(*(answer_of(call) for call in calls), return_exceptions=True)
