"""The logs of actors on nodes with disks of their own: the last part of each is brought to the run folder.

    logs.fetch(node)           # an actor was lost there: its log comes in the background
    await logs.fetch_all()     # at the end of the run: those of all nodes

`logs/rollout_1.log` of another node becomes `logs/rollout_1.NODE.log`, with the first eight digits of the node's id.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from actors.fleet.nodes import marked, on_node
from actors.process.causes import first_line
from actors.process.deadlines import in_daemon_thread
from vlaa_ray.storage.atomic import write_whole

MOST_BYTES, MOST_FILES = 256 << 10, 100
"""The last bytes of a log that are brought, and the number of logs of one node, newest first."""
_ANSWER_S, _GET_S = 15.0, 2.0
LOG = logging.getLogger(__name__)


class ActorLogs:
    """The logs of a run's actors; `log_dir` is the folder of logs, which has the same path on every node."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._fetching: dict[str, asyncio.Task[None]] = {}

    def fetch(self, node: str) -> None:
        """Begin to bring the logs of a node, unless that is under way."""
        under_way = self._fetching.get(node)
        if under_way is None or under_way.done():
            self._fetching[node] = asyncio.create_task(self._bring({node}))

    async def fetch_all(self) -> None:
        """Bring the logs of all nodes that are alive; this takes at most half a minute."""
        await asyncio.gather(*self._fetching.values())
        await self._bring()

    async def _bring(self, nodes: Collection[str] | None = None) -> None:
        await in_daemon_thread(lambda: bring_logs(self._log_dir, nodes))


@contextmanager
def bringing_logs(log_dir: Path) -> Iterator[None]:
    """Bring the logs of all nodes at the end of the block; Ray must be connected."""
    try:
        yield
    finally:
        bring_logs(log_dir)


def bring_logs(log_dir: Path, nodes: Collection[str] | None = None) -> None:
    """Write the last part of each log on other nodes, or on some of them, into `log_dir`; it never raises.

    Nodes that share the disk of this one have nothing to bring. A node that does not answer is named in the log.
    """
    try:
        own = ray.get_runtime_context().get_node_id()
        others = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] != own]
        chosen = [node for node in others if nodes is None or node["NodeID"] in nodes]
        if not chosen:
            return
        with marked(log_dir) as mark:
            calls = {on_node(node, last_parts).remote(str(log_dir), mark): node["NodeID"] for node in chosen}
            answered, late = ray.wait([*calls], num_returns=len(calls), timeout=_ANSWER_S)
        for call in answered:
            _write(log_dir, calls[call], call)
        for call in late:
            ray.cancel(call, force=True)
            LOG.warning("the logs of node %s can't be brought: no answer", calls[call][:8])
    except (OSError, RuntimeError, RayError) as error:  # Ray's errors of a cluster that is gone have many types
        LOG.warning("the logs of other nodes can't be brought: %s", first_line(error))


def last_parts(log_dir: str, mark: str, most_bytes: int = MOST_BYTES) -> dict[str, bytes]:
    """Return the last bytes of each log in the folder on this node, by name; {} if the mark is there, too."""
    folder = Path(log_dir)
    if not folder.is_dir() or (folder / mark).exists():
        return {}
    files = sorted(folder.glob("*.log"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    return {file.name: _last_part(file, most_bytes) for file in files[:MOST_FILES]}


def _last_part(file: Path, most_bytes: int) -> bytes:
    size = file.stat().st_size
    with file.open("rb") as log:
        if size <= most_bytes:
            return log.read(most_bytes)
        log.seek(size - most_bytes)
        part = log.read(most_bytes).partition(b"\n")[2]
    where = f"{size - len(part):,} bytes before this line are in {file} on {socket.gethostname()}"
    return f"… {where}\n".encode() + part


def _write(log_dir: Path, node_id: str, call: Any) -> None:
    try:
        parts: dict[str, bytes] = ray.get(call, timeout=_GET_S)
    except RayError as error:
        return LOG.warning("the logs of node %s can't be brought: %s", node_id[:8], first_line(error))
    for name, data in parts.items():
        write_whole(log_dir / f"{Path(name).stem}.{node_id[:8]}.log", data)
