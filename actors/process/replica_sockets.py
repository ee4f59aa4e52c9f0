"""The port that Ray Serve opens in each replica for calls of other replicas, kept off the network's other interfaces.

Serve 2.60 opens it on all interfaces, without a key, and unpickles what it receives there. In a Ray that a command
started for itself the node's address is 127.0.0.1, so that no other machine reaches the port.
"""

from __future__ import annotations

from typing import Any

import ray
from ray.serve._private import replica

_ALL_INTERFACES = "[::]"


def listen_on_node_address() -> None:
    """Let Serve open the port of this process on the node's address alone; called before the replica is ready."""
    address = ray.util.get_node_ip_address()
    host = f"[{address}]" if ":" in address else address
    add_port = replica.add_port_to_grpc_server

    def add_port_of_node(server: Any, asked: str) -> int:
        return int(add_port(server, asked.replace(_ALL_INTERFACES, host)))

    replica.add_port_to_grpc_server = add_port_of_node
