"""What Ray Train's processes are told before they start."""

import os
from types import SimpleNamespace

import pytest
import ray
from ray.train.v2._internal.constants import get_env_vars_to_propagate

from actors.fleet.ray_train_ranks import own_cluster_known


@pytest.mark.parametrize("before", [None, "10.0.0.9:6379"])
def test_the_controller_knows_its_own_cluster_and_the_driver_is_left_as_it_was(monkeypatch, before):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if before:
        monkeypatch.setenv("RAY_ADDRESS", before)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address="127.0.0.1:7001"))
    with own_cluster_known():
        assert get_env_vars_to_propagate()["RAY_ADDRESS"] == "127.0.0.1:7001"
    assert os.environ.get("RAY_ADDRESS") == before
