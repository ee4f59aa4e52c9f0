"""Counting: the answer's number against the gold's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.digit import verify_digit


@pytest.mark.parametrize(
    ("answer", "gold", "value"),
    [
        ("3", 3, 1.0),
        (" 3. ", "3", 1.0),
        ("There are 2 red and 1 blue, so 3 in all", 3, 1.0),
        (r"\boxed{3}", 3, 1.0),
        ("three", 3, 1.0),
        ("3.0", 3, 1.0),
        ("1,000", 1000, 1.0),
        ("-3", -3, 1.0),
        ("range A-3", 3, 1.0),
        ("13", 3, 0.0),
        ("3.5", 3, 0.0),
        ("3", 13, 0.0),
        ("v3", 3, 0.0),
        ("", 3, 0.0),
        ("0 1 2 3 4 5 6 7 8 9", 9, 0.0),
        ("9" * 300_000, 9, 0.0),
    ],
)
def test_values(answer: str, gold: int | str, value: float) -> None:
    result = verify_digit(answer, gold)
    assert (result.value, result.valid) == (value, True)
    assert value == 1.0 or result.reason


@pytest.mark.parametrize("gold", ["", "many", "2 or 3", None, True, [3], float("nan"), float("inf")])
def test_a_gold_without_one_number_is_invalid(gold: object) -> None:
    result = verify_digit("3", gold)
    assert result.value is None and not result.valid and "gold" in result.reason


@given(st.integers(-10_000, 10_000))
def test_a_gold_equals_itself(gold: int) -> None:
    assert verify_digit(f"The answer is {gold}.", gold).value == 1.0
