"""Answers that say that there is nothing to find, and answers that say nothing."""

import pytest

from vlaa_ray.rewards.verifiers.boxes import verify_boxes
from vlaa_ray.rewards.verifiers.none_words import says_none

NONE = [
    *("[]", "[ ]", "```json\n[]\n```", '{"boxes": []}', "[[]]", "null", "none", "None.", "Nothing", "no", "N/A"),
    *(r"\boxed{None}", r"\boxed{[]}", "Answer: []", "The answer is none.", "The list is empty.", "zero trams"),
    *("There are none.", "There is no tram.", "No trams in this picture.", "no such object", "0 objects found"),
    *("not found", "It isn't in the image.", "I don't see any trams.", "The picture doesn't show a tram."),
    *("I could not find a tram.", "There aren't any.", "None of them is visible.", "No, there are no trams."),
    *("没有", "无", "图中没有电车。", "未检测到目标", "不存在"),
]
NOT_NONE = [
    *("", "  ", "...", "!!!", "?", "```json\n```", '""', "0", "a tram", "yes", "tram: none or one?", "[tram]"),
    *("I don't know", "not sure", "I can't tell.", "maybe none", "No idea", "No doubt there is one.", "unclear"),
    *("No, there is one.", "None, but [1, 2, 3, 4]", "[1, 2, 3, 4]", "我不知道", "一个", "no " * 300),
]


@pytest.mark.parametrize("text", NONE)
def test_it_says_that_there_is_nothing(text: str) -> None:
    assert verify_boxes(text, []).value == verify_boxes(text, "[]").value == 1.0
    assert verify_boxes(text, [[1, 2, 3, 4]]).value == 0.0


@pytest.mark.parametrize("text", NOT_NONE)
def test_it_does_not_say_so(text: str) -> None:
    verdict = verify_boxes(text, [])
    assert (verdict.value, verdict.valid) == (0.0, True) and verdict.reason


@pytest.mark.parametrize("text", ["[" * 400, "{" * 400, "no\ud800", "[1e999]", "[" + "9" * 398 + "]"])
def test_no_text_raises(text: str) -> None:
    assert says_none(text) is (text == "no\ud800")
