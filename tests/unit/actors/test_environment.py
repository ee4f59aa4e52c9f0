"""The environment variables of the roles' processes."""

import pytest

from actors.process.environment import require_own_gpus, role_environment
from vlaa_ray.errors import PlacementError

ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"


def test_only_a_learner_on_a_gpu_gets_growing_segments():
    assert role_environment("learner", None, 2, 1)[ALLOCATOR] == "expandable_segments:True"
    assert ALLOCATOR not in role_environment("learner", None, 2, 0)


@pytest.mark.parametrize("role", ["rollout", "reward"])
def test_engines_and_scorers_keep_the_usual_allocator(role):
    assert ALLOCATOR not in role_environment(role, None, 2, 1)


def test_a_learner_without_a_gpu_tells_deepspeed():
    assert role_environment("learner", 3, 2, 0)["DS_ACCELERATOR"] == "cpu"
    assert "DS_ACCELERATOR" not in role_environment("learner", 3, 2, 1)


@pytest.mark.parametrize(("value", "refused"), [("1", True), ("True", True), ("0", False), ("", False)])
def test_a_setting_that_puts_all_ranks_on_one_gpu_is_refused(monkeypatch, value, refused):
    monkeypatch.setenv("RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES", value)
    require_own_gpus(0)
    if not refused:
        require_own_gpus(1)
        return
    with pytest.raises(PlacementError) as caught:
        require_own_gpus(1)
    assert caught.value.fix == "unset RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
