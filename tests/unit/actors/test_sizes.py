"""The sizes of the pools of a run, from the calls that they made and the wait of the learner."""

from types import SimpleNamespace

import pytest

from actors.fleet.sizes import FleetSizes
from vlaa_ray.config import GrpoConfig


class Pool:
    def __init__(self, size):
        self.target, self.calls_s, self.asked = size, 0.0, []

    def resize(self, size):
        self.target = size
        self.asked.append(size)


def world(**sections):
    config = GrpoConfig.model_validate(
        {
            "run": {"name": "t", "num_steps": 1},
            "model": {"path": "none"},
            "rollout": {"num_actors": 2, "max": 8, "resize_every_s": 0, "prompts_per_step": 4},
            "rewards": {"max": 3, "resize_every_s": 0},
            **sections,
        }
    )
    rollouts, rewards, notes = Pool(config.rollout.first), Pool(config.rewards.first), []
    sizes = FleetSizes(config, SimpleNamespace(pool=rollouts), SimpleNamespace(pool=rewards), notes.append)
    return sizes, rollouts, rewards, notes


async def test_the_pool_that_groups_wait_for_grows_and_never_beyond_the_prompts_in_flight():
    sizes, rollouts, rewards, notes = world()
    for _ in range(8):
        rollouts.calls_s += 9.0
        rewards.calls_s += 1.0
        metrics = sizes.adapt(wait_share=0.8, groups_waiting=0)
    assert rollouts.asked == [3, 4] and not rewards.asked, "four prompts are in flight"
    assert metrics == {
        "load/wait_share": 0.8,
        "load/sampling_share": pytest.approx(0.9),
        "load/groups_waiting": 0,
        "rollout/replicas_wanted": 4,
        "reward/replicas_wanted": 1,
    }
    assert notes[0] == "rollout actors: 2 -> 3 (the learner waits 80% of a step, 0 groups wait for it)"


async def test_the_share_is_that_of_the_calls_since_the_last_step():
    sizes, rollouts, rewards, _ = world()
    rollouts.calls_s = 100.0
    sizes.adapt(wait_share=0.1, groups_waiting=0)
    rewards.calls_s = 10.0
    assert sizes.adapt(wait_share=0.1, groups_waiting=0)["load/sampling_share"] == 0.0
    assert sizes.adapt(wait_share=0.1, groups_waiting=0)["load/sampling_share"] == 0.5, "no call at all"


async def test_a_config_with_a_number_of_actors_alone_keeps_it():
    sizes, rollouts, rewards, notes = world(rollout={"num_actors": 2}, rewards={"num_actors": 3})
    for wait_share in [0.9] * 5 + [0.0] * 5:
        rollouts.calls_s += 1.0
        sizes.adapt(wait_share=wait_share, groups_waiting=99)
    assert not rollouts.asked and not rewards.asked and not notes
