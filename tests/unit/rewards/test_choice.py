"""Option letters, in the forms that models and data sets write them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.choice import read_letter, verify_choice


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(b)", "B"),
        ("B)", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        (r"\boxed{\text{B}}", "B"),
        ("$B$", "B"),
        ("B: 50°", "B"),
        ("B. Because A is not valid", "B"),
        ("(B) A cat", "B"),
        ("The answer is (B) 0.25.", "B"),
        ("Answer: B", "B"),
        ("answer: b", "B"),
        ("A looks wrong. The correct option is D", "D"),
        ("the answer is surely D, it can't be A or B", "D"),
        ("it must be C", "C"),
        ("I think it is C", "C"),
        ("I", "I"),
        ("it is A or it is C", None),
        ("A, B, C, D", None),
        ("A B C D", None),
        ("A or B", None),
        ("(A) (B)", None),
        ("50 degrees", None),
        ("Because", None),
        ("", None),
    ],
)
def test_letters(text: str, letter: str | None) -> None:
    assert read_letter(text) == letter


def test_verdicts() -> None:
    assert verify_choice("The answer is (B).", "B) 50°").value == 1.0
    assert verify_choice("C", "B").value == 0.0
    assert verify_choice("A, B, C, D", "B").value == 0.0
    assert not verify_choice("B", "50 degrees").valid


@given(st.sampled_from(string.ascii_uppercase), st.sampled_from(["{}", "({})", "{}.", "Answer: {}", r"\boxed{{{}}}"]))
def test_a_gold_equals_itself_and_no_other_letter(letter: str, form: str) -> None:
    other = "A" if letter != "A" else "B"
    assert verify_choice(form.format(letter), letter).value == 1.0
    assert verify_choice(form.format(letter), other).value == 0.0
