import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.config import DataSection
from vlaa_ray.data.builtin import BuiltinData
from vlaa_ray.data.dataset import Mixture, open_dataset
from vlaa_ray.data.fingerprint import change_of, fingerprint
from vlaa_ray.data.order import SeededOrder
from vlaa_ray.errors import DataError
from vlaa_ray.records import VERIFIER_TYPES, Defect, Preference


def test_the_order_is_for_ever():
    # recorded: a checkpoint of today must go on with the same prompts in a later version
    order = SeededOrder("abcdef", seed=0)
    assert "".join(order[position] for position in range(12)) == "dcfeab" + "bedacf"


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(0, 2**32), st.integers(0, 5))
def test_every_epoch_is_a_permutation_of_its_own(num_prompts, seed, epoch):
    order = SeededOrder(range(num_prompts), seed)
    first = epoch * num_prompts
    asked = [order[position] for position in range(first, first + num_prompts)]
    assert sorted(asked) == list(range(num_prompts))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(0, 2**32), st.lists(st.integers(0, 400), min_size=1))
def test_a_resumed_order_goes_on_where_it_stopped(num_prompts, seed, positions):
    uninterrupted = SeededOrder(range(num_prompts), seed)
    expected = [uninterrupted[position] for position in range(401)]
    resumed = SeededOrder(range(num_prompts), seed)  # asked from anywhere, in any order
    assert [resumed[position] for position in positions] == [expected[position] for position in positions]


PARTS = st.lists(st.tuples(st.integers(1, 12), st.floats(0.1, 3)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=200)
@given(PARTS, st.integers(0, 2**32), st.data())
def test_a_mixture_resumed_anywhere_goes_on_as_if_never_stopped(parts, seed, data):
    def start():
        items = [[(number, place) for place in range(size)] for number, (size, _) in enumerate(parts)]
        mixture = Mixture(items, [weight for _, weight in parts])
        return SeededOrder(mixture, seed), mixture

    order, mixed = start()
    epoch = len(mixed)
    end = 3 * epoch + 1
    uninterrupted = [order[position] for position in range(end)]
    ends_of_epochs = st.sampled_from([epoch, 2 * epoch, 3 * epoch])
    stops = sorted(data.draw(st.lists(st.integers(0, end) | ends_of_epochs, max_size=6)))
    resumed = []
    for first, last in pairwise([0, *stops, end]):
        order, _ = start()
        resumed += [order[position] for position in range(first, last)]
    assert resumed == uninterrupted
    for number in range(3):
        assert Counter(uninterrupted[number * epoch : (number + 1) * epoch]) == Counter(mixed)


def test_seeds_and_epochs_differ():
    orders = [SeededOrder(range(1000), seed) for seed in (0, 1)]
    runs = [[order[position] for position in range(first, first + 1000)] for order in orders for first in (0, 1000)]
    assert all(a != b for i, a in enumerate(runs) for b in runs[:i])


def test_the_built_in_data_with_limits_and_types():
    data = open_dataset("builtin:train", DataSection(verifier_types=("mcq", "iou")), 7)
    assert len(data) == 7
    assert [prompt.verifier_type for prompt in data] == ["mcq", "iou"] * 3 + ["mcq"]
    assert list(data) == [BuiltinData("train", ("mcq", "iou"))[index] for index in range(7)]
    with pytest.raises(IndexError):
        data[7]
    assert len(open_dataset("builtin:heldout", DataSection(), 10_000)) == 1_000
    with pytest.raises(DataError, match="no built-in split"):
        open_dataset("builtin:test", DataSection(), None)
    with pytest.raises(DataError, match="no prompt is left"):
        open_dataset("builtin:train", DataSection(verifier_types=()), None)


def test_a_mixture_takes_each_part_as_often_as_its_weight_says():
    mixture = Mixture(["abcd", "xy", "ij"], [0.5, 2, 1])
    assert len(mixture) == 2 + 4 + 2
    assert [mixture[index] for index in range(len(mixture))] == ["a", "c", "x", "y", "x", "y", "i", "j"]
    for index in (-1, 8):
        with pytest.raises(IndexError):
            mixture[index]


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0.1, 3)), min_size=1, max_size=5))
def test_every_item_of_a_mixture_comes_as_often_as_any_other_of_its_part_but_for_one(parts):
    mixture = Mixture(
        [[(number, place) for place in range(size)] for number, (size, _) in enumerate(parts)],
        [weight for _, weight in parts],
    )
    seen = Counter(mixture)
    for number, (size, weight) in enumerate(parts):
        times = [seen[number, place] for place in range(size)]
        assert max(times) - min(times) <= 1
        assert sum(times) == max(1, round(size * weight))


