"""A real Ray that is told of two GPUs: an engine and a rank with the same number see the same one, and no other."""

import os

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


class Process:
    """Stands where an engine or a rank would."""

    def gpus(self):
        return os.environ["CUDA_VISIBLE_DEVICES"]


@pytest.fixture
def own_ray():
    import ray

    from actors.process.own_ray import start_own_ray

    start_own_ray(num_cpus=8, num_gpus=2, object_store_memory=80 << 20, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


async def test_engine_and_rank_share_a_gpu(own_ray) -> None:
    from actors.fleet.placement import Reservation
    from vlaa_ray.config import GrpoConfig
    from vlaa_ray.planning.placement import plan

    config = GrpoConfig.model_validate(
        {
            "run": {"name": "x", "num_steps": 1},
            "model": {"path": "m"},
            "placement": "colocated",
            "rollout": {"num_actors": 2, "gpus_per_actor": 1, "cpus_per_actor": 3},
            "learner": {"num_ranks": 2, "gpus_per_rank": 1},
        }
    )
    reservation = Reservation(plan(config))
    await reservation.wait(60, print)
    seats = [(role, index) for role in ("learner", "rollout") for index in range(2)]
    actors = [own_ray.remote(Process).options(**reservation.options(role, index)).remote() for role, index in seats]
    rank_0, rank_1, engine_0, engine_1 = own_ray.get([actor.gpus.remote() for actor in actors], timeout=60)
    assert {rank_0, rank_1} == {"0", "1"} and (engine_0, engine_1) == (rank_0, rank_1)
    own_ray.kill(actors[2])  # a new engine takes the place of a lost one
    again = own_ray.remote(Process).options(**reservation.options("rollout", 0)).remote()
    assert own_ray.get(again.gpus.remote(), timeout=60) == rank_0
