"""What ranks that start again have to learn once more, and its shares for fewer ranks."""

from vlaa_ray.elastic.journal import Journal, Learned, merged_part, merged_update
from vlaa_ray.records import OptimizerStep


def step(*groups):
    return OptimizerStep(groups=groups, num_sequences=8, num_tokens=40)


def groups_of(shares):
    return [[one.groups for one in steps] for steps in shares]


def test_calls_since_a_checkpoint_are_repeated_in_order_and_older_ones_forgotten():
    journal = Journal()
    for version in (0, 1, 2):
        journal.add(Learned(version, part=[["a"]]))
        journal.add(Learned(version, update=[[step()]], loss=float(version)))
    assert [(entry.version, entry.loss) for entry in journal.since(1)] == [(1, None), (1, 1.0), (2, None), (2, 2.0)]
    journal.forget_before(2)
    assert [entry.version for entry in journal.since(0)] == [2, 2]
    assert journal.since(3) == []


def test_shares_stay_as_they_are_on_as_many_ranks():
    assert merged_part([["a"], ["b"]], 2) == [["a"], ["b"]]
    assert groups_of(merged_update([[step("a")], [step("b")]], 2)) == [[("a",)], [("b",)]]


def test_fewer_ranks_share_all_groups_of_each_optimizer_step():
    assert merged_part([["a"], ["b", "c"], ["d"], []], 2) == [["a", "d"], ["b", "c"]]
    assert merged_part([["a"], ["b"], ["c"]], 1) == [["a", "b", "c"]]
    shares = [[step("a"), step("d")], [step("b"), step()], [step("c"), step("e")]]
    assert groups_of(merged_update(shares, 2)) == [[("a", "c"), ("d", "e")], [("b",), ()]]
