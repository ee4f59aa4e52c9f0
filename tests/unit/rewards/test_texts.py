"""Texts as people and models write them: verdicts by hand."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.text import texts_of, verify_ocr, verify_text
from vlaa_ray.rewards.verifiers.wording import wording

RIGHT = [
    # marks alone
    ("?", "?"),
    ("？", "?"),
    ("+", "+"),
    ("'?'", "?"),
    ("…", "..."),
    ("$ ? $", "?"),
    ("question mark", ["?", "question mark"]),
    ("😀", "😀"),
    # articles and names
    ("vitamin a", "Vitamin A"),
    ("the Hague", "Hague"),
    ("A cat", "cat"),
    ("It is a cat", "it is cat"),
    ("vitamin a deficiency", "Vitamin A deficiency"),
    ("The Lord of the Rings", "lord of rings"),
    ("an A", "an A"),
    ("the", "The"),
    ("a.m.", "A.M."),
    ("THE RED CAR", "red car"),
    # marks with a meaning
    ("5!", "5!"),
    (">5", "> 5"),
    ("$ 5", "$5"),
    ("[1,2)", "[1, 2)"),
    ("(100,200)", "(100, 200)"),
    ("Stop!", "STOP"),
    ("What?", "what"),
    ("Paris...", "Paris"),
    ("(Paris)", "Paris"),
    ('"Paris"', "Paris"),
    ('"Paris', "Paris"),
    ("C++", "c++"),
    ("-3", "−3"),
    ("3 – 5", "3 - 5"),
    ("Paris", "paris."),
    ("$5", "$5.00"),
    ("5%", "5 %"),
    ("<br>", "<br>"),
    ("<Paris>", "Paris"),
    ("U.S.", "U.S"),
    ("[1, 2]", "1, 2"),
    # CJK
    ("北京！", "北京"),
    ("「北京」。", "北京"),
    ("（北京）", "北京"),
    ("北京", "《北京》"),
    ("北 京", "北京"),
    ("ＢＥＩＪＩＮＧ", "Beijing"),
    ("是，北京", "是, 北京"),
    # layout
    (r"\boxed{\mathrm{Paris}}", "Paris"),
    (r"$\text{Paris}$", "paris"),
    (r"\(\textbf{Paris}\)", "Paris"),
    (r"\[\text{New } \text{York}\]", "New York"),
    (r"\textbf{\text{Paris}}.", "Paris"),
    ("**Paris**", "Paris"),
    ("*Paris*.", "Paris"),
    ("**Paris.**", "Paris"),
    ("`Paris`", "Paris"),
    ("__Paris__", "Paris"),
    ("```\nParis\n```", "Paris"),
    (r"\underline{Paris}", "Paris"),
    (r"\boxed{\textcolor{red}{\text{Paris}}}", "Paris"),
    (r"{\bf Paris}", "Paris"),
    ("<b>Paris</b>", "Paris"),
    ("Paris", r"\text{Paris}"),
    ("Paris", r"$\boxed{\text{Paris}}$"),
    (r"5\%", "5%"),
    (r"\$5", "$5"),
    (r"The answer is \boxed{Paris}", "Paris"),
    # numbers
    ("12", "12.0"),
    ("12.0", 12),
    ("12", 12.0),
    ("1,234", "1234"),
    ("1234", "1,234"),
    (".5", "0.5"),
    ("12.50", "12.5"),
    ("1,234 people", "1234 people"),
    ("three", [3.0, "three"]),
    ("1000000", 1e6),
    ("-3", -3.0),
    ("0", 0),
]
WRONG = [
    ("", "?"),
    (" ", "+"),
    ("", '"'),
    ("", ["?", "question mark"]),
    ("", r"\boxed{}"),
    (r"\boxed{}", "?"),
    (".", "?"),
    ("-", "+"),
    ("<", ">"),
    ("...", "?"),
    ("?", "cat"),
    ("**", "*"),
    ("Vitamin", "Vitamin A"),
    ("vitamin deficiency", "Vitamin A deficiency"),
    ("Plan", "Plan A"),
    ("Plan B", "Plan A"),
    ("An", "A"),
    ("B C", "A B C"),
    ("hepatitis", "hepatitis a"),
    ("frame", "A-frame"),
    ("5", ">5"),
    ("<5", ">5"),
    ("≥5", ">5"),
    ("5", "5!"),
    ("n", "n!"),
    ("5!", "5"),
    (">5", "5"),
    ("(1, 2)", "[1, 2]"),
    ("(1, 2]", "[1, 2]"),
    ("1, 2", "(1, 2)"),
    ("com", ".com"),
    ("5", ".5"),
    ("3", "-3"),
    ("C", "C++"),
    ("C", "C#"),
    ("F", "F#"),
    ("A", "A*"),
    ("A", "A+"),
    ("f", "f'"),
    ("5", "5%"),
    ("5", "$5"),
    ("5", "5°"),
    ("102", "10²"),
    ("1/2 cup", "2 cups"),
    ("br", "<br>"),
    ("15", "1.5"),
    ("7", "007"),
    ("12.5", "12"),
    ("1,235", "1234"),
    ("London", "北京"),
    ("北京", "东京"),
    (r"\text{Rome}", "Paris"),
    ("**Rome**", "Paris"),
    ("True", 1),
]


@pytest.mark.parametrize(("answer", "gold"), RIGHT)
def test_right_texts(answer: str, gold: object) -> None:
    assert verify_text(answer, gold).value == 1.0


@pytest.mark.parametrize(("answer", "gold"), WRONG)
def test_wrong_texts(answer: str, gold: object) -> None:
    assert verify_text(answer, gold).value == 0.0


def test_exact_texts_and_numbers() -> None:
    assert verify_text("3", 3.0, exact=True).value == verify_text("3.0", 3.0, exact=True).value == 1.0
    assert verify_text("", "?", exact=True).value == verify_text("Paris.", "Paris", exact=True).value == 0.0
    assert texts_of([3.0, "three", None, "", float("nan")]) == ["3", "3.0", "three"]
    assert not verify_text("nan", float("nan")).valid


@given(st.text(max_size=40))
def test_every_text_that_is_not_blank_is_its_own_gold_and_never_an_empty_answers(text: str) -> None:
    if text.strip() and "box" not in text:
        assert verify_text(text, text).value == 1.0
        assert wording(text).kept and wording(text).bare
        assert verify_text("", text).value == verify_ocr("", text).value == 0.0


@pytest.mark.parametrize(
    ("answer", "gold", "least", "value"),
    [
        ("ab", "abcd", 0.5, 0.0),  # a distance of exactly one half is too far
        ("abc", "abcd", 0.5, 0.75),
        ("abcx", "abcd", 0.75, 0.0),
        ("abcd", "abcd", 1.0, 1.0),
        ("abc", "abcd", 1.0, 0.0),
        ("ab", "abcd", 0.0, 0.5),
        ("xy", ["abcd", "xyz"], 0.5, 2 / 3),
        ("3", 3.0, 0.5, 1.0),
        ("", r"\boxed{}", 0.0, 0.0),
        (r"\boxed{}", "a", 0.0, 0.0),
        ("ＳＴＯＰ", "STOP", 0.5, 1.0),
        ("stop", "STOP", 0.5, 0.0),
    ],
)
def test_anls(answer: str, gold: object, least: float, value: float) -> None:
    assert verify_ocr(answer, gold, least=least).value == pytest.approx(value)


def test_texts_of_one_character_repeated_take_no_time() -> None:
    for part in "a .,;?!*_$\"'([{<)]}>\\\\1,。\ufdfa\u0301":
        for text in (part * 20_000, (part + "a ") * 6_000, rf"\text{{{part * 10_000}"):
            start = time.process_time()
            verify_text(text, text + "x")
            verify_ocr(text, text[1:] + "x")
            assert time.process_time() - start < 2, part
