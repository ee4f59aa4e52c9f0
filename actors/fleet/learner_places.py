"""The places of the learner's ranks: reserved as a whole, reserved anew after a loss, and filled up later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from actors.fleet.joining import Note
from actors.fleet.placement import Reservation
from actors.fleet.spawn import TrainingSpawner
from vlaa_ray.config import GrpoConfig
from vlaa_ray.errors import PlacementError
from vlaa_ray.planning.placement import plan

_ROOM_S = 30.0
"""The seconds that ranks wait for room for all of them before fewer are tried, where fewer may do."""


class LearnerPlaces:
    """The places of the ranks on the Ray cluster, as `RankPlaces`.

    `is_announced` says of a node whether its end was announced. Engines that share devices with the ranks are started
    by `spawner`, too, and keep their places when the ranks start again.
    """

    def __init__(
        self,
        config: GrpoConfig,
        log_dir: Path,
        spawner: type[TrainingSpawner],
        note: Note,
        is_announced: Callable[[str], bool],
    ) -> None:
        self._config, self._log_dir, self._note = config, log_dir, note
        self._make_spawner, self._is_announced = spawner, is_announced
        self._reservation = Reservation(plan(config), config.learner.nodes)
        self._awaited: Reservation | None = None
        self._num_ranks = config.learner.num_ranks
        self.spawner = spawner(config, log_dir, self._reservation)
        """The starter of all actors, whose places are here."""
        self.nodes: set[str] = set()
        """Ray's ids of the nodes of the ranks."""
        self.is_fit: Callable[[str], Awaitable[bool]] | None = None
        """A function that says whether ranks can work on a node; on the others none starts again."""
        self._unfit: set[str] = set()

    async def reserve(self) -> None:
        """Reserve places for all ranks.

        Raises:
            PlacementError: the cluster has no room for them.

        """
        await self._reservation.wait(self._config.deadlines.provision_s, self._note)
        self.nodes = self._reservation.nodes()

    def spawn(self, rank: int) -> Any:
        """See `RankPlaces`."""
        return self.spawner.learner(rank)

    async def respawn(self) -> list[Any]:
        """See `RankPlaces`."""
        section = self._config.learner
        if self._config.colocated:
            return self._spawn_all()
        for count in range(section.num_ranks, section.fewest_ranks - 1, -1):
            is_last = count == section.fewest_ranks
            try:
                await self._reserve_anew(count, self._config.deadlines.provision_s if is_last else _ROOM_S)
            except PlacementError:
                if is_last:
                    raise
                self._note(f"there is no room for {count} ranks of the learner; trying {count - 1}")
                continue
            return self._moved_to(self._reservation, count)
        raise AssertionError("the last attempt returns or raises")

    async def has_room(self) -> bool:
        """See `RankPlaces`."""
        if self._awaited is None:
            self._awaited = self._places_for(self._config.learner.num_ranks - self._num_ranks)
            self._awaited.ask()
        if not self._awaited.is_reserved():
            return False
        if await self._are_fit(self._awaited):
            return True
        self._awaited.release()  # the next call asks for other nodes
        self._awaited = None
        return False

    async def respawn_all(self) -> list[Any]:
        """See `RankPlaces`."""
        assert self._awaited is not None  # `has_room` has said so
        parts, self._awaited = (self._reservation, self._awaited), None
        return self._moved_to(Reservation.joined(plan(self._config), parts), self._config.learner.num_ranks)

    def is_leaving(self) -> bool:
        """See `RankPlaces`."""
        return any(self._is_announced(node) for node in self.nodes)

    def release(self) -> None:
        """Give back all places; actors in them end."""
        for reservation in filter(None, (self._reservation, self._awaited)):
            reservation.release()
        self._awaited = None

    async def _reserve_anew(self, count: int, timeout_s: float) -> None:
        """Give back all places, and reserve others for `count` ranks, on nodes that are fit for them."""
        while True:
            self.release()
            self._reservation = self._places_for(count)
            await self._reservation.wait(timeout_s, self._note)
            if await self._are_fit(self._reservation):
                return

    async def _are_fit(self, reservation: Reservation) -> bool:
        """Return True if all nodes of the places are fit for the run; those that are not get no rank any more."""
        if self.is_fit is None:
            return True
        unfit = {node for node in reservation.nodes() if not await self.is_fit(node)}
        self._unfit |= unfit
        return not unfit

    def _places_for(self, count: int) -> Reservation:
        return Reservation(plan(self._with_ranks(count)), self._config.learner.nodes, self._unfit)

    def _moved_to(self, reservation: Reservation, num_ranks: int) -> list[Any]:
        self._reservation, self._num_ranks, self.nodes = reservation, num_ranks, reservation.nodes()
        self.spawner = self._make_spawner(self._with_ranks(num_ranks), self._log_dir, reservation)
        return self._spawn_all()

    def _spawn_all(self) -> list[Any]:
        return [self.spawn(rank) for rank in range(self._num_ranks)]

    def _with_ranks(self, count: int) -> GrpoConfig:
        learner = self._config.learner.model_copy(update={"num_ranks": count})
        return self._config.model_copy(update={"learner": learner})
