import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.errors import WeightSyncError
from vlaa_ray.weight_sync.manifest import Manifest, TensorEntry


def manifest(*sizes: int) -> Manifest:
    return Manifest(tuple(TensorEntry(f"w{index}", "float32", (size,)) for index, size in enumerate(sizes)))


def test_of_reads_names_dtypes_and_shapes_of_meta_tensors():
    with torch.device("meta"):
        named = {"a": torch.empty(3, 4), "b": torch.empty(5, dtype=torch.bfloat16), "c": torch.empty(())}
    made = Manifest.of(named.items())
    assert made.entries == (
        TensorEntry("a", "float32", (3, 4)),
        TensorEntry("b", "bfloat16", (5,)),
        TensorEntry("c", "float32", ()),
    )
    assert [entry.nbytes for entry in made] == [48, 10, 4]
    assert made.nbytes == 62


def test_of_a_state_dict_names_the_tied_head():
    tied = torch.nn.ModuleDict({"embed": torch.nn.Embedding(4, 2), "lm_head": torch.nn.Linear(2, 4, bias=False)})
    tied["lm_head"].weight = tied["embed"].weight
    assert Manifest.of(tied.named_parameters()).names == ["embed.weight"]
    assert Manifest.of(tied.state_dict().items()).names == ["embed.weight", "lm_head.weight"]


def test_buckets_are_cut_in_order_at_the_limit():
    plan = manifest(2, 2, 1, 5, 9, 1).plan_buckets(20)  # of 4-byte items: 8 8 4 | 20 | 36 | 4
    assert [[entry.name for entry in bucket] for bucket in plan] == [["w0", "w1", "w2"], ["w3"], ["w4"], ["w5"]]


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 400))
def test_buckets_keep_every_entry_once_and_in_order(sizes, limit):
    made = manifest(*sizes)
    plan = made.plan_buckets(limit)
    assert [entry for bucket in plan for entry in bucket] == list(made)
    assert all(len(bucket) == 1 or sum(entry.nbytes for entry in bucket) <= limit for bucket in plan)


def test_wire_form_gives_an_equal_manifest():
    made = Manifest.of({"a": torch.empty(3, 4), "b": torch.empty(())}.items())
    assert made.to_wire() == [("a", "float32", [3, 4]), ("b", "float32", [])]
    assert Manifest.from_wire(made.to_wire()) == made


def test_difference_says_who_lacks_what():
    learner = Manifest((TensorEntry("a", "float32", (2,)), TensorEntry("b", "float32", (2,))))
    engine = Manifest((TensorEntry("b", "bfloat16", (2,)), TensorEntry("lm_head.weight", "float32", (2,))))
    assert learner.difference(engine) == (
        "the engine lacks 1: a; the learner lacks 1: lm_head.weight; "
        "different dtype or shape in 1: b: the learner float32[2], the engine bfloat16[2]"
    )


def test_no_difference_whatever_the_order():
    made = manifest(1, 2, 3)
    assert made.difference(Manifest(made.entries[::-1])) == ""
    assert made != Manifest(made.entries[::-1])


def test_a_long_difference_is_cut():
    assert manifest(*[1] * 9).difference(Manifest(())) == "the engine lacks 9: w0, w1, w2, w3, w4, w5, and 3 more"


def test_a_name_twice_and_an_unknown_dtype_are_refused():
    entry = TensorEntry("twin", "float32", (1,))
    with pytest.raises(WeightSyncError, match="twin"):
        Manifest((entry, entry))
    with pytest.raises(WeightSyncError, match="int8"):
        Manifest((TensorEntry("q", "int8", (1,)),))
