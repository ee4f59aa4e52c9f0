"""The reservation of a run's bundles on a Ray cluster of several nodes, made on this machine; no actor is started."""

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def cluster():
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=2)
    cluster.add_node(num_cpus=4)
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes(60)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.parametrize(
    ("cpus_per_rank", "strategies", "on_node"),
    [(1.5, ["STRICT_PACK", "PACK"], [2, 2]), (2.0, ["STRICT_PACK", "PACK"], [2, 2]), (2.5, ["PACK"], None)],
)
async def test_ranks_are_on_the_node_that_can_hold_them_all(cluster, cpus_per_rank, strategies, on_node):
    from ray.util.placement_group import placement_group_table, remove_placement_group

    from actors.fleet.placement import Reservation
    from vlaa_ray.errors import PlacementError
    from vlaa_ray.planning.placement import Placement

    plan = Placement({"learner": [{"CPU": cpus_per_rank}] * 2, "rollout": [{"CPU": 1.0}], "reward": [{"CPU": 0.5}]})
    reservation = Reservation(plan)
    try:
        if on_node is None:  # no node has 5 CPUs, and no two have 2.5 each
            with pytest.raises(PlacementError) as caught:
                await reservation.wait(2, print)
            assert caught.value.facts["needed"] == {"CPU": 6.5, "GPU": 0}
        else:
            await reservation.wait(60, print)
            assert [reservation.num_on_node("learner", rank, 2) for rank in range(2)] == on_node
            assert reservation.num_on_node("rollout", 0, 1) == 1
            strategy = reservation.options("rollout", 0)["scheduling_strategy"]
            assert strategy.placement_group_bundle_index == 0
            assert reservation.options("reward", 0)["scheduling_strategy"].placement_group_bundle_index == 1
        assert [placement_group_table(group)["strategy"] for group in reservation._groups] == strategies
    finally:
        for group in reservation._groups:
            remove_placement_group(group)
