"""The weights of engines that join while the run goes on.

A newcomer takes one bucket after another into its RAM; between two of them the learner may do other work. When it has
all of them, it loads them and checks that they are complete. If an update comes in between, the newcomer begins anew,
or waits for the publication that follows every update. So it never serves with a mix of weights, or with old ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from actors.fleet.weight_source import Failures, WeightSource
from actors.process.deadlines import wait_for

CompareManifests = Callable[[Sequence[Any], Failures], Awaitable[None]]
_ATTEMPTS = 2
"""The times that a newcomer begins anew before it waits for a publication."""


@dataclass(frozen=True)
class _Newcomer:
    admit: Callable[[], None]
    admitted: asyncio.Future[None]


class Newcomers:
    """The engines of a pool that have no current weights yet."""

    def __init__(
        self,
        source: WeightSource,
        deadline_s: float,
        compare_manifests: CompareManifests,
        others_serve: Callable[[], bool],
    ) -> None:
        """`others_serve` says whether any engine of the pool samples: if so, a publication will come."""
        self._source, self._deadline_s = source, deadline_s
        self._compare_manifests, self._others_serve = compare_manifests, others_serve
        self._one_by_one = asyncio.Lock()
        self._series_of: Any = None
        self._waiting: dict[Any, _Newcomer] = {}
        self._published: int | None = None

    async def join(self, actor: Any, admit: Callable[[], None]) -> None:
        """Give the engine the current weights, and admit it while nothing can change them.

        Raises:
            DeadlineExceeded: the engine does not answer.
            VlaaRayError: the engine was lost, or the learner.

        """
        attempts = 0
        while True:
            waiting = None
            async with self._source.turn:
                # registered in the same turn: a publication that begins right after it must know this engine
                if self._is_publication_due() or (attempts >= _ATTEMPTS and self._others_serve()):
                    waiting = self._waiting[actor] = _Newcomer(admit, asyncio.get_running_loop().create_future())
            if waiting is None:
                attempts += 1
                if await self._join_alone(actor, admit):
                    return
            else:
                attempts = 0
                if await self._is_admitted(actor, waiting):
                    return

    async def _is_admitted(self, actor: Any, waiting: _Newcomer) -> bool:
        """Wait for a publication; return False if none comes in time, as in a long step."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await waiting.admitted
        except TimeoutError:
            return False
        finally:
            del self._waiting[actor]
        return True

    async def give_way(self) -> None:
        """End the series of a newcomer, since a publication begins; the caller holds the source's turn."""
        if self._series_of is not None:
            self._series_of = None
            await self._source.drop_series()

    def waiting(self) -> list[Any]:
        """Return the engines that take part in the next publication; the caller holds the source's turn."""
        return list(self._waiting)

    def published(self, failed: Failures) -> None:
        """Admit the engines that took part in a publication; the caller holds the source's turn since then."""
        self._published = self._source.weight_version
        for actor, waiting in list(self._waiting.items()):
            if waiting.admitted.done():
                continue
            if actor in failed:
                waiting.admitted.set_exception(failed[actor])
            else:
                waiting.admit()
                waiting.admitted.set_result(None)

    def _is_publication_due(self) -> bool:
        """Return True after an update, until its weights are published; the caller holds the source's turn."""
        return self._published not in (None, self._source.weight_version)

    async def _join_alone(self, actor: Any, admit: Callable[[], None]) -> bool:
        """Give the engine the current weights; return False if they have changed meanwhile."""
        async with self._one_by_one:
            version = await self._stage(actor)
            if version is None:
                return False
            await self._load(actor, version)
            async with self._source.turn:
                if self._source.weight_version != version:
                    return False
                admit()
                return True

    async def _stage(self, actor: Any) -> int | None:
        """Let the engine take all buckets into its RAM; return their version, None if they have changed meanwhile."""
        source = self._source
        async with source.turn:
            version = source.weight_version
            failed: Failures = {}
            await self._compare_manifests([actor], failed)
            if failed:
                raise failed[actor]
            self._series_of = actor
            await self._call(actor.drop_staged.remote(), "to forget old weights")
        try:
            while await self._stage_one(actor, version):
                pass
            if self._series_of is actor:
                self._series_of = None
                return version
        except BaseException:
            await asyncio.shield(self._drop(actor))
            raise
        return None

    async def _stage_one(self, actor: Any, version: int) -> bool:
        """Take one bucket; return False after the last one, or if the weights have changed."""
        async with self._source.turn:
            if self._series_of is not actor:
                return False
            if self._source.weight_version != version:
                await self.give_way()
                return False
            bucket = await self._source.next_bucket()
            if bucket is None:
                return False
            data = self._source.packed_bucket()
            await self._call(actor.stage_bucket.remote(bucket, data), "to take weights")
            return True

    async def _drop(self, actor: Any) -> None:
        async with self._source.turn:
            if self._series_of is actor:
                await self.give_way()

    async def _load(self, actor: Any, version: int) -> None:
        await self._call(actor.pause.remote(), "to pause")
        await self._call(actor.load_staged.remote(), "to load weights")
        await self._call(actor.finish_and_resume.remote(version), "to go on")

    async def _call(self, call: Awaitable[Any], what: str) -> Any:
        return await wait_for(call, self._deadline_s, f"an engine that joins {what}")
