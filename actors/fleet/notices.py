"""Notices that nodes will go: what leads there is Ray's drain of a node, by an operator, an autoscaler or a cloud.

Ray shows a drain in one place only, which Ray Train polls, too. So one task asks there every second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import ray
from ray.exceptions import RayError

from actors.fleet.pool import Pool
from actors.process.deadlines import in_daemon_thread
from vlaa_ray.roles import Run

DrainingNodes = Callable[[], Mapping[str, int]]
"""A function that returns the nodes that are about to go, with their deadlines in ms of the epoch; 0 for none."""
_POLL_S = 1.0
_NO_DEADLINE_S = 30.0
"""The seconds that are left on a node whose deadline is not told: those of Ray at SIGTERM, and of Google's cloud."""


def draining_nodes() -> Mapping[str, int]:
    """Return the nodes that Ray is told to drain; see `DrainingNodes`."""
    return dict(ray._private.state.state.get_draining_nodes())


def head_node() -> str:
    """Return Ray's id of the head node; "" if none says that it is the head."""
    heads = [node["NodeID"] for node in ray.nodes() if "node:__internal_head__" in node["Resources"]]
    return str(heads[0]) if heads else ""


class Notices:
    """The notices of a run: pools leave the nodes that go, and the run saves if it needs one of them itself.

    `needed` returns the nodes that the run can't do without, such as those of the learner, and what they are for.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        run: Run,
        needed: Callable[[], Mapping[str, str]],
        source: DrainingNodes = draining_nodes,
    ) -> None:
        self._pools, self._run, self._needed, self._source = pools, run, needed, source
        self.seen: set[str] = set()
        """The nodes whose end was announced so far."""
        self._is_blind = False

    async def watch(self) -> None:
        """Ask every second, and pass on each notice once; this ends only when it is cancelled."""
        while True:
            try:
                nodes = await in_daemon_thread(self._source)
            except (RayError, RuntimeError) as error:
                if not self._is_blind:
                    self._run.alarm(f"nodes that are about to go can't be seen: {error}")
                self._is_blind = True
            else:
                self._is_blind = False
                self._pass_on(nodes)
            await asyncio.sleep(_POLL_S)

    def _pass_on(self, nodes: Mapping[str, int]) -> None:
        new = {node: deadline_ms for node, deadline_ms in nodes.items() if node not in self.seen}
        needed = self._needed() if new else {}
        for node, deadline_ms in new.items():
            self.seen.add(node)
            left_s = max(0.0, deadline_ms / 1000 - time.time()) if deadline_ms else _NO_DEADLINE_S
            for pool in self._pools:
                pool.drain(node, left_s)
            if role := needed.get(node):
                self._run.alarm(f"the node of the {role} goes in {left_s:.0f} s: the run is saved now")
                self._run.checkpoint_request.set()
