"""Groups on their way from prompt to learner, in the order of their prompts, none older than allowed.

There are (max_staleness + 1) · prompts_per_step slots. A prompt is only asked when a slot is free, and slots are
freed only after new weights are in the engines. So at most max_staleness steps can pass between the
weights that a group was sampled with and its update: the bound holds by construction.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from vlaa_ray.records import Group

MakeGroup = Callable[[int], Awaitable[Group]]
"""Position in the prompt order to a scored group."""


class GroupBuffer:
    """Starts `make_group(position)` for consecutive positions as slots allow; `take` gives the groups in order."""

    def __init__(self, make_group: MakeGroup, *, num_slots: int, position: int) -> None:
        self._make_group = make_group
        self._free = num_slots
        self._next = position
        self._pending: deque[asyncio.Task[Group]] = deque()
        self.position = position
        """Of the next group that `take` will give: what a checkpoint stores."""
        self._fill()

    async def take(
        self, count: int, *, wanted: Callable[[Group], bool] | None = None, max_taken: int = 0
    ) -> list[Group]:
        """The next groups, in order, until `count` of them are wanted (all are, without `wanted`).

        Unwanted ones are given too, and free their slots at once as far as this call may need more groups (others
        would only get old). After `max_taken` groups it ends with fewer. What went wrong in making a group is
        raised here.
        """
        taken: list[Group] = []
        num_wanted = num_replaced = 0
        while num_wanted < count and (wanted is None or len(taken) < max_taken):
            group = await asyncio.shield(self._pending[0])  # cancelled while waiting: the group stays
            self._pending.popleft()
            self.position += 1
            taken.append(group)
            if wanted is None or wanted(group):
                num_wanted += 1
            elif len(self._pending) < max_taken - len(taken):
                num_replaced += 1
                self.release(1)
        self._held = len(taken) - num_replaced
        return taken

    def release_taken(self) -> None:
        """Free the slots of the groups that the last `take` gave; call it when the new weights are in."""
        self.release(self._held)
        self._held = 0

    def release(self, count: int) -> None:
        self._free += count
        self._fill()

    async def aclose(self) -> None:
        """Cancel what is on its way."""
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        self._pending.clear()

    def _fill(self) -> None:
        while self._free > 0:
            self._pending.append(asyncio.ensure_future(self._make_group(self._next)))
            self._next += 1
            self._free -= 1

    _held = 0
