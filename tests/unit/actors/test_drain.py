"""The drain of the node that a command runs on, told to a stand-in of Ray's control store."""

import time
from types import SimpleNamespace

import pytest
from ray.core.generated import autoscaler_pb2, gcs_pb2

from actors.drivers import drain
from vlaa_ray.errors import PlacementError

ALIVE, DEAD = gcs_pb2.GcsNodeInfo.ALIVE, gcs_pb2.GcsNodeInfo.DEAD


class Id(bytes):
    pass


class Client:
    def __init__(self, nodes, answer=(True, "")):
        self._nodes, self._answer, self.drained = nodes, answer, []

    def get_all_node_info(self, timeout):
        infos = {Id(name.encode()): state for name, state in self._nodes.items()}
        return {
            key: SimpleNamespace(node_manager_address=address, state=state) for key, (address, state) in infos.items()
        }

    def drain_node(self, node, reason, message, deadline_ms, timeout):
        self.drained.append((node, reason, message, deadline_ms))
        return self._answer


@pytest.fixture
def ray_with(monkeypatch):
    def make(nodes, **options):
        client = Client(nodes, **options)
        monkeypatch.setattr(drain, "GcsClient", lambda address: client)
        monkeypatch.setattr(drain, "canonicalize_bootstrap_address_or_die", lambda address: "10.0.0.1:6379")
        return client

    return make


def test_the_living_node_on_this_machine_is_drained_with_its_deadline(ray_with):
    client = ray_with({"old": ("127.0.0.1", DEAD), "other": ("192.0.2.7", ALIVE), "mine": ("127.0.0.1", ALIVE)})
    assert drain.drain_own_node(118.0, "AWS spot: terminate") == b"mine".hex()
    ((node, reason, message, deadline_ms),) = client.drained
    assert (node, message) == (b"mine".hex(), "AWS spot: terminate")
    assert reason == autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    assert 110 < deadline_ms / 1000 - time.time() <= 118


def test_a_machine_without_a_node_of_ray_says_so(ray_with):
    ray_with({"other": ("192.0.2.7", ALIVE)})
    with pytest.raises(PlacementError, match="no Ray node runs on this machine"):
        drain.drain_own_node(30, "")


def test_a_drain_that_is_refused_says_why(ray_with):
    ray_with({"mine": ("127.0.0.1", ALIVE)}, answer=(False, "the node is busy"))
    with pytest.raises(PlacementError, match="the node is busy"):
        drain.drain_own_node(30, "")
