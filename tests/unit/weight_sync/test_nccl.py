from vlaa_ray.weight_sync.nccl import with_rank_offsets


def test_each_engine_gets_ranks_of_its_own():
    message = {"master_address": "a", "master_port": 1, "rank_offset": 1, "world_size": 7, "packed": True}
    messages = with_rank_offsets(message, num_engines=3, ranks_per_engine=2)
    assert [one["rank_offset"] for one in messages] == [1, 3, 5]
    assert messages[2] == {**message, "rank_offset": 5}
