"""Which text counts as the answer, for every way in which tags can be right or wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.text.answers import extract_answer, last_boxed, unboxed


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
    ("text", "boxed"),
    [
        (r"\boxed{3}", "3"),
        (r"so \boxed{\frac{1}{2}} cm", r"\frac{1}{2}"),
        (r"\boxed{1} or \boxed{2}", "2"),
        (r"\boxed{1} then \boxed{2", "1"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\fbox{4}", "4"),
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
