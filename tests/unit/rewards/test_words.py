"""Answers that are words, letters or measured numbers."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.digit import verify_digit
from vlaa_ray.rewards.verifiers.letters import verify_letters
from vlaa_ray.rewards.verifiers.lists import verify_list
from vlaa_ray.rewards.verifiers.number import verify_number
from vlaa_ray.rewards.verifiers.text import verify_ocr, verify_text
from vlaa_ray.rewards.verifiers.wording import normalised

TEXT = st.text(max_size=40)


@pytest.mark.parametrize(
    ("answer", "gold", "value"),
    [
        ("The Eiffel Tower.", "eiffel tower", 1),
        ("“Paris”", ["Lyon", "paris"], 1),
        ("ＡＢＣ", "abc", 1),
        (r"\boxed{red}", "Red", 1),
        ("red and blue", "red", 0),
        ("-3", "3", 0),
        ("15", "1.5", 0),
        ("A", "a", 1),
        ("", "red", 0),
    ],
)
def test_text(answer: str, gold: object, value: float) -> None:
    assert verify_text(answer, gold).value == value


def test_exact_text_and_golds_that_are_none() -> None:
    assert verify_text("Red", "red", exact=True).value == 0.0
    assert verify_text(" red\n", "red", exact=True).value == 1.0
    for gold in (None, "", [], [None], {}):
        assert not verify_text("red", gold).valid and not verify_ocr("red", gold).valid


def test_ocr_by_hand() -> None:
    assert verify_ocr("STOP", "ST0P").value == 0.75  # one of four is another
    assert verify_ocr("kitten", "sitting").value == pytest.approx(1 - 3 / 7)  # Levenshtein's own example
    assert verify_ocr("kitten", ["cat", "kitten"]).value == 1.0
    assert verify_ocr("abc", "xyz").value == 0.0
    assert verify_ocr("STOP", "ST0P", least=0.8).value == 0.0


@given(TEXT, TEXT)
def test_ocr_is_symmetric_and_one_only_for_the_same_text(a: str, b: str) -> None:
    assume(a.strip() and b.strip() and "box" not in a + b)
    one, other = verify_ocr(a, b).value, verify_ocr(b, a).value
    assert one == pytest.approx(other) and 0 <= one <= 1


@pytest.mark.parametrize(
    ("answer", "gold", "value"),
    [
        ("a cat, the dog and birds", ["Dog", "cat", "birds"], 1),
        ("cat; dog", "dog\ncat", 1),
        ("cat", "cat, dog", 2 / 3),
        ("cat, dog, fish, bird", "cat, dog", 4 / 6),
        ("cat, cat, cat", "cat", 2 / 4),
        ("1,000, 2,000", ["2,000", "1,000"], 1),
        ("fish", "cat, dog", 0),
        ("", "cat", 0),
    ],
)
def test_list(answer: str, gold: object, value: float) -> None:
    assert verify_list(answer, gold).value == pytest.approx(value)
    assert not verify_list(answer, " ").valid


@pytest.mark.parametrize(
    ("answer", "gold", "value", "partial"),
    [
        ("AC", "AC", 1, 1),
        ("(C) and (A)", "A, C", 1, 1),
        ("C, A", ["A", "C"], 1, 1),
        ("The answers are A and C.", "AC", 1, 1),
        ("A", "AC", 0, 1 / 2),
        ("A, B, C, D, E", "AC", 0, 2 / 5),
        ("BD", "AC", 0, 0),
        ("a cat", "AC", 0, 0),
        ("", "A", 0, 0),
    ],
)
def test_letters(answer: str, gold: object, value: float, partial: float) -> None:
    assert verify_letters(answer, gold).value == value
    assert verify_letters(answer, gold, partial_credit=True).value == pytest.approx(partial)
    assert not verify_letters(answer, "which one?").valid


def test_numbers_within_a_tolerance() -> None:
    assert verify_number("about 12.4 cm", 12.5, rel_tol=0.05).value == 1.0
    assert verify_number("11.8", 12.5, rel_tol=0.05).value == 0.0
    assert verify_number("11.875", 12.5, rel_tol=0.05).value == 1.0  # the edge is inside
    assert verify_number("31°", "30 degrees", abs_tol=1).value == 1.0
    assert verify_number("12.5", "12.5").value == verify_number("1,250", 1250).value == 1.0
    assert verify_number("12.51", "12.5").value == 0.0
    assert verify_number("25%", 0.25).value == verify_number("0.25", "25%").value == verify_number("25%", 25).value == 1
    assert verify_number("25%", "0.25%").value == 0.0
    assert not verify_number("3", "many").valid


def test_counts_that_are_nearly_right() -> None:
    assert verify_digit("8", 10, partial_credit=True).value == pytest.approx(0.8)
    assert verify_digit("25", 10, partial_credit=True).value == 0.0
    assert verify_digit("10", 10, partial_credit=True).value == 1.0
    assert verify_digit("1", 0, partial_credit=True).value == 0.0
    assert verify_digit("8", 10).value == 0.0


@given(TEXT)
def test_normalising_twice_changes_nothing_more_for_plain_words(text: str) -> None:
    words = " ".join(word for word in text.split() if word.isascii() and word.isalpha())
    once = normalised(words)
    assert "  " not in once and once == once.strip().casefold()


@pytest.mark.parametrize(("answer", "value"), [("[2, 1, 3]", 1.0), ("2; 1; 3", 1.0), ("1, 2, 3", 0.0), ("2, 1", 0.0)])
def test_an_ordered_list_has_its_items_in_their_order(answer, value) -> None:
    assert verify_list(answer, "[2, 1, 3]", ordered=True).value == value
    assert verify_list(answer, [2, 1, 3], ordered=True).value == value
