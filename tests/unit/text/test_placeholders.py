"""Where images stand in a question, and the words without them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.errors import DataError
from vlaa_ray.text.placeholders import IMAGE, in_parts, without_images

TEXTS = st.lists(st.text("ab \n", max_size=4), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("question", "num_images", "parts"),
    [
        ("How many?", 0, ("How many?",)),
        (" How many?\n", 2, (None, None, "How many?")),
        ("<image>\nHow many?", 1, (None, "How many?")),
        ("Is <image> like <image>?", 2, ("Is ", None, " like ", None, "?")),
        ("<image> \n<image> ", 2, (None, None)),
        ("", 0, ()),
    ],
)
def test_parts_by_hand(question, num_images, parts) -> None:
    assert in_parts(question, num_images) == parts


@given(TEXTS)
def test_nothing_of_the_words_is_lost_and_images_stay_between_them(texts) -> None:
    question = IMAGE.join(texts)
    parts = in_parts(question, len(texts) - 1)
    assert parts.count(None) == len(texts) - 1 and all(part is None or part.strip() for part in parts)
    shown = "".join(IMAGE if part is None else part for part in parts)
    assert "".join(shown.split()) == "".join(question.split())


def test_another_number_is_refused() -> None:
    with pytest.raises(DataError, match=r"<image> in the question is 1, but the number of images is 2.*p7"):
        in_parts("<image>?", 2, prompt_id="p7")


def test_the_words_alone() -> None:
    assert without_images("<image>\n<image>How many?") == "How many?"
    assert without_images("In <image>, how many? <image>") == "In the image, how many?"
    assert without_images("<image> ") == ""
