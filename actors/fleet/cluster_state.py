"""The state of the cluster in one line: what is free, and what Ray's autoscaler is doing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import ray
from ray.exceptions import RayError

from actors.process.causes import first_line
from actors.process.deadlines import in_daemon_thread

REPORT_EVERY_S = 30.0
"""The seconds between two lines about a wait for nodes."""
_ANSWER_S = 10


async def free_line() -> str:
    """Return what is free in the cluster, and what its autoscaler is doing, as text."""
    return await in_daemon_thread(_free_line)


def known(resources: dict[str, float]) -> dict[str, float]:
    """Return the CPUs and GPUs of Ray's resources."""
    return {resource: resources.get(resource, 0.0) for resource in ("CPU", "GPU")}


def _free_line() -> str:
    return f"free {known(ray.available_resources())}; {_autoscaler_line()}"


def _autoscaler_line() -> str:
    from ray.autoscaler.v2.sdk import get_cluster_status

    address = ray.get_runtime_context().gcs_address
    try:
        status = get_cluster_status(address, timeout=_ANSWER_S)
    except (RayError, RuntimeError, ValueError) as error:
        return f"the autoscaler can't be asked ({first_line(error)})"
    if status.stats.autoscaler_version in (None, "", "0"):  # none has ever reported a state
        return "no autoscaler is running"
    parts = [
        _counted("asked for", status.pending_launches),
        _counted("starting", status.pending_nodes),
        _counted("refused", status.failed_launches),
        _counted("failed", status.failed_nodes),
    ]
    return "the autoscaler: " + (", ".join(filter(None, parts)) or "no node asked for, the limit may be reached")


def _counted(what: str, entries: list[Any]) -> str:
    """Return such as "2 spot asked for"; an empty text for no entries."""
    counts: Counter[str] = Counter()
    for entry in entries:
        counts[entry.ray_node_type_name] += getattr(entry, "count", 1)
    nodes = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{nodes} {what}" if nodes else ""
