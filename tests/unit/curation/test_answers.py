"""What is read out of a teacher's text: thinking, answer, gold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.curation.answers import Reasoning, clean_gold, final_answer, num_words, read_reasoning, solution_of
from vlaa_ray.text.answers import extract_answer

PIECES = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "{", "}", "3", "B", " ", "\n", "so", "(b)", "\\"]
    )
    | st.text(max_size=3),
    max_size=12,
).map("".join)
KINDS = ["digit", "mcq", "math", "iou", "open_ended"]


@pytest.mark.parametrize(
    ("text", "apart", "expected"),
    [
        ("<think>Two and two.</think>So \\boxed{4}.", None, ("Two and two.", "So \\boxed{4}.")),
        ("\n <think>\nA\n</think>\n\nB\n", None, ("A", "B")),
        ("So \\boxed{4}.", "Two and two.", ("Two and two.", "So \\boxed{4}.")),  # as vLLM's parsers and DeepSeek send
        ("<think>A</think>B", "C", ("A", "B")),  # the text has thinking of its own
        ("Two and two.\n</think>\nSo 4.", None, ("Two and two.", "So 4.")),  # DeepSeek-R1: its prompt ends with <think>
        ("<think>A</think>It is <answer>4</answer>", None, ("A", "It is <answer>4</answer>")),
    ],
)
def test_thinking_and_answer(text, apart, expected):
    assert read_reasoning(text, apart) == Reasoning(*expected)


@pytest.mark.parametrize(
    ("text", "apart", "why"),
    [
        ("", None, "does not begin with <think>"),
        ("The answer is 4.", None, "does not begin with <think>"),
        ("The answer is 4.", "", "does not begin with <think>"),
        ("Sure: <think>A</think>B", None, "does not begin with <think>"),
        ("<think>cut off", None, "does not begin with <think>"),
        ("<think> \n</think>B", None, "the thinking is empty"),
        ("<think>A</think> \n", None, "no answer after"),
        ("", "A", "no answer after"),
        ("<think>A<think>B</think>C", None, "tags inside"),
        ("<think>A<answer>4</answer></think>C", None, "tags inside"),
        ("<think>A</think>B<think>C</think>D", None, "tags inside"),
        ("B</think>C", "A", "tags inside"),
        ("<think>A</think><answer></answer>", None, "do not hold exactly one answer"),
        ("<think>A</think>It is <answer>4", None, "do not hold exactly one answer"),
        ("<think>A</think>It is 4</answer>", None, "do not hold exactly one answer"),
        ("<think>A</think><answer>4</answer> or <answer>5</answer>", None, "do not hold exactly one answer"),
    ],
)
def test_why_a_reply_has_none(text, apart, why):
    found = read_reasoning(text, apart)
    assert isinstance(found, str) and why in found


@given(PIECES, st.none() | PIECES, st.sampled_from(KINDS))
def test_what_is_read_makes_a_solution_with_exactly_one_answer(text, apart, kind):
    found = read_reasoning(text, apart)
    if isinstance(found, str):
        return
    assert read_reasoning(found.text) == found  # it survives being written down
    answer = final_answer(found.answer, kind)
    assert answer and extract_answer(solution_of(found, kind), "exactly_one") == answer.strip()


@pytest.mark.parametrize(
    ("answer", "kind", "expected"),
    [
        ("So it is \\boxed{4}.", "digit", "4"),
        ("First \\boxed{1}, then \\boxed{\\frac{1}{2}}.", "math", "\\frac{1}{2}"),
        ("It is <answer>\\boxed{7}</answer>, surely \\boxed{8}", "math", "7"),
        ("It is <answer> 7 </answer>.", "math", "7"),
        ("The answer is (b).", "mcq", "B"),
        ("\\boxed{\\text{C}}", "mcq", "C"),
        ("\\boxed{None of them}", "mcq", "None of them"),
        ("A red circle.", "open_ended", "A red circle."),
        ("\\boxed{[0.1, 0.2, 0.7, 0.5]}", "iou", "[0.1, 0.2, 0.7, 0.5]"),
        ("\\boxed{4", "digit", "\\boxed{4"),  # never closed: no box
    ],
)
def test_final_answer(answer, kind, expected):
    assert final_answer(answer, kind) == expected


@pytest.mark.parametrize(
    ("gold", "kind", "expected"),
    [
        ("A", "mcq", "A"),
        ("A)", "mcq", "A"),
        ("(a)", "mcq", "A"),
        ("Answer: (c)", "mcq", "C"),
        ("\\boxed{B}", "mcq", "B"),
        ("C: 45°", "mcq", "C"),
        ("none of the above", "mcq", "none of the above"),
        ("\\[\\boxed{y = 2x + 1}\\]", "math", "y = 2x + 1"),
        ("\\boxed{3} or \\boxed{-3}", "math", "\\boxed{3} or \\boxed{-3}"),
        ("A page with \\boxed{3} on it", "open_ended", "A page with \\boxed{3} on it"),
        ("Output: 5", "math", "5"),
        ("†Output: \\boxed{5}", "math", "5"),
        ("Final answer : x = 3", "math", "x = 3"),
        ("a = 7", "math", "a = 7"),
        ("The output: 5", "math", "The output: 5"),
        ("\\boxed{}", "math", "\\boxed{}"),
        (3, "digit", 3),
        (3.5, "math", 3.5),
        (True, "yes_no", True),
        (None, "open_ended", None),
        ([0.1, 0.2, 0.7, 0.5], "iou", [0.1, 0.2, 0.7, 0.5]),
        ("[0.62, 0.57, 0.74, 0.94]", "iou", "[0.62, 0.57, 0.74, 0.94]"),
    ],
)
def test_clean_gold(gold, kind, expected):
    cleaned = clean_gold(gold, kind)
    assert cleaned == expected and type(cleaned) is type(expected)


@given(PIECES, st.sampled_from(KINDS))
def test_a_clean_gold_stays_and_none_vanishes(gold, kind):
    cleaned = clean_gold(gold, kind)
    assert bool(cleaned) >= bool(gold.strip())


def test_words_are_what_blanks_divide():
    assert [num_words(text) for text in ("", "one", " two\nwords ", "a-b c\t\u00a0d")] == [0, 1, 2, 3]
