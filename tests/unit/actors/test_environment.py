"""The environment variables of the roles' processes."""

import pytest

from actors.process.environment import role_environment

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
