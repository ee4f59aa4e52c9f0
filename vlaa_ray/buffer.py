"""The buffer between sampling and learning: groups in the order of their prompts, within the bound of `max_staleness`.

The buffer has (max_staleness + 1) · prompts_per_step slots. A prompt is only sampled when a slot is free, and slots are
freed only after new weights are in the engines. So at most max_staleness steps can pass between the weights that a
group was sampled with and its update.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from vlaa_ray.records import Group

MakeGroup = Callable[[int], Awaitable[Group]]
"""A function from a position in the prompt order to a scored group."""


class GroupBuffer:
    """A queue of groups: `make_group(position)` is started whenever a slot is free; `take` returns groups in order."""

    def __init__(self, make_group: MakeGroup, *, num_slots: int, position: int) -> None:
        self._make_group = make_group
        self._free = num_slots
        self._next = position
        self._in_flight: deque[asyncio.Task[Group]] = deque()
        self._num_held = 0
        self.position = position
        """The position of the next group that `take` will return; a checkpoint stores it."""
        self._fill()

    @property
    def num_ready(self) -> int:
        """The number of groups that are finished and not taken yet."""
        return sum(task.done() for task in self._in_flight)

    async def take(
        self,
        count: int,
        *,
        wanted: Callable[[Group], bool] | None = None,
        max_taken: int = 0,
        each: Callable[[Group], None] = lambda group: None,
    ) -> list[Group]:
        """Return the next groups, in order, until `count` of them are wanted; without `wanted` all groups are wanted.

        `each` is called with every group as soon as it and all groups before it are there.

        The result also holds the groups that are not wanted. Their slots are freed at once, but not more slots than
        this call may still need: a group that is sampled too early would be too stale. After `max_taken` groups the
        result may hold fewer than `count` wanted ones. An error of `make_group` is raised here.
        """
        taken: list[Group] = []
        num_wanted = num_replaced = 0
        while num_wanted < count and (wanted is None or len(taken) < max_taken):
            group = await asyncio.shield(self._in_flight[0])  # if this wait is cancelled, the group goes on
            self._in_flight.popleft()
            self.position += 1
            taken.append(group)
            each(group)
            if wanted is None or wanted(group):
                num_wanted += 1
            elif len(self._in_flight) < max_taken - len(taken):
                num_replaced += 1
                self._release(1)
        self._num_held = len(taken) - num_replaced
        return taken

    def release_taken(self) -> None:
        """Free the slots of the groups that `take` returned last; call it when the new weights are in the engines."""
        self._release(self._num_held)
        self._num_held = 0

    async def aclose(self) -> None:
        """Cancel the groups in flight."""
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)
        self._in_flight.clear()

    def _release(self, count: int) -> None:
        self._free += count
        self._fill()

    def _fill(self) -> None:
        while self._free > 0:
            self._in_flight.append(asyncio.ensure_future(self._make_group(self._next)))
            self._next += 1
            self._free -= 1
