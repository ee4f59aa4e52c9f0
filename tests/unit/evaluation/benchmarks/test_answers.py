"""Where an answer stands in a text, and which option it chooses."""

import pytest

from vlaa_ray.errors import DataError
from vlaa_ray.evaluation.benchmarks.answers import Stated, final_part, stated_answer, without_remark
from vlaa_ray.evaluation.benchmarks.choices import chosen, options_in, options_of
from vlaa_ray.evaluation.benchmarks.values import equal_in_maths, number_in


@pytest.mark.parametrize(
    ("prediction", "text", "marked"),
    [
        ("<think>…</think><answer> B </answer>", "B", True),
        ("<answer>A</answer> or rather <answer>C</answer>", "C", True),
        ("<think>a</think><answer>12 cm", "12 cm", True),
        ("<think>a</think>It is 12 cm.", "It is 12 cm.", False),
        ("thought</think>\n\n12", "12", False),
        ("12\n\nQuestion: How many are left?\nAnswer: 9", "12", False),
        ("<think>12", "", False),
        ("<answer></answer>", "", True),
    ],
)
def test_the_stated_answer(prediction, text, marked):
    assert stated_answer(prediction) == Stated(text, marked)


@pytest.mark.parametrize(
    ("text", "final", "marked"),
    [
        ("We add.\nSo the answer is 7.", "7", True),
        ("The answer to the question is: **8 cm**.", "8 cm", True),
        ("The answer is 5. This answer is correct.", "5", True),
        ("The answer is not 4. The answer is 5.", "5", True),
        ("The answer is 5. The answer isn't 4.", "5", True),
        ("The answer is not 4. We get 5.", "We get 5.", False),
        ("First \\boxed{3}, then \\boxed{4}.", "4", True),
        ("It has 3 legs.", "It has 3 legs.", True),
        ("It has 3 legs. So it is C.", "So it is C.", False),
        ("We get 7. I hope this helps! Let me know if you have other questions.", "We get 7.", True),
        ("Thus 7 remain.\nThe rest is gone, as the picture shows.", "Thus 7 remain.", False),
        ("B\n\nExplanation: A is wrong, and so is C.", "B", True),
        ("答案是 12。", "12。", True),
    ],
)
def test_the_final_part_of_a_text(text, final, marked):
    assert final_part(Stated(text, False)) == Stated(final, marked)


def test_a_remark_behind_a_result_is_left_out():
    assert without_remark("1982 with an income of $931,441") == "1982"
    assert without_remark("7 cm, because 3 + 4 = 7") == "7 cm"
    assert without_remark("with 7 cm") == "with 7 cm"


OPTIONS = {"A": "5 cm", "B": "6 cm", "C": "It cannot be determined", "D": "turn", "E": "turn left"}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("6 cm", "B"),
        ("It is 6 cm long.", "B"),
        ("12/2 cm", "B"),
        ("16 cm", None),
        ("not 6 cm", None),
        ("5 cm or 6 cm", None),
        ("we turn left", "E"),
        ("it cannot be determined.", "C"),
        ("F", None),
        ("A is wrong, so B", "B"),
        ("A or B", None),
        ("", None),
    ],
)
def test_the_option_that_an_answer_chooses(text, letter):
    assert chosen(Stated(text, True), OPTIONS) == letter


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"choices": "['1', '2']"}, {"A": "1", "B": "2"}),
        ({"choices": ["1", 2]}, {"A": "1", "B": "2"}),
        ({"options": '["(A) x", "(B) y"]'}, {"A": "x", "B": "y"}),
        ({"option": "A. x; B. y"}, {"A": "x", "B": "y"}),
        ({"A": "x", "B": "y", "answer": "A"}, {"A": "x", "B": "y"}),
        ({"choices": "[]"}, {}),
        ({"choices": None, "answer_option": "B"}, {}),
        ({}, {}),
    ],
)
def test_options_of_columns(fields, options):
    assert options_of(fields) == options


def test_options_that_cannot_be_read_are_an_error():
    with pytest.raises(DataError, match="can't be read"):
        options_of({"choices": [{"bytes": b"a"}, {"bytes": b"b"}]})
    with pytest.raises(DataError, match="more than 20000 characters"):
        options_of({"choices": "[" + "1," * 20_000 + "]"})


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Find it.\nChoices:\nA:30°\nB:60°", {"A": "30°", "B": "60°"}),
        ("Which? (A) 5 cm (B) 6 cm", {"A": "5 cm", "B": "6 cm"}),
        ("which? ( a ) 5 cm, ( b ) 6 cm. answer : 6", {"A": "5 cm", "B": "6 cm"}),
        ("A person has 3 dogs. B has none.", {}),
    ],
)
def test_options_in_a_question(question, options):
    assert options_in(question) == options


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2π", 6.283185307179586),
        ("3\\pi/2", 4.71238898038469),
        ("-π", -3.141592653589793),
        ("1/4", 0.25),
        ("7 cm", 7.0),
    ],
)
def test_numbers_and_multiples_of_pi(text, number):
    assert float(number_in(text)) == pytest.approx(number, abs=1e-12)


def test_texts_without_a_single_number_state_none():
    assert number_in("1 or 2") is None and number_in("") is None and number_in("pie") is None


def test_formulas_are_compared_whatever_tags_and_layout_they_have():
    assert equal_in_maths("</answer><answer>1/2", "0.5") is True
    assert equal_in_maths("\\frac{3}{4}", "$\\displaystyle \\frac{3}{4}$") is True
    assert equal_in_maths("2", "3") is False
