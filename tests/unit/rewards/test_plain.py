"""The quick readers of usual answers find what the readers of all other texts find, or leave the text to these."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.choice import read_letter
from vlaa_ray.rewards.verifiers.grounding import Box
from vlaa_ray.rewards.verifiers.option_letters import read_choice, read_options
from vlaa_ray.rewards.verifiers.option_tokens import tokens_of
from vlaa_ray.rewards.verifiers.plain_box import plain_box
from vlaa_ray.rewards.verifiers.plain_quantity import plain_quantity
from vlaa_ray.rewards.verifiers.shapes import read_shapes
from vlaa_ray.rewards.verifiers.stated_quantity import _stated

NUMBER_PIECES = (
    "3 4 0 2.5 2024 five two one twenty twenty-first three-legged a the dogs , . ; : ( ) - ? half dozen hundred and or "
    "not no none without at least most than about over up to from in total all are is there's answer so may march "
    "percent cent minus negative second third quarter point pair of which row step 5cm k m x h \n"
).split(" ")
BOX_PIECES = (
    "[1, 2, 30, 40]|(1, 2, 30, 40)|(1,2),(30,40)|(1, 2) (30, 40)|[1,2],[30,40]|1 2 30 40|1, 2, 30, 40|"
    "x1=1, y1=2, x2=30, y2=40|<box>(1,2),(30,40)</box>|<|box_start|>(1,2),(30,40)<|box_end|>|"
    '{"bbox_2d": [1, 2, 30, 40]}|[{"bbox_2d": [1,2,30,40], "label": "a, [1,2,3,4]"}]|{"label": "cat", "bbox_2d": '
    "[1, 2, 30, -40.5]}|```json|```|box:|label:|name =|the|cat|left|width|w|and|to|nan|inf|information|\"|'|don't|"
    ".|,|;|\n|5|2nd|image 3|- |1.|(|)|[|]|\\boxed{|}|px"
).split("|")
CHOICE_PIECES = (
    "A B C a b (A) (b) B. C: D) the cat not isn't doesn't is are wrong incorrect right correct and or but so because "
    "answer option final both except all but instead of rather than out I think choose it might , . ; : ? \n ( ) - = "
    "as well as vs. fit fails true false too 答案 是 不 B、C"
).split(" ")


def texts(pieces: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), min_size=1, max_size=10).map(" ".join)


@settings(max_examples=400, deadline=None)
@given(texts(NUMBER_PIECES), st.booleans())
def test_a_plain_number_is_the_number_that_the_text_states(text: str, counts: bool) -> None:
    text = text.strip().removesuffix(".")
    plain = plain_quantity(text)
    if plain is not None:
        stated = _stated(text, counts)
        assert not isinstance(stated, str)
        assert (stated.value, stated.percent) == (plain, False)


@settings(max_examples=400, deadline=None)
@given(texts(BOX_PIECES))
def test_a_plain_box_is_the_only_box_of_the_text(text: str) -> None:
    plain = plain_box(text)
    if plain is not None:
        boxes = {Box(*shape.numbers) for shape in read_shapes(text) if len(shape.numbers) == 4}
        assert boxes == {Box(*plain)}


@settings(max_examples=400, deadline=None)
@given(texts(CHOICE_PIECES))
def test_a_clear_letter_is_the_only_one_that_is_not_denied(text: str) -> None:
    tokens = tokens_of(text)
    letter = read_choice(tokens)
    if isinstance(letter, str):
        assert {mention.letter for mention in read_options(tokens).chosen} == {letter}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("There are 3 dogs in the picture, on the left", 3),
        ("I count twelve chairs near the table", 12),
        ("The price is 2.5, as the label says", Fraction(5, 2)),
        ("There are at least 3 dogs", None),
        ("There are no more than five dogs", None),
        ("3 of the two dogs", None),
        ("May 3, as it says", None),
        ("not 3 but more", None),
        ("a dozen 3", None),
        ("3 k", None),
    ],
)
def test_numbers_of_plain_sentences(text: str, number: int | Fraction | None) -> None:
    assert plain_quantity(text) == number


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("The box is [10, 20, 30, 40].", (10, 20, 30, 40)),
        ("It's at (10, 20), (30.5, 40), near the tree", (10, 20, 30.5, 40)),
        ('```json\n[{"bbox_2d": [10, 20, 30, 40], "label": "dog"}]\n```', (10, 20, 30, 40)),
        ("10 20 30 40", (10, 20, 30, 40)),
        ("x1=10, y1=20, x2=30, y2=40", (10, 20, 30, 40)),
        ("[10, 20, 30, 40] and [1, 2, 3, 4]", None),
        ("x, y, w, h: [10, 20, 30, 40]", None),
        ("[10, 20, 30]", None),
    ],
)
def test_boxes_in_usual_forms(text: str, box: tuple[float, ...] | None) -> None:
    assert plain_box(text) == box


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("none of A, B, C fits", None),
        ("None of A, B fits", None),
        ("None of the options A, B, C fits, so D", "D"),
        ("neither of A, B works; it is C", "C"),
        ("none of A, B and C is right. D", "D"),
        ("Of A, B and C, none but C fits", "C"),
    ],
)
def test_a_list_after_none_of_is_denied(text: str, letter: str | None) -> None:
    assert read_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("(x, y, w, h) = (10, 20, 100, 50)", (10, 20, 110, 70)),
        ("[x, y, width, height]: [10, 20, 100, 50]", (10, 20, 110, 70)),
        ("The box (x, y, w, h) is (10, 20, 100, 50).", (10, 20, 110, 70)),
        ("(cx, cy, w, h) = (60, 45, 100, 50)", (10, 20, 110, 70)),
        ("(y1, x1, y2, x2) = (20, 10, 70, 110)", (10, 20, 110, 70)),
        ("(x1, y1, x2, y2) = (10, 20, 110, 70)", (10, 20, 110, 70)),
        ("top, left, bottom, right: [20, 10, 70, 110]", (10, 20, 110, 70)),
        ("cat, dog, tree, car: [10, 20, 110, 70]", (10, 20, 110, 70)),
    ],
)
def test_names_before_numbers_say_what_each_is(text: str, box: tuple[float, ...]) -> None:
    assert [shape.numbers for shape in read_shapes(text)] == [box]
    assert plain_box(text) in (None, box)
