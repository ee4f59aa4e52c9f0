"""The paper's cues, and caps that are a seeded choice."""

import random
from collections import Counter

import pytest
from curating import sample
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vlaa_ray.config import PAPER_CUES, SplitSection
from vlaa_ray.curation.split import Capped, destination, has_cue

SOURCES = ["a", "b", "c"]


def test_the_cues_are_the_papers_to_the_letter():
    listed = ["wait", "again", "double-check", "hmm", "mistake", "alternatively", "check", "i should confirm"]
    assert list(PAPER_CUES) == listed  # arXiv 2504.11468, appendix A.2


@pytest.mark.parametrize(
    ("text", "substring", "word"),
    [
        ("Wait, that is wrong.", True, True),
        ("It leans against the wall.", True, False),  # "again"
        ("A checkered flag.", True, False),  # "check"
        ("The waiter smiles.", True, False),
        ("Two mistakes were made.", True, False),
        ("DOUBLE-CHECK it.", True, True),
        ("a double-checked sum", True, False),
        ("I should confirm this.", True, True),
        ("I  should confirm this.", False, False),
        ("Hmmm.", True, False),
        ("hmm…", True, True),
        ("Three circles.", False, False),
        ("", False, False),
        ("wait_for", True, False),
    ],
)
def test_cues(text, substring, word):
    assert has_cue(text, PAPER_CUES, "substring") is substring
    assert has_cue(text, PAPER_CUES, "word") is word


@given(st.text(max_size=40), st.sampled_from(PAPER_CUES), st.text(max_size=10))
def test_the_papers_rule_is_a_plain_substring(before, cue, after):
    text = before + cue.upper() + after
    assert has_cue(text, PAPER_CUES, "substring") is any(one in text.lower() for one in PAPER_CUES) is True
    assert has_cue(f"{before} {cue} {after}", PAPER_CUES, "word")


def test_letters_of_a_cue_mean_nothing_more():
    assert has_cue("what?", ["t?"], "word") is False and has_cue("a t? b", ["t?"], "word")
    assert not has_cue("abc", ["a.c"], "word") and not has_cue("abc", ["a.c"], "substring")
    assert has_cue("Oh NO", ["No"], "word")
    assert not has_cue("wait", [], "substring")


def test_destinations():
    doubt, calm = "<think>Wait.</think><answer>3</answer>", "<think>So.</think><answer>3</answer>"
    assert destination(sample(solution=doubt), SplitSection()) == "rl"
    assert destination(sample(solution=calm), SplitSection()) == "sft"
    assert destination(sample(solution=calm, use="rl_only"), SplitSection()) == "rl"
    assert destination(sample(solution=doubt, use="as_is"), SplitSection()) == "rl"
    against = "<think>It leans against it.</think><answer>3</answer>"
    assert destination(sample(solution=against), SplitSection()) == "rl"
    assert destination(sample(solution=against), SplitSection(match="word")) == "sft"
    assert destination(sample(solution=doubt), SplitSection(cues=())) == "sft"


def chosen(samples, split, seed):
    """The indices of those that stay."""
    capped = Capped(split, seed)
    for one in samples:
        capped.offer(one, "sft")
    return {one.index for one in samples if capped.keeps(one, "sft")}


@given(
    st.lists(st.sampled_from(SOURCES), max_size=40),
    st.none() | st.integers(0, 12) | st.dictionaries(st.sampled_from(SOURCES), st.integers(0, 12)),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_at_most_so_many_of_each_source_in_any_order_of_arrival(sources, caps, seed, rng):
    samples = [sample(index=number, sample_id=f"s{number}", source=source) for number, source in enumerate(sources)]
    split = SplitSection(max_sft_per_source=caps)
    kept = chosen(samples, split, seed)
    shuffled = rng.sample(samples, len(samples))
    assert chosen(shuffled, split, seed) == kept
    counts, there = Counter(sources[index] for index in kept), Counter(sources)
    for source in SOURCES:
        limit = caps.get(source) if isinstance(caps, dict) else caps
        assert counts[source] == (there[source] if limit is None else min(limit, there[source]))


def test_another_seed_chooses_others_and_none_is_preferred():
    samples = [sample(index=number, sample_id=f"s{number}") for number in range(20)]
    split, counts = SplitSection(max_sft_per_source=5), Counter()
    for seed in range(1000):
        counts.update(chosen(samples, split, seed))
    assert sum(counts.values()) == 5000
    spread = 5 * (0.25 * 0.75 / 1000) ** 0.5  # five standard deviations
    assert all(abs(counts[number] / 1000 - 0.25) < spread for number in range(20))


def test_records_with_one_name_are_not_one_record():
    samples = [sample(index=number, sample_id="same") for number in range(10)]
    assert len(chosen(samples, SplitSection(max_sft_per_source=4), 0)) == 4


def test_each_set_has_its_own_caps():
    capped = Capped(SplitSection(max_sft_per_source=0, max_rl_per_source={"shapes": 1}), 0)
    samples = [sample(index=number) for number in range(3)]
    random.Random(0).shuffle(samples)
    for one in samples:
        capped.offer(one, "sft")
        capped.offer(one, "rl")
    assert [sum(capped.keeps(one, to) for one in samples) for to in ("sft", "rl")] == [0, 1]


@pytest.mark.parametrize("caps", [-1, {"a": -1}])
def test_a_negative_cap_is_refused(caps):
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        SplitSection(max_rl_per_source=caps)
