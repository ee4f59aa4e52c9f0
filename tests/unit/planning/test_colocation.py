"""`placement: colocated` in the plan: every core and every GPU is counted once, and what can't share is refused."""

import pytest

from vlaa_ray.config import GrpoConfig
from vlaa_ray.planning.dry_run import examine
from vlaa_ray.planning.placement import Seat, plan


def make(**sections) -> GrpoConfig:
    values = {"run": {"name": "x", "num_steps": 1}, "model": {"path": "m"}, "placement": "colocated", **sections}
    return GrpoConfig.model_validate(values)


def gpus(count: int, **sections) -> GrpoConfig:
    rollout = {"num_actors": count, "gpus_per_actor": 1, "cpus_per_actor": 3} | sections.pop("rollout", {})
    learner = {"num_ranks": count, "gpus_per_rank": 1, "cpus_per_rank": 2} | sections.pop("learner", {})
    return make(rollout=rollout, learner=learner, **sections)


def test_on_the_cpu_both_roles_have_all_cores_of_one_bundle_in_turn() -> None:
    config = make(rollout={"num_actors": 2, "cpus_per_actor": 1}, rewards={"cpus_per_actor": 0.5})
    placement = plan(config)
    assert placement.bundles == {"learner": [{"CPU": 2}], "rollout": [{"CPU": 1}] * 2, "reward": [{"CPU": 0.5}]}
    assert placement.reserved() == [{"CPU": 2}, {"CPU": 0.5}] and placement.total_cpus == 2.5
    assert placement.seat("learner", 0) == Seat(0, {"CPU": 1})
    assert [placement.seat("rollout", index) for index in range(2)] == [Seat(0, {"CPU": 0.5})] * 2
    assert placement.seat("reward", 0) == Seat(1, {"CPU": 0.5})


def test_processes_get_the_threads_of_the_cores_that_they_have_in_turn() -> None:
    working = make(
        rollout={"num_actors": 2, "prompts_per_step": 6}, learner={"num_ranks": 3, "cpus_per_rank": 2}
    ).in_turn()
    assert (working.rollout.cpus_per_actor, working.learner.cpus_per_rank) == (3, 2)  # 6 cores: 2 x 3 = 3 x 2
    split = make(placement="split", rollout={"num_actors": 2})
    assert split.in_turn() is split and plan(split).total_cpus == 1 + 2 + 0.5


def test_every_gpu_holds_one_engine_and_one_rank() -> None:
    placement = plan(gpus(4, rewards={"num_actors": 2, "cpus_per_actor": 1}))
    assert placement.reserved() == [{"CPU": 3, "GPU": 1}] * 4 + [{"CPU": 1}] * 2
    assert (placement.total_cpus, placement.total_gpus) == (14, 4)
    half = {"CPU": 1.5, "GPU": 0.5}
    assert [placement.seat("learner", index) for index in range(4)] == [Seat(index, half) for index in range(4)]
    assert [placement.seat("rollout", index) for index in range(4)] == [Seat(index, half) for index in range(4)]
    assert placement.seat("reward", 1) == Seat(5, {"CPU": 1})


@pytest.mark.parametrize("engines, ranks", [(1, 3), (3, 1), (3, 7), (7, 3), (6, 9)])
def test_the_processes_of_a_bundle_never_need_more_than_it_has(engines, ranks) -> None:
    placement = plan(make(rollout={"num_actors": engines, "prompts_per_step": 63}, learner={"num_ranks": ranks}))
    roles = ("learner", "rollout")
    seats = [placement.seat(role, index) for role in roles for index in range(len(placement.bundles[role]))]
    assert sum(seat.share["CPU"] for seat in seats) <= placement.reserved()[0]["CPU"] + 1e-9


@pytest.mark.parametrize(
    "make_config, reason",
    [
        (lambda: make(max_staleness=1), "needs max_staleness 0 .got 1.: the next step can't be sampled"),
        (lambda: gpus(2, weight_sync={"transport": "nccl"}), "NCCL allows no two processes of a group on one GPU"),
        (lambda: gpus(2, rollout={"gpus_per_actor": 2}), "got 2 and 1.: a GPU holds one engine and one rank"),
        (lambda: gpus(2, rollout={"gpus_per_actor": 0.5}), "got 0.5 and 1"),
        (lambda: gpus(2, learner={"gpus_per_rank": 0}), "got 1 and 0"),
        (lambda: gpus(2, rollout={"num_actors": 4}), "got rollout.num_actors 4 and learner.num_ranks 2"),
    ],
)
def test_what_can_not_share_is_refused_with_the_reason(make_config, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        make_config()


def test_the_dry_run_says_how_devices_are_used() -> None:
    assert examine(make()).work["placement"] == "engines and learner ranks on the same devices, in turn"
    assert examine(make(placement="split")).work["placement"] == "split"
