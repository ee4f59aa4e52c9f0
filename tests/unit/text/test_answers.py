"""Which text counts as the answer, for every way in which tags can be right or wrong."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.records import NO_ANSWER
from vlaa_ray.text.answers import extract_answer, last_boxed, split_thoughts, unboxed, why_no_answer


@pytest.mark.parametrize(
    ("response", "last", "exactly_one"),
    [
        ("<think>a</think><answer> 3 </answer>", "3", "3"),
        ("<answer>1</answer> no, <answer>2</answer>", "2", None),
        ("<answer>1</answer> so <answer>2", "1", None),
        ("<answer>1<answer>2</answer></answer>", "2", None),
        ("<answer></answer>", "", ""),
        ("3</answer>", None, None),
        ("<answer>3", None, None),
        ("</answer>3<answer>", None, None),
        ("no tags", None, None),
        ("<answer>a\nb</answer>", "a\nb", "a\nb"),
        ("<ANSWER>3</ANSWER>", None, None),
    ],
)
def test_tags(response: str, last: str | None, exactly_one: str | None) -> None:
    assert extract_answer(response) == last
    assert extract_answer(response, "exactly_one") == exactly_one


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<think>I'd say <answer>3</answer></think><answer>5</answer>", "5"),
        ("<think>I'd say <answer>3</answer>, or more</think><answer>5", None),
        ("<think>I'd say <answer>3</answer>. Let me count ag", None),
        ("<think>a</think><answer>3</answer><think>or <answer>4</answer>?", "3"),
        ("<answer>3</answer><think>It has three.</think>", "3"),
        ("<answer>3</answer><think>It has thr", "3"),
        ("I'd say <answer>3</answer></think><answer>5</answer>", "5"),
        ("I'd say <answer>3</answer></think>It is", None),
        ("<think>The tag <think> opens it. <answer>1</answer></think><answer>2</answer>", "2"),
        ("<think>First <think>a</think> <answer>1</answer></think><answer>2", None),
        ("<think>a</think><answer>3</answer></think>", "3"),
        ("<think>a</think><answer>3</answer><think>b</think><answer>4</answer>", "4"),
        ("<answer><think>B?</think>3</answer>", "3"),
        ("<think><answer>3</think></answer>", None),
        ("<ans<think>x</think>wer>3</answer>", None),
        ("<answer>think></answer>", "think>"),
        ("<think>think><answer>3</answer>", None),
    ],
)
def test_a_thought_is_no_answer(response: str, answer: str | None) -> None:
    assert extract_answer(response) == answer


def test_the_papers_rule_counts_tags_in_thoughts_too() -> None:
    assert extract_answer("<think>a</think><answer>3</answer>", "exactly_one") == "3"
    assert extract_answer("<think><answer>3</answer></think>", "exactly_one") is None
    assert extract_answer("<think><answer>3</answer></think><answer>3</answer>", "exactly_one") is None


@pytest.mark.parametrize(
    ("response", "why"),
    [
        ("3", "missing"),
        ("<think>3", "missing"),
        ("<think>I count</think><answer>3", "unclosed"),
        ("<think>maybe <answer>3</answer>", "in_thought"),
        ("<think>maybe <answer>3</answer></think>3", "in_thought"),
        ("<answer>3</answer><answer>3</answer>", "several"),
    ],
)
def test_why_a_response_has_no_answer(response: str, why: str) -> None:
    assert extract_answer(response, "exactly_one") is None
    assert why_no_answer(response) == NO_ANSWER[why]


@pytest.mark.parametrize("part", ["<answer>", "</answer>", "<think>", "</think>", r"\boxed{", "{", "}", "\\", "boxed "])
def test_a_million_tags_take_no_time(part: str) -> None:
    text = part * (1_000_000 // len(part))
    for read in (extract_answer, why_no_answer, last_boxed):
        start = time.process_time()
        read(text)
        assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("text", "boxed"),
    [
        (r"\boxed{3}", "3"),
        (r"so \boxed{\frac{1}{2}} cm", r"\frac{1}{2}"),
        (r"\boxed{1} or \boxed{2}", "2"),
        (r"\boxed{1} then \boxed{2", "1"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\fbox{4}", "4"),
        (r"\boxed{\boxed{5}", "5"),
        (r"} \boxed{6} {", "6"),
        (r"\boxed{7} { \boxed {", "7"),
        (r"\boxed{\}} 8}", r"\}"),
        ("boxed", None),
    ],
)
def test_boxes(text: str, boxed: str | None) -> None:
    assert last_boxed(text) == boxed
    assert unboxed(text) == (text if boxed is None else boxed)


@given(st.text(), st.text())
def test_an_answer_without_tags_inside_comes_back_stripped(before: str, answer: str) -> None:
    if "<" not in answer + before:
        assert extract_answer(f"{before}<answer>{answer}</answer>") == answer.strip()


@pytest.mark.parametrize(
    ("prediction", "thought", "rest"),
    [
        ("<think>a</think><answer>b</answer>", "a", "<answer>b</answer>"),
        ("a</think>b", "a", "b"),
        ("<think>a", "a", ""),
        ("x <think>a</think> y <think> c </think>z", "a\n\nc", "x   y  z"),
        ("a</think>b<think>c</think>d", "a\n\nc", "b d"),
        ("a<think>b</think>c</think>d", "b", "a c</think>d"),
        ("no tags", "", "no tags"),
        ("", "", ""),
    ],
)
def test_the_thought_is_apart_from_the_rest(prediction, thought, rest):
    assert split_thoughts(prediction) == (thought, rest)


def test_splitting_takes_a_time_that_grows_with_the_length():
    start = time.monotonic()
    for text in ("<think>" * 100_000, "</think>" * 100_000, "<think></think>" * 50_000, "<" * 500_000):
        split_thoughts(text)
    assert time.monotonic() - start < 5
