"""The watch over the head of the Ray cluster, without which no actor can be started and no loss be seen.

Ray ends a driver, without a word, about a minute after the head is gone. Actors that are there can still be called
until then. So the run is saved and ended with its cause before that.
"""

from __future__ import annotations

import asyncio

from vlaa_ray.errors import PlacementError
from vlaa_ray.roles import Run

_POLL_S = 1.0
_CONNECT_S = 5.0
_LOST_S = 30.0
"""The seconds without an answer after which the head counts as gone; half of those that Ray waits."""


class HeadWatch:
    """The watch of one run; `address` is host:port of the head's server."""

    def __init__(self, run: Run, address: str, lost_s: float = _LOST_S) -> None:
        self._run, self._address, self._lost_s = run, address, lost_s
        self.is_gone = False
        """True when the head is gone: questions to the cluster would wait until Ray ends the driver."""

    async def watch(self) -> None:
        """Ask every second, and end the run when the head is gone; this ends then, or when it is cancelled."""
        clock = asyncio.get_running_loop().time
        heard = clock()
        while clock() - heard < self._lost_s:
            if await self._answers():
                heard = clock()
            await asyncio.sleep(_POLL_S)
        self.is_gone = True
        message = f"the head of the Ray cluster has not answered for {self._lost_s:g} s"
        fix = "start the cluster again; the same command continues the run"
        self._run.end(PlacementError(message, address=self._address, fix=fix))

    async def _answers(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True
