"""Where processes on several nodes meet: an address and a free port of one of them."""

from __future__ import annotations

import socket

import ray


def meeting_point() -> tuple[str, int]:
    """(address of this node in the cluster, a port that is free on it now)."""
    address = ray.util.get_node_ip_address()
    with socket.socket() as free:
        free.bind((address, 0))
        return address, free.getsockname()[1]
