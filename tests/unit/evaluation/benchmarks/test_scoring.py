"""The rules of each benchmark on answers whose verdict can be told by hand."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.errors import ConfigError
from vlaa_ray.evaluation import score_row
from vlaa_ray.evaluation.benchmarks import BENCHMARKS

CHOICE = {"question_type": "multi_choice", "answer_type": "text", "answer": "8 cm", "answer_option": "C"}
CHOICE |= {"choices": "['6 cm', '7 cm', '8 cm', '10 cm']"}


def verdict(benchmark, fields, prediction):
    score = score_row(benchmark, fields, prediction)
    assert (score.settled_by == "rule") == (score.correct is not None)
    assert score.correct or score.reason
    return score.correct


@pytest.mark.parametrize(
    ("prediction", "correct"),
    [
        ("<think>So A? No.</think><answer>C</answer>", True),
        ("<think>C</think><answer>B</answer>", False),
        ("<answer>(C) 8 cm</answer>", True),
        ("<answer>8 cm</answer>", True),
        ("<answer>16/2 cm</answer>", True),
        ("<answer>7 cm</answer>", False),
        ("<answer>\\boxed{C}</answer>", True),
        ("The correct answer is (C) 8 cm.", True),
        ("A is too short and B is too, so the answer is C.", True),
        ("We add 3 and 5.\n\nTherefore, the length is 8 cm. I hope this helps! Let me know if you need more.", True),
        ("<answer>C", True),  # a stop text or the limit of tokens has cut the end off
        ("<answer>Both A and C</answer>", None),
        ("<answer>9 cm</answer>", None),  # no option: a judge may tell
        ("I can't see the picture.", None),
        ("", False),
        ("  \n", False),
        ("<think>It must be C", False),  # the thought never ended
        ("<think>It is C.</think>", False),
    ],
)
def test_a_choice_of_mathvista(prediction, correct):
    assert verdict("MathVista", CHOICE, prediction) is correct


def test_options_with_the_same_text_are_the_same_answer():
    fields = {"answer": "18", "answer_option": "C", "question_type": "multi_choice", "choices": ["9", "12", "18", "18"]}
    assert verdict("MathVista", fields, "<answer>D</answer>") is True


def test_yes_and_no_may_open_a_sentence():
    fields = {"answer": "No", "answer_option": "B", "question_type": "multi_choice", "choices": "['Yes', 'No']"}
    assert verdict("MathVista", fields, "No, there are fewer red ones (2) than blue ones (4).") is True
    assert verdict("MathVista", fields, "Yes, there are more.") is False
    assert verdict("MathVista", fields, "C) No, there are fewer red ones. The blue ones are more.") is True
    assert verdict("MathVista", fields, "Yes. We see it at once.\nThe blue ones are more.") is False


def test_a_letter_that_is_not_on_offer_stands_before_an_options_text():
    fields = {"answer": "a red cat", "question_type": "multi_choice", "choices": "['a blue dog', 'a red cat']"}
    assert verdict("MathVista", fields, "E. a red cat.") is True
    assert verdict("MathVista", fields, "E. a blue dog.") is False


def test_an_option_named_like_a_letter_comes_before_the_letter():
    fields = {"answer": "sample A", "answer_option": "B", "question_type": "multi_choice"}
    fields |= {"choices": "['neither', 'sample A', 'sample B']"}
    assert verdict("MathVista", fields, "<answer>sample A</answer>") is True
    assert verdict("MathVista", fields, "<answer>B</answer>") is True
    assert verdict("MathVista", fields, "<answer>sample B</answer>") is False


INTEGER = {"question_type": "free_form", "answer_type": "integer", "answer": "14"}
FLOAT = {"question_type": "free_form", "answer_type": "float", "answer": "4.5", "precision": 1}


@pytest.mark.parametrize(
    ("fields", "prediction", "correct"),
    [
        (INTEGER, "<answer>14</answer>", True),
        (INTEGER, "<answer>14.0</answer>", True),
        (INTEGER, "<answer>14.2</answer>", False),  # the official scorer would cut it to 14
        (INTEGER, "<answer>fourteen</answer>", True),
        (INTEGER, "<answer>14 years, because 20 - 6 = 14</answer>", True),
        (INTEGER, "<answer>13 or 14</answer>", None),
        (INTEGER, "We see 20 dogs and 6 leave.\nSo 14 dogs remain.", True),
        (INTEGER, "We see 20 dogs and 6 leave.\nSo 13 dogs remain.", None),  # not marked as the answer
        (INTEGER, "The answer is 13.", False),
        (INTEGER, r"\boxed{2 \times 14 / 2}", True),  # a formula
        (INTEGER, r"<answer>\sqrt{196} cm</answer>", True),
        (INTEGER, r"\boxed{2 \times 13 / 2}", None),  # the rules say right or nothing of it
        (INTEGER, "<answer>a row of 7 and another 14</answer>", None),  # no formula
        (INTEGER, "The answer is not 13. It is 14.", True),
        (INTEGER, "The answer is not 14.", None),
        (FLOAT, "<answer>4.5</answer>", True),
        (FLOAT, "<answer>4.52 m</answer>", True),  # 4.5 after rounding
        (FLOAT, "<answer>4.56</answer>", False),
        (FLOAT, "<answer>9/2</answer>", True),
        ({**FLOAT, "answer": "0.21", "precision": 2.0}, "<answer>0.214</answer>", True),
        ({"answer_type": "float", "answer": "0.21"}, "<answer>0.214</answer>", True),  # the gold's own precision
        ({"answer_type": "list", "answer": "[2007, 2008]"}, "<answer>[2007, 2008]</answer>", True),
        ({"answer_type": "list", "answer": "[2007, 2008]"}, "<answer>[2008, 2007]</answer>", False),
        ({"answer_type": "list", "answer": "[2007, 2008]"}, "<answer>2007 and 2008</answer>", None),
        ({"answer_type": "list", "answer": "[1, 2]"}, "<answer>['1e999999999', 2]</answer>", False),
    ],
)
def test_a_value_of_mathvista(fields, prediction, correct):
    assert verdict("MathVista", fields, prediction) is correct


def test_the_nearest_option_counts_only_in_rows_of_the_official_scorer():
    fields = {"answer": "9π", "choices": ["9π", "6π", "3π"]}
    assert verdict("MathVista", fields, "None of these") is None
    score = score_row("MathVista", fields | {"precision": None}, "None of these")
    assert score.correct is True
    assert "the official scorer takes the nearest by edit distance, '9π'" in score.reason
    assert verdict("MathVista", fields | {"precision": None}, "") is False


FIVE = {"answer": "B", "choices": str([r"$\frac{4\pi}{5}$", r"$\frac{9\pi}{8}$", r"$8 \mathrm{~kg}$", "$2: 1$", "12"])}


@pytest.mark.parametrize(
    ("fields", "prediction", "correct"),
    [
        (FIVE, "<answer>B</answer>", True),
        (FIVE, "b", True),
        (FIVE, r"\boxed{\frac{9\pi}{8}}", True),
        (FIVE, r"So the area is $\boxed{\frac{18\pi}{16}}$.", True),
        (FIVE, "<answer>8 kg</answer>", False),
        (FIVE | {"answer": "C"}, "<answer>8 kg</answer>", True),
        (FIVE | {"answer": "D"}, "<answer>2:1</answer>", True),
        (FIVE, "<answer>13</answer>", None),
        ({"answer": "7"}, "<answer>8, because 3 + 4 = 7</answer>", False),
        ({"answer": "8"}, "<answer>8, because 3 + 4 = 7</answer>", True),
        ({"answer": "1680", "choices": "[]"}, "<answer>1680</answer>", True),
        ({"answer": "1680"}, "<answer>1,680</answer>", True),
        ({"answer": r"$5 \sqrt{3}$", "options": []}, r"<answer>5\sqrt{3}</answer>", True),
        ({"answer": r"\frac{2}{3}"}, "<answer>0.67</answer>", False),  # the official scorer rounds both
        ({"answer": "0.67"}, "<answer>0.6700004</answer>", True),  # within 1e-6
        ({"answer": "0.67"}, "<answer>0.67001</answer>", False),
        ({"answer": "(3,-4)"}, "<answer>(3, -4)</answer>", True),
        ({"answer": "4.5"}, "It is \\frac{9}{2}.\nThe answer is \\boxed{\\frac{9}{2}}", True),
        ({"answer": "56"}, "<answer>__import__('os').system('true')</answer>", False),
    ],
)
def test_mathvision(fields, prediction, correct):
    assert verdict("MathVision", fields, prediction) is correct


VERSE_CHOICE = {"answer": "B", "question_type": "multi-choice", "question": "Look."}
VERSE_CHOICE |= {"question_for_eval": "The angle is ( )\nChoices:\nA:30°\nB:60°\nC:120°"}


@pytest.mark.parametrize(
    ("fields", "prediction", "correct"),
    [
        (VERSE_CHOICE, "<answer>B</answer>", True),
        (VERSE_CHOICE, "<answer>B:60°</answer>", True),
        (VERSE_CHOICE, "<answer>60</answer>", True),
        (VERSE_CHOICE, "<answer>120°</answer>", False),
        (VERSE_CHOICE, "<answer>D</answer>", None),
        ({"answer": "20 cm", "question_type": "free-form"}, "<answer>20</answer>", True),
        ({"answer": "20 cm", "question_type": "free-form"}, "<answer>21</answer>", False),
        ({"answer": "20 cm", "question_type": "free-form"}, "<answer>21, since 20 is too few</answer>", False),
        ({"answer": "20 cm", "question_type": "free-form"}, "<answer>0.2 m</answer>", False),
        ({"answer": "f(x)=x^2-1", "question_type": "free-form"}, "<answer>$x^2-1$</answer>", True),
        ({"answer": "a maximum", "question_type": "free-form"}, "<answer>the peak</answer>", None),
    ],
)
def test_mathverse(fields, prediction, correct):
    assert verdict("MathVerse", fields, prediction) is correct


def short(answer):
    return f'<answer>{{\n "solution": "we see",\n "short answer": {answer}\n}}</answer>'


@pytest.mark.parametrize(
    ("kind", "gold", "prediction", "correct"),
    [
        ("float", "3.142", short('"3.142"'), True),
        ("float", "3.142", short("3.1425"), True),  # within 0.001
        ("float", "3.142", short('"3.1431"'), False),
        ("float", "6.283", short('"2π"'), True),
        ("float", "6.283", short(r'"2\\pi"'), True),
        ("float", "1.571", short('"pi/2"'), True),
        ("float", "0.5", short('"$\\\\frac{1}{2}$"'), True),
        ("float", "0.5", '```json\n{"solution": "…", "short answer": "0.500"}\n```', True),
        ("float", "2.667", r"\boxed{2 \times 2.667 / 2}", True),
        ("float", "2", short('"1 or 2"'), None),
        ("float", "2", short('"none"'), None),
        ("multiple choice", "C", short('"C"'), True),
        ("multiple choice", "C", short('"C. 8 cm"'), True),
        ("multiple choice", "C", short('"D"'), False),
        ("multiple choice", "C", "<answer>C</answer>", True),
        ("text", "even", short('"Even"'), True),
        ("text", "even", short('"e"'), False),  # VLMEvalKit takes any part of the gold
        ("text", "even", short('""'), False),
        ("text", "even", short('"It is even."'), True),
        ("text", "even", "It is not odd, but even.", None),
        ("text", "even", short('"uneven"'), False),
        ("text", "(3, 4)", short('"(3,4)"'), True),
        ("text", "even", "", False),
    ],
)
def test_dynamath(kind, gold, prediction, correct):
    fields = {"answer_type": kind, "answer": gold, "question": "What is it? (A) 1 (B) 2 (C) 3 (D) 4"}
    assert verdict("DynaMath", fields, prediction) is correct


WE_MATH = {"answer": "B", "A": "5 cm", "B": "6 cm", "C": "No correct answer", "key": "2steps_1", "ID": 1}


@pytest.mark.parametrize(
    ("prediction", "correct"),
    [
        ("<answer>B</answer>", True),
        ("<Thought process>: I add.\n<Answer>: B", True),
        ("<answer>6 cm</answer>", True),
        ("<answer>A. 5 cm</answer>", False),
        ("<answer>No correct answer</answer>", False),
        ("<answer>G</answer>", None),
        ("It depends.", None),
    ],
)
def test_we_math(prediction, correct):
    assert verdict("We-Math", WE_MATH, prediction) is correct


@pytest.mark.parametrize(
    ("gold", "prediction", "correct"),
    [
        ("B", "<answer>B</answer>", True),
        ("B", "The answer is (B), 125.6.", True),
        ("B", "Option A has more sides than option D.\nTherefore the answer is (B), a hexagon with six sides.", True),
        ("B", "The answer is not C. It is B.", True),
        ("B", "The answer isn't B.", None),
        ("A, C", "<answer>C and A</answer>", True),
        ("A, C", "<answer>A, C</answer>", True),
        ("A, C", "<answer>A</answer>", False),
        ("A", "<answer>A and C</answer>", False),
        (["a", "c"], "<answer>AC</answer>", True),
        ("3", "<answer>3</answer>", True),
        ("B", "answer: 50. ( a ) 40 % ( b ) 50 %. answer : 50", True),
        ("B", "The weights are not balanced.", None),
        ("", "<answer>A</answer>", None),  # no gold: nothing to settle
    ],
)
def test_logicvista(gold, prediction, correct):
    assert verdict("LogicVista", {"answer": gold, "question": "Which one?"}, prediction) is correct


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_row_without_a_gold_or_with_a_bad_one_is_not_settled_and_says_so(name):
    fields = {"answer_type": "float", "question_type": "multi_choice", "choices": "['a', 'b']", "answer": None}
    score = score_row(name, fields, "<answer>A</answer>")
    assert score.correct is None and "gold" in score.reason and score.settled_by == ""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_an_unknown_prompt_style_is_an_error(name):
    from vlaa_ray.evaluation.benchmarks import Row

    row = Row(index="1", fields={"question": "q", "answer": "A", "answer_type": "text"})
    with pytest.raises(ConfigError, match="unknown prompt style 'mine'"):
        BENCHMARKS[name].question(row, "mine")


FRAGMENTS = st.sampled_from(
    [
        *("<answer>", "</answer>", "<think>", "</think>", "\\boxed{", "}", "(A)", "B", "the answer is ", "not ", "1/0"),
        *('"short answer": ', '"', "[1, 2", "]", "\n", "10^9^9", "%", "Question: ", "\u200b", "\ud800", "{", "π"),
    ]
)
GOLDS = st.sampled_from(["A", "8 cm", "14", "4.5", "[1, 2]", r"\frac{1}{2}", "A, C", "even", "", "inf", "1/0", "nan"])


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(list(BENCHMARKS)), st.lists(FRAGMENTS, max_size=12), GOLDS)
def test_no_text_makes_a_rule_raise_and_the_same_text_has_the_same_verdict(name, parts, gold):
    kind = "float" if gold and gold[0].isdigit() else "text"
    fields = {"answer": gold, "answer_type": kind, "question_type": "free_form", "question": "q"}
    text = "".join(parts)
    score = score_row(name, fields, text)
    assert score == score_row(name, fields, text)
    assert score.correct or score.reason
    assert score.correct is not True or text.strip()


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize(
    "piece", ["(A) ", "\n", "the answer is ", "1 ", "\nQuestion:", '"short answer": "', "\\boxed{"]
)
def test_a_text_of_a_megabyte_is_scored_within_a_second(name, piece):
    fields = {"answer": "A", "answer_type": "text", "question_type": "multi-choice", "choices": "['1', '2']"}
    begin = time.process_time()
    score_row(name, fields, piece * (1_000_000 // len(piece)))
    assert time.process_time() - begin < 1.0
