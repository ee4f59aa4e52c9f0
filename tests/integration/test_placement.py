"""The learner's bundles on a Ray cluster of several nodes, made on this machine; no actor is started."""

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def cluster():
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=2)
    cluster.add_node(num_cpus=4)
    for _ in range(2):
        cluster.add_node(num_cpus=1, labels={"ray.io/market-type": "on-demand"})
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes(60)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.parametrize(
    ("cpus_per_rank", "strategy", "on_node"),
    [(1.5, "STRICT_PACK", [2, 2]), (2.0, "STRICT_PACK", [2, 2]), (2.5, "PACK", None)],
)
async def test_ranks_are_on_the_node_that_can_hold_them_all(cluster, cpus_per_rank, strategy, on_node):
    from ray.util.placement_group import placement_group_table

    from actors.fleet.placement import Reservation
    from vlaa_ray.errors import PlacementError
    from vlaa_ray.planning.placement import Placement

    plan = Placement({"learner": [{"CPU": cpus_per_rank}] * 2, "rollout": [{"CPU": 1.0}], "reward": [{"CPU": 0.5}]})
    reservation = Reservation(plan)
    if on_node is None:  # no node has 5 CPUs, and no two have 2.5 each
        with pytest.raises(PlacementError) as caught:
            await reservation.wait(2, print)
        assert caught.value.facts["needed"] == {"CPU": 5.0, "GPU": 0}
        return
    try:
        await reservation.wait(60, print)
        assert [reservation.num_on_node("learner", rank, 2) for rank in range(2)] == on_node
        group = reservation.options("learner", 1)["scheduling_strategy"].placement_group
        assert placement_group_table(group)["strategy"] == strategy
    finally:
        reservation.release()


async def test_ranks_that_start_again_are_on_nodes_that_are_fit_for_the_run(cluster, tmp_path):
    """Two nodes can hold both ranks; the one that they get first sees no data, and so they take the other."""
    from actors.fleet.learner_places import LearnerPlaces
    from vlaa_ray.config import GrpoConfig

    asked, started = [], []

    async def is_fit(node):
        asked.append(node)
        return node != asked[0]

    class Starter:
        def __init__(self, config, log_dir, reservation):
            self._reservation = reservation

        def learner(self, rank):
            started.append(self._reservation.num_on_node("learner", rank, 2))

    values = {"run": {"name": "t", "num_steps": 1}, "model": {"path": "none"}, "learner": {"num_ranks": 2}}
    places = LearnerPlaces(GrpoConfig.model_validate(values), tmp_path, Starter, print, lambda node: False)
    places.is_fit = is_fit
    try:
        await places.reserve()
        await places.respawn()
        first, second = asked
        assert first != second and places.nodes == {second} and started == [2, 2]
    finally:
        places.release()


async def test_a_large_node_of_another_kind_does_not_keep_the_ranks_together(cluster):
    from actors.fleet.placement import Reservation
    from vlaa_ray.planning.placement import Placement

    reservation = Reservation(Placement({"learner": [{"CPU": 1.0}] * 2}), "on-demand")
    try:
        await reservation.wait(60, print)
        assert [reservation.num_on_node("learner", rank, 2) for rank in range(2)] == [1, 1]
    finally:
        reservation.release()
