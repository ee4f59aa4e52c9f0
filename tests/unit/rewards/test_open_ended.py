"""Word overlap, and the paper's reward relative to the reference."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.open_ended import relative_reward, verify_open_ended

_SCORES = st.floats(-100, 100)


def test_word_f1_by_hand() -> None:
    # Words in common: a, cat; precision 2/4, recall 2/3; F1 = 2 * (1/2 * 2/3) / (1/2 + 2/3) = 4/7.
    assert verify_open_ended("A cat on mats", "a black cat").value == pytest.approx(4 / 7)
    # "the" counts once, because the reference has it once.
    assert verify_open_ended("the the the", "the cat").value == pytest.approx(2 / 5)
    assert verify_open_ended("Dog!", "cat").value == 0.0
    assert verify_open_ended("黑猫", "黑狗").value == pytest.approx(0.5)


def test_nothing_to_compare() -> None:
    assert verify_open_ended("…", "a cat").value == 0.0
    assert not verify_open_ended("a cat", " … ").valid


@given(st.text(), st.text())
def test_word_f1_is_symmetric_and_bounded(a: str, b: str) -> None:
    there, back = verify_open_ended(a, b), verify_open_ended(b, a)
    if there.valid and back.valid and "box" not in a + b:
        assert there.value == pytest.approx(back.value)
        assert 0 <= there.value <= 1


def test_relative_reward_by_hand() -> None:
    # The figures of the paper's source with beta = 0.2: a gap of 1 gives 0.18, of 5 gives 0.63.
    assert relative_reward(1.0, 0.0, beta=0.2) == pytest.approx(0.18127, abs=1e-5)
    assert relative_reward(5.76, 0.76, beta=0.2) == pytest.approx(1 - math.exp(-1))
    assert relative_reward(2.0, 2.0, beta=0.2) == 0.0
    assert relative_reward(-2.84, 5.76, beta=0.2) == 0.0
    assert relative_reward(math.nan, 0.0, beta=0.2) == 0.0


@given(_SCORES, _SCORES, _SCORES, st.floats(0.01, 10))
def test_relative_reward_is_monotone_and_below_one(a: float, b: float, reference: float, beta: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= relative_reward(low, reference, beta) <= relative_reward(high, reference, beta) < 1
