"""What is odd about golds, by hand."""

import pytest

from vlaa_ray.checks.golds import GoldWatch
from vlaa_ray.data.prompt_checks import faults_of
from vlaa_ray.records import Prompt

OPTIONS = "Which colour?\nA. red\nB. green\nC. blue\nD. grey"


def prompt(kind, gold, question="What is it?", **params):
    return Prompt(prompt_id="p", question=question, gold=gold, verifier_type=kind, source="s", verifier_params=params)


def odd(*made, **params):
    return [oddity.reason for oddity in GoldWatch().oddities(prompt(*made, **params))]


@pytest.mark.parametrize(
    ("gold", "question"),
    [
        ("E", OPTIONS),
        ("(F)", "Which? (A) red (B) green"),
        ("C", "Which?\nA: yes\nB: no"),
        ("E. grey", "A) one B) two C) three D) four"),
        ("d", "Choose.\nA、红\nB、绿\nC、蓝"),
    ],
)
def test_a_letter_beyond_the_options_is_odd(gold, question):
    (reason,) = odd("mcq", gold, question)
    assert "the options of the question end with" in reason


@pytest.mark.parametrize(
    ("gold", "question"),
    [
        ("D", OPTIONS),
        ("E", "Which of the five is it?"),  # the options may stand in the picture
        ("C", "In triangle ABC, A. Smith drew the point E."),
        ("B", "Is it (B) or (C)?"),
        ("a", "A. x\nB. y"),
    ],
)
def test_a_letter_among_the_options_or_without_any_is_not(gold, question):
    assert odd("mcq", gold, question) == []


def test_letters_are_looked_at_one_by_one():
    assert odd("letters", "ABE", OPTIONS) and not odd("letters", "ABD", OPTIONS)


@pytest.mark.parametrize(
    ("kind", "gold"),
    [
        ("text", "Several small squares lie on a plain background."),
        ("text", "The two of them overlap near the edge"),
        ("math", "The triangle is isosceles because two of its sides agree."),
        ("text", "图中有几个不同颜色的小方块排列在背景上面"),
    ],
)
def test_prose_under_an_exact_verifier_is_odd(kind, gold):
    (reason,) = odd(kind, gold)
    assert "prose" in reason and repr(kind) in reason


@pytest.mark.parametrize(
    ("kind", "gold"),
    [
        ("text", "a red bus"),
        ("text", "The Lord of the Rings"),
        ("math", r"\frac{\sqrt{3}}{2}\pi \cdot \text{cm} \times \alpha \beta \gamma \delta"),
        ("open_ended", "Several small squares lie on a plain background of one colour."),
        ("text", ["red", "crimson"]),
        ("text", "红色的公共汽车"),
    ],
)
def test_short_golds_and_prose_for_a_judge_are_not(kind, gold):
    assert odd(kind, gold) == []


def test_a_unit_box_in_a_frame_of_pixels_is_odd():
    (reason,) = odd("iou", [0.1, 0.25, 0.5, 1.0], frame="original_px")
    assert reason == "the gold box [0.1, 0.25, 0.5, 1] has edges from 0 to 1, but its frame is in pixels"
    assert odd("boxes", [{"bbox_2d": [0.1, 0.2, 0.5, 0.9], "label": "x"}], frame="rel1000", gold_frame="resized_px")
    assert not odd("iou", [0.1, 0.25, 0.5, 1.0], frame="unit")
    assert not odd("iou", [0, 0, 50, 90], frame="original_px")


@pytest.mark.parametrize("word", ["None", "nan", "NULL", " n/a ", "<NA>", "NaT", "undefined", "#N/A"])
def test_a_gold_that_says_nothing_is_a_fault_where_no_answer_is_such_a_word(word):
    for kind in ("math", "number", "digit", "mcq"):
        (fault,) = faults_of(prompt(kind, word))
        assert "the gold says nothing" in fault
    assert not list(faults_of(prompt("text", word))) and odd("text", word)
    assert not list(faults_of(prompt("boxes", word)))


@pytest.mark.parametrize("word", ["no solution", "Nancy", "0", "n", "infinity"])
def test_other_words_are_golds(word):
    assert not list(faults_of(prompt("math", word)))


def test_the_commonest_gold_is_told_and_a_share_that_is_too_large_is_odd():
    watch = GoldWatch()
    for number in range(40):
        list(watch.oddities(prompt("mcq", "(a)" if number < 26 else "B. no")))
        list(watch.oddities(prompt("digit", number % 8)))
        list(watch.oddities(prompt("yes_no", "yes" if number < 26 else "no")))
        list(watch.oddities(prompt("iou", [0, 0, 1, 1])))
    commonest = watch.commonest()
    assert commonest["mcq"] == ("A", 26, 40) and commonest["mcq"].share == 0.65
    assert commonest["digit"][1:] == (5, 40) and "iou" not in commonest
    ((oddity, count),) = watch.lopsided()  # two answers of which one is right in 65% are usual
    assert (oddity.reason, count) == ("65% of the 40 golds of mcq are 'A'", 26)
    assert watch.shares()["mcq"] == {"A": 0.65, "B": 0.35}


def test_few_records_are_never_lopsided():
    watch = GoldWatch()
    for _ in range(19):
        list(watch.oddities(prompt("mcq", "A")))
    assert list(watch.lopsided()) == []
