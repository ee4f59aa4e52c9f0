"""An event loop whose clock jumps to the next timer: waits cost no time, and a wait without an end is an error."""

import asyncio
import selectors

_MOST_ROUNDS = 20_000
"""Rounds of the loop in which the clock may stand still."""


class EndlessWait(AssertionError):
    """Nothing is left to happen, and somebody still waits."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self):
        super().__init__()
        self.now = 0.0
        self._num_rounds = 0

    def select(self, timeout=None):
        events = super().select(0)
        if not events and timeout is None:
            raise EndlessWait("nothing is left to happen, and somebody still waits")
        self._num_rounds += 1
        if not events and timeout:
            self.now += timeout
            self._num_rounds = 0
        if self._num_rounds > _MOST_ROUNDS:
            raise EndlessWait("somebody asks again and again without a pause")
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self):
        return self._jumping.now


def run_virtually(main, limit_s):
    """Run a coroutine to its end within `limit_s` virtual seconds; return (its result, the virtual seconds)."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(asyncio.wait_for(main, limit_s))
        return result, loop.time()
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
