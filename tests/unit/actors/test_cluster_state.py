"""The line about what Ray's autoscaler is doing, from Ray's own records."""

from types import SimpleNamespace

import pytest
from ray.autoscaler.v2.schema import ClusterStatus, LaunchRequest, NodeInfo, Stats

from actors.fleet import cluster_state


def launch(kind, count, state):
    return LaunchRequest("m5", kind, count, state, request_ts_s=0)


def node(kind):
    return NodeInfo("m5", kind, "i-1", "10.0.0.1")


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ({"stats": Stats(autoscaler_version="0")}, "no autoscaler is running"),
        ({}, "the autoscaler: no node asked for, the limit may be reached"),
        (
            {
                "pending_launches": [launch("spot", 2, LaunchRequest.Status.PENDING)],
                "pending_nodes": [node("spot"), node("on-demand"), node("spot")],
                "failed_launches": [launch("spot", 1, LaunchRequest.Status.FAILED)],
                "failed_nodes": [node("spot")],
            },
            "the autoscaler: 2 spot asked for, 2 spot, 1 on-demand starting, 1 spot refused, 1 spot failed",
        ),
    ],
)
async def test_what_is_asked_for_starting_refused_and_failed(monkeypatch, status, line):
    found = ClusterStatus(**({"stats": Stats(autoscaler_version="7")} | status))
    monkeypatch.setattr("ray.autoscaler.v2.sdk.get_cluster_status", lambda address, timeout: found)
    monkeypatch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(gcs_address="10.0.0.1:6379"))
    monkeypatch.setattr("ray.available_resources", lambda: {"CPU": 3.0})
    assert await cluster_state.free_line() == f"free {{'CPU': 3.0, 'GPU': 0.0}}; {line}"


async def test_an_autoscaler_that_can_not_be_asked_says_why(monkeypatch):
    def fails(address, timeout):
        raise RuntimeError("no answer\nand more")

    monkeypatch.setattr("ray.autoscaler.v2.sdk.get_cluster_status", fails)
    monkeypatch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(gcs_address="10.0.0.1:6379"))
    monkeypatch.setattr("ray.available_resources", dict)
    assert "the autoscaler can't be asked (no answer)" in await cluster_state.free_line()