def test_files_and_built_in_data_are_mixed_by_the_config(tmp_path):
    rows = [{"problem": "?", "answer": str(number), "source": "ab"[number % 2]} for number in range(10)]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    train = (
        {"path": str(tmp_path / "data.json"), "weight": 2, "max_per_source": 3, "verifier_type": "number"},
        {"path": "builtin:train", "weight": 0.001},
    )
    data = DataSection.model_validate({"train": train})
    prompts = list(open_dataset(data.train, data, None))
    assert [prompt.gold for prompt in prompts[:12]] == list("012345") * 2
    assert {prompt.verifier_type for prompt in prompts[:12]} == {"number"}
    assert len(prompts) == 12 + 20 and len({prompt.prompt_id for prompt in prompts[12:]}) == 20


def test_held_out_data_is_read_by_itself_also_where_a_mixture_names_it(tmp_path):
    file = tmp_path / "data.json"
    file.write_text(json.dumps([{"problem": "?", "answer": str(number)} for number in range(10)]))
    part = {"path": str(file), "max_per_source": 3, "verifier_type": "digit"}
    data = DataSection.model_validate({"train": [part], "heldout": str(file)})
    assert len(open_dataset(data.train, data, None)) == 3
    assert [one.verifier_type for one in open_dataset(data.heldout, data, None)] == ["math"] * 10


def test_a_changed_data_set_has_another_fingerprint():
    data = [BuiltinData("train")[index] for index in range(100)]
    before = fingerprint(data)
    assert before == fingerprint(list(data)) and before["num_prompts"] == 100
    for changed in (data[:-1], [*data[:-1], replace(data[-1], gold="other")], data[::-1]):
        assert fingerprint(changed) != before


def test_one_changed_record_of_many_is_noticed_wherever_it_is(tmp_path):
    rows = [{"problem": f"{number}?", "answer": str(number)} for number in range(3000)]

    def digest(changed=None, weight=1.0):
        mine = rows if changed is None else [*rows[:changed], rows[changed] | {"answer": "other"}, *rows[changed + 1 :]]
        (tmp_path / "data.json").write_text(json.dumps(mine))
        one = {"path": str(tmp_path / "data.json"), "weight": weight}
        data = DataSection.model_validate({"train": [one, {"path": "builtin:train"}] if weight != 1 else one["path"]})
        return fingerprint(open_dataset(data.train, data, None))["sha256"]

    data = DataSection.model_validate({"train": [{"path": str(tmp_path / "data.json")}, {"path": "builtin:heldout"}]})
    found = []
    for changed in (None, 7):
        digest(changed)
        found.append(fingerprint(open_dataset(data.train, data, None)))
    assert f"checkpoint ({tmp_path / 'data.json'}): " in change_of(*found)
    digest()
    limited = [fingerprint(open_dataset(str(tmp_path / "data.json"), DataSection(), 2500))]
    digest(5)
    limited.append(fingerprint(open_dataset(str(tmp_path / "data.json"), DataSection(), 2500)))
    assert f"checkpoint ({tmp_path / 'data.json'}): 2500 prompts then" in change_of(*limited)
    assert digest() == digest()
    assert len({digest(), *(digest(place) for place in (0, 1, 1234, 2998, 2999))}) == 6
    assert digest(weight=2.0) == digest(weight=2.0)
    assert len({digest(weight=2.0), digest(1234, weight=2.0), digest(weight=3.0)}) == 3


