"""The keys of a pool's size: what leaves them out, and what they refuse."""

import pytest
from pydantic import ValidationError

from vlaa_ray.config import GrpoConfig, PoolSection


@pytest.mark.parametrize(
    ("values", "sizes"),
    [
        ({}, (1, 1, 1)),
        ({"num_actors": 4}, (4, 4, 4)),
        ({"max": 4}, (1, 1, 4)),
        ({"num_actors": 3, "max": 4}, (3, 3, 4)),
        ({"min": 2}, (2, 2, 2)),
        ({"num_actors": 4, "min": 2}, (2, 4, 4)),
        ({"num_actors": 9, "min": 2, "max": 4}, (2, 4, 4)),
        ({"num_actors": 1, "min": 2, "max": 4}, (2, 2, 4)),
    ],
)
def test_smallest_first_and_largest(values, sizes):
    section = PoolSection.model_validate(values)
    assert (section.smallest, section.first, section.largest) == sizes


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"rollout": {"min": 3, "max": 2}}, "min \\(3\\) is above max \\(2\\)"),
        ({"rollout": {"nodes": {"fallback": "on-demand"}}}, "fallback needs prefer"),
        ({"learner": {"num_ranks": 2, "min_ranks": 3}}, "min_ranks \\(3\\) is above num_ranks \\(2\\)"),
        ({"learner": {"num_ranks": 2, "min_ranks": 1, "zero_stage": 2}}, "needs zero_stage 0"),
        ({"placement": "colocated", "rollout": {"max": 2}}, "needs as many engines as it began with"),
        (
            {
                "rollout": {"max": 2, "gpus_per_actor": 1},
                "learner": {"gpus_per_rank": 1},
                "weight_sync": {"transport": "nccl"},
            },
            "would break a broadcast over NCCL",
        ),
    ],
)
def test_settings_that_can_not_be_are_refused(sections, message):
    values = {"run": {"name": "t", "num_steps": 1}, "model": {"path": "none"}, **sections}
    with pytest.raises(ValidationError, match=message):
        GrpoConfig.model_validate(values)
