"""The drain of the node that this process runs on, as Ray's own `ray drain-node` does it."""

from __future__ import annotations

import time

import psutil
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated import autoscaler_pb2, gcs_pb2

from vlaa_ray.errors import PlacementError

_ANSWER_S = 15.0


def drain_own_node(leave_s: float, reason: str) -> str:
    """Tell Ray that this node goes in `leave_s` seconds, and return the node's id.

    Raises:
        PlacementError: there is no Ray node on this machine, or Ray refuses.

    """
    client = GcsClient(address=canonicalize_bootstrap_address_or_die(None))
    node = own_node(client)
    deadline_ms = int((time.time() + leave_s) * 1000)
    preemption = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    accepted, refusal = client.drain_node(node, preemption, reason, deadline_ms, _ANSWER_S)
    if not accepted:
        raise PlacementError(f"Ray does not drain the node: {refusal}", node=node)
    return node


def own_node(client: GcsClient) -> str:
    """Return the id of the Ray node on this machine."""
    addresses = {address.address for found in psutil.net_if_addrs().values() for address in found}
    for node_id, info in client.get_all_node_info(_ANSWER_S).items():
        if info.state == gcs_pb2.GcsNodeInfo.ALIVE and info.node_manager_address in addresses:
            return str(node_id.hex())
    raise PlacementError("no Ray node runs on this machine", fix="start this command beside `ray start`")