def test_a_few_bad_records_are_left_out_and_listed_and_many_end_the_run(tmp_path):
    rows = [{"problem": "?", "answer": str(number)} for number in range(20)]
    rows[4] = {"problem": "?"}
    (tmp_path / "data.json").write_text(json.dumps(rows))
    quarantine = []
    data = DataSection(train=str(tmp_path / "data.json"))
    prompts = open_dataset(data.train, data, None, quarantine=quarantine)
    assert len(prompts) == 19
    assert [(one.row, one.id) for one in quarantine] == [(5, "data.json:5")]
    strict = data.model_copy(update={"max_bad_share": 0.01})
    with pytest.raises(DataError, match=r"lacks a field.*row=5.*bad=1.*records=20"):
        open_dataset(data.train, strict, None, quarantine=[])
    with pytest.raises(DataError, match=r"lacks a field.*row=5"):  # nobody would hear of them
        open_dataset(data.train, data, None)


def test_records_without_a_worked_answer_are_left_out_where_one_is_learned(tmp_path) -> None:
    rows = [{"id": n, "question": "?", "image": None, "gt": n, "answer": f"<answer>{n}</answer>"} for n in range(40)]
    rows[3].pop("answer")
    file = tmp_path / "data.json"
    file.write_text(json.dumps([row | {"verifier_type": "digit"} for row in rows]))
    quarantine: list[Defect] = []
    assert len(open_dataset(str(file), DataSection(), None, quarantine=quarantine)) == 40
    assert len(open_dataset(str(file), DataSection(), None, quarantine=quarantine, solved=True)) == 39
    assert [(one.row, one.reason) for one in quarantine] == [(4, "the record has no worked answer to learn from")]
    with pytest.raises(DataError, match=r"no worked answer.*row=4.*bad=1"):
        open_dataset(str(file), DataSection(), None, solved=True)


def test_changed_answers_are_noticed_too():
    train = BuiltinData("train")
    prompts = [train[index] for index in range(10)]
    others = [*prompts[:-1], replace(prompts[-1], solution="<answer>?</answer>")]
    pairs = [Preference(prompt=prompt, answers=("a", "b"), worths=(1.0, 0.0)) for prompt in prompts]
    swapped = [*pairs[:-1], replace(pairs[-1], answers=("b", "a"))]
    assert len({fingerprint(items, solved=True)["sha256"] for items in (prompts, others, pairs, swapped)}) == 4
    assert fingerprint(prompts) == fingerprint(others)  # GRPO doesn't learn from them
    assert change_of(fingerprint(prompts), fingerprint(prompts)) is None
    assert change_of(None, fingerprint(prompts)) is None  # it starts
    assert "10 prompts then, 9 now" in change_of(fingerprint(prompts), fingerprint(prompts[1:]))


def test_openings_are_read_from_worked_answers_of_any_format(tmp_path):
    from vlaa_ray.data.openings import read_openings

    def said(text):
        return {"conversations": [{"from": "human", "value": "Say it."}, {"from": "gpt", "value": text}]}

    file = tmp_path / "sft.json"
    rows = [
        said("<think>Let us look first.</think><answer>1</answer>"),
        said("Well, let us see. <answer>2</answer>"),
        {"question": "none"},
    ]
    file.write_text(json.dumps(rows))
    openings = read_openings(DataSection(verifier_types=("iou",)), str(file), 3, VERIFIER_TYPES)
    assert len(openings) == 2
    assert openings.has("let us look at it") and openings.has("well let us go") and not openings.has("let us see")
