"""The thought and the answer are told apart, in one piece as in many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.serving.reasoning import Parts, ReasoningSplitter, split

CASES = {
    "<think>Two rows of 3.</think> <answer> 6 </answer>": Parts("Two rows of 3.", "6"),
    "<think>\nA b\n</think>\n<answer>B</answer>\n": Parts("A b", "B"),
    "6": Parts("", "6"),
    "": Parts("", ""),
    "<think>cut off": Parts("cut off", ""),
    "<think>cut off</thi": Parts("cut off</thi", ""),
    "<think>a</think><answer>3 <": Parts("a", "3 <"),
    "<think>is 1 < 2?</think>yes": Parts("is 1 < 2?", "yes"),
    "<think>a</think>So <answer>3</answer> it is": Parts("a", "So 3 it is"),
    "<think>a</think>b<think>c</think>d": Parts("ac", "bd"),
    "<think>the <answer>5</answer> is a form</think><answer>7</answer>": Parts("the 5 is a form", "7"),
}


@pytest.mark.parametrize(("response", "parts"), CASES.items())
def test_a_response_in_two_parts(response, parts) -> None:
    assert split(response) == parts


def test_a_response_may_begin_inside_its_thought() -> None:
    assert split("I count 3.</think><answer>3</answer>", thinks_first=True) == Parts("I count 3.", "3")


PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", " ", "\n", "a", "<", "/", "thi", "6"])
)


@given(PIECES, st.data())
def test_pieces_give_what_the_whole_gives(pieces, data) -> None:
    text = "".join(pieces)
    splitter, reasoning, content, rest = ReasoningSplitter(), "", "", text
    while rest:
        size = data.draw(st.integers(1, 4))
        part = splitter.feed(rest[:size])
        reasoning, content, rest = reasoning + part.reasoning, content + part.content, rest[size:]
    last = splitter.finish()
    assert Parts(reasoning + last.reasoning, content + last.content) == split(text)
