"""Lists as people and models write them: verdicts by hand."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlaa_ray.rewards.verifiers.lists import verify_list

COLOURS = ["red", "blue"]
ISLANDS = ["Trinidad and Tobago", "Cuba"]
CASES = [
    # bullets, numbers, fences
    ("- red\n- blue", COLOURS, 1),
    ("• red\n• blue", COLOURS, 1),
    ("* **red**\n* **blue**", COLOURS, 1),
    ("+ red\n+ blue", COLOURS, 1),
    ("1. red\n2. blue", COLOURS, 1),
    ("1. red 2. blue", COLOURS, 1),
    ("(1) red (2) blue", COLOURS, 1),
    ("1) red, 2) blue", COLOURS, 1),
    ("1、红\n2、蓝", ["红", "蓝"], 1),
    ("①红 ②蓝", ["红", "蓝"], 1),
    ("a) red\nb) blue", COLOURS, 1),
    ("```\nred\nblue\n```", COLOURS, 1),
    ('```json\n["red", "blue"]\n```', COLOURS, 1),
    ("red | blue", COLOURS, 1),
    ("red/blue", COLOURS, 1),
    ("red / blue", COLOURS, 1),
    (r"\boxed{\text{red}, \text{blue}}", COLOURS, 1),
    (r"$\{red, blue\}$", COLOURS, 1),
    ("The colours are: red, blue.", COLOURS, 1),
    ("颜色：红、蓝。", ["红", "蓝"], 1),
    ("red, blue, and green.", ["green", "blue", "red"], 1),
    ("red & blue", COLOURS, 1),
    ("red as well as blue", COLOURS, 1),
    ("red, blue, ", COLOURS, 1),
    ("{red, blue}", COLOURS, 1),
    ("(red, blue)", COLOURS, 1),
    ("['red', 'blue']", COLOURS, 1),
    ('["red", "blue"]', "red, blue", 1),
    ("1、2、3", ["1", "2", "3"], 1),
    ("1. 5\n2. 7", [5, 7], 1),
    ("-3, 4", [-3, 4], 1),
    ("3, 4", [-3, 4], 1 / 2),
    (r"\begin{itemize} \item red \item blue \end{itemize}", COLOURS, 1),
    ("<ul><li>red</li><li>blue</li></ul>", COLOURS, 1),
    ("The colours are red and blue.", COLOURS, 1),
    ("The colours are not red and not blue.", COLOURS, 0),
    ("both red and blue", COLOURS, 1),
    ("red → blue", COLOURS, 1),
    # CJK
    ("红、蓝", ["红", "蓝"], 1),
    ("红，蓝和绿", ["红", "蓝", "绿"], 1),
    ("红与蓝", ["红", "蓝"], 1),
    ("红及蓝", ["红", "蓝"], 1),
    ("红；蓝；", "红、蓝", 1),
    ("和平、自由", ["和平", "自由"], 1),
    ("红，黑", ["红", "蓝"], 1 / 2),
    ("red、blue", COLOURS, 1),
    # an item with a separator in it
    ("Trinidad and Tobago and Cuba", ISLANDS, 1),
    ("Cuba, Trinidad & Tobago", ISLANDS, 1),
    ("Cuba; Trinidad and Tobago", ISLANDS, 1),
    ("- Cuba\n- Trinidad and Tobago", ISLANDS, 1),
    ("Trinidad, Tobago, Cuba", ISLANDS, 2 / 5),
    ("Trinidad and Tobago", ISLANDS, 2 / 3),
    ("Trinidad and Tobago", ["Trinidad", "Tobago"], 1),
    ('["Trinidad and Tobago"]', ["Trinidad", "Tobago"], 0),
    ("['Trinidad and Tobago', 'Cuba']", ISLANDS, 1),
    ("Paris, France; Rome, Italy", ["Paris, France", "Rome, Italy"], 1),
    ("Rome, Italy, Paris, France", ["Paris, France", "Rome, Italy"], 1),
    ("km/h, m/s", ["km/h", "m/s"], 1),
    ("black and white", ["black and white", "red"], 2 / 3),
    ("rock-and-roll, jazz", ["jazz", "rock-and-roll"], 1),
    ("10:30, 11:45", ["10:30", "11:45"], 1),
    ("Vitamin A and Vitamin C", ["Vitamin A", "Vitamin C"], 1),
    ("C, C++", ["C", "C++"], 1),
    # multisets and numbers
    ("2, 2, 3", ["2", "2", "3"], 1),
    ("2, 3", ["2", "2", "3"], 4 / 5),
    ("2, 2, 2, 3", ["2", "2", "3"], 6 / 7),
    ("2, 2, 3", ["2", "3"], 4 / 5),
    ("3, 2, 2", "2, 2, 3", 1),
    ("[100, 200]", [100, 200], 1),
    ("100,200", [100, 200], 1),
    ("100,200", [100200], 1),
    ("1,000, 2,000", [1000, 2000], 1),
    ("[1.0, 2.0]", [1, 2], 1),
    ("1, 2", [1.0, 2.0], 1),
    ("[]", COLOURS, 0),
    ("", COLOURS, 0),
    (",;、", COLOURS, 0),
    ("green", COLOURS, 0),
    ("red blue", COLOURS, 0),
]


@pytest.mark.parametrize(("answer", "gold", "value"), CASES)
def test_lists(answer: str, gold: object, value: float) -> None:
    assert verify_list(answer, gold).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("answer", "gold", "value"),
    [
        ("1. red\n2. blue", COLOURS, 1),
        ("blue, red", COLOURS, 0),
        ("red -> blue", COLOURS, 1),
        ("red, then blue", COLOURS, 1),
        ("red, blue, red", COLOURS, 0),
        ("Trinidad and Tobago, then Cuba", ISLANDS, 1),
        ("Trinidad and Tobago, Cuba", ISLANDS, 1),
        ('["red", "blue"]', COLOURS, 1),
    ],
)
def test_ordered_lists(answer: str, gold: object, value: float) -> None:
    assert verify_list(answer, gold, ordered=True).value == value


@pytest.mark.parametrize("gold", [None, "", [], [None], [""], {}, 3, True, "[]", ",", r"\boxed{}"])
def test_golds_without_items_are_invalid_and_pay_no_empty_answer(gold: object) -> None:
    assert not verify_list("", gold).valid and not verify_list("red", gold).valid


ITEMS = st.lists(st.text(alphabet="abAB12+-?.,; and/和、'\"[]()", min_size=1, max_size=12), min_size=1, max_size=5)


@given(ITEMS)
def test_a_gold_list_is_its_own_answer(items: list[str]) -> None:
    if verify_list("", items).valid:
        assert verify_list(json.dumps(items, ensure_ascii=False), items).value == 1.0


@given(st.lists(st.sampled_from(["red", "dark blue", *ISLANDS, "C++", "3", "a/b"]), min_size=1, max_size=5))
def test_items_joined_by_a_comma_are_the_list(items: list[str]) -> None:
    assert verify_list(", ".join(items), items).value == 1.0
    numbered = "\n".join(f"{n}. {item}" for n, item in enumerate(items, start=1))
    assert verify_list(numbered, items, ordered=True).value == 1.0


def test_lists_of_one_character_repeated_take_no_time() -> None:
    for part in "a1 ,;\n-*|/()[]{}'\"`和、①\\:.&":
        for text in (part * 20_000, f"{part} " * 10_000, "[" + part * 19_000, f"a{part}b, " * 4000):
            start = time.process_time()
            verify_list(text, [text[:9000], "a", *text[:1000]])
            assert time.process_time() - start < 2, (part, text[:10])
